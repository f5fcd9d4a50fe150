//! One worker's instances of an extension.

mod affinity;
mod breaker;
pub(crate) mod suspended_call;
mod verdict;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{BodyVerdict, Hook, HookFault, HookFaultKind, Verdict};

use self::breaker::Breaker;
use self::suspended_call::SuspendedCall;
use self::verdict::{checked, checked_body};
use crate::abi::guest_abi::Running;
use crate::abi::requests::Parked;
use crate::base::host_error::HostError;
use crate::base::log::{LogLevel, one_line};
use crate::extension::Extension;
use crate::extension::instance::{About, Instance};
use crate::guest::Guest;
use crate::guest::callout::{Callout, CalloutFailure, CalloutResult};
use crate::guest::interest::BodyMode;
use crate::shared::metrics::GroupSource;
use crate::shared::room::Seat;

/// One worker's instances of an extension. Calls are synchronous, so one instance serves one call at a time.
pub struct Pool {
    extension: Arc<Extension>,
    idle: Vec<Instance>,
    breaker: Breaker,
    groups: Option<GroupSource>,
    /// The time of the next tick.
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
        self.idle.last().map(Instance::memory)
    }

    /// Sets the source from which the guests read the server groups from now on.
    pub fn set_groups(&mut self, groups: GroupSource) {
        self.groups = Some(groups);
    }

    /// Calls a hook that decides about a head. The exchange always comes back, changed by whatever the guest did before it
    /// ended. A fault costs the instance, and nothing else.
    pub fn call(&mut self, hook: Hook, exchange: Box<Exchange>) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        if self.extension.waits() && self.extension.keeps_requests() {
            return self.call_offline(hook, exchange);
        }
        let about = About { hook, exchange: Some(exchange), streams: false };
        let (exchange, verdict) =
            self.run(about, |guest| guest.run(hook), |verdict, guest| checked(verdict, guest, hook));
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
                Ok(Step::Ask(token, _)) => answer = Some((token, Err(CalloutFailure::Offline))),
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
        answer: Option<(u32, CalloutResult)>,
    ) -> (Box<Exchange>, Result<Step, HookFault>) {
        let request = exchange.request_id;
        let about = About { hook, exchange: Some(exchange), streams: false };
        let (exchange, step) = self.run(
            about,
            |guest| {
                let verdict = match answer {
                    Some((token, result)) => guest.answer(hook, token, result),
                    None => guest.run(hook),
                }?;
                Ok((verdict, guest.requests_mut().and_then(|requests| requests.next_call(request))))
            },
            |(verdict, parked), guest| match parked {
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
            |guest| guest.run_body(hook, data, last),
            |verdict, guest| checked_body(verdict, guest, streams),
        );
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, verdict)
    }

    /// Tells a guest that a request is over.
    pub fn log(&mut self, exchange: Box<Exchange>) -> (Box<Exchange>, Result<(), HookFault>) {
        let about = About { hook: Hook::Log, exchange: Some(exchange), streams: true };
        let (exchange, told) = self.run(about, |guest| guest.tell(Hook::Log), |(), _| Ok(()));
        #[expect(clippy::expect_used, reason = "it was put in above, and an instance gives back what it got")]
        let exchange = exchange.expect("the exchange of this call");
        (exchange, told)
    }

    /// Whether the extension wants a tick, and it is time for it.
    pub fn is_due(&self, now: Instant) -> bool {
        self.extension.tick().is_some() && self.tick.is_none_or(|due| now >= due)
    }

    /// Ticks, if the extension wants it and it is time.
    ///
    /// # Errors
    ///
    /// If the guest failed.
    pub fn tick(&mut self, now: Instant) -> Result<(), HookFault> {
        let Some(every) = self.extension.tick().filter(|_| self.is_due(now)) else { return Ok(()) };
        self.tick = Some(now + every);
        let about = About { hook: Hook::Tick, exchange: None, streams: false };
        self.run(about, |guest| guest.tell(Hook::Tick), |(), _| Ok(())).1
    }

    /// The part of this exchange's body that the extension wants, in a body hook.
    pub fn body(&self, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        let mode = self.extension.body(hook, exchange)?;
        self.extension.abi().body_mode(mode, hook, exchange, self.holds(hook, exchange))
    }

    /// Whether a guest that keeps requests holds the head back until it has seen the body, and be it empty.
    pub fn holds(&self, hook: Hook, exchange: &Exchange) -> bool {
        let of = |instance: &Instance| Some(instance.running.requests()?.get(exchange.request_id)?.held == Some(hook));
        self.extension.keeps_requests() && self.idle.iter().find_map(of).unwrap_or(false)
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
        call: impl FnOnce(&mut dyn Running) -> wasmtime::Result<A>,
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
    pub fn begin(&mut self, client: IpAddr) -> Result<SuspendedCall, HookFault> {
        let hook = Hook::Request;
        let instance = self.instance(None).inspect_err(|fault| self.count(hook, Some(client), Some(fault)))?;
        Ok(SuspendedCall { instance, hook, client })
    }

    /// Ends a call, and keeps its instance if it may serve again.
    pub fn end(&mut self, call: SuspendedCall, verdict: &Result<Verdict, HookFault>) {
        self.keep(call.instance, verdict.is_ok());
        self.count(call.hook, Some(call.client), verdict.as_ref().err());
    }

    /// An instance to call, for this request; none while the extension is paused, or has all that it may have.
    fn instance(&mut self, request: Option<u128>) -> Result<Instance, HookFault> {
        if let Some(left) = self.breaker.left(Instant::now) {
            let message =
                format!("the extension failed for nearly every client, and is not called for {} ms", left.as_millis());
            return Err(HookFault { kind: HookFaultKind::Paused, message });
        }
        let spec = self.extension.spec();
        let idle = if self.extension.keeps_requests() {
            affinity::take(&mut self.idle, spec, request)
        } else {
            self.idle.pop()
        };
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
        if self.extension.keeps_requests() {
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

/// The progress of a guest in a hook, where it may ask other servers.
#[derive(Debug)]
pub enum Step {
    /// The guest gave its verdict.
    Done(Verdict),
    /// The guest asks for a call, with its number for it.
    Ask(u32, Box<Callout>),
}
