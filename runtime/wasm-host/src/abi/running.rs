//! An instance in its store: what every ABI does alike to start a guest and to call it.

use tidegate_engine::hook::{Hook, HookFault, HookFaultKind};
use wasmtime::{Engine, Store};

use super::guest_abi::{InitResult, Running, Waiting};
use super::requests::Requests;
use crate::base::limits::TRANSFER_BYTES;
use crate::guest::callout::CalloutResult;
use crate::guest::fault::classify;
use crate::guest::{Data, Guest};
use crate::wit;

/// The state that an ABI keeps of an instance, where the host's functions find it.
pub(crate) trait State: Send + 'static {
    fn requests(&self) -> Option<&Requests> {
        None
    }

    fn requests_mut(&mut self) -> Option<&mut Requests> {
        None
    }
}

impl State for () {}

/// The hooks of one instance, as its ABI calls them.
pub(crate) trait Hooks: Send + 'static {
    type State: State;

    fn run(&self, store: &mut Store<Data<Self::State>>, hook: Hook) -> wasmtime::Result<wit::Verdict>;

    fn run_waiting<'a>(&'a self, store: &'a mut Store<Data<Self::State>>, hook: Hook) -> Waiting<'a> {
        Box::pin(async move { self.run(store, hook) })
    }

    fn run_body(
        &self,
        store: &mut Store<Data<Self::State>>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<wit::BodyVerdict>;

    fn tell(&self, store: &mut Store<Data<Self::State>>, hook: Hook) -> wasmtime::Result<()>;

    fn answer(
        &self,
        _store: &mut Store<Data<Self::State>>,
        _hook: Hook,
        _token: u32,
        _result: CalloutResult,
    ) -> wasmtime::Result<wit::Verdict> {
        Ok(wit::Verdict::Next)
    }
}

/// A guest in its store.
struct InStore<H: Hooks> {
    store: Store<Data<H::State>>,
    hooks: H,
}

/// Makes a store for `guest`, and lets `start` start the guest in it.
pub(crate) fn start<H: Hooks>(
    engine: &Engine,
    guest: Guest,
    state: H::State,
    start: impl FnOnce(&mut Store<Data<H::State>>) -> wasmtime::Result<(H, InitResult)>,
) -> Result<(Box<dyn Running>, InitResult), HookFault> {
    let mut store = Store::new(engine, Data { guest, state });
    store.limiter(|data| &mut data.guest.memory);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().guest.tick()?));
    store.set_hostcall_fuel(TRANSFER_BYTES);
    store.set_epoch_deadline(1);
    let started = start(&mut store);
    let guest = &mut store.data_mut().guest;
    guest.end();
    match started {
        Ok((hooks, result)) => Ok((Box::new(InStore { store, hooks }), result)),
        Err(error) if error.is::<wasmtime::PoolConcurrencyLimitError>() => {
            let message = "there is no room for another instance".to_owned();
            Err(HookFault { kind: HookFaultKind::Room, message })
        }
        Err(error) => Err(classify(&error, guest)),
    }
}

impl<H: Hooks> InStore<H> {
    /// The store for a call, which the next tick may interrupt.
    fn enter(&mut self) -> (&H, &mut Store<Data<H::State>>) {
        self.store.set_epoch_deadline(1);
        (&self.hooks, &mut self.store)
    }
}

impl<H: Hooks> Running for InStore<H> {
    fn guest(&self) -> &Guest {
        &self.store.data().guest
    }

    fn guest_mut(&mut self) -> &mut Guest {
        &mut self.store.data_mut().guest
    }

    fn requests(&self) -> Option<&Requests> {
        self.store.data().state.requests()
    }

    fn requests_mut(&mut self) -> Option<&mut Requests> {
        self.store.data_mut().state.requests_mut()
    }

    fn run(&mut self, hook: Hook) -> wasmtime::Result<wit::Verdict> {
        let (hooks, store) = self.enter();
        hooks.run(store, hook)
    }

    fn run_waiting(&mut self, hook: Hook) -> Waiting<'_> {
        let (hooks, store) = self.enter();
        hooks.run_waiting(store, hook)
    }

    fn run_body(&mut self, hook: Hook, data: &[u8], last: bool) -> wasmtime::Result<wit::BodyVerdict> {
        let (hooks, store) = self.enter();
        hooks.run_body(store, hook, data, last)
    }

    fn tell(&mut self, hook: Hook) -> wasmtime::Result<()> {
        let (hooks, store) = self.enter();
        hooks.tell(store, hook)
    }

    fn answer(&mut self, hook: Hook, token: u32, result: CalloutResult) -> wasmtime::Result<wit::Verdict> {
        let (hooks, store) = self.enter();
        hooks.answer(store, hook, token, result)
    }
}
