//! The callbacks of a filter, and when they are called.

use std::sync::atomic::Ordering;

use tidegate_engine::hook::{Capability, Hook, HookFaultKind};
use wasmtime::{FuncType, Instance, Linker, Store, TypedFunc};

use super::state::{Came, Outcome, ROOT, State};
use super::status::Data;
use super::{hostcalls, maps};
use crate::abi::foreign::head;
use crate::abi::foreign::start::{ForeignHooks, export, misfit};
use crate::abi::foreign::state::Foreign;
use crate::abi::guest_abi::InitResult;
use crate::abi::requests::Context;
use crate::abi::running;
use crate::base::host_error::HostError;
use crate::base::limits::{BODY_BYTES, BODY_PIECE_BYTES, REQUESTS_PER_INSTANCE};
use crate::guest::Guest;
use crate::guest::callout::{CalloutFailure, CalloutResult};
use crate::wit;

/// The hook that every filter of heads has.
pub(super) const ON_REQUEST_HEADERS: &str = "proxy_on_request_headers";

/// The callbacks of an instance; a filter need not have any one of them.
pub(super) struct Hooks {
    create: Option<TypedFunc<(u32, u32), ()>>,
    request_headers: Option<OnHeaders>,
    request_body: Option<OnBody>,
    response_headers: Option<OnHeaders>,
    response_body: Option<OnBody>,
    done: Option<TypedFunc<u32, u32>>,
    log: Option<TypedFunc<u32, ()>>,
    delete: Option<TypedFunc<u32, ()>>,
    tick: Option<TypedFunc<u32, ()>>,
    http_call_response: Option<OnCalled>,
}

/// The callback for callouts: the context, the call's number, fields, bytes of the body, trailers.
type OnCalled = TypedFunc<(u32, u32, u32, u32, u32), ()>;

type OnBody = TypedFunc<(u32, u32, u32), u32>;

/// The callback for heads: the context, how many fields there are, and, since 0.2.0, whether that is all of the message.
enum OnHeaders {
    Since020(TypedFunc<(u32, u32, u32), u32>),
    Since010(TypedFunc<(u32, u32), u32>),
}

impl ForeignHooks for Hooks {
    type Own = State;

    fn define(linker: &mut Linker<Data>, module: &str, name: &str, of: FuncType) -> wasmtime::Result<()> {
        hostcalls::define(linker, module, name, of)
    }

    fn own(instance: &Instance, store: &mut Store<Data>, config: &str) -> wasmtime::Result<State> {
        let malloc = match export(instance, store, "proxy_on_memory_allocate")? {
            Some(malloc) => malloc,
            None => export(instance, store, "malloc")?.ok_or_else(|| misfit("proxy_on_memory_allocate"))?,
        };
        Ok(State::new(malloc, config))
    }

    /// Runs what a filter's start is: `proxy_on_vm_start` and `proxy_on_configure`.
    fn start(instance: &Instance, store: &mut Store<Data>, config: &str) -> wasmtime::Result<(Self, InitResult)> {
        let hooks = Self::of(instance, store)?;
        if let Some(create) = &hooks.create {
            create.call(&mut *store, (ROOT, 0))?;
        }
        let length = u32::try_from(config.len())?;
        for (name, length) in [("proxy_on_vm_start", 0), ("proxy_on_configure", length)] {
            let start: Option<TypedFunc<(u32, u32), u32>> = export(instance, store, name)?;
            if let Some(start) = start
                && start.call(&mut *store, (ROOT, length))? == 0
            {
                let words = store.data_mut().state.own()?.words.take();
                let words = words.unwrap_or_else(|| "it does not say why".to_owned());
                return Ok((hooks, Err(format!("`{name}` said no: {words}"))));
            }
        }
        let tick_ms = store.data_mut().state.own()?.tick_ms;
        let interest = hooks.interest(&store.data().guest, tick_ms);
        Ok((hooks, Ok(interest)))
    }
}

impl OnHeaders {
    fn of(instance: &Instance, store: &mut Store<Data>, name: &str) -> wasmtime::Result<Option<Self>> {
        let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
        if let Ok(typed) = function.typed(&*store) {
            return Ok(Some(Self::Since020(typed)));
        }
        function.typed(&*store).map(|typed| Some(Self::Since010(typed))).map_err(|_| misfit(name))
    }

    fn call(&self, store: &mut Store<Data>, context: u32, fields: u32, end: bool) -> wasmtime::Result<u32> {
        match self {
            Self::Since020(function) => function.call(store, (context, fields, end.into())),
            Self::Since010(function) => function.call(store, (context, fields)),
        }
    }
}

impl running::Hooks for Hooks {
    type State = Foreign<State>;

    fn run(&self, store: &mut Store<Data>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let request = store.data().guest.exchange(hook.name())?.request_id;
        if hook == Hook::Request && store.data().state.requests.get(request).is_some() {
            // It is run a second time for the same request: that is a filter of its own.
            self.end(store, request)?;
        }
        let callback = if hook == Hook::Request { &self.request_headers } else { &self.response_headers };
        let Some(callback) = callback else { return Ok(wit::Verdict::Next) };
        let context = self.context(store, request)?;
        let exchange = store.data().guest.exchange(hook.name())?;
        let (fields, end) = match (hook, &exchange.response) {
            (Hook::Response, Some(response)) => {
                (maps::response_fields(response), head::length(&response.headers) == Some(0))
            }
            _ => (maps::request_fields(exchange), !exchange.request.has_body),
        };
        if let Some(context) = store.data_mut().state.requests.get_mut(request) {
            context.calls_made = 0;
        }
        store.data_mut().state.own()?.begin(context, None);
        let action = callback.call(store, context, fields, end)?;
        self.conclude(store, hook, request, action)
    }

    fn run_body(
        &self,
        store: &mut Store<Data>,
        hook: Hook,
        piece: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let callback = if hook == Hook::RequestBody { &self.request_body } else { &self.response_body };
        let Some(callback) = callback else { return Ok(wit::BodyVerdict::Next) };
        let request = store.data().guest.exchange(hook.name())?.request_id;
        let number = self.context(store, request)?;
        let data = store.data_mut();
        let mut body = Vec::new();
        if let Some(context) = data.state.requests.get_mut(request) {
            body = std::mem::take(&mut context.kept);
            context.held = None;
        }
        let kept = !body.is_empty();
        body.extend_from_slice(piece);
        if body.len() > BODY_BYTES as usize {
            let message = format!("the guest held back more than {BODY_BYTES} bytes of a body");
            return Err(HostError::new(HookFaultKind::BodyTooLong, message).into());
        }
        let length = u32::try_from(body.len())?;
        data.state.own()?.begin(number, Some((hook, body)));
        let action = callback.call(&mut *store, (number, length, last.into()))?;
        let state = store.data_mut().state.own()?;
        let outcome = state.outcome(action);
        let (body, changed) = state.take_body();
        match outcome {
            Outcome::Reply(reply) => Ok(wit::BodyVerdict::Respond(reply)),
            Outcome::Close => Ok(wit::BodyVerdict::Close),
            Outcome::Continue if changed || kept => Ok(wit::BodyVerdict::Replace(body)),
            Outcome::Continue => Ok(wit::BodyVerdict::Next),
            Outcome::Pause if last => Err(nobody_resumes("").into()),
            Outcome::Pause => {
                if let Some(context) = store.data_mut().state.requests.get_mut(request) {
                    context.kept = body;
                }
                Ok(wit::BodyVerdict::Replace(Vec::new()))
            }
        }
    }

    fn tell(&self, store: &mut Store<Data>, hook: Hook) -> wasmtime::Result<()> {
        if hook == Hook::Tick {
            let Some(tick) = &self.tick else { return Ok(()) };
            store.data_mut().state.own()?.begin(ROOT, None);
            return tick.call(store, ROOT);
        }
        let request = store.data().guest.exchange(hook.name())?.request_id;
        self.end(store, request)
    }

    fn answer(
        &self,
        store: &mut Store<Data>,
        hook: Hook,
        token: u32,
        result: CalloutResult,
    ) -> wasmtime::Result<wit::Verdict> {
        let data = store.data_mut();
        let request = data.guest.exchange(hook.name())?.request_id;
        let counts = &data.guest.settings.shared.counts;
        if result.as_ref().is_err_and(|failure| *failure != CalloutFailure::Offline) {
            counts.outbound_failures.fetch_add(1, Ordering::Relaxed);
        }
        let Some(Context { number, paused, .. }) = data.state.requests.get(request) else {
            let message = "the instance that asked another server for this request has failed since";
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        };
        let (number, paused) = (*number, *paused);
        // A call that failed has no fields, as filters expect of other hosts.
        let came = result.ok().map(|answer| Came {
            status: answer.status.as_u16(),
            headers: answer.headers,
            body: answer.body.to_vec(),
        });
        let fields = came.as_ref().map_or(0, |came| u32::try_from(came.headers.len() + 1).unwrap_or(u32::MAX));
        let length = came.as_ref().map_or(0, |came| u32::try_from(came.body.len()).unwrap_or(u32::MAX));
        let state = data.state.own()?;
        state.begin(number, None);
        state.call.came = came;
        if let Some(called_back) = &self.http_call_response {
            called_back.call(&mut *store, (number, token, fields, length, 0))?;
        }
        self.conclude(store, hook, request, u32::from(paused))
    }
}

impl Hooks {
    fn of(instance: &Instance, store: &mut Store<Data>) -> wasmtime::Result<Self> {
        Ok(Self {
            create: export(instance, store, "proxy_on_context_create")?,
            request_headers: OnHeaders::of(instance, store, ON_REQUEST_HEADERS)?,
            request_body: export(instance, store, "proxy_on_request_body")?,
            response_headers: OnHeaders::of(instance, store, "proxy_on_response_headers")?,
            response_body: export(instance, store, "proxy_on_response_body")?,
            done: export(instance, store, "proxy_on_done")?,
            log: export(instance, store, "proxy_on_log")?,
            delete: export(instance, store, "proxy_on_delete")?,
            tick: export(instance, store, "proxy_on_tick")?,
            http_call_response: export(instance, store, "proxy_on_http_call_response")?,
        })
    }

    /// The interest of a filter: everything that it exports. Bodies only if `allow` lists them, because most filters export
    /// a callback for them and do nothing in it.
    fn interest(&self, guest: &Guest, tick_ms: u32) -> wit::Interest {
        let body = guest.allows(Capability::Body);
        let tick_ms = if self.tick.is_some() { tick_ms } else { 0 };
        let wanted = [
            (self.request_headers.is_some(), wit::Hooks::REQUEST),
            (self.response_headers.is_some(), wit::Hooks::RESPONSE),
            (body && self.request_body.is_some(), wit::Hooks::REQUEST_BODY),
            (body && self.response_body.is_some(), wit::Hooks::RESPONSE_BODY),
            (self.done.is_some() || self.log.is_some() || self.delete.is_some(), wit::Hooks::LOG),
            (tick_ms > 0, wit::Hooks::TICK),
        ];
        let mut hooks = wit::Hooks::default();
        wanted.into_iter().filter(|(wanted, _)| *wanted).for_each(|(_, hook)| hooks |= hook);
        let mode = |hook| if body && hook { wit::BodyMode::Stream(BODY_PIECE_BYTES) } else { wit::BodyMode::None };
        wit::Interest {
            hooks,
            methods: Vec::new(),
            path_prefixes: Vec::new(),
            request_body: mode(self.request_body.is_some()),
            response_body: mode(self.response_body.is_some()),
            tick_ms,
        }
    }

    /// The verdict of a hook, for what a callback answered. While calls to other servers are to be made, nothing is decided.
    fn conclude(
        &self,
        store: &mut Store<Data>,
        hook: Hook,
        request: u128,
        action: u32,
    ) -> wasmtime::Result<wit::Verdict> {
        let data = store.data_mut();
        let outcome = data.state.own()?.outcome(action);
        let Some(context) = data.state.requests.get_mut(request) else { return Ok(wit::Verdict::Next) };
        context.paused = matches!(outcome, Outcome::Pause);
        match outcome {
            Outcome::Reply(reply) => {
                context.parked.clear();
                Ok(wit::Verdict::Respond(reply))
            }
            Outcome::Close => {
                context.parked.clear();
                Ok(wit::Verdict::Close)
            }
            Outcome::Pause if context.parked.is_empty() => {
                let body = if hook == Hook::Request { Hook::RequestBody } else { Hook::ResponseBody };
                self.hold(data, request, body)?;
                Ok(wit::Verdict::Next)
            }
            Outcome::Continue | Outcome::Pause => Ok(wit::Verdict::Next),
        }
    }

    /// Holds a head back in which the guest paused: it waits for the body, or for what does not come.
    fn hold(&self, data: &mut Data, request: u128, body: Hook) -> Result<(), HostError> {
        let callback = if body == Hook::RequestBody { &self.request_body } else { &self.response_body };
        if callback.is_none() || !data.guest.allows(Capability::Body) {
            return Err(nobody_resumes(", or wants the body, for which `allow` must list `body`"));
        }
        if let Some(context) = data.state.requests.get_mut(request) {
            context.held = Some(body);
        }
        Ok(())
    }

    /// The guest's context for a request: made, if the guest does not know the request. That is so at first, when an
    /// earlier answer left the guest out, and when the instance that knew it has failed.
    fn context(&self, store: &mut Store<Data>, request: u128) -> wasmtime::Result<u32> {
        let data = store.data_mut();
        if let Some(context) = data.state.requests.get(request) {
            return Ok(context.number);
        }
        if data.state.requests.len() >= REQUESTS_PER_INSTANCE {
            let message = format!("the instance has {REQUESTS_PER_INSTANCE} requests under way, and takes no more");
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        }
        let number = data.state.own()?.next_number();
        data.state.requests.insert(request, Context::new(number));
        if let Some(create) = &self.create {
            data.state.own()?.begin(number, None);
            create.call(store, (number, ROOT))?;
        }
        Ok(number)
    }

    /// Tells the guest that a request is over, if it knows it, and forgets it.
    fn end(&self, store: &mut Store<Data>, request: u128) -> wasmtime::Result<()> {
        let Some(Context { number, .. }) = store.data_mut().state.requests.remove(request) else { return Ok(()) };
        store.data_mut().state.own()?.begin(number, None);
        if let Some(done) = &self.done {
            done.call(&mut *store, number)?;
        }
        for callback in [&self.log, &self.delete].into_iter().flatten() {
            callback.call(&mut *store, number)?;
        }
        Ok(())
    }
}

fn nobody_resumes(perhaps: &str) -> HostError {
    HostError::deadline(format!("the guest paused the request, and nothing is under way that would resume it{perhaps}"))
}
