//! An instance of an extension: a guest that has run `init`, and what calls it.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault};
use wasmtime::Engine;

use super::spec::ExtensionSpec;
use crate::abi::guest_abi::{InitResult, Linked, Running};
use crate::base::host_error::HostError;
use crate::base::limits::{
    CALLS_PER_INSTANCE, FAULT_MESSAGE_BYTES, INIT_TIME_FACTOR, INIT_TIME_MAX, MEMORY_MARK_PERCENT,
};
use crate::base::log::one_line;
use crate::guest::fault::classify;
use crate::guest::{Guest, Settings};
use crate::shared::metrics::GroupSource;

/// The subject of a call.
pub(crate) struct About {
    /// The hook that is called.
    pub hook: Hook,
    /// The exchange of the request; `None` for a tick.
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
    pub(crate) running: Box<dyn Running>,
    time: Duration,
    calls: u32,
    /// The instance's part in the count of its pool.
    pub(crate) place: Option<Arc<()>>,
    /// Linear memory after the last call, in bytes.
    memory: u64,
    /// Memory above this, in bytes, is a reason to replace the instance.
    memory_mark: u64,
    /// The source from which the guest reads the server groups.
    groups: Option<GroupSource>,
}

impl Instance {
    /// Makes an instance and runs `init`. The inner error is what `init` said against the configuration.
    pub(crate) fn new(
        engine: &Engine,
        linked: &dyn Linked,
        settings: &Arc<Settings>,
        spec: &ExtensionSpec,
    ) -> Result<(Self, InitResult), HookFault> {
        let mut guest = Guest::new(Arc::clone(settings), spec.memory);
        guest.begin_init(spec.time.saturating_mul(INIT_TIME_FACTOR).min(INIT_TIME_MAX));
        let (running, result) = linked.start(engine, guest, &spec.config)?;
        let memory = running.guest().memory.size;
        let room = spec.memory.saturating_sub(memory);
        let memory_mark = memory.saturating_add(room / 100 * MEMORY_MARK_PERCENT);
        let instance = Self { running, time: spec.time, calls: 0, place: None, memory, memory_mark, groups: None };
        Ok((instance, result.map_err(|message| one_line(&message, FAULT_MESSAGE_BYTES))))
    }

    /// Calls the guest, and checks what it answers; the exchange comes back in any case.
    pub(crate) fn call<A, V>(
        &mut self,
        About { hook, exchange, streams }: About,
        call: impl FnOnce(&mut dyn Running) -> wasmtime::Result<A>,
        check: impl FnOnce(A, &mut Guest) -> Result<V, HostError>,
    ) -> (Option<Box<Exchange>>, Result<V, HookFault>) {
        let guest = self.begin(exchange.map(|exchange| (hook, exchange)));
        if streams {
            guest.streams();
        }
        let result = call(&mut *self.running);
        let guest = self.running.guest_mut();
        self.memory = guest.memory.size;
        let result = checked(result, check, guest);
        (guest.end(), result)
    }

    /// Begins a call.
    pub(crate) fn begin(&mut self, exchange: Option<(Hook, Box<Exchange>)>) -> &mut Guest {
        self.calls += 1;
        let guest = self.running.guest_mut();
        guest.begin(exchange, self.time);
        guest
    }

    /// The end of a call that came to `result`, once `check` has looked at it.
    pub(crate) fn checked<A, V>(
        &mut self,
        result: wasmtime::Result<A>,
        check: impl FnOnce(A, &mut Guest) -> Result<V, HostError>,
    ) -> Result<V, HookFault> {
        let guest = self.running.guest_mut();
        self.memory = guest.memory.size;
        checked(result, check, guest)
    }

    /// Sets the source from which the guest reads the server groups.
    pub(crate) fn set_groups(&mut self, groups: &GroupSource) {
        if self.groups.as_ref().is_none_or(|known| !Arc::ptr_eq(known, groups)) {
            self.groups = Some(Arc::clone(groups));
            self.running.guest_mut().groups = Some(Arc::clone(groups));
        }
    }

    /// Linear memory after the last call, in bytes.
    pub(crate) const fn memory(&self) -> u64 {
        self.memory
    }

    /// Makes the instance one that has served its calls.
    #[cfg(test)]
    pub(crate) const fn wear_out(&mut self) {
        self.calls = CALLS_PER_INSTANCE;
    }

    /// Whether the instance should serve no more calls.
    pub(crate) const fn is_worn(&self) -> bool {
        self.calls >= CALLS_PER_INSTANCE || self.memory > self.memory_mark
    }
}

fn checked<A, V>(
    result: wasmtime::Result<A>,
    check: impl FnOnce(A, &mut Guest) -> Result<V, HostError>,
    guest: &mut Guest,
) -> Result<V, HookFault> {
    match result {
        Ok(answer) => check(answer, guest).map_err(|error| error.0),
        Err(error) => Err(classify(&error, guest)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::{Abi, HookFaultKind};

    use super::*;
    use crate::testing::{exchange, instance, spec};

    fn about(hook: Hook) -> About {
        About { hook, exchange: Some(exchange(7)), streams: false }
    }

    #[test]
    fn the_exchange_comes_back_whatever_becomes_of_a_call() {
        let mut instance = instance(&spec(Abi::Tidegate, 1), &[]);
        assert_eq!(
            (about(Hook::Request).request(), About { exchange: None, ..about(Hook::Tick) }.request()),
            (Some(7), None)
        );
        let (back, result) = instance.call(about(Hook::Request), |guest| guest.run(Hook::Request), |_, _| Ok(1));
        assert_eq!((back.unwrap().request_id, result.ok()), (7, Some(1)));
        let refused = |_, _: &mut Guest| Err::<(), _>(HostError::bad_value("no"));
        let (back, result) = instance.call(about(Hook::Request), |guest| guest.run(Hook::Request), refused);
        assert_eq!((back.unwrap().request_id, result.unwrap_err().kind), (7, HookFaultKind::BadValue));
        let (back, result) = instance.call(about(Hook::Response), |guest| guest.run(Hook::Response), |_, _| Ok(()));
        assert_eq!((back.unwrap().request_id, result.unwrap_err().kind), (7, HookFaultKind::Trap));
        let (back, result) = instance.call(
            About { exchange: None, ..about(Hook::Tick) },
            |guest| guest.tell(Hook::Tick),
            |(), _| Ok(()),
        );
        assert!(back.is_none() && result.is_ok());
    }

    #[test]
    fn what_has_grown_past_its_mark_or_served_its_calls_is_worn() {
        let mut instance = instance(&spec(Abi::Tidegate, 1), &[]);
        let grow = |instance: &mut Instance| {
            let body = about(Hook::RequestBody);
            instance.call(body, |guest| guest.run_body(Hook::RequestBody, b"", true), |_, _| Ok(())).1.unwrap();
        };
        assert!(!instance.is_worn() && instance.memory() == 0);
        grow(&mut instance);
        assert!(!instance.is_worn() && instance.memory() == 600);
        grow(&mut instance);
        assert!(instance.is_worn() && instance.memory() == 1200);
        (instance.memory, instance.calls) = (0, CALLS_PER_INSTANCE - 1);
        assert!(!instance.is_worn());
        instance.calls += 1;
        assert!(instance.is_worn());
    }

    #[test]
    fn what_init_says_is_cut() {
        let guest = crate::testing::guest(Vec::new());
        let spec = ExtensionSpec { config: "bad".to_owned(), ..spec(Abi::Tidegate, 1) };
        let linked = crate::testing::linked(&[]);
        let (_, result) = Instance::new(&Engine::default(), &linked, &guest.settings, &spec).unwrap();
        assert_eq!(result.unwrap_err().chars().count(), FAULT_MESSAGE_BYTES + 1);
    }
}
