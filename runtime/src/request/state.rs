//! What a client connection and its requests are doing, and until when they may.
//!
//! There is no timer for a connection or a request: the worker's tick compares every stream's deadline with its
//! clock. Setting a deadline is one store, so progress can renew it on every read and write.
//!
//! A [`StreamState`] is a place for one request at a time. An HTTP/1 connection has one, which also stands for the
//! time between requests. An HTTP/2 connection has one for itself, like stream 0 (RFC 9113, 5.1.1), and one more for
//! each request in flight.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_base::room::Room;
use tidegate_engine::exchange::Connection;

use crate::request::admission::Admission;
use crate::request::head::KnownHost;
use crate::request::listener_handle::ListenerHandle;
use crate::request::worker::Worker;
use crate::tls::early::EarlyBytes;

/// What all requests of a client connection share.
pub struct ConnectionState {
    /// What rules and hooks see of it.
    pub info: Arc<Connection>,
    /// The reasons that let it in.
    admission: Admission,
    /// Its listener on this worker.
    pub handle: Rc<ListenerHandle>,
    /// Its worker.
    pub worker: Rc<Worker>,
    /// The host that it asked for last.
    pub host: KnownHost,
    /// Finish the requests in flight, then close.
    finishing: Cell<bool>,
    /// Close now.
    aborted: Cell<bool>,
    /// Requests so far.
    requests: Cell<u32>,
    /// Bodies of its requests that are held whole, once there was one.
    gathered: OnceCell<Room>,
    /// Whether what was read came in early data, if any may.
    early: Option<Rc<EarlyBytes>>,
    task: Task,
}

impl ConnectionState {
    /// A connection that has just been accepted.
    pub fn new(info: Arc<Connection>, admission: Admission, handle: Rc<ListenerHandle>, worker: Rc<Worker>) -> Self {
        let finishing = Cell::new(handle.is_closed());
        Self {
            info,
            admission,
            handle,
            worker,
            host: KnownHost::default(),
            finishing,
            aborted: Cell::new(false),
            requests: Cell::new(0),
            gathered: OnceCell::new(),
            early: None,
            task: Task::default(),
        }
    }

    /// The connection, with what tells whether bytes came in early data.
    #[must_use]
    pub fn reading(self, early: Option<Rc<EarlyBytes>>) -> Self {
        Self { early, ..self }
    }

    /// Whether all that was read so far came in early data: a request in it may be a replay.
    pub fn is_early(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.is_all())
    }

    /// Room for bodies of its requests that are held whole.
    pub fn gathered(&self) -> &Room {
        self.gathered.get_or_init(|| Room::new(limits::GATHERED_BYTES_CONNECTION))
    }

    /// Whether the policy in service would let the connection in.
    pub fn is_admitted(&self) -> bool {
        self.admission.holds(&self.info, &self.handle, &self.worker)
    }

    /// Counts a request; returns its number on this connection, from 1.
    pub fn count_request(&self) -> u32 {
        self.requests.set(self.requests.get().saturating_add(1));
        self.requests.get()
    }

    /// Finish the requests in flight, then close.
    pub fn finish(&self) {
        self.finishing.set(true);
        self.task.wake();
    }

    /// Whether it should close after the requests in flight.
    pub fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Close now.
    pub fn abort(&self) {
        self.aborted.set(true);
        self.task.wake();
    }

    /// Whether it should close now.
    pub fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// The task to wake when it is to finish or to close; it stays the same for the connection's life. The task says so
    /// whenever it begins anew.
    pub fn register(&self, waker: &Waker) {
        if let Some(early) = &self.early {
            early.settle();
        }
        self.task.register(waker);
    }
}

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: no request has begun. Ends with `idle-timeout`, without a word.
    Idle,
    /// A request head is arriving. Ends with `request-timeout` counted from its first byte, however many arrive.
    Head,
    /// The request is being served and its answer has not begun. Silence ends with 504, or 408 if the client owes a body.
    Waiting,
    /// The answer is under way. Silence ends the stream.
    Answering,
    /// Bytes go both ways. Silence ends it after `tunnel-timeout`.
    Tunnel,
    /// Other streams carry the requests, and the deadlines.
    Serving,
    /// What is left of answers waits for the client, and no stream is held any more. Silence ends the connection, and only
    /// what the client takes breaks it, not what it sends.
    Flushing,
    /// Other streams may carry requests, and none does. Bytes that come or go meanwhile count for nothing: it ends with
    /// `idle-timeout`.
    Unused,
}

/// One place for a request on a client connection, with its deadline.
pub struct StreamState {
    /// The connection.
    pub connection: Rc<ConnectionState>,
    phase: Cell<Phase>,
    /// In [`Worker::now_ms`] time; `u64::MAX` is never.
    deadline_ms: Cell<u64>,
    /// How long silence may last in the current phase.
    patience_ms: Cell<u64>,
    /// The end that no progress puts off; `u64::MAX` is never.
    end_ms: Cell<u64>,
    idle_timeout_ms: Cell<u64>,
    request_timeout_ms: Cell<u64>,
    /// The deadline has passed and nobody has acted on it yet.
    expired: Cell<bool>,
    /// A backend waits for a part of the body that the client has not sent.
    body_due: Cell<bool>,
    /// The client waits to be told to send its body, and somebody wants it.
    continue_due: Cell<bool>,
    /// Bytes wait for a client that does not read.
    write_blocked: Cell<bool>,
    /// Why the request in flight is about to fail, if the connection knows better than its body.
    ending: Cell<Option<Failure>>,
    /// Bytes of the request's body that came.
    bytes_in: Cell<u64>,
    /// Tries of the request in flight beyond the first.
    retries: Cell<u32>,
    task: Task,
    /// Its place among the worker's streams.
    key: Cell<usize>,
}

impl StreamState {
    /// A stream without a request. The worker watches its deadline until [`StreamState::leave`].
    pub fn enter(connection: &Rc<ConnectionState>) -> Rc<Self> {
        let stream = Rc::new(Self {
            connection: Rc::clone(connection),
            phase: Cell::new(Phase::Idle),
            deadline_ms: Cell::new(u64::MAX),
            patience_ms: Cell::new(0),
            end_ms: Cell::new(u64::MAX),
            idle_timeout_ms: Cell::new(0),
            request_timeout_ms: Cell::new(0),
            expired: Cell::new(false),
            body_due: Cell::new(false),
            continue_due: Cell::new(false),
            write_blocked: Cell::new(false),
            ending: Cell::new(None),
            bytes_in: Cell::new(0),
            retries: Cell::new(0),
            task: Task::default(),
            key: Cell::new(usize::MAX),
        });
        stream.set_timeouts();
        stream.set_phase(Phase::Idle);
        stream.key.set(connection.worker.enter_stream(Rc::clone(&stream)));
        stream
    }

    /// Nobody watches its deadline any more.
    pub fn leave(&self) {
        self.connection.worker.leave_stream(self.key.replace(usize::MAX));
    }

    /// Takes the timeouts of the policy in service.
    fn set_timeouts(&self) {
        let connection = &self.connection;
        connection.handle.with_listener(&connection.worker, |listener, _| {
            self.idle_timeout_ms.set(millis(listener.idle_timeout));
            self.request_timeout_ms.set(millis(listener.request_timeout));
        });
    }

    /// Its worker.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.connection.worker
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether the stream has no request in flight: at most, a head is arriving.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        self.patience_ms.set(match phase {
            Phase::Idle | Phase::Unused => self.idle_timeout_ms.get(),
            Phase::Head | Phase::Waiting | Phase::Answering | Phase::Flushing | Phase::Tunnel => {
                self.request_timeout_ms.get()
            }
            Phase::Serving => u64::MAX,
        });
        self.renew();
    }

    fn renew(&self) {
        let deadline = self.worker().now_ms().saturating_add(self.patience_ms.get()).saturating_add(TICK_MS);
        self.deadline_ms.set(deadline.min(self.end_ms.get()));
    }

    /// A request begins; returns its number on this connection, from 1.
    pub fn begin_request(&self, timeout: Duration) -> u32 {
        self.request_timeout_ms.set(millis(timeout));
        self.body_due.set(false);
        self.ending.set(None);
        self.bytes_in.set(0);
        self.retries.set(0);
        self.end_ms.set(u64::MAX);
        self.set_phase(Phase::Waiting);
        self.connection.count_request()
    }

    /// The rule has a `timeout` of its own for this request.
    pub fn set_request_timeout(&self, timeout: Duration) {
        self.request_timeout_ms.set(millis(timeout));
        self.set_phase(self.phase.get());
    }

    /// The request has to be over by then, however much progress it makes.
    pub fn set_end(&self, within: Duration) {
        self.end_ms.set(self.worker().now_ms().saturating_add(millis(within)).saturating_add(TICK_MS));
        self.renew();
    }

    /// The answer begins.
    pub fn begin_answer(&self) {
        self.set_phase(Phase::Answering);
    }

    /// The connection carries bytes now.
    pub fn begin_tunnel(&self, timeout: Duration) {
        self.end_ms.set(u64::MAX);
        self.phase.set(Phase::Tunnel);
        self.patience_ms.set(millis(timeout));
        self.renew();
    }

    /// How long silence may last.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.get())
    }

    /// What the own stream of a connection does whose requests are on others.
    pub fn stand_by(&self, phase: Phase) {
        self.set_timeouts();
        self.set_phase(phase);
    }

    /// Stands by, but not beyond this time of the worker's clock.
    pub fn stand_by_until(&self, phase: Phase, end_ms: u64) {
        self.stand_by(phase);
        self.deadline_ms.set(end_ms.saturating_add(TICK_MS));
    }

    /// The answer is complete.
    pub fn end_request(&self) {
        self.set_timeouts();
        self.end_ms.set(u64::MAX);
        self.set_phase(Phase::Idle);
    }

    /// Whether a backend waits for a part of the body that the client has not sent.
    pub fn set_body_due(&self, due: bool) {
        self.body_due.set(due);
    }

    /// Whether a backend waits for a part of the body that the client has not sent.
    pub fn is_body_due(&self) -> bool {
        self.body_due.get()
    }

    /// Somebody wants the body of a client that waits to be told so (RFC 9110, 10.1.1).
    pub fn want_continue(&self) {
        self.continue_due.set(true);
        self.task.wake();
    }

    /// Whether the client is to be told to send its body; says so once.
    pub fn take_continue(&self) -> bool {
        self.continue_due.replace(false)
    }

    /// Bytes of the request's body came.
    pub fn count_body(&self, bytes: u64) {
        self.bytes_in.set(self.bytes_in.get().saturating_add(bytes));
    }

    /// Bytes of the request's body that came.
    pub fn bytes_in(&self) -> u64 {
        self.bytes_in.get()
    }

    /// The request in flight is tried once more.
    pub fn count_retry(&self) {
        self.retries.set(self.retries.get().saturating_add(1));
    }

    /// Tries of the request in flight beyond the first.
    pub fn retries(&self) -> u32 {
        self.retries.get()
    }

    /// Why the request in flight is about to fail.
    pub fn set_ending(&self, failure: Failure) {
        self.ending.set(Some(failure));
    }

    /// Why the request in flight failed, if the connection knows.
    pub fn ending(&self) -> Option<Failure> {
        if self.connection.is_aborted() { Some(Failure::Drained) } else { self.ending.get() }
    }

    /// Bytes came from the client.
    pub fn note_read(&self) {
        match self.phase.get() {
            Phase::Idle => self.set_phase(Phase::Head),
            Phase::Head | Phase::Flushing | Phase::Serving | Phase::Unused => {}
            Phase::Waiting | Phase::Answering | Phase::Tunnel => self.renew(),
        }
    }

    /// Bytes went to the client, or would have gone if it read.
    pub fn note_write(&self, blocked: bool) {
        self.write_blocked.set(blocked);
        if !blocked && !matches!(self.phase.get(), Phase::Head | Phase::Serving | Phase::Unused) {
            self.renew();
        }
    }

    /// A backend did something for the request in flight.
    pub fn note_upstream(&self) {
        self.renew();
    }

    /// Whether bytes wait for a client that does not read.
    pub fn is_write_blocked(&self) -> bool {
        self.write_blocked.get()
    }

    /// Whether the deadline has passed.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.deadline_ms.get() <= now_ms
    }

    /// Called by the worker's tick: wakes the stream's task if its time is up.
    pub fn expire(&self, now_ms: u64) {
        if self.is_due(now_ms) {
            self.deadline_ms.set(u64::MAX);
            self.expired.set(true);
            self.task.wake();
        }
    }

    /// Whether the deadline has passed; says so once.
    pub fn take_expired(&self) -> bool {
        self.expired.replace(false)
    }

    /// The task to wake when the deadline has passed.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }
}

/// A task to wake.
#[derive(Default)]
struct Task(RefCell<Option<Waker>>);

impl Task {
    fn register(&self, waker: &Waker) {
        let mut known = self.0.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// The clock may be a tick behind: what is added to every deadline, so that no timeout comes early.
const TICK_MS: u64 = limits::TICK.subsec_millis() as u64;

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
