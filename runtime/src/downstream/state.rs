//! What a client connection is doing, and until when it may.
//!
//! There is no timer for a connection or a request: the worker's tick compares every connection's deadline with its
//! clock. Setting a deadline is one store, so progress can renew it on every read and write.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use tidegate_engine::exchange::Connection;

use super::head::KnownHost;
use crate::failure::Failure;
use crate::limits;
use crate::worker::{Slot, Worker};

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: no request has begun. Ends with `idle-timeout`, without a word.
    Idle,
    /// A request head is arriving. Ends with `request-timeout` counted from its first byte, however many arrive.
    Head,
    /// The request is being served and its answer has not begun. Silence ends with 504, or 408 if the client owes a body.
    Waiting,
    /// The answer is under way. Silence ends the connection.
    Answering,
}

/// The shared state of one client connection.
pub struct ConnectionState {
    /// What rules and hooks see of it.
    pub info: Arc<Connection>,
    /// Its listener on this worker.
    pub slot: Rc<Slot>,
    /// Its worker.
    pub worker: Rc<Worker>,
    /// The host that it asked for last.
    pub host: KnownHost,
    phase: Cell<Phase>,
    /// In [`Worker::now_ms`] time; `u64::MAX` is never.
    deadline_ms: Cell<u64>,
    /// How long silence may last in the current phase.
    patience_ms: Cell<u64>,
    idle_timeout_ms: Cell<u64>,
    request_timeout_ms: Cell<u64>,
    /// The deadline has passed and nobody has acted on it yet.
    expired: Cell<bool>,
    /// Finish the request in flight, then close.
    finishing: Cell<bool>,
    /// Close now.
    aborted: Cell<bool>,
    /// A backend waits for a part of the body that the client has not sent.
    body_due: Cell<bool>,
    /// Bytes wait for a client that does not read.
    write_blocked: Cell<bool>,
    /// Why the request in flight is about to fail, if the connection knows better than its body.
    ending: Cell<Option<Failure>>,
    /// Requests so far.
    requests: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

impl ConnectionState {
    /// A connection that has just been accepted.
    pub fn new(info: Arc<Connection>, slot: Rc<Slot>, worker: Rc<Worker>) -> Self {
        let finishing = Cell::new(slot.is_closed());
        let state = Self {
            info,
            slot,
            worker,
            host: KnownHost::default(),
            phase: Cell::new(Phase::Idle),
            deadline_ms: Cell::new(u64::MAX),
            patience_ms: Cell::new(0),
            idle_timeout_ms: Cell::new(0),
            request_timeout_ms: Cell::new(0),
            expired: Cell::new(false),
            finishing,
            aborted: Cell::new(false),
            body_due: Cell::new(false),
            write_blocked: Cell::new(false),
            ending: Cell::new(None),
            requests: Cell::new(0),
            waker: RefCell::new(None),
        };
        state.set_timeouts();
        state.enter(Phase::Idle);
        state
    }

    /// Takes the timeouts of the policy in service.
    fn set_timeouts(&self) {
        self.slot.with_listener(&self.worker, |listener, _| {
            self.idle_timeout_ms.set(millis(listener.idle_timeout));
            self.request_timeout_ms.set(millis(listener.request_timeout));
        });
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        let patience = if phase == Phase::Idle { &self.idle_timeout_ms } else { &self.request_timeout_ms };
        self.patience_ms.set(patience.get());
        self.renew();
    }

    fn renew(&self) {
        // The clock may be a tick behind: add one, so that no timeout comes early.
        let tick = millis(limits::TICK);
        self.deadline_ms.set(self.worker.now_ms().saturating_add(self.patience_ms.get()).saturating_add(tick));
    }

    /// A request begins; returns its number on this connection, from 1.
    pub fn begin_request(&self, timeout: Duration) -> u32 {
        self.request_timeout_ms.set(millis(timeout));
        self.body_due.set(false);
        self.ending.set(None);
        self.enter(Phase::Waiting);
        self.requests.set(self.requests.get().saturating_add(1));
        self.requests.get()
    }

    /// The rule has a `timeout` of its own for this request.
    pub fn set_request_timeout(&self, timeout: Duration) {
        self.request_timeout_ms.set(millis(timeout));
        self.enter(self.phase.get());
    }

    /// The answer begins.
    pub fn begin_answer(&self) {
        self.enter(Phase::Answering);
    }

    /// The answer is complete.
    pub fn end_request(&self) {
        self.set_timeouts();
        self.enter(Phase::Idle);
    }

    /// Whether a backend waits for a part of the body that the client has not sent.
    pub fn set_body_due(&self, due: bool) {
        self.body_due.set(due);
    }

    /// Whether a backend waits for a part of the body that the client has not sent.
    pub fn is_body_due(&self) -> bool {
        self.body_due.get()
    }

    /// Why the request in flight is about to fail.
    pub fn set_ending(&self, failure: Failure) {
        self.ending.set(Some(failure));
    }

    /// Why the request in flight failed, if the connection knows.
    pub fn ending(&self) -> Option<Failure> {
        self.ending.get()
    }

    /// Bytes came from the client.
    pub fn note_read(&self) {
        match self.phase.get() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Head => {}
            Phase::Waiting | Phase::Answering => self.renew(),
        }
    }

    /// Bytes went to the client, or would have gone if it read.
    pub fn note_write(&self, blocked: bool) {
        self.write_blocked.set(blocked);
        if !blocked && self.phase.get() != Phase::Head {
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

    /// Called by the worker's tick: wakes the connection if its time is up.
    pub fn expire(&self, now_ms: u64) {
        if self.deadline_ms.get() <= now_ms {
            self.deadline_ms.set(u64::MAX);
            self.expired.set(true);
            self.wake();
        }
    }

    /// Whether the deadline has passed; says so once.
    pub fn take_expired(&self) -> bool {
        self.expired.replace(false)
    }

    /// Whether the deadline has passed.
    pub fn is_expired(&self) -> bool {
        self.expired.get()
    }

    /// Finish the request in flight, then close.
    pub fn finish(&self) {
        self.finishing.set(true);
        self.wake();
    }

    /// Whether it should close after the request in flight.
    pub fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Close now.
    pub fn abort(&self) {
        self.ending.set(Some(Failure::Drained));
        self.aborted.set(true);
        self.wake();
    }

    /// Whether it should close now.
    pub fn is_aborted(&self) -> bool {
        self.aborted.get()
    }

    /// The task to wake; it stays the same for the connection's life.
    pub fn register(&self, waker: &Waker) {
        let mut known = self.waker.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
