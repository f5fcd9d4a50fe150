//! Guests that are components.

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, LinkerInstance, Lower,
    TypedFunc,
};
use wasmtime::{Engine, Store, StoreContextMut};

use crate::abi::Asked;
use crate::base::host_error::HostError;
use crate::functions;
use crate::functions::define::{Answer, Arguments, Define, Defined, Function, Scalar, Shared};
use crate::guest::Guest;
use crate::guest::callout::{OutboundFailure, at_once};
use crate::wit;
use crate::wit::interfaces::{IMPORTS, LIFECYCLE, full_name};
use tidegate_engine::hook::{Capability, Hook};

type Run = TypedFunc<(), (wit::Verdict,)>;

type RunBody = TypedFunc<(Vec<u8>, bool), (wit::BodyVerdict,)>;
type Tell = TypedFunc<(), ()>;

/// A compiled component, and where its hooks are.
pub(crate) struct Form {
    component: Component,
    exports: Exports,
    /// It imports what waits. Such a guest runs on a stack of its own, which costs a little in each call.
    waits: bool,
}

#[derive(Clone, Copy)]
struct Exports {
    init: ComponentExportIndex,
    on_request: Option<ComponentExportIndex>,
    on_response: Option<ComponentExportIndex>,
    on_request_body: Option<ComponentExportIndex>,
    on_response_body: Option<ComponentExportIndex>,
    on_log: Option<ComponentExportIndex>,
    on_tick: Option<ComponentExportIndex>,
}

/// A linked component.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
    exports: Exports,
    waits: bool,
}

/// The hooks of an instance.
pub(crate) struct Hooks {
    on_request: Option<Run>,
    on_response: Option<Run>,
    on_request_body: Option<RunBody>,
    on_response_body: Option<RunBody>,
    on_log: Option<Tell>,
    on_tick: Option<Tell>,
    waits: bool,
}

impl Form {
    /// Compiles; `None` if there is no `lifecycle`.
    pub(crate) fn compile(engine: &Engine, component: &[u8], waits: bool) -> wasmtime::Result<Option<Self>> {
        let component = Component::from_binary(engine, component)?;
        let export = |interface: &str, function: &str| {
            let instance = component.get_export_index(None, &*full_name(interface))?;
            component.get_export_index(Some(&instance), function)
        };
        let Some(init) = export(LIFECYCLE, "init") else { return Ok(None) };
        let exports = Exports {
            init,
            on_request: export("on-request", "run"),
            on_response: export("on-response", "run"),
            on_request_body: export("on-request-body", "run"),
            on_response_body: export("on-response-body", "run"),
            on_log: export("on-log", "run"),
            on_tick: export("on-tick", "run"),
        };
        Ok(Some(Self { component, exports, waits }))
    }

    /// Links every import that needs nothing, or that `allow` covers.
    pub(crate) fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Linked> {
        let mut linker = Linker::new(engine);
        link(&mut linker, allow)?;
        Ok(Linked { pre: linker.instantiate_pre(&self.component)?, exports: self.exports, waits: self.waits })
    }
}

fn link(linker: &mut Linker<Guest>, allow: &[Capability]) -> wasmtime::Result<()> {
    for (interface, capability) in IMPORTS {
        if capability.is_none_or(|capability| allow.contains(&capability)) {
            let linker = linker.instance(&full_name(interface))?;
            functions::define(interface, &mut Functions { linker, interface })?;
        }
    }
    Ok(())
}

impl Linked {
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        let instance = if self.waits {
            without_waiting(self.pre.instantiate_async(&mut *store))?
        } else {
            self.pre.instantiate(&mut *store)?
        };
        let exports = &self.exports;
        let hooks = Hooks {
            on_request: function(&instance, store, exports.on_request.as_ref())?,
            on_response: function(&instance, store, exports.on_response.as_ref())?,
            on_request_body: function(&instance, store, exports.on_request_body.as_ref())?,
            on_response_body: function(&instance, store, exports.on_response_body.as_ref())?,
            on_log: function(&instance, store, exports.on_log.as_ref())?,
            on_tick: function(&instance, store, exports.on_tick.as_ref())?,
            waits: self.waits,
        };
        let init = instance.get_typed_func::<(String,), (Asked,)>(&mut *store, &exports.init)?;
        let (asked,) = hooks.call(&init, store, (config.to_owned(),))?;
        Ok((hooks, asked))
    }
}

fn without_waiting<T>(future: impl Future<Output = wasmtime::Result<T>>) -> wasmtime::Result<T> {
    at_once(future).unwrap_or_else(|| Err(wasmtime::Error::msg("the guest waits where nobody makes its calls")))
}

fn function<P, R>(
    instance: &Instance,
    store: &mut Store<Guest>,
    export: Option<&ComponentExportIndex>,
) -> wasmtime::Result<Option<TypedFunc<P, R>>>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    export.map(|export| instance.get_typed_func(store, export)).transpose()
}

impl Hooks {
    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let run = match hook {
            Hook::Request => &self.on_request,
            Hook::Response => &self.on_response,
            _ => &None,
        };
        match run {
            Some(run) => self.call(run, store, ()).map(|(verdict,)| verdict),
            None => Ok(wit::Verdict::Next),
        }
    }

    /// As [`Hooks::run`], for a guest that waits.
    pub(crate) async fn run_waiting(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let run = match hook {
            Hook::Request => &self.on_request,
            Hook::Response => &self.on_response,
            _ => &None,
        };
        match run {
            Some(run) => run.call_async(store, ()).await.map(|(verdict,)| verdict),
            None => Ok(wit::Verdict::Next),
        }
    }

    /// Calls a function; what waits fails at once where nobody makes calls, so that there is nothing to wait for.
    fn call<P, R>(&self, function: &TypedFunc<P, R>, store: &mut Store<Guest>, parameters: P) -> wasmtime::Result<R>
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
        match run {
            Some(run) => self.call(run, store, (data.to_vec(), last)).map(|(verdict,)| verdict),
            None => Ok(wit::BodyVerdict::Next),
        }
    }

    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        let tell = match hook {
            Hook::Log => &self.on_log,
            Hook::Tick => &self.on_tick,
            _ => &None,
        };
        tell.as_ref().map_or(Ok(()), |tell| self.call(tell, store, ()))
    }
}

/// The functions of one interface in a component's linker. Strings are copied before a function sees them: the linker
/// lends either the memory or the guest's data.
struct Functions<'l> {
    linker: LinkerInstance<'l, Guest>,
    interface: &'static str,
}

type Cx<'a> = StoreContextMut<'a, Guest>;

impl Define for Functions<'_> {
    fn scalar<A: Arguments, R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = Function { interface: self.interface, name };
        self.linker.func_wrap(name, move |mut store: Cx<'_>, lifted: A::Lifted| {
            let owned = A::own(lifted, &store, function)?;
            Ok(f(store.data_mut(), A::lend(&owned))?.component())
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
            Ok((f(store.data_mut(), A::lend(&owned))?.component(),))
        })
    }

    fn fetch(&mut self, name: &'static str) -> Defined {
        self.linker.func_wrap_async(name, |mut store: Cx<'_>, (call,): (wit::Call,)| {
            Box::new(async move {
                let (call, mailbox) = functions::outbound::begin(store.data_mut(), call)?;
                let result = match mailbox {
                    Some(mailbox) => mailbox.ask(call).await,
                    None => Ok(Err(OutboundFailure::Offline)),
                };
                Ok((functions::outbound::end(store.data_mut(), result)?,))
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
