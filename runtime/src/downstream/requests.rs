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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use tidegate_base::limits;

    use super::*;
    use crate::tests::{House, run};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The requests of a connection, and how often its task was woken since this was asked last.
    fn requests(house: &House) -> (Rc<Requests>, impl Fn() -> usize) {
        let (requests, count) = (Requests::new(&house.connection()), Arc::new(Count::default()));
        requests.register(&Waker::from(Arc::clone(&count)));
        (requests, move || count.0.swap(0, Ordering::Relaxed))
    }

    #[test]
    fn the_last_request_that_ends_wakes_the_connection() {
        let house = House::answering("");
        let (requests, woken) = requests(&house);
        assert!(!requests.are_active());
        let (first, second) = (requests.begin(), requests.begin());
        drop(first);
        assert!(requests.are_active() && woken() == 0);
        drop(second);
        assert!(!requests.are_active() && woken() == 1);
    }

    #[test]
    fn an_answer_on_its_way_is_no_request_and_its_arrival_wakes_the_connection() {
        let house = House::answering("");
        let (requests, woken) = requests(&house);
        let (first, second) = (requests.begin().unsettled(), requests.begin().unsettled());
        assert!(!requests.are_active() && !requests.are_settled());
        woken();
        drop(first);
        assert!(!requests.are_settled() && woken() == 0);
        drop(second);
        assert!(requests.are_settled() && woken() == 1);
    }

    #[test]
    fn one_given_up_too_many_wakes_the_connection_although_others_go_on() {
        let house = House::answering("");
        let (requests, woken) = requests(&house);
        let _goes_on = requests.begin();
        for _ in 0..limits::RESET_REQUESTS {
            requests.begin().note_end(false);
        }
        requests.begin().note_end(true);
        requests.begin().note_end(false);
        assert!(!requests.resets.are_too_many() && woken() == 0);
        requests.begin().note_end(false);
        assert!(requests.resets.are_too_many() && woken() == 1);
    }

    #[test]
    fn a_request_that_has_ended_has_no_deadline() {
        run(async {
            let house = House::answering("");
            let (requests, _) = requests(&house);
            let (ended, goes_on) = (requests.begin(), requests.begin());
            let streams = [&ended, &goes_on].map(|request| Rc::clone(&request.stream));
            for stream in &streams {
                stream.begin_request(Duration::from_secs(1));
            }
            drop(ended);
            house.pass(Duration::from_secs(2)).await;
            assert_eq!(streams.map(|stream| stream.take_expired()), [false, true]);
        });
    }
}
