//! Guests that are core modules, called without a component around them: the host does what the canonical ABI asks of it.
//! The ABI is the same, and a call costs about half.

use wasmtime::{Engine, Instance, InstancePre, Linker, Memory, Module, ModuleExport, Store, TypedFunc};

use super::answers::{body_verdict, init_result, verdict};
use super::by_hook::ByHook;
use super::functions::{Functions, misfit};

use crate::abi::guest_abi::{self, InitResult, Running};
use crate::abi::running::{self, State};
use crate::base::host_error::HostError;
use crate::functions;
use crate::functions::define::memory::{Handles, ModuleData, Reader, Realloc, write};
use crate::guest::Guest;
use crate::wit;
use crate::wit::interfaces::{IMPORTS, LIFECYCLE, interface_of};
use tidegate_engine::hook::{Capability, Hook, HookFault};

const MEMORY: &str = "memory";
const REALLOC: &str = "cabi_realloc";
const INITIALIZE: &str = "_initialize";

/// A compiled module, and where its hooks are.
pub(super) struct Compiled {
    module: Module,
    exports: Exports,
}

#[derive(Clone, Copy)]
struct Exports {
    memory: ModuleExport,
    realloc: ModuleExport,
    initialize: Option<ModuleExport>,
    init: Export,
    hooks: ByHook<Export>,
}

/// A function, and the one that frees what it answered.
#[derive(Clone, Copy)]
struct Export {
    run: ModuleExport,
    free: Option<ModuleExport>,
}

/// A linked module.
struct Linked {
    pre: InstancePre<ModuleData>,
    exports: Exports,
}

/// The hooks of an instance.
struct Hooks {
    memory: Memory,
    of: ByHook<Run<()>, Run<Piece>, TypedFunc<(), ()>>,
}

/// A piece of a body: address, length, and whether it is the last.
type Piece = (u32, u32, u32);

struct Run<P> {
    run: TypedFunc<P, u32>,
    free: Option<TypedFunc<u32, ()>>,
}

impl Compiled {
    /// Compiles a core module; `None` if it can only be run as a component, because it imports or exports something
    /// that is not of this ABI.
    pub(super) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Option<Self>> {
        let module = Module::from_binary(engine, bytes)?;
        if module.imports().any(|import| interface_of(import.module()).is_none()) {
            return Ok(None);
        }
        Ok(Exports::of(&module).map(|exports| Self { module, exports }))
    }
}

impl guest_abi::Compiled for Compiled {
    fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Box<dyn guest_abi::Linked>> {
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
        Ok(Box::new(Linked { pre: linker.instantiate_pre(&self.module)?, exports: self.exports }))
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
        Some(Self {
            memory: module.get_export_index(MEMORY)?,
            realloc: module.get_export_index(REALLOC)?,
            initialize: module.get_export_index(INITIALIZE),
            init: function(LIFECYCLE, "init")?,
            hooks: ByHook::find(|interface| function(interface, "run")),
        })
    }
}

impl State for Option<Box<Handles>> {}

impl guest_abi::Linked for Linked {
    fn start(&self, engine: &Engine, guest: Guest, config: &str) -> Result<(Box<dyn Running>, InitResult), HookFault> {
        running::start(engine, guest, None, |store| self.start(store, config))
    }
}

impl Linked {
    fn start(&self, store: &mut Store<ModuleData>, config: &str) -> wasmtime::Result<(Hooks, InitResult)> {
        let instance = self.pre.instantiate(&mut *store)?;
        let exports = &self.exports;
        let memory = instance.get_module_export(&mut *store, &exports.memory).and_then(wasmtime::Extern::into_memory);
        let realloc: Realloc = function(&instance, store, &exports.realloc)?;
        let memory = memory.ok_or_else(misfit)?;
        store.data_mut().state = Some(Box::new(Handles { memory, realloc }));
        if let Some(initialize) = &exports.initialize {
            function::<(), ()>(&instance, store, initialize)?.call(&mut *store, ())?;
        }
        let of = exports.hooks.make(
            store,
            |store, export| hook(&instance, store, &export),
            |store, export| hook(&instance, store, &export),
            |store, export| function(&instance, store, &export.run),
        )?;
        let result = init(&instance, store, memory, &exports.init, config)?;
        Ok((Hooks { memory, of }, result))
    }
}

fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    instance: &Instance,
    store: &mut Store<ModuleData>,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let export = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    export.ok_or_else(misfit)?.typed(store)
}

fn hook<P: wasmtime::WasmParams>(
    instance: &Instance,
    store: &mut Store<ModuleData>,
    Export { run, free }: &Export,
) -> wasmtime::Result<Run<P>> {
    let run = function(instance, store, run)?;
    let free = free.as_ref().map(|free| function(instance, store, free)).transpose()?;
    Ok(Run { run, free })
}

fn init(
    instance: &Instance,
    store: &mut Store<ModuleData>,
    memory: Memory,
    export: &Export,
    config: &str,
) -> wasmtime::Result<InitResult> {
    let run: TypedFunc<(u32, u32), u32> = function(instance, store, &export.run)?;
    let (at, length) = put(store, config.as_bytes())?;
    let answer = run.call(&mut *store, (at, length))?;
    let result = init_result(&mut Reader::new(memory.data(&*store)), answer)?;
    if let Some(free) = &export.free {
        let free: TypedFunc<u32, ()> = function(instance, store, free)?;
        call_free(store, &free, answer)?;
    }
    Ok(result)
}

/// Copies an argument into memory that the guest allocates.
fn put(store: &mut Store<ModuleData>, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
    let length = u32::try_from(bytes.len())?;
    let handles = store.data_mut().state.take().ok_or_else(misfit)?;
    let at = handles.realloc.call(&mut *store, (0, 0, 1, length))?;
    write(handles.memory.data_mut(&mut *store), at, bytes)?;
    store.data_mut().state = Some(handles);
    Ok((at, length))
}

/// Lets the guest free what it answered.
fn call_free(store: &mut Store<ModuleData>, free: &TypedFunc<u32, ()>, answer: u32) -> wasmtime::Result<()> {
    let handles = store.data_mut().state.take();
    free.call(&mut *store, answer)?;
    store.data_mut().state = handles;
    Ok(())
}

impl running::Hooks for Hooks {
    type State = Option<Box<Handles>>;

    fn run(&self, store: &mut Store<ModuleData>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        match self.of.head(hook) {
            Some(run) => run.call(store, self.memory, (), verdict),
            None => Ok(wit::Verdict::Next),
        }
    }

    fn run_body(
        &self,
        store: &mut Store<ModuleData>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        let Some(run) = self.of.body(hook) else { return Ok(wit::BodyVerdict::Next) };
        let (at, length) = put(store, data)?;
        run.call(store, self.memory, (at, length, last.into()), body_verdict)
    }

    fn tell(&self, store: &mut Store<ModuleData>, hook: Hook) -> wasmtime::Result<()> {
        self.of.tell(hook).map_or(Ok(()), |tell| tell.call(store, ()))
    }
}

impl<P: wasmtime::WasmParams> Run<P> {
    fn call<T>(
        &self,
        store: &mut Store<ModuleData>,
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
