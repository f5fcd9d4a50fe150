//! The functions of a handler, and when they are called.

use http::{Method, StatusCode};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Capability, Hook, HookFaultKind};
use tidegate_engine::status::is_bodiless;
use wasmtime::{FuncType, Instance, Linker, Store, TypedFunc};

use super::functions;
use super::state::State;
use crate::abi::foreign::start::{ForeignHooks, export, misfit};
use crate::abi::foreign::state::{Foreign, ForeignData};
use crate::abi::guest_abi::InitResult;
use crate::abi::requests::Context;
use crate::abi::running;
use crate::base::host_error::HostError;
use crate::base::limits::{BODY_PIECE_BYTES, REQUESTS_PER_INSTANCE};
use crate::guest::Guest;
use crate::guest::fields::Head;
use crate::wit;

/// The export that every handler has.
pub(super) const HANDLE_REQUEST: &str = "handle_request";

const HANDLE_RESPONSE: &str = "handle_response";

type Data = ForeignData<State>;

/// The functions of an instance.
pub(super) struct Hooks {
    /// The function for requests. It answers whether the request goes on, in the low half, and a number for the response, in
    /// the high half.
    request: TypedFunc<(), u64>,
    /// The function for responses, of that number, and of whether the response is an error of the host's.
    response: Option<TypedFunc<(u32, u32), ()>>,
}

impl ForeignHooks for Hooks {
    type Own = State;

    fn define(linker: &mut Linker<Data>, module: &str, name: &str, of: FuncType) -> wasmtime::Result<()> {
        functions::define(linker, module, name, of)
    }

    fn own(_: &Instance, _: &mut Store<Data>, config: &str) -> wasmtime::Result<State> {
        Ok(State::new(config))
    }

    fn start(instance: &Instance, store: &mut Store<Data>, _: &str) -> wasmtime::Result<(Self, InitResult)> {
        let request = export(instance, store, HANDLE_REQUEST)?;
        let hooks = Self {
            request: request.ok_or_else(|| misfit(HANDLE_REQUEST))?,
            response: export(instance, store, HANDLE_RESPONSE)?,
        };
        Ok((hooks, Ok(interest(&store.data().guest))))
    }
}

fn interest(guest: &Guest) -> wit::Interest {
    let mut hooks = wit::Hooks::REQUEST;
    hooks |= wit::Hooks::RESPONSE;
    hooks |= wit::Hooks::LOG;
    let mode = if guest.allows(Capability::Body) {
        hooks |= wit::Hooks::REQUEST_BODY;
        hooks |= wit::Hooks::RESPONSE_BODY;
        wit::BodyMode::Stream(BODY_PIECE_BYTES)
    } else {
        wit::BodyMode::None
    };
    wit::Interest {
        hooks,
        methods: Vec::new(),
        path_prefixes: Vec::new(),
        request_body: mode,
        response_body: mode,
        tick_ms: 0,
    }
}

/// Whether the response that has come may have a body at all (RFC 9110, 6.4.1), and is no tunnel.
fn may_have_body(exchange: &Exchange) -> bool {
    let bare = |status: StatusCode| status.is_informational() || is_bodiless(status);
    let request = &exchange.request;
    request.method != Method::HEAD
        && !request.websocket
        && exchange.response.as_ref().is_some_and(|response| !bare(response.status))
}

impl running::Hooks for Hooks {
    type State = Foreign<State>;

    fn run(&self, store: &mut Store<Data>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let data = store.data_mut();
        let request = data.guest.exchange(hook.name())?.request_id;
        if hook == Hook::Response {
            return self.run_response(store, request);
        }
        if data.state.requests.len() >= REQUESTS_PER_INSTANCE {
            let message = format!("the instance has {REQUESTS_PER_INSTANCE} requests under way, and takes no more");
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        }
        let mut context = Context::new(0);
        let buffers = data.state.own()?.buffers_request;
        context.held = buffers.then_some(Hook::RequestBody);
        data.state.requests.insert(request, context);
        if buffers {
            return Ok(wit::Verdict::Next);
        }
        data.state.own()?.begin(Hook::Request, None);
        let reply = self.handle_request(store, request)?;
        Ok(reply.map_or(wit::Verdict::Next, wit::Verdict::Respond))
    }

    /// Asks about a message whose body is whole.
    fn run_body(
        &self,
        store: &mut Store<Data>,
        hook: Hook,
        piece: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let request = store.data().guest.exchange(hook.name())?.request_id;
        let data = store.data_mut();
        let Some(context) = data.state.requests.get_mut(request) else { return Ok(wit::BodyVerdict::Next) };
        if context.held.take() != Some(hook) || !last {
            return Ok(wit::BodyVerdict::Next);
        }
        let number = context.number;
        if hook == Hook::ResponseBody {
            let mut body = std::mem::take(&mut context.ahead);
            let begins = !body.is_empty();
            body.extend_from_slice(piece);
            return self.run_response_body(store, number, body, begins);
        }
        data.state.own()?.begin(hook, Some(piece.to_vec()));
        if let Some(reply) = self.handle_request(store, request)? {
            return Ok(wit::BodyVerdict::Respond(reply));
        }
        let written = store.data_mut().state.own()?.take_written();
        Ok(written.map_or(wit::BodyVerdict::Next, wit::BodyVerdict::Replace))
    }

    fn tell(&self, store: &mut Store<Data>, hook: Hook) -> wasmtime::Result<()> {
        let request = store.data().guest.exchange(hook.name())?.request_id;
        store.data_mut().state.requests.remove(request);
        Ok(())
    }
}

impl Hooks {
    /// Asks about a request; the answer, if it goes no further.
    fn handle_request(&self, store: &mut Store<Data>, request: u128) -> wasmtime::Result<Option<wit::Reply>> {
        let answer = self.request.call(&mut *store, ())?;
        let data = store.data_mut();
        let draft = data.state.own()?.take_draft();
        if answer & 0xffff_ffff == 0 {
            data.state.requests.remove(request);
            return Ok(Some(draft.into_reply()));
        }
        if !draft.body.is_empty() {
            // What it wrote becomes a part of the server's answer.
            data.guest.needs("write_body", Capability::Body)?;
        }
        if let Some(context) = data.state.requests.get_mut(request) {
            context.number = (answer >> 32) as u32;
            (context.fields, context.ahead) = (draft.headers, draft.body);
        }
        Ok(None)
    }

    fn run_response(&self, store: &mut Store<Data>, request: u128) -> wasmtime::Result<wit::Verdict> {
        let data = store.data_mut();
        let buffers = data.state.own()?.buffers_response && self.response.is_some();
        let may_have_body = may_have_body(data.guest.exchange(HANDLE_RESPONSE)?);
        // A request that it answered itself, or never saw, it is not asked about again.
        let Some(context) = data.state.requests.get_mut(request) else { return Ok(wit::Verdict::Next) };
        let number = context.number;
        let fields = std::mem::take(&mut context.fields);
        if !may_have_body {
            context.ahead.clear();
        }
        context.held = (buffers || !context.ahead.is_empty()).then_some(Hook::ResponseBody);
        if !fields.is_empty() {
            data.guest.response_mut("set_header_value").map(Head::of_response)?.extend(fields);
        }
        if let Some(response) = self.response.as_ref().filter(|_| !buffers) {
            store.data_mut().state.own()?.begin(Hook::Response, None);
            response.call(store, (number, 0))?;
        }
        Ok(wit::Verdict::Next)
    }

    /// Asks about a response whose body is whole, if the guest waits for it; `begins` says that the body begins with what the
    /// guest wrote before there was a response.
    fn run_response_body(
        &self,
        store: &mut Store<Data>,
        number: u32,
        body: Vec<u8>,
        begins: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let data = store.data_mut();
        let waits = data.state.own()?.buffers_response;
        let on = match self.response.as_ref().filter(|_| waits) {
            Some(response) => {
                let kept = begins.then(|| body.clone());
                data.state.own()?.begin(Hook::ResponseBody, Some(body));
                response.call(&mut *store, (number, 0))?;
                store.data_mut().state.own()?.take_written().or(kept)
            }
            None => begins.then_some(body),
        };
        Ok(on.map_or(wit::BodyVerdict::Next, wit::BodyVerdict::Replace))
    }
}
