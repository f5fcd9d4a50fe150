//! The lane of guests that speak proxy-wasm 0.1.0, 0.2.0 or 0.2.1, the ABI of Envoy's filters.
//!
//! An instance has one root context, and a context for each request that it has under way.

mod buffers;
mod calls;
mod hostcalls;
mod maps;
mod properties;
mod shared;
mod state;

use tidegate_engine::hook::{Capability, Hook, HookFaultKind};
use wasmtime::{Engine, Instance, InstancePre, Module, Store, TypedFunc};

pub(crate) use hostcalls::knows;
pub(crate) use state::State;

use crate::abi::Asked;
use crate::abi::foreign::{self, Context, export, head, misfit};
use crate::base::host_error::HostError;
use crate::base::limits::{BODY_BYTES, BODY_PIECE_BYTES, FAULT_MESSAGE_BYTES, REQUESTS_PER_INSTANCE};
use crate::base::log::one_line;
use crate::guest::Guest;
use crate::wit;

/// The hook that every filter of heads has.
pub(crate) const ON_REQUEST_HEADERS: &str = "proxy_on_request_headers";

/// The exports that are hooks.
pub(crate) const HOOKS: [(&str, Hook); 8] = [
    (ON_REQUEST_HEADERS, Hook::Request),
    ("proxy_on_response_headers", Hook::Response),
    ("proxy_on_request_body", Hook::RequestBody),
    ("proxy_on_response_body", Hook::ResponseBody),
    ("proxy_on_log", Hook::Log),
    ("proxy_on_done", Hook::Log),
    ("proxy_on_delete", Hook::Log),
    ("proxy_on_tick", Hook::Tick),
];

/// The number of the root context.
const ROOT: u32 = 1;

/// A compiled module.
pub(crate) struct Form {
    module: Module,
}

/// A linked module.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
}

/// The callbacks of an instance; a filter need not have any one of them.
pub(crate) struct Hooks {
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

/// The context, the call's number, fields, bytes of the body, trailers.
type OnCalled = TypedFunc<(u32, u32, u32, u32, u32), ()>;

type OnBody = TypedFunc<(u32, u32, u32), u32>;

/// The context, how many fields there are, and, since 0.2.0, whether that is all of the message.
enum OnHeaders {
    Since020(TypedFunc<(u32, u32, u32), u32>),
    Since010(TypedFunc<(u32, u32), u32>),
}

impl Form {
    pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Self> {
        Ok(Self { module: Module::from_binary(engine, bytes)? })
    }

    pub(crate) fn link(&self, engine: &Engine) -> wasmtime::Result<Linked> {
        let linker = foreign::linker(engine, &self.module, hostcalls::define)?;
        Ok(Linked { pre: linker.instantiate_pre(&self.module)? })
    }
}

impl Linked {
    /// Makes an instance, and runs what a filter's start is: the runtime of its language, `proxy_on_vm_start` and
    /// `proxy_on_configure`.
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        let instance = self.pre.instantiate(&mut *store)?;
        let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| misfit("memory"))?;
        let malloc = match export(&instance, store, "proxy_on_memory_allocate")? {
            Some(malloc) => malloc,
            None => export(&instance, store, "malloc")?.ok_or_else(|| misfit("proxy_on_memory_allocate"))?,
        };
        let guest = store.data_mut();
        guest.memory_of = Some(memory);
        guest.proxy = Some(Box::new(State::new(malloc, config)));
        foreign::start_runtime(&instance, store)?;
        let hooks = Hooks::of(&instance, store)?;
        if let Some(create) = &hooks.create {
            create.call(&mut *store, (ROOT, 0))?;
        }
        let length = u32::try_from(config.len())?;
        for (name, length) in [("proxy_on_vm_start", 0), ("proxy_on_configure", length)] {
            let start: Option<TypedFunc<(u32, u32), u32>> = export(&instance, store, name)?;
            if let Some(start) = start
                && start.call(&mut *store, (ROOT, length))? == 0
            {
                let words = store.data_mut().state()?.words.take();
                let words = words.unwrap_or_else(|| "it does not say why".to_owned());
                return Ok((hooks, Err(format!("`{name}` said no: {words}"))));
            }
        }
        let interest = hooks.interest(store.data_mut())?;
        Ok((hooks, Ok(interest)))
    }
}

impl OnHeaders {
    fn of(instance: &Instance, store: &mut Store<Guest>, name: &str) -> wasmtime::Result<Option<Self>> {
        let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
        if let Ok(typed) = function.typed(&*store) {
            return Ok(Some(Self::Since020(typed)));
        }
        function.typed(&*store).map(|typed| Some(Self::Since010(typed))).map_err(|_| misfit(name))
    }

    fn call(&self, store: &mut Store<Guest>, context: u32, fields: u32, end: bool) -> wasmtime::Result<u32> {
        match self {
            Self::Since020(function) => function.call(store, (context, fields, end.into())),
            Self::Since010(function) => function.call(store, (context, fields)),
        }
    }
}

impl Hooks {
    fn of(instance: &Instance, store: &mut Store<Guest>) -> wasmtime::Result<Self> {
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

    /// What it is asked about: everything that it exports. Bodies only if `allow` lists them, because most filters export
    /// a callback for them and do nothing in it.
    fn interest(&self, guest: &Guest) -> Result<wit::Interest, HostError> {
        let body = guest.allows(Capability::Body);
        let tick_ms = if self.tick.is_some() { guest.proxy()?.tick_ms } else { 0 };
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
        Ok(wit::Interest {
            hooks,
            methods: Vec::new(),
            path_prefixes: Vec::new(),
            request_body: mode(self.request_body.is_some()),
            response_body: mode(self.response_body.is_some()),
            tick_ms,
        })
    }

    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let request = store.data().exchange(hook.name())?.request_id;
        if hook == Hook::Request && store.data().requests.get(request).is_some() {
            // It is run a second time for the same request: that is a filter of its own.
            self.end(store, request)?;
        }
        let callback = if hook == Hook::Request { &self.request_headers } else { &self.response_headers };
        let Some(callback) = callback else { return Ok(wit::Verdict::Next) };
        let context = self.context(store, request)?;
        let exchange = store.data().exchange(hook.name())?;
        let (fields, end) = match (hook, &exchange.response) {
            (Hook::Response, Some(response)) => {
                (maps::response_fields(response), head::length(&response.headers) == Some(0))
            }
            _ => (maps::request_fields(exchange), !exchange.request.has_body),
        };
        if let Some(context) = store.data_mut().requests.get_mut(request) {
            context.calls_made = 0;
        }
        store.data_mut().state()?.begin(context, None);
        let action = callback.call(store, context, fields, end)?;
        self.conclude(store, hook, request, action)
    }

    /// What a hook comes to, for what a callback answered. While calls to other servers are to be made, nothing is decided.
    fn conclude(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        request: u128,
        action: u32,
    ) -> wasmtime::Result<wit::Verdict> {
        let guest = store.data_mut();
        let outcome = guest.state()?.outcome(action);
        let Some(context) = guest.requests.get_mut(request) else { return Ok(wit::Verdict::Next) };
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
                self.hold(guest, request, body)?;
                Ok(wit::Verdict::Next)
            }
            Outcome::Continue | Outcome::Pause => Ok(wit::Verdict::Next),
        }
    }

    /// The guest paused in a head: it waits for the body, or for what does not come.
    fn hold(&self, guest: &mut Guest, request: u128, body: Hook) -> Result<(), HostError> {
        let callback = if body == Hook::RequestBody { &self.request_body } else { &self.response_body };
        if callback.is_none() || !guest.allows(Capability::Body) {
            return Err(nobody_resumes(", or wants the body, for which `allow` must list `body`"));
        }
        if let Some(context) = guest.requests.get_mut(request) {
            context.held = Some(body);
        }
        Ok(())
    }

    pub(crate) fn run_body(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let callback = if hook == Hook::RequestBody { &self.request_body } else { &self.response_body };
        let Some(callback) = callback else { return Ok(wit::BodyVerdict::Next) };
        let request = store.data().exchange(hook.name())?.request_id;
        let number = self.context(store, request)?;
        let guest = store.data_mut();
        let mut body = Vec::new();
        if let Some(context) = guest.requests.get_mut(request) {
            body = std::mem::take(&mut context.kept);
            context.held = None;
        }
        let kept = !body.is_empty();
        body.extend_from_slice(data);
        if body.len() > BODY_BYTES as usize {
            let message = format!("the guest held back more than {BODY_BYTES} bytes of a body");
            return Err(HostError::new(HookFaultKind::BodyTooLong, message).into());
        }
        let length = u32::try_from(body.len())?;
        guest.state()?.begin(number, Some((hook, body)));
        let action = callback.call(&mut *store, (number, length, last.into()))?;
        let state = store.data_mut().state()?;
        let outcome = state.outcome(action);
        let (body, changed) = state.take_body();
        match outcome {
            Outcome::Reply(reply) => Ok(wit::BodyVerdict::Respond(reply)),
            Outcome::Close => Ok(wit::BodyVerdict::Close),
            Outcome::Continue if changed || kept => Ok(wit::BodyVerdict::Replace(body)),
            Outcome::Continue => Ok(wit::BodyVerdict::Next),
            Outcome::Pause if last => Err(nobody_resumes("").into()),
            Outcome::Pause => {
                if let Some(context) = store.data_mut().requests.get_mut(request) {
                    context.kept = body;
                }
                Ok(wit::BodyVerdict::Replace(Vec::new()))
            }
        }
    }

    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        if hook == Hook::Tick {
            let Some(tick) = &self.tick else { return Ok(()) };
            store.data_mut().state()?.begin(ROOT, None);
            return tick.call(store, ROOT);
        }
        let request = store.data().exchange(hook.name())?.request_id;
        self.end(store, request)
    }

    /// The guest's context for a request: made, if the guest does not know the request. That is so at first, when an
    /// earlier answer left the guest out, and when the instance that knew it has failed.
    fn context(&self, store: &mut Store<Guest>, request: u128) -> wasmtime::Result<u32> {
        let guest = store.data_mut();
        if let Some(context) = guest.requests.get(request) {
            return Ok(context.number);
        }
        if guest.requests.len() >= REQUESTS_PER_INSTANCE {
            let message = format!("the instance has {REQUESTS_PER_INSTANCE} requests under way, and takes no more");
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        }
        let number = guest.state()?.next_number();
        guest.requests.insert(request, Context::new(number));
        if let Some(create) = &self.create {
            guest.state()?.begin(number, None);
            create.call(store, (number, ROOT))?;
        }
        Ok(number)
    }

    /// Tells the guest that a request is over, if it knows it, and forgets it.
    fn end(&self, store: &mut Store<Guest>, request: u128) -> wasmtime::Result<()> {
        let Some(Context { number, .. }) = store.data_mut().requests.remove(request) else { return Ok(()) };
        store.data_mut().state()?.begin(number, None);
        if let Some(done) = &self.done {
            done.call(&mut *store, number)?;
        }
        for callback in [&self.log, &self.delete].into_iter().flatten() {
            callback.call(&mut *store, number)?;
        }
        Ok(())
    }
}

/// What a callback came to.
pub(crate) enum Outcome {
    Continue,
    Pause,
    Reply(wit::Reply),
    Close,
}

fn nobody_resumes(perhaps: &str) -> HostError {
    HostError::deadline(format!("the guest paused the request, and nothing is under way that would resume it{perhaps}"))
}

impl Guest {
    fn proxy(&self) -> Result<&State, HostError> {
        self.proxy.as_deref().ok_or_else(not_started)
    }

    /// What the lane keeps of this instance.
    pub(crate) fn state(&mut self) -> Result<&mut State, HostError> {
        self.proxy.as_deref_mut().ok_or_else(not_started)
    }

    /// Keeps what the guest said as the reason of a refusal or a trap that may follow.
    fn keep_words(&mut self, words: &str, grave: bool) {
        let words = one_line(words, FAULT_MESSAGE_BYTES);
        if self.hook().is_none()
            && let Some(state) = &mut self.proxy
        {
            state.words = Some(match state.words.take() {
                Some(before) => one_line(&format!("{before}; {words}"), FAULT_MESSAGE_BYTES),
                None => words.clone(),
            });
        }
        if grave {
            self.last_words = Some(words);
        }
    }
}

fn not_started() -> HostError {
    HostError::not_allowed("the guest called the host before it was started")
}
