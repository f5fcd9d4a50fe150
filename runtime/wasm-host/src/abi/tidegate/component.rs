//! Guests that are components.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, LinkerInstance, Lower, TypedFunc,
};
use wasmtime::{Engine, Store, StoreContextMut};

use super::by_hook::ByHook;
use crate::abi::guest_abi::{self, InitResult, Running, Waiting};
use crate::abi::running;
use crate::base::host_error::HostError;
use crate::functions;
use crate::functions::define::{Answer, Arguments, Define, Defined, Function, Scalar, Shared};
use crate::guest::callout::{CalloutFailure, at_once};
use crate::guest::{Data, Guest};
use crate::wit;
use crate::wit::interfaces::{IMPORTS, LIFECYCLE, full_name};
use tidegate_engine::hook::{Capability, Hook, HookFault};

type Run = TypedFunc<(), (wit::Verdict,)>;

type RunBody = TypedFunc<(Vec<u8>, bool), (wit::BodyVerdict,)>;
type Tell = TypedFunc<(), ()>;

/// The data of a component's store: nothing but the guest.
type ComponentData = Data<()>;

/// A compiled component, and where its hooks are.
pub(super) struct Compiled {
    component: Component,
    exports: Exports,
    /// Whether the component imports what waits. Such a guest runs on a stack of its own, which costs a little in each call.
    waits: bool,
}

#[derive(Clone, Copy)]
struct Exports {
    init: ComponentExportIndex,
    hooks: ByHook<ComponentExportIndex>,
}

/// A linked component.
struct Linked {
    pre: InstancePre<ComponentData>,
    exports: Exports,
    waits: bool,
}

/// The hooks of an instance.
struct Hooks {
    of: ByHook<Run, RunBody, Tell>,
    waits: bool,
}

impl Compiled {
    /// Compiles; `None` if there is no `lifecycle`.
    pub(super) fn compile(engine: &Engine, component: &[u8], waits: bool) -> wasmtime::Result<Option<Self>> {
        let component = Component::from_binary(engine, component)?;
        let export = |interface: &str, function: &str| {
            let instance = component.get_export_index(None, &*full_name(interface))?;
            component.get_export_index(Some(&instance), function)
        };
        let Some(init) = export(LIFECYCLE, "init") else { return Ok(None) };
        let exports = Exports { init, hooks: ByHook::find(|interface| export(interface, "run")) };
        Ok(Some(Self { component, exports, waits }))
    }
}

impl guest_abi::Compiled for Compiled {
    fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Box<dyn guest_abi::Linked>> {
        let mut linker = Linker::new(engine);
        link(&mut linker, allow)?;
        let pre = linker.instantiate_pre(&self.component)?;
        Ok(Box::new(Linked { pre, exports: self.exports, waits: self.waits }))
    }
}

fn link(linker: &mut Linker<ComponentData>, allow: &[Capability]) -> wasmtime::Result<()> {
    for (interface, capability) in IMPORTS {
        if capability.is_none_or(|capability| allow.contains(&capability)) {
            let linker = linker.instance(&full_name(interface))?;
            functions::define(interface, &mut Functions { linker, interface })?;
        }
    }
    Ok(())
}

impl guest_abi::Linked for Linked {
    fn start(&self, engine: &Engine, guest: Guest, config: &str) -> Result<(Box<dyn Running>, InitResult), HookFault> {
        running::start(engine, guest, (), |store| self.start(store, config))
    }
}

impl Linked {
    fn start(&self, store: &mut Store<ComponentData>, config: &str) -> wasmtime::Result<(Hooks, InitResult)> {
        let instance = if self.waits {
            without_waiting(self.pre.instantiate_async(&mut *store))?
        } else {
            self.pre.instantiate(&mut *store)?
        };
        let exports = &self.exports;
        let of = exports.hooks.make(
            store,
            |store, export| instance.get_typed_func(store, export),
            |store, export| instance.get_typed_func(store, export),
            |store, export| instance.get_typed_func(store, export),
        )?;
        let hooks = Hooks { of, waits: self.waits };
        let init = instance.get_typed_func::<(String,), (InitResult,)>(&mut *store, &exports.init)?;
        let (result,) = hooks.call(&init, store, (config.to_owned(),))?;
        Ok((hooks, result))
    }
}

fn without_waiting<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    at_once(future).unwrap_or_else(|| Err(wasmtime::Error::msg("the guest waits where nobody makes its calls")))
}

impl Hooks {
    /// Calls a function; what waits fails at once where nobody makes calls, so that there is nothing to wait for.
    fn call<P, R>(
        &self,
        function: &TypedFunc<P, R>,
        store: &mut Store<ComponentData>,
        parameters: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        if self.waits {
            without_waiting(function.call_async(store, parameters))
        } else {
            function.call(store, parameters)
        }
    }
}

impl running::Hooks for Hooks {
    type State = ();

    fn run(&self, store: &mut Store<ComponentData>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        match self.of.head(hook) {
            Some(run) => self.call(run, store, ()).map(|(verdict,)| verdict),
            None => Ok(wit::Verdict::Next),
        }
    }

    fn run_waiting<'a>(&'a self, store: &'a mut Store<ComponentData>, hook: Hook) -> Waiting<'a> {
        Box::pin(async move {
            match self.of.head(hook) {
                Some(run) => run.call_async(store, ()).await.map(|(verdict,)| verdict),
                None => Ok(wit::Verdict::Next),
            }
        })
    }

    fn run_body(
        &self,
        store: &mut Store<ComponentData>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict> {
        match self.of.body(hook) {
            Some(run) => self.call(run, store, (data.to_vec(), last)).map(|(verdict,)| verdict),
            None => Ok(wit::BodyVerdict::Next),
        }
    }

    fn tell(&self, store: &mut Store<ComponentData>, hook: Hook) -> wasmtime::Result<()> {
        self.of.tell(hook).map_or(Ok(()), |tell| self.call(tell, store, ()))
    }
}

/// The functions of one interface in a component's linker. Strings are copied before a function sees them: the linker
/// lends either the memory or the guest's data.
struct Functions<'l> {
    linker: LinkerInstance<'l, ComponentData>,
    interface: &'static str,
}

type Cx<'a> = StoreContextMut<'a, ComponentData>;

impl Define for Functions<'_> {
    fn scalar<A: Arguments, R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = Function { interface: self.interface, name };
        self.linker.func_wrap(name, move |mut store: Cx<'_>, lifted: A::Lifted| {
            let owned = A::own(lifted, &store, function)?;
            Ok(f(&mut store.data_mut().guest, A::lend(&owned))?.component())
        })
    }

    fn answer<A: Arguments, R: Answer>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = Function { interface: self.interface, name };
        self.linker.func_wrap(name, move |mut store: Cx<'_>, lifted: A::Lifted| {
            let owned = A::own(lifted, &store, function)?;
            Ok((f(&mut store.data_mut().guest, A::lend(&owned))?.component(),))
        })
    }

    fn fetch(&mut self, name: &'static str) -> Defined {
        self.linker.func_wrap_async(name, |mut store: Cx<'_>, (call,): (wit::Call,)| {
            Box::new(async move {
                let (call, mailbox) = functions::outbound::begin(&mut store.data_mut().guest, call)?;
                let result = match mailbox {
                    Some(mailbox) => mailbox.ask(call).await,
                    None => Ok(Err(CalloutFailure::Offline)),
                };
                Ok((functions::outbound::end(&mut store.data_mut().guest, result)?,))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test")]
    fn every_interface_of_the_table_has_its_functions() {
        let engine = Engine::default();
        link(&mut Linker::new(&engine), &Capability::ALL).unwrap();
    }
}
