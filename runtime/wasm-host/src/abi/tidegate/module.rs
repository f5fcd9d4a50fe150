//! Guests that are core modules, called without a component around them: the host does what the canonical ABI asks of it.
//! It is the same ABI, and about half the cost of a call.

use wasmtime::{Engine, Instance, InstancePre, Linker, Memory, Module, ModuleExport, Store, TypedFunc};

use super::answers::{asked, body_verdict, verdict};
use super::functions::Functions;
use crate::abi::Asked;
use crate::base::host_error::HostError;
use crate::functions;
use crate::functions::define::memory::{Handles, Reader, Realloc, write};
use crate::guest::Guest;
use crate::wit;
use crate::wit::interfaces::{HOOKS, IMPORTS, LIFECYCLE, interface_of};
use tidegate_engine::hook::{Capability, Hook};

const MEMORY: &str = "memory";
const REALLOC: &str = "cabi_realloc";
const INITIALIZE: &str = "_initialize";

/// A compiled module, and where its hooks are.
pub(crate) struct Form {
    module: Module,
    exports: Exports,
}

#[derive(Clone, Copy)]
struct Exports {
    memory: ModuleExport,
    realloc: ModuleExport,
    initialize: Option<ModuleExport>,
    init: Export,
    on_request: Option<Export>,
    on_response: Option<Export>,
    on_request_body: Option<Export>,
    on_response_body: Option<Export>,
    on_log: Option<Export>,
    on_tick: Option<Export>,
}

/// A function, and the one that frees what it answered.
#[derive(Clone, Copy)]
struct Export {
    run: ModuleExport,
    free: Option<ModuleExport>,
}

/// A linked module.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
    exports: Exports,
}

/// The hooks of an instance.
pub(crate) struct Hooks {
    memory: Memory,
    on_request: Option<Run<()>>,
    on_response: Option<Run<()>>,
    on_request_body: Option<Run<(u32, u32, u32)>>,
    on_response_body: Option<Run<(u32, u32, u32)>>,
    on_log: Option<TypedFunc<(), ()>>,
    on_tick: Option<TypedFunc<(), ()>>,
}

struct Run<P> {
    run: TypedFunc<P, u32>,
    free: Option<TypedFunc<u32, ()>>,
}

impl Form {
    /// Compiles a core module; `None` if it can only be run as a component, because it imports or exports something
    /// that is not of this ABI.
    pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Option<Self>> {
        let module = Module::from_binary(engine, bytes)?;
        if module.imports().any(|import| interface_of(import.module()).is_none()) {
            return Ok(None);
        }
        Ok(Exports::of(&module).map(|exports| Self { module, exports }))
    }

    /// Links every import that needs nothing, or that `allow` covers.
    pub(crate) fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Linked> {
        let mut linker = Linker::new(engine);
        // A module may have been built against an older patch version, whose names it uses.
        let mut names: Vec<&str> = self.module.imports().map(|import| import.module()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let known = IMPORTS.iter().find(|(interface, _)| interface_of(name) == Some(*interface));
            if let Some((interface, capability)) = known
                && capability.is_none_or(|capability| allow.contains(&capability))
            {
                functions::define(interface, &mut Functions { linker: &mut linker, module: name, interface })?;
            }
        }
        Ok(Linked { pre: linker.instantiate_pre(&self.module)?, exports: self.exports })
    }
}

impl Exports {
    fn of(module: &Module) -> Option<Self> {
        let function = |interface: &str, function: &str| {
            let name = module.exports().map(|export| export.name()).find(|name| {
                name.split_once('#').is_some_and(|(of, name)| interface_of(of) == Some(interface) && name == function)
            })?;
            let free = module.get_export_index(&format!("cabi_post_{name}"));
            Some(Export { run: module.get_export_index(name)?, free })
        };
        let hook = |hook: Hook| {
            let (interface, _) = HOOKS.iter().find(|(_, known)| *known == hook)?;
            function(interface, "run")
        };
        Some(Self {
            memory: module.get_export_index(MEMORY)?,
            realloc: module.get_export_index(REALLOC)?,
            initialize: module.get_export_index(INITIALIZE),
            init: function(LIFECYCLE, "init")?,
            on_request: hook(Hook::Request),
            on_response: hook(Hook::Response),
            on_request_body: hook(Hook::RequestBody),
            on_response_body: hook(Hook::ResponseBody),
            on_log: hook(Hook::Log),
            on_tick: hook(Hook::Tick),
        })
    }
}

/// An export of another type than the ABI says.
pub(super) fn misfit() -> wasmtime::Error {
    wasmtime::Error::msg("an export of the module has another type than the ABI says")
}

impl Linked {
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        let instance = self.pre.instantiate(&mut *store)?;
        let exports = &self.exports;
        let memory = instance.get_module_export(&mut *store, &exports.memory).and_then(wasmtime::Extern::into_memory);
        let realloc: Realloc = function(&instance, store, &exports.realloc)?;
        let memory = memory.ok_or_else(misfit)?;
        store.data_mut().handles = Some(Box::new(Handles { memory, realloc }));
        if let Some(initialize) = &exports.initialize {
            function::<(), ()>(&instance, store, initialize)?.call(&mut *store, ())?;
        }
        let hooks = Hooks {
            memory,
            on_request: hook(&instance, store, exports.on_request.as_ref())?,
            on_response: hook(&instance, store, exports.on_response.as_ref())?,
            on_request_body: hook(&instance, store, exports.on_request_body.as_ref())?,
            on_response_body: hook(&instance, store, exports.on_response_body.as_ref())?,
            on_log: exports.on_log.as_ref().map(|export| function(&instance, store, &export.run)).transpose()?,
            on_tick: exports.on_tick.as_ref().map(|export| function(&instance, store, &export.run)).transpose()?,
        };
        let asked = init(&instance, store, memory, &exports.init, config)?;
        Ok((hooks, asked))
    }
}

fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    instance: &Instance,
    store: &mut Store<Guest>,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let export = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    export.ok_or_else(misfit)?.typed(store)
}

fn hook<P: wasmtime::WasmParams>(
    instance: &Instance,
    store: &mut Store<Guest>,
    export: Option<&Export>,
) -> wasmtime::Result<Option<Run<P>>> {
    let Some(Export { run, free }) = export else { return Ok(None) };
    let run = function(instance, store, run)?;
    let free = free.as_ref().map(|free| function(instance, store, free)).transpose()?;
    Ok(Some(Run { run, free }))
}

fn init(
    instance: &Instance,
    store: &mut Store<Guest>,
    memory: Memory,
    export: &Export,
    config: &str,
) -> wasmtime::Result<Asked> {
    let run: TypedFunc<(u32, u32), u32> = function(instance, store, &export.run)?;
    let (at, length) = put(store, config.as_bytes())?;
    let answer = run.call(&mut *store, (at, length))?;
    let asked = asked(&mut Reader::new(memory.data(&*store)), answer)?;
    if let Some(free) = &export.free {
        let free: TypedFunc<u32, ()> = function(instance, store, free)?;
        call_free(store, &free, answer)?;
    }
    Ok(asked)
}

/// Copies an argument into memory that the guest allocates.
fn put(store: &mut Store<Guest>, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
    let length = u32::try_from(bytes.len())?;
    let handles = store.data_mut().handles.take().ok_or_else(misfit)?;
    let at = handles.realloc.call(&mut *store, (0, 0, 1, length))?;
    write(handles.memory.data_mut(&mut *store), at, bytes)?;
    store.data_mut().handles = Some(handles);
    Ok((at, length))
}

/// Lets the guest free what it answered.
fn call_free(store: &mut Store<Guest>, free: &TypedFunc<u32, ()>, answer: u32) -> wasmtime::Result<()> {
    let handles = store.data_mut().handles.take();
    free.call(&mut *store, answer)?;
    store.data_mut().handles = handles;
    Ok(())
}

impl Hooks {
    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let run = match hook {
            Hook::Request => &self.on_request,
            Hook::Response => &self.on_response,
            _ => &None,
        };
        match run {
            Some(run) => run.call(store, self.memory, (), verdict),
            None => Ok(wit::Verdict::Next),
        }
    }

    pub(crate) fn run_body(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let run = match hook {
            Hook::RequestBody => &self.on_request_body,
            Hook::ResponseBody => &self.on_response_body,
            _ => &None,
        };
        let Some(run) = run else { return Ok(wit::BodyVerdict::Next) };
        let (at, length) = put(store, data)?;
        run.call(store, self.memory, (at, length, last.into()), body_verdict)
    }

    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        let tell = match hook {
            Hook::Log => &self.on_log,
            Hook::Tick => &self.on_tick,
            _ => &None,
        };
        tell.as_ref().map_or(Ok(()), |tell| tell.call(store, ()))
    }
}

impl<P: wasmtime::WasmParams> Run<P> {
    fn call<T>(
        &self,
        store: &mut Store<Guest>,
        memory: Memory,
        arguments: P,
        read: fn(&mut Reader<'_>, u32) -> Result<T, HostError>,
    ) -> wasmtime::Result<T> {
        let answer = self.run.call(&mut *store, arguments)?;
        let value = read(&mut Reader::new(memory.data(&*store)), answer)?;
        if let Some(free) = &self.free {
            call_free(store, free, answer)?;
        }
        Ok(value)
    }
}
