//! Compiling, linking and starting foreign guests: alike but for the functions that they import and those that they export.

use std::marker::PhantomData;

use tidegate_engine::hook::{Capability, HookFault};
use wasmtime::{
    Engine, ExternType, FuncType, Instance, InstancePre, Linker, Module, Store, TypedFunc, WasmParams, WasmResults,
};

use super::state::{Foreign, ForeignData};
use super::wasi;
use crate::abi::guest_abi::{self, InitResult, Running};
use crate::abi::running::{self, Hooks};
use crate::base::host_error::Exit;
use crate::guest::Guest;

/// The hooks of a foreign ABI, and how an instance comes by them.
pub(crate) trait ForeignHooks: Hooks<State = Foreign<Self::Own>> + Sized {
    /// The state that is particular to the ABI.
    type Own: Send + 'static;

    /// Puts one function into a linker; nothing if the host has none of this name.
    fn define(
        linker: &mut Linker<ForeignData<Self::Own>>,
        module: &str,
        name: &str,
        of: FuncType,
    ) -> wasmtime::Result<()>;

    /// Makes the state of an instance, before anything in it runs.
    fn own(instance: &Instance, store: &mut Store<ForeignData<Self::Own>>, config: &str)
    -> wasmtime::Result<Self::Own>;

    /// Looks up the hooks of an instance whose language has started, and starts the guest itself.
    fn start(
        instance: &Instance,
        store: &mut Store<ForeignData<Self::Own>>,
        config: &str,
    ) -> wasmtime::Result<(Self, InitResult)>;
}

/// Compiles a module, for guests with the hooks `H`.
pub(crate) fn compile<H: ForeignHooks>(
    engine: &Engine,
    file: &[u8],
) -> wasmtime::Result<Option<Box<dyn guest_abi::Compiled>>> {
    let module = Module::from_binary(engine, file)?;
    Ok(Some(Box::new(Compiled(module, PhantomData::<fn() -> H>))))
}

/// A compiled module.
struct Compiled<H>(Module, PhantomData<fn() -> H>);

impl<H: ForeignHooks> guest_abi::Compiled for Compiled<H> {
    /// Links everything: what `allow` does not cover, its function refuses when it is called.
    fn link(&self, engine: &Engine, _: &[Capability]) -> wasmtime::Result<Box<dyn guest_abi::Linked>> {
        let linker = linker::<H>(engine, &self.0)?;
        Ok(Box::new(Linked(linker.instantiate_pre(&self.0)?, PhantomData::<fn() -> H>)))
    }
}

/// A linker with the functions that a module imports: those of the ABI, and those of WASI.
fn linker<H: ForeignHooks>(engine: &Engine, module: &Module) -> wasmtime::Result<Linker<ForeignData<H::Own>>> {
    let mut linker = Linker::new(engine);
    // Some compilers import a function twice.
    linker.allow_shadowing(true);
    for import in module.imports() {
        match import.ty() {
            ExternType::Func(of) if wasi::is_wasi(import.module()) => {
                wasi::define(&mut linker, import.module(), import.name(), of)?;
            }
            ExternType::Func(of) => H::define(&mut linker, import.module(), import.name(), of)?,
            _ => {}
        }
    }
    Ok(linker)
}

/// A linked module.
struct Linked<H: ForeignHooks>(InstancePre<ForeignData<H::Own>>, PhantomData<fn() -> H>);

impl<H: ForeignHooks> guest_abi::Linked for Linked<H> {
    fn start(&self, engine: &Engine, guest: Guest, config: &str) -> Result<(Box<dyn Running>, InitResult), HookFault> {
        running::start(engine, guest, Foreign::new(), |store| {
            let instance = self.0.instantiate(&mut *store)?;
            let memory = instance.get_memory(&mut *store, "memory").ok_or_else(|| misfit("memory"))?;
            let own = H::own(&instance, store, config)?;
            let state = &mut store.data_mut().state;
            (state.memory, state.own) = (Some(memory), Some(own));
            start_runtime(&instance, store)?;
            H::start(&instance, store, config)
        })
    }
}

/// Runs `_initialize`, or `_start` of a module that is a command; one that ends itself without an error has started.
fn start_runtime<T>(instance: &Instance, store: &mut Store<T>) -> wasmtime::Result<()> {
    for name in ["_initialize", "_start"] {
        let start: Option<TypedFunc<(), ()>> = export(instance, store, name)?;
        if let Some(start) = start {
            return match start.call(&mut *store, ()) {
                Err(error) if error.downcast_ref().is_some_and(|Exit(code)| *code == 0) => Ok(()),
                other => other,
            };
        }
    }
    Ok(())
}

/// A function of an instance; an error if it is of another type.
pub(crate) fn export<T, P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<T>,
    name: &str,
) -> wasmtime::Result<Option<TypedFunc<P, R>>> {
    let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
    function.typed(&*store).map(Some).map_err(|_| misfit(name))
}

/// An export that the ABI asks for is not what it asks for.
pub(crate) fn misfit(name: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the export `{name}` is missing, or of another type than the ABI says"))
}
