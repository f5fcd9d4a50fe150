//! The ways to run a guest. What stands behind [`Form`], [`Linked`] and [`Hooks`] is all that the rest of the crate knows
//! of them; another ABI is another case of the three.

pub(crate) mod foreign;
pub(crate) mod http_wasm;
pub(crate) mod proxy_wasm;
mod tidegate;

use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmtime::{Engine, Store};

use self::tidegate::{component, module};
use crate::guest::Guest;
use crate::guest::callout::{OutboundAnswer, OutboundFailure};
use crate::module::inspect;
use crate::wit;

/// What `init` answers; the error is what it said against the configuration.
pub(crate) type Asked = Result<wit::Interest, String>;

/// Compiled code, with its exports looked up.
pub(crate) enum Form {
    Component(component::Form),
    Module(module::Form),
    ProxyWasm(proxy_wasm::Form),
    HttpWasm(http_wasm::Form),
}

/// Code with its imports.
pub(crate) enum Linked {
    Component(component::Linked),
    Module(module::Linked),
    ProxyWasm(proxy_wasm::Linked),
    HttpWasm(http_wasm::Linked),
}

/// The hooks of one instance.
pub(crate) enum Hooks {
    Component(Box<component::Hooks>),
    Module(Box<module::Hooks>),
    ProxyWasm(Box<proxy_wasm::Hooks>),
    HttpWasm(Box<http_wasm::Hooks>),
}

impl Form {
    /// Compiles a module of a foreign ABI.
    pub(crate) fn compile_foreign(engine: &Engine, file: &[u8], abi: Abi) -> wasmtime::Result<Option<Self>> {
        match abi {
            Abi::Tidegate => Ok(None),
            Abi::HttpWasm => http_wasm::Form::compile(engine, file).map(|form| Some(Self::HttpWasm(form))),
            Abi::ProxyWasm => proxy_wasm::Form::compile(engine, file).map(|form| Some(Self::ProxyWasm(form))),
        }
    }

    /// Compiles a file. `component` is the file itself, or what its core module makes; `None` if there is no `lifecycle`.
    /// `waits` says that it imports what waits, which only components can.
    pub(crate) fn compile(
        engine: &Engine,
        file: &[u8],
        component: &[u8],
        waits: bool,
    ) -> wasmtime::Result<Option<Self>> {
        if !waits
            && !inspect::is_component(file)
            && let Some(module) = module::Form::compile(engine, file)?
        {
            return Ok(Some(Self::Module(module)));
        }
        Ok(component::Form::compile(engine, component, waits)?.map(Self::Component))
    }

    /// Links every import that needs nothing, or that `allow` covers.
    pub(crate) fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Linked> {
        match self {
            Self::Component(form) => form.link(engine, allow).map(Linked::Component),
            Self::Module(form) => form.link(engine, allow).map(Linked::Module),
            Self::ProxyWasm(form) => form.link(engine).map(Linked::ProxyWasm),
            Self::HttpWasm(form) => form.link(engine).map(Linked::HttpWasm),
        }
    }
}

impl Linked {
    /// Makes an instance in `store` and runs `init`.
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        match self {
            Self::Component(linked) => {
                linked.start(store, config).map(|(hooks, asked)| (Hooks::Component(Box::new(hooks)), asked))
            }
            Self::Module(linked) => {
                linked.start(store, config).map(|(hooks, asked)| (Hooks::Module(Box::new(hooks)), asked))
            }
            Self::ProxyWasm(linked) => {
                linked.start(store, config).map(|(hooks, asked)| (Hooks::ProxyWasm(Box::new(hooks)), asked))
            }
            Self::HttpWasm(linked) => {
                linked.start(store, config).map(|(hooks, asked)| (Hooks::HttpWasm(Box::new(hooks)), asked))
            }
        }
    }
}

impl Hooks {
    /// Calls a hook; without one, the verdict is `next`.
    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        match self {
            Self::Component(hooks) => hooks.run(store, hook),
            Self::Module(hooks) => hooks.run(store, hook),
            Self::ProxyWasm(hooks) => hooks.run(store, hook),
            Self::HttpWasm(hooks) => hooks.run(store, hook),
        }
    }

    /// As [`Hooks::run`], for a guest that waits.
    pub(crate) async fn run_waiting(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        match self {
            Self::Component(hooks) => hooks.run_waiting(store, hook).await,
            Self::Module(hooks) => hooks.run(store, hook),
            Self::ProxyWasm(hooks) => hooks.run(store, hook),
            Self::HttpWasm(hooks) => hooks.run(store, hook),
        }
    }

    /// Tells a foreign guest what became of a call that it asked for; what its hook comes to then.
    pub(crate) fn answer(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        token: u32,
        result: Result<OutboundAnswer, OutboundFailure>,
    ) -> wasmtime::Result<wit::Verdict> {
        match self {
            Self::ProxyWasm(hooks) => hooks.answer(store, hook, token, result),
            _ => Ok(wit::Verdict::Next),
        }
    }

    /// Gives a piece of a body to a hook; without one, the verdict is `next`.
    pub(crate) fn run_body(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        match self {
            Self::Component(hooks) => hooks.run_body(store, hook, data, last),
            Self::Module(hooks) => hooks.run_body(store, hook, data, last),
            Self::ProxyWasm(hooks) => hooks.run_body(store, hook, data, last),
            Self::HttpWasm(hooks) => hooks.run_body(store, hook, data, last),
        }
    }

    /// Calls a hook that decides nothing.
    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        match self {
            Self::Component(hooks) => hooks.tell(store, hook),
            Self::Module(hooks) => hooks.tell(store, hook),
            Self::ProxyWasm(hooks) => hooks.tell(store, hook),
            Self::HttpWasm(hooks) => hooks.tell(store, hook),
        }
    }
}
