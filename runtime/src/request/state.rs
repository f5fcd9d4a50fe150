//! What a stream of a client connection is doing, and until when it may.
//!
//! A [`StreamState`] is a place for one request at a time. An HTTP/1 connection has one, which also stands for the
//! time between requests. An HTTP/2 or HTTP/3 connection has one for itself, like stream 0 (RFC 9113, 5.1.1), and one more for
//! each request in flight.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::Duration;

use tidegate_base::failure::Failure;
use tidegate_base::guard::guarded;
use tidegate_base::timer::Timer;

use crate::request::client_body::Progress;
use crate::request::connection_state::ConnectionState;
use crate::request::traced::Trace;
use crate::request::worker::{Timed, Worker};

/// What a stream is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests: no head has begun. Ends with `idle-timeout`, without a word.
    Idle,
    /// A request head is arriving. Ends with `request-timeout` counted from its first byte, however many arrive.
    Head,
    /// The request is being served and its answer has not begun. Silence ends with 504, or 408 if the client owes a body.
    Waiting,
    /// The response is under way. Silence ends the stream.
    Responding,
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
    /// The deadline of the current phase.
    timer: Timer,
    idle_timeout: Cell<Duration>,
    request_timeout: Cell<Duration>,
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
    /// The trace of the request in flight.
    pub(super) trace: Trace,
    /// The stream's place among the timers of the worker.
    key: Cell<usize>,
}

impl StreamState {
    /// A stream without a request. The worker watches its deadline until [`StreamState::leave`].
    pub fn enter(connection: &Rc<ConnectionState>) -> Rc<Self> {
        let stream = Rc::new(Self {
            connection: Rc::clone(connection),
            phase: Cell::new(Phase::Idle),
            timer: Timer::default(),
            idle_timeout: Cell::default(),
            request_timeout: Cell::default(),
            body_due: Cell::new(false),
            continue_due: Cell::new(false),
            write_blocked: Cell::new(false),
            ending: Cell::new(None),
            bytes_in: Cell::new(0),
            retries: Cell::new(0),
            trace: Trace::default(),
            key: Cell::new(usize::MAX),
        });
        stream.set_timeouts();
        stream.set_phase(Phase::Idle);
        stream.key.set(connection.worker.watch(Rc::clone(&stream) as Rc<dyn Timed>));
        stream
    }

    /// Nobody watches its deadline any more.
    pub fn leave(&self) {
        self.connection.worker.unwatch(self.key.replace(usize::MAX));
    }

    /// Takes the timeouts of the policy in service.
    fn set_timeouts(&self) {
        let connection = &self.connection;
        connection.handle.with_listener(&connection.worker, |listener, _| {
            self.idle_timeout.set(listener.idle_timeout);
            self.request_timeout.set(listener.request_timeout);
        });
    }

    /// The worker of the connection.
    pub fn worker(&self) -> &Rc<Worker> {
        &self.connection.worker
    }

    /// The phase that the stream is in.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether the stream has no request in flight: at most, a head is arriving.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.phase.get(), Phase::Idle | Phase::Head)
    }

    fn set_phase(&self, phase: Phase) {
        self.phase.set(phase);
        let patience = match phase {
            Phase::Idle | Phase::Unused => Some(self.idle_timeout.get()),
            Phase::Head | Phase::Waiting | Phase::Responding | Phase::Flushing | Phase::Tunnel => {
                Some(self.request_timeout.get())
            }
            Phase::Serving => None,
        };
        self.timer.set_patience(patience, self.worker().now_ms());
    }

    fn renew(&self) {
        self.timer.renew(self.worker().now_ms());
    }

    /// A request begins; returns its number on this connection, from 1.
    pub fn begin_request(&self, timeout: Duration) -> u32 {
        self.request_timeout.set(timeout);
        self.body_due.set(false);
        self.ending.set(None);
        self.bytes_in.set(0);
        self.retries.set(0);
        self.trace.forget();
        self.timer.clear_end();
        self.set_phase(Phase::Waiting);
        self.connection.count_request()
    }

    /// The rule has a `timeout` of its own for this request.
    pub fn set_request_timeout(&self, timeout: Duration) {
        self.request_timeout.set(timeout);
        self.set_phase(self.phase.get());
    }

    /// The request has to be over by then, however much progress it makes.
    pub fn set_end(&self, within: Duration) {
        self.timer.set_end(within, self.worker().now_ms());
    }

    /// The answer begins.
    pub fn begin_response(&self) {
        self.set_phase(Phase::Responding);
    }

    /// The connection carries bytes now.
    pub fn begin_tunnel(&self, timeout: Duration) {
        self.timer.clear_end();
        self.phase.set(Phase::Tunnel);
        self.timer.set_patience(Some(timeout), self.worker().now_ms());
    }

    /// How long silence may last.
    pub fn patience(&self) -> Duration {
        self.timer.patience()
    }

    /// What the own stream of a connection does whose requests are on others.
    pub fn stand_by(&self, phase: Phase) {
        self.set_timeouts();
        self.set_phase(phase);
    }

    /// Stands by, but not beyond this time of the worker's clock.
    pub fn stand_by_until(&self, phase: Phase, end_ms: u64) {
        self.stand_by(phase);
        self.timer.set_deadline(end_ms);
    }

    /// The answer is complete.
    pub fn end_request(&self) {
        self.set_timeouts();
        self.timer.clear_end();
        self.set_phase(Phase::Idle);
    }

    /// Whether the client is to be told to send its body; says so once.
    pub fn take_continue(&self) -> bool {
        self.continue_due.replace(false)
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
            Phase::Waiting | Phase::Responding | Phase::Tunnel => self.renew(),
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

    /// Whether the deadline has passed; says so once.
    pub fn take_expired(&self) -> bool {
        self.timer.take_expired()
    }

    /// Registers the task to wake when the deadline has passed.
    pub fn register(&self, waker: &Waker) {
        self.timer.register(waker);
    }

    /// The failure of whoever was silent for too long in this phase.
    pub fn silence(&self) -> Failure {
        let client_is_due = match self.phase.get() {
            Phase::Tunnel => return Failure::TunnelTimeout,
            Phase::Waiting => self.body_due.get(),
            Phase::Responding => self.write_blocked.get(),
            Phase::Idle | Phase::Head | Phase::Serving | Phase::Flushing | Phase::Unused => true,
        };
        if client_is_due { Failure::ClientTimeout } else { Failure::UpstreamTimeout }
    }

    /// The reason why the stream is over, if it is: its deadline has passed, or the gateway goes down. The task is woken when
    /// that comes to be so.
    pub fn over(&self, cx: &Context<'_>) -> Option<Failure> {
        self.register(cx.waker());
        if self.connection.is_aborted() {
            return Some(Failure::Drained);
        }
        self.take_expired().then(|| self.silence())
    }

    /// Waits for a future, unless the stream is [over](Self::over) before.
    ///
    /// # Errors
    /// The reason why it is over.
    pub async fn guard<F: Future>(&self, future: Pin<&mut F>) -> Result<F::Output, Failure> {
        guarded(|cx| self.over(cx), future).await
    }

    /// Waits for a future on the connection's own task, unless the stream is [over](Self::over) before.
    ///
    /// # Errors
    /// The reason why it is over.
    pub async fn guard_connection<F: Future>(&self, future: Pin<&mut F>) -> Result<F::Output, Failure> {
        let over = |cx: &mut Context<'_>| {
            self.connection.register(cx.waker());
            self.over(cx)
        };
        guarded(over, future).await
    }
}

impl Timed for StreamState {
    fn timer(&self) -> &Timer {
        &self.timer
    }
}

impl Progress for StreamState {
    fn count_body(&self, bytes: u64) {
        self.bytes_in.set(self.bytes_in.get().saturating_add(bytes));
        self.connection.cells.received.add(bytes);
    }

    fn set_body_due(&self, due: bool) {
        self.body_due.set(due);
    }

    fn want_continue(&self) {
        self.continue_due.set(true);
        self.timer.wake();
    }

    fn note_upstream(&self) {
        self.note_upstream();
    }

    fn set_ending(&self, failure: Failure) {
        self.set_ending(failure);
    }
}

#[cfg(test)]
mod tests;
