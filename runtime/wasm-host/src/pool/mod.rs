//! One worker's instances of an extension.

mod affinity;
mod breaker;
mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, BodyVerdict, Hook, HookFault, HookFaultKind, Verdict};
use wasmtime::Store;

use crate::abi::Hooks;
use crate::abi::foreign::{Parked, body_mode};
use crate::base::host_error::HostError;
use crate::base::log::{LogLevel, one_line};
use crate::extension::Extension;
use crate::extension::instance::{About, Instance};
use crate::extension::interest::BodyMode;
use crate::guest::Guest;
use crate::guest::callout::{Mailbox, OutboundAnswered, OutboundCall, OutboundFailure, OutboundResult, drive};
use crate::guest::fault::classify;
use crate::pool::breaker::Breaker;
use crate::pool::verdict::{checked, checked_body};
use crate::shared::metrics::GroupSource;
use crate::shared::room::Seat;

/// One worker's instances of an extension. Calls are synchronous, so one instance serves one call at a time.
pub struct Pool {
    extension: Arc<Extension>,
    idle: Vec<Instance>,
    breaker: Breaker,
    groups: Option<GroupSource>,
    /// When the next tick is due.
    tick: Option<Instant>,
    /// The pool's share of the instances.
    seat: Seat,
    /// A count of references: one for each instance of the pool, idle or in a call, and one for the pool.
    live: Arc<()>,
}

impl Pool {
    /// A pool without instances: the first call makes one.
    pub fn new(extension: Arc<Extension>) -> Self {
        let seat = extension.room().seat();
        let breaker = Breaker::default();
        Self { extension, idle: Vec::new(), breaker, groups: None, tick: None, seat, live: Arc::new(()) }
    }

    /// The extension.
    pub const fn extension(&self) -> &Arc<Extension> {
        &self.extension
    }

    /// The linear memory of the instance that serves next, in bytes; `None` while there is none.
    pub fn memory(&self) -> Option<u64> {
        self.idle.last().map(|instance| instance.store.data().memory.size)
    }

    /// Where its guests read the server groups from now on.
    pub fn set_groups(&mut self, groups: GroupSource) {
        self.groups = Some(groups);
    }

    /// Calls a hook that decides about a head. The exchange always comes back, changed by whatever the guest did before it
    /// ended. A fault costs the instance, and nothing else.
    pub fn call(&mut self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        if self.extension.waits() && self.extension.spec().abi != Abi::Tidegate {
            return self.call_offline(hook, exchange);
        }
        let about = About { hook, exchange: Some(exchange), streams: false };
        let (exchange, verdict) =
            self.run(about, |hooks, store| hooks.run(store, hook), |verdict, guest| checked(verdict, guest, hook));
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, verdict)
    }

    /// As [`Pool::call`], where nobody makes calls to other servers, and a guest that asks for one is told so.
    fn call_offline(&mut self, hook: Hook, mut exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        let mut answer = None;
        loop {
            let step;
            (exchange, step) = self.step(hook, exchange, answer.take());
            match step {
                Ok(Step::Done(verdict)) => return (exchange, Ok(verdict)),
                Ok(Step::Ask(token, _)) => answer = Some((token, Err(OutboundFailure::Offline))),
                Err(fault) => return (exchange, Err(fault)),
            }
        }
    }

    /// As [`Pool::call`], for a foreign guest that may ask other servers: it decides, or asks for a call, whose result is to
    /// come with the next step. Between steps the instance serves other requests.
    pub fn step(
        &mut self,
        hook: Hook,
        exchange: Box<Exchange>,
        answer: Option<(u32, OutboundAnswered)>,
    ) -> (Box<Exchange>, Result<Step, HookFault>) {
        let request = exchange.request_id;
        let about = About { hook, exchange: Some(exchange), streams: false };
        let (exchange, step) = self.run(
            about,
            |hooks, store| match answer {
                Some((token, result)) => hooks.answer(store, hook, token, result),
                None => hooks.run(store, hook),
            },
            |verdict, guest| match guest.requests.next_call(request) {
                Some(Parked { token, call }) => {
                    guest.settings.shared.counts.outbound_calls.fetch_add(1, Ordering::Relaxed);
                    Ok(Step::Ask(token, Box::new(call)))
                }
                None => checked(verdict, guest, hook).map(Step::Done),
            },
        );
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, step)
    }

    /// Gives a piece of a body to a hook; `streams` says that the head has left.
    pub fn call_body(
        &mut self,
        hook: Hook,
        exchange: Box<Exchange>,
        (data, last): (&[u8], bool),
        streams: bool,
    ) -> (Box<Exchange>, Result<BodyVerdict, HookFault>) {
        let about = About { hook, exchange: Some(exchange), streams };
        let (exchange, verdict) = self.run(
            about,
            |hooks, store| hooks.run_body(store, hook, data, last),
            |verdict, guest| checked_body(verdict, guest, streams),
        );
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, verdict)
    }

    /// Tells a guest that a request is over.
    pub fn log(&mut self, exchange: Box<Exchange>) -> (Box<Exchange>, Result<(), HookFault>) {
        let about = About { hook: Hook::Log, exchange: Some(exchange), streams: true };
        let (exchange, told) = self.run(about, |hooks, store| hooks.tell(store, Hook::Log), |(), _| Ok(()));
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, told)
    }

    /// Ticks, if the extension wants it and it is time.
    ///
    /// # Errors
    ///
    /// If the guest failed.
    pub fn tick(&mut self, now: Instant) -> Result<(), HookFault> {
        let Some(every) = self.extension.tick() else { return Ok(()) };
        if self.tick.is_some_and(|due| now < due) {
            return Ok(());
        }
        self.tick = Some(now + every);
        let about = About { hook: Hook::Tick, exchange: None, streams: false };
        self.run(about, |hooks, store| hooks.tell(store, Hook::Tick), |(), _| Ok(())).1
    }

    /// What the extension wants of a body of this exchange, in a body hook.
    pub fn body(&self, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        let mode = self.extension.body(hook, exchange)?;
        match self.extension.spec().abi {
            Abi::Tidegate => Some(mode),
            abi => body_mode(abi, hook, exchange, self.holds(hook, exchange)),
        }
    }

    /// Whether a foreign guest holds the head back until it has seen the body, and be it empty.
    pub fn holds(&self, hook: Hook, exchange: &Exchange) -> bool {
        let of = |instance: &Instance| Some(instance.requests().get(exchange.request_id)?.held == Some(hook));
        self.extension.spec().abi != Abi::Tidegate && self.idle.iter().find_map(of).unwrap_or(false)
    }

    /// Counts a body that was longer than the guest wanted to take.
    pub fn body_too_long(&self, most: usize) -> HookFault {
        let fault = HookFault {
            kind: HookFaultKind::BodyTooLong,
            message: format!("the body is longer than the {most} bytes that the guest asked for"),
        };
        self.extension.shared().counts.fault(fault.kind);
        fault
    }

    /// Calls an instance, keeps it if it may serve again, and keeps count of what went wrong.
    fn run<A, V>(
        &mut self,
        about: About,
        call: impl FnOnce(&Hooks, &mut Store<Guest>) -> wasmtime::Result<A>,
        check: impl FnOnce(A, &mut Guest) -> Result<V, HostError>,
    ) -> (Option<Box<Exchange>>, Result<V, HookFault>) {
        let hook = about.hook;
        let client = about.exchange.as_ref().map(|exchange| exchange.client_ip);
        let (exchange, result) = match self.instance(about.request()) {
            Ok(mut instance) => {
                let (exchange, result) = instance.call(about, call, check);
                self.keep(instance, result.is_ok());
                (exchange, result)
            }
            Err(fault) => (about.exchange, Err(fault)),
        };
        self.count(hook, client, result.as_ref().err());
        (exchange, result)
    }

    /// Begins a call of a guest that may wait for other servers, for a request of this client. It is given back with [`Pool::end`].
    ///
    /// # Errors
    ///
    /// If the extension is paused, or there is no room for another call.
    pub fn begin(&mut self, client: IpAddr) -> Result<Turn, HookFault> {
        let hook = Hook::Request;
        let instance = self.instance(None).inspect_err(|fault| self.count(hook, Some(client), Some(fault)))?;
        Ok(Turn { instance, hook, client })
    }

    /// Ends a call, and keeps its instance if it may serve again.
    pub fn end(&mut self, turn: Turn, verdict: &Result<Verdict, HookFault>) {
        self.keep(turn.instance, verdict.is_ok());
        self.count(turn.hook, Some(turn.client), verdict.as_ref().err());
    }

    /// An instance to call, for this request; none while the extension is paused, or has all that it may have.
    fn instance(&mut self, request: Option<u128>) -> Result<Instance, HookFault> {
        if let Some(left) = self.breaker.left(Instant::now) {
            let message =
                format!("the extension failed for nearly every client, and is not called for {} ms", left.as_millis());
            return Err(HookFault { kind: HookFaultKind::Paused, message });
        }
        let spec = self.extension.spec();
        let idle =
            if spec.abi == Abi::Tidegate { self.idle.pop() } else { affinity::take(&mut self.idle, spec, request) };
        let mut instance = match idle {
            Some(instance) => instance,
            None => self.instantiate()?,
        };
        if let Some(groups) = &self.groups {
            instance.set_groups(groups);
        }
        Ok(instance)
    }

    /// Makes one more instance, unless the pool has its share already: the rest is for other extensions and workers.
    fn instantiate(&self) -> Result<Instance, HookFault> {
        let share = self.seat.share(self.extension.weight());
        if Arc::strong_count(&self.live) > share {
            let message =
                format!("{share} of its calls on this worker are under way, and there is no room for another");
            return Err(HookFault { kind: HookFaultKind::Room, message });
        }
        let mut instance = self.extension.instantiate()?;
        instance.place = Some(Arc::clone(&self.live));
        Ok(instance)
    }

    /// Keeps an instance that may serve again, if there is room.
    fn keep(&mut self, instance: Instance, worked: bool) {
        let spec = self.extension.spec();
        if spec.abi != Abi::Tidegate {
            affinity::put(&mut self.idle, spec, instance, worked);
        } else if worked && !spec.fresh && !instance.is_worn() && self.idle.len() < spec.instances as usize {
            self.idle.push(instance);
        }
    }

    /// Keeps count of what went wrong.
    fn count(&mut self, hook: Hook, client: Option<IpAddr>, fault: Option<&HookFault>) {
        match fault {
            None => {
                if self.breaker.succeeded(hook, client, Instant::now) {
                    self.extension.say(LogLevel::Info, "it works again");
                }
            }
            Some(fault) => self.failed(hook, client, fault),
        }
    }

    #[cold]
    fn failed(&mut self, hook: Hook, client: Option<IpAddr>, fault: &HookFault) {
        let counts = &self.extension.shared().counts;
        counts.fault(fault.kind);
        // Where it was not called, it has not failed.
        if fault.kind.is_uncalled() {
            return;
        }
        if let Some(pause) = self.breaker.failed(hook, client, Instant::now()) {
            counts.pauses.fetch_add(1, Ordering::Relaxed);
            let last = one_line(&fault.message, 256);
            let message = format!(
                "it failed for nearly every client, and this worker does not call it for {pause:?}; last: {last}"
            );
            self.extension.say(LogLevel::Warn, &message);
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("extension", &self.extension).field("idle", &self.idle.len()).finish()
    }
}

/// How far a foreign guest came in a hook.
#[derive(Debug)]
pub enum Step {
    /// To its verdict.
    Done(Verdict),
    /// To a call, with the guest's number for it.
    Ask(u32, Box<OutboundCall>),
}

/// A call of a guest that may wait for other servers, and the instance that it runs in. To drop it in the midst of a call ends
/// the guest.
pub struct Turn {
    instance: Instance,
    hook: Hook,
    /// The client whose request it is.
    client: IpAddr,
}

impl Turn {
    /// Calls a hook that decides about a head, and makes with `fetch` the calls that the guest asks for. The exchange is taken
    /// back with [`Turn::exchange`], whatever comes of it.
    ///
    /// # Errors
    ///
    /// If the guest failed.
    pub async fn call<C>(
        &mut self,
        hook: Hook,
        exchange: Box<Exchange>,
        fetch: impl Fn(OutboundCall) -> C,
    ) -> Result<Verdict, HookFault>
    where
        C: Future<Output = OutboundResult>,
    {
        self.hook = hook;
        let Instance { store, hooks, time, calls, .. } = &mut self.instance;
        *calls += 1;
        let mailbox = Arc::new(Mailbox::default());
        store.data_mut().begin(Some((hook, exchange)), *time);
        store.data_mut().set_mailbox(Arc::clone(&mailbox));
        store.set_epoch_deadline(1);
        let result = drive(hooks.run_waiting(store, hook), &mailbox, fetch).await;
        let guest = store.data_mut();
        match result {
            Ok(verdict) => checked(verdict, guest, hook).map_err(|error| error.0),
            Err(error) => Err(classify(&error, guest)),
        }
    }

    /// The exchange, changed by whatever the guest did; `None` if it was not given one, or was taken already.
    pub fn exchange(&mut self) -> Option<Box<Exchange>> {
        self.instance.store.data_mut().end()
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").finish_non_exhaustive()
    }
}
