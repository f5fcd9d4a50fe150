//! The state of a worker, as its requests see it: clock, policy, permits, pools, log.
//!
//! Nothing on a request's way takes a lock or leaves the thread. What workers share is in [`Shared`].

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::request::listener_load::ListenerLoad;
use crate::request::worker_snapshot::{Pools, WorkerSnapshot};
use arc_swap::ArcSwap;
use http::HeaderValue;
use slab::Slab;
use tidegate_base::clock::{self, Clock};
use tidegate_base::handshake_permits::HandshakePermits;
use tidegate_base::limits;
use tidegate_base::log_throttle::LogThrottle;
use tidegate_base::permits::Permits;
use tidegate_base::room::Room;
use tidegate_base::timer::Timer;
use tidegate_dsl::plan::Extension;
use tidegate_engine::hook::HookFault;

use crate::policy::snapshot::Snapshot;
use crate::telemetry::access_log::{AccessLog, LogSender};
use crate::telemetry::metrics::registry::{Registry, WorkerCells};
use crate::telemetry::spans::ring::{SpanSender, Spans};
use crate::telemetry::tap::Tap;

/// What all workers share.
pub struct Shared {
    /// The policy in service.
    current: ArcSwap<Snapshot>,
    /// The generation of the policy, read by every request: cheaper than the pointer.
    generation: AtomicU64,
    /// Where access-log lines go.
    pub log: LogSender,
    /// Where spans go.
    pub spans: Arc<Spans>,
    /// When this process started: the zero of [`Worker::now_ms`].
    pub started: Instant,
    /// Memory for compressing answers.
    pub encoders: Room,
    /// Everything that is counted.
    pub metrics: Arc<Registry>,
    /// What those who watch see of requests.
    pub tap: Arc<Tap>,
}

impl Shared {
    /// Starts with this policy.
    pub fn new(snapshot: Arc<Snapshot>, log: LogSender) -> Self {
        let generation = AtomicU64::new(snapshot.generation);
        let encoders = Room::new(limits::ENCODERS_BYTES);
        let spans = Arc::<Spans>::default();
        spans.follow(snapshot.plan().tracing.as_ref());
        Self {
            current: ArcSwap::new(snapshot),
            generation,
            log,
            spans,
            started: Instant::now(),
            encoders,
            metrics: Arc::default(),
            tap: Arc::default(),
        }
    }

    /// Puts a policy in service: the next request of every worker sees it.
    pub fn commit(&self, snapshot: Arc<Snapshot>) {
        let generation = snapshot.generation;
        self.metrics.keep(snapshot.plan());
        self.spans.follow(snapshot.plan().tracing.as_ref());
        self.current.store(snapshot);
        self.generation.store(generation, Ordering::Release);
    }

    /// The policy in service.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
}

/// An owner of a deadline that a worker watches.
pub trait Timed {
    /// The deadline.
    fn timer(&self) -> &Timer;
}

/// A client connection, as whoever closes it sees it.
pub trait OpenConnection {
    /// The load of the listener that it came to, which tells listeners apart.
    fn load(&self) -> &Arc<ListenerLoad>;

    /// Whether the policy in service would let the connection in.
    fn is_admitted(&self) -> bool;

    /// Whether the connection closes after the requests in flight.
    fn is_finishing(&self) -> bool;

    /// Finishes the requests in flight, then closes.
    fn finish(&self);

    /// Closes at once.
    fn abort(&self);
}

/// The state of one worker; lives on its thread.
pub struct Worker {
    /// The number of the worker, from 0.
    pub index: u16,
    /// The state that all workers share.
    pub shared: Arc<Shared>,
    /// The current policy with what this worker holds for it.
    view: RefCell<Rc<WorkerSnapshot>>,
    /// The open client connections.
    connections: RefCell<Slab<Rc<dyn OpenConnection>>>,
    /// The timers that the tick compares with the clock.
    timers: RefCell<Slab<Rc<dyn Timed>>>,
    /// Wakes a worker that waits for its last connection.
    pub emptied: tokio::sync::Notify,
    /// Connections to backends.
    pub pools: Pools,
    clock: Clock,
    /// The time of `clock`, renewed every [`tidegate_base::limits::TICK`].
    now_ms: Cell<u64>,
    /// State of the random numbers that need not be secret.
    random: Cell<u64>,
    /// What tunnels move bytes with.
    tunnel_buffer: RefCell<Vec<u8>>,
    /// A `Date` (RFC 9110, 6.6.1), and the second of the process that it was made in.
    http_date: RefCell<(u64, HeaderValue)>,
    /// Lines on their way to the access log.
    pub access_log: AccessLog,
    /// Spans on their way to a collector.
    pub spans: SpanSender,
    /// Calls of extensions to other servers.
    pub outbound: Permits,
    /// Bodies that are held whole for extensions.
    pub gathered: Room,
    /// TLS handshakes under way.
    pub handshakes: HandshakePermits,
    /// Keeps the gateway's own log readable when one kind of trouble repeats.
    pub log_throttle: LogThrottle,
    /// The servers of a test.
    #[cfg(test)]
    pub(crate) servers: crate::tests::Servers,
    /// What is counted without any name of the policy.
    pub cells: Arc<WorkerCells>,
}

impl Worker {
    /// A worker without listeners.
    pub fn new(index: u16, shared: Arc<Shared>) -> Rc<Self> {
        let snapshot = shared.snapshot();
        let pools = Pools::default();
        let counted = (&shared.metrics, index);
        let view = RefCell::new(Rc::new(WorkerSnapshot::new(snapshot, None, &pools, counted)));
        let seed = std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0);
        Rc::new(Self {
            index,
            access_log: AccessLog::new(shared.log.clone()),
            spans: SpanSender::new(&shared.spans),
            view,
            connections: RefCell::default(),
            timers: RefCell::default(),
            tunnel_buffer: RefCell::default(),
            http_date: RefCell::new((u64::MAX, HeaderValue::from_static(""))),
            emptied: tokio::sync::Notify::new(),
            pools,
            clock: Clock::default(),
            now_ms: Cell::new(0),
            random: Cell::new(seed | 1),
            outbound: Permits::new(limits::OUTBOUND_CALLS),
            gathered: Room::new(limits::GATHERED_BYTES_WORKER),
            handshakes: HandshakePermits::default(),
            log_throttle: LogThrottle::default(),
            #[cfg(test)]
            servers: crate::tests::Servers::default(),
            cells: shared.metrics.workers.of(index),
            shared,
        })
    }

    /// The policy in service, adopted first if it changed.
    pub fn view(&self) -> Rc<WorkerSnapshot> {
        let mut view = self.view.borrow_mut();
        if view.snapshot.generation != self.shared.generation.load(Ordering::Acquire) {
            *view = Rc::new(WorkerSnapshot::new(
                self.shared.snapshot(),
                Some(&**view),
                &self.pools,
                (&self.shared.metrics, self.index),
            ));
        }
        Rc::clone(&view)
    }

    /// Milliseconds since the process started, less those in which it stood still; at most two ticks old. For timeouts.
    pub fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    /// A random number (xorshift64*): for ids and weights, not for secrets.
    pub fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Enters a connection; the key takes it out again.
    pub fn enter(&self, connection: Rc<dyn OpenConnection>) -> usize {
        self.connections.borrow_mut().insert(connection)
    }

    /// Takes a connection out.
    pub fn leave(&self, key: usize) {
        let mut connections = self.connections.borrow_mut();
        connections.try_remove(key);
        if connections.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Watches a deadline; the key ends that.
    pub fn watch(&self, timed: Rc<dyn Timed>) -> usize {
        self.timers.borrow_mut().insert(timed)
    }

    /// Watches a deadline no more.
    pub fn unwatch(&self, key: usize) {
        self.timers.borrow_mut().try_remove(key);
    }

    /// The buffer of all tunnels: whoever moves bytes holds it while it does, and no longer.
    pub fn tunnel_buffer(&self) -> RefMut<'_, Vec<u8>> {
        let mut buffer = self.tunnel_buffer.borrow_mut();
        buffer.resize(limits::TUNNEL_BUFFER, 0);
        buffer
    }

    /// The time as HTTP writes it, to the second.
    pub fn http_date(&self) -> HeaderValue {
        let second = self.clock.second();
        let mut known = self.http_date.borrow_mut();
        if known.0 != second
            && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(SystemTime::now()))
        {
            *known = (second, date);
        }
        known.1.clone()
    }

    /// Whether a connection is open, or about to be.
    pub fn has_connections(&self) -> bool {
        !self.connections.borrow().is_empty() || !self.handshakes.is_empty()
    }

    /// Every open connection.
    pub fn open_connections(&self) -> Vec<Rc<dyn OpenConnection>> {
        self.connections.borrow().iter().map(|(_, connection)| Rc::clone(connection)).collect()
    }

    /// Does something to every open connection.
    pub fn each_connection(&self, act: impl Fn(&dyn OpenConnection)) {
        for (_, connection) in self.connections.borrow().iter() {
            act(&**connection);
        }
    }

    /// One turn of the clock, which comes so late: wakes the tasks whose timers are due, and closes what was idle for too long.
    pub async fn tick(&self, late: Duration) {
        self.cells.late.observe(late);
        self.turn(clock::millis(self.shared.started.elapsed())).await;
    }

    /// A turn of the clock at so many milliseconds of the process.
    pub(crate) async fn turn(&self, elapsed_ms: u64) {
        let now = self.clock.turn(elapsed_ms);
        self.now_ms.set(now);
        if self.timers.borrow().iter().any(|(_, timed)| timed.timer().is_due(now)) {
            // What lies in a socket wins over a deadline: each turn of the loop looks at the sockets, and lets the tasks work
            // that wait for them.
            for _ in 0..limits::LAST_LOOKS {
                tokio::task::yield_now().await;
            }
        }
        for (_, timed) in self.timers.borrow().iter() {
            timed.timer().expire(now);
        }
        self.cells.idle.set(i64::try_from(self.pools.prune(now)).unwrap_or(i64::MAX));
        self.access_log.flush();
        self.log_throttle.tick(now);
        self.tick_extensions();
    }

    fn tick_extensions(&self) {
        let view = Rc::clone(&self.view.borrow());
        for (id, fault) in view.tick(Instant::now()) {
            self.warn_of_fault(view.snapshot.plan().extensions.get(id.0), &fault, None);
        }
    }

    /// Writes a fault of an extension to the gateway's log, unless it is flooded with them.
    pub fn warn_of_fault(&self, extension: Option<&Extension>, fault: &HookFault, request_id: Option<u128>) {
        let HookFault { kind, message } = fault;
        if self.log_throttle.may_write(kind.name()) {
            let name = extension.map_or("?", |extension| extension.name.as_str());
            let request_id = request_id.map(|id| format!("{id:032x}"));
            tracing::warn!(extension = name, fault = kind.name(), request_id, "{message}");
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::tests::{ANSWERS, House, policy, run};

    /// A deadline of its own.
    #[derive(Default)]
    struct Alarm(Timer);

    impl Timed for Alarm {
        fn timer(&self) -> &Timer {
            &self.0
        }
    }

    #[test]
    fn a_policy_that_is_committed_is_seen_at_once() {
        let house = House::answering("");
        assert_eq!(house.worker.view().snapshot.generation, 1);
        house.reload(&policy("", ANSWERS));
        assert_eq!(house.worker.view().snapshot.generation, 2);
        assert_eq!(house.worker.shared.snapshot().generation, 2);
    }

    #[test]
    fn deadlines_that_are_watched_pass_with_the_ticks() {
        run(async {
            let house = House::answering("");
            let alarms = [Rc::new(Alarm::default()), Rc::new(Alarm::default())];
            let keys = alarms.clone().map(|alarm| house.worker.watch(alarm));
            for alarm in &alarms {
                alarm.0.set_patience(Some(Duration::from_secs(1)), house.worker.now_ms());
            }
            house.worker.unwatch(keys[1]);
            house.pass(Duration::from_secs(2)).await;
            assert!(alarms[0].0.take_expired() && !alarms[1].0.take_expired(), "nobody watches the other");
        });
    }

    #[test]
    fn a_standstill_does_not_count() {
        run(async {
            let worker = House::answering("").worker;
            worker.turn(100).await;
            worker.turn(60_100).await;
            assert_eq!(worker.now_ms(), 200);
        });
    }

    #[test]
    fn who_waits_for_the_last_connection_is_told() {
        run(async {
            let house = House::answering("");
            let keys = [house.connection(), house.connection()].map(|connection| house.worker.enter(connection));
            assert!(house.worker.has_connections());
            assert_eq!(house.worker.open_connections().len(), 2);
            house.worker.leave(keys[0]);
            assert!(house.worker.has_connections());
            house.worker.leave(keys[1]);
            house.worker.emptied.notified().await;
            assert!(!house.worker.has_connections());
        });
    }

    #[test]
    fn each_connection_hears_what_is_said_to_all() {
        let house = House::answering("");
        let all = [house.connection(), house.connection()];
        let left = all.clone().map(|connection| house.worker.enter(connection))[1];
        house.worker.leave(left);
        house.worker.each_connection(|connection| connection.finish());
        assert_eq!(all.map(|connection| connection.is_finishing()), [true, false]);
    }

    #[test]
    fn the_date_is_one_of_http() {
        let worker = House::answering("").worker;
        let date = worker.http_date();
        let time = httpdate::parse_http_date(date.to_str().unwrap()).unwrap();
        assert!(SystemTime::now().duration_since(time).unwrap() < Duration::from_secs(60));
        assert_eq!(worker.http_date(), date, "one for each second of the clock");
    }

    #[test]
    fn random_numbers_do_not_repeat() {
        let worker = House::answering("").worker;
        assert_eq!((0..1000).map(|_| worker.random()).collect::<HashSet<_>>().len(), 1000);
    }

    #[test]
    fn tunnels_share_one_buffer() {
        let worker = House::answering("").worker;
        worker.tunnel_buffer()[0] = 7;
        let buffer = worker.tunnel_buffer();
        assert_eq!((buffer.len(), buffer[0]), (limits::TUNNEL_BUFFER, 7));
    }
}
