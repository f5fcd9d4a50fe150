//! An instance of an extension: a guest that has run `init`, and what calls it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind};
use wasmtime::{Engine, Store};

use crate::abi::foreign::Requests;
use crate::abi::{Asked, Hooks, Linked};
use crate::base::host_error::HostError;
use crate::base::limits::{
    CALLS_PER_INSTANCE, FAULT_MESSAGE_BYTES, INIT_TIME_FACTOR, INIT_TIME_MAX, MEMORY_MARK_PERCENT, TRANSFER_BYTES,
};
use crate::base::log::one_line;
use crate::extension::ExtensionSpec;
use crate::guest::fault::classify;
use crate::guest::{Guest, Settings};
use crate::shared::metrics::GroupSource;

/// What a call is about.
pub(crate) struct About {
    /// What is called.
    pub hook: Hook,
    /// The request; `None` for a tick.
    pub exchange: Option<Box<Exchange>>,
    /// The head has left already.
    pub streams: bool,
}

impl About {
    /// The request, by its id.
    pub(crate) fn request(&self) -> Option<u128> {
        self.exchange.as_ref().map(|exchange| exchange.request_id)
    }
}

/// A guest that has run `init`.
pub(crate) struct Instance {
    pub(crate) store: Store<Guest>,
    pub(crate) hooks: Hooks,
    pub(crate) time: Duration,
    pub(crate) calls: u32,
    /// The instance's part in the count of its pool.
    pub(crate) place: Option<Arc<()>>,
    /// Memory above this, in bytes, is a reason to replace it.
    memory_mark: u64,
}

impl Instance {
    /// Makes an instance and runs `init`. The inner error is what `init` said against the configuration.
    pub(crate) fn new(
        engine: &Engine,
        linked: &Linked,
        settings: &Arc<Settings>,
        spec: &ExtensionSpec,
    ) -> Result<(Self, Asked), HookFault> {
        let mut store = Store::new(engine, Guest::new(Arc::clone(settings), spec.memory));
        store.limiter(|guest| guest);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().tick()?));
        store.set_hostcall_fuel(TRANSFER_BYTES);
        store.set_epoch_deadline(1);
        store.data_mut().begin_init(spec.time.saturating_mul(INIT_TIME_FACTOR).min(INIT_TIME_MAX));

        match linked.start(&mut store, &spec.config) {
            Ok((hooks, asked)) => {
                store.data_mut().end();
                let grown = store.data().memory.size;
                let room = spec.memory.saturating_sub(grown);
                let memory_mark = grown.saturating_add(room / 100 * MEMORY_MARK_PERCENT);
                let instance = Self { store, hooks, time: spec.time, calls: 0, place: None, memory_mark };
                Ok((instance, asked.map_err(|message| one_line(&message, FAULT_MESSAGE_BYTES))))
            }
            Err(error) => {
                store.data_mut().end();
                if error.is::<wasmtime::PoolConcurrencyLimitError>() {
                    let message = "there is no room for another instance".to_owned();
                    return Err(HookFault { kind: HookFaultKind::Room, message });
                }
                Err(classify(&error, store.data_mut()))
            }
        }
    }

    /// Calls it, and checks what it answers; the exchange comes back in any case.
    pub(crate) fn call<A, V>(
        &mut self,
        About { hook, exchange, streams }: About,
        call: impl FnOnce(&Hooks, &mut Store<Guest>) -> wasmtime::Result<A>,
        check: impl FnOnce(A, &mut Guest) -> Result<V, HostError>,
    ) -> (Option<Box<Exchange>>, Result<V, HookFault>) {
        self.calls += 1;
        let guest = self.store.data_mut();
        guest.begin(exchange.map(|exchange| (hook, exchange)), self.time);
        if streams {
            guest.streams();
        }
        self.store.set_epoch_deadline(1);
        let result = call(&self.hooks, &mut self.store);
        let guest = self.store.data_mut();
        let result = match result {
            Ok(answer) => check(answer, guest).map_err(|error| error.0),
            Err(error) => Err(classify(&error, guest)),
        };
        (guest.end(), result)
    }

    /// Says where it learns of server groups.
    pub(crate) fn set_groups(&mut self, groups: &GroupSource) {
        let known = &mut self.store.data_mut().groups;
        if known.as_ref().is_none_or(|known| !Arc::ptr_eq(known, groups)) {
            *known = Some(Arc::clone(groups));
        }
    }

    /// The requests that a foreign guest has under way.
    pub(crate) fn requests(&self) -> &Requests {
        &self.store.data().requests
    }

    /// Whether it should serve no more calls.
    pub(crate) fn is_worn(&self) -> bool {
        self.calls >= CALLS_PER_INSTANCE || self.store.data().memory.size > self.memory_mark
    }
}
