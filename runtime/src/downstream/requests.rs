//! The requests of a connection that carries many at once: HTTP/2 and HTTP/3.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use crate::downstream::resets::Resets;
use crate::request::connection_state::ConnectionState;
use crate::request::state::StreamState;

/// What the connection's task and those of its requests share.
pub struct Requests {
    /// The connection.
    pub connection: Rc<ConnectionState>,
    /// The account of requests that the client gave up.
    pub resets: Resets,
    /// The number of requests whose tasks have not ended.
    active: Cell<usize>,
    /// Requests that have ended while parts of their answers wait for the client, or for its acknowledgement.
    unsettled: Cell<usize>,
    /// The connection's task.
    waker: RefCell<Option<Waker>>,
}

impl Requests {
    /// The requests of a new connection: none so far.
    pub fn new(connection: &Rc<ConnectionState>) -> Rc<Self> {
        Rc::new(Self {
            connection: Rc::clone(connection),
            resets: Resets::new(connection.worker.now_ms()),
            active: Cell::new(0),
            unsettled: Cell::new(0),
            waker: RefCell::new(None),
        })
    }

    /// A request begins.
    pub fn begin(self: &Rc<Self>) -> InFlight {
        self.active.set(self.active.get() + 1);
        InFlight { requests: Rc::clone(self), stream: StreamState::enter(&self.connection) }
    }

    /// Whether some have not ended.
    pub fn are_active(&self) -> bool {
        self.active.get() > 0
    }

    /// Whether the client has all the answers of the requests that have ended.
    pub fn are_settled(&self) -> bool {
        self.unsettled.get() == 0
    }

    /// The connection's task, which stays the same for its life.
    pub fn register(&self, waker: &Waker) {
        self.connection.register(waker);
        self.waker.borrow_mut().get_or_insert_with(|| waker.clone());
    }

    /// Wakes the connection's task: there is something to see.
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// A request that has not ended. Dropping it lets the connection know that it has.
pub struct InFlight {
    requests: Rc<Requests>,
    /// The stream of the request.
    pub stream: Rc<StreamState>,
}

impl InFlight {
    /// Whether the client let it finish.
    pub fn note_end(&self, finished: bool) {
        if finished {
            self.requests.resets.count_finished();
        } else if self.requests.resets.count_reset(self.stream.worker().now_ms()) {
            self.requests.wake();
        }
    }

    /// The request has ended, and the client does not have its answer yet.
    pub fn unsettled(self) -> Unsettled {
        self.requests.unsettled.set(self.requests.unsettled.get() + 1);
        Unsettled(Rc::clone(&self.requests))
    }
}

/// A request that has ended while its answer is on its way. To be dropped when it has arrived.
pub struct Unsettled(Rc<Requests>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        let unsettled = self.0.unsettled.get() - 1;
        self.0.unsettled.set(unsettled);
        if unsettled == 0 {
            self.0.wake();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stream.leave();
        let active = self.requests.active.get() - 1;
        self.requests.active.set(active);
        if active == 0 {
            self.requests.wake();
        }
    }
}
