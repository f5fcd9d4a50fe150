//! The lane of guests that speak http-wasm: handlers with one function before a request goes on, and one after it was
//! answered.
//!
//! A handler that buffers bodies is called when the body is whole. Until then nothing leaves.

mod functions;
mod state;

use http::{Method, StatusCode};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Capability, Hook, HookFaultKind};
use tidegate_engine::status::is_bodiless;
use wasmtime::{Engine, InstancePre, Module, Store, TypedFunc};

pub(crate) use functions::knows;
pub(crate) use state::State;

use crate::abi::Asked;
use crate::abi::foreign::{self, Context};
use crate::base::host_error::HostError;
use crate::base::limits::{BODY_PIECE_BYTES, REQUESTS_PER_INSTANCE};
use crate::guest::Guest;
use crate::guest::fields::Head;
use crate::wit;

/// The module that handlers import from.
pub(crate) const MODULE: &str = "http_handler";

/// The export that every handler has.
pub(crate) const HANDLE_REQUEST: &str = "handle_request";

const HANDLE_RESPONSE: &str = "handle_response";

/// The exports that are hooks. What `handle_request` writes to the response of a request that goes on is put there when
/// the response comes. A handler is not told when a request is over; the host forgets the request then.
pub(crate) const HOOKS: [(&str, Hook); 5] = [
    (HANDLE_REQUEST, Hook::Request),
    (HANDLE_REQUEST, Hook::RequestBody),
    (HANDLE_REQUEST, Hook::Response),
    (HANDLE_REQUEST, Hook::ResponseBody),
    (HANDLE_REQUEST, Hook::Log),
];

/// A compiled module.
pub(crate) struct Form {
    module: Module,
}

/// A linked module.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
}

/// The functions of an instance.
pub(crate) struct Hooks {
    /// Answers whether the request goes on, in the low half, and a number for the response, in the high half.
    request: TypedFunc<(), u64>,
    /// The number, and whether the answer is an error of the host's.
    response: Option<TypedFunc<(u32, u32), ()>>,
}

impl Form {
    pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Ok(Self { module: Module::from_binary(engine, bytes)? })
    }

    pub(crate) fn link(&self, engine: &Engine) -> wasmtime::Result<Linked> {
        let linker = foreign::linker(engine, &self.module, functions::define)?;
        Ok(Linked { pre: linker.instantiate_pre(&self.module)? })
    }
}

impl Linked {
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        let instance = self.pre.instantiate(&mut *store)?;
        let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| foreign::misfit("memory"))?;
        let guest = store.data_mut();
        guest.memory_of = Some(memory);
        guest.http = Some(Box::new(State::new(config)));
        foreign::start_runtime(&instance, store)?;
        let request = foreign::export(&instance, store, HANDLE_REQUEST)?;
        let hooks = Hooks {
            request: request.ok_or_else(|| foreign::misfit(HANDLE_REQUEST))?,
            response: foreign::export(&instance, store, HANDLE_RESPONSE)?,
        };
        let interest = interest(store.data());
        Ok((hooks, Ok(interest)))
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

impl Hooks {
    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let guest = store.data_mut();
        let request = guest.exchange(hook.name())?.request_id;
        if hook == Hook::Response {
            return self.run_response(store, request);
        }
        if guest.requests.len() >= REQUESTS_PER_INSTANCE {
            let message = format!("the instance has {REQUESTS_PER_INSTANCE} requests under way, and takes no more");
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        }
        let mut context = Context::new(0);
        let buffers = guest.handler()?.buffers_request;
        context.held = buffers.then_some(Hook::RequestBody);
        guest.requests.insert(request, context);
        if buffers {
            return Ok(wit::Verdict::Next);
        }
        guest.handler()?.begin(Hook::Request, None);
        let reply = self.handle_request(store, request)?;
        Ok(reply.map_or(wit::Verdict::Next, wit::Verdict::Respond))
    }

    /// Asks about a request; the answer, if it goes no further.
    fn handle_request(&self, store: &mut Store<Guest>, request: u128) -> wasmtime::Result<Option<wit::Reply>> {
        let answer = self.request.call(&mut *store, ())?;
        let guest = store.data_mut();
        let draft = guest.handler()?.take_draft();
        if answer & 0xffff_ffff == 0 {
            guest.requests.remove(request);
            return Ok(Some(draft.into_reply()));
        }
        if !draft.body.is_empty() {
            // What it wrote becomes a part of the server's answer.
            foreign::needs(guest, "write_body", Capability::Body)?;
        }
        if let Some(context) = guest.requests.get_mut(request) {
            context.number = (answer >> 32) as u32;
            (context.fields, context.ahead) = (draft.headers, draft.body);
        }
        Ok(None)
    }

    fn run_response(&self, store: &mut Store<Guest>, request: u128) -> wasmtime::Result<wit::Verdict> {
        let guest = store.data_mut();
        let buffers = guest.handler()?.buffers_response && self.response.is_some();
        let may_have_body = may_have_body(guest.exchange(HANDLE_RESPONSE)?);
        // A request that it answered itself, or never saw, it is not asked about again.
        let Some(context) = guest.requests.get_mut(request) else { return Ok(wit::Verdict::Next) };
        let number = context.number;
        let fields = std::mem::take(&mut context.fields);
        if !may_have_body {
            context.ahead.clear();
        }
        context.held = (buffers || !context.ahead.is_empty()).then_some(Hook::ResponseBody);
        if !fields.is_empty() {
            guest.response_mut("set_header_value").map(Head::of_response)?.extend(fields);
        }
        if let Some(response) = self.response.as_ref().filter(|_| !buffers) {
            store.data_mut().handler()?.begin(Hook::Response, None);
            response.call(store, (number, 0))?;
        }
        Ok(wit::Verdict::Next)
    }

    /// Asks about a message whose body is whole.
    pub(crate) fn run_body(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let request = store.data().exchange(hook.name())?.request_id;
        let guest = store.data_mut();
        let Some(context) = guest.requests.get_mut(request) else { return Ok(wit::BodyVerdict::Next) };
        if context.held.take() != Some(hook) || !last {
            return Ok(wit::BodyVerdict::Next);
        }
        let number = context.number;
        if hook == Hook::ResponseBody {
            let mut body = std::mem::take(&mut context.ahead);
            let begins = !body.is_empty();
            body.extend_from_slice(data);
            return self.run_response_body(store, number, body, begins);
        }
        guest.handler()?.begin(hook, Some(data.to_vec()));
        if let Some(reply) = self.handle_request(store, request)? {
            return Ok(wit::BodyVerdict::Respond(reply));
        }
        let written = store.data_mut().handler()?.take_written();
        Ok(written.map_or(wit::BodyVerdict::Next, wit::BodyVerdict::Replace))
    }

    /// Asks about a response whose body is whole, if the guest waits for it; `begins` says that the body begins with what the
    /// guest wrote before there was a response.
    fn run_response_body(
        &self,
        store: &mut Store<Guest>,
        number: u32,
        body: Vec<u8>,
        begins: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let guest = store.data_mut();
        let waits = guest.http.as_ref().is_some_and(|it| it.buffers_response);
        let on = match self.response.as_ref().filter(|_| waits) {
            Some(response) => {
                let kept = begins.then(|| body.clone());
                guest.handler()?.begin(Hook::ResponseBody, Some(body));
                response.call(&mut *store, (number, 0))?;
                store.data_mut().handler()?.take_written().or(kept)
            }
            None => begins.then_some(body),
        };
        Ok(on.map_or(wit::BodyVerdict::Next, wit::BodyVerdict::Replace))
    }

    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        let request = store.data().exchange(hook.name())?.request_id;
        store.data_mut().requests.remove(request);
        Ok(())
    }
}

impl Guest {
    /// What the lane keeps of this instance.
    fn handler(&mut self) -> Result<&mut State, HostError> {
        let started = self.http.as_deref_mut();
        started.ok_or_else(|| HostError::not_allowed("the guest called the host before it was started"))
    }
}
