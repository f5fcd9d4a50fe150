//! What all requests of a client connection share.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use tidegate_base::limits;
use tidegate_base::local_waker::LocalWaker;
use tidegate_base::room::Room;
use tidegate_engine::exchange::Connection;

use crate::request::admission::Admission;
use crate::request::head::KnownHost;
use crate::request::listener_handle::ListenerHandle;
use crate::request::listener_load::ListenerLoad;
use crate::request::worker::{OpenConnection, Worker};
use crate::telemetry::metrics::registry::ListenerCells;
use crate::tls::early::EarlyBytes;

/// What all requests of a client connection share.
pub struct ConnectionState {
    /// What rules and hooks see of it.
    pub info: Arc<Connection>,
    /// The reasons that let it in.
    admission: Admission,
    /// The listener of the connection, on this worker.
    pub handle: Rc<ListenerHandle>,
    /// The worker of the connection.
    pub worker: Rc<Worker>,
    /// What is counted of the listener, by the name that it had when the connection began.
    pub cells: Arc<ListenerCells>,
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
    task: LocalWaker,
}

impl ConnectionState {
    /// A connection that has just been accepted.
    pub fn new(info: Arc<Connection>, admission: Admission, handle: Rc<ListenerHandle>, worker: Rc<Worker>) -> Self {
        let finishing = Cell::new(handle.is_closed());
        let (view, id) = handle.view(&worker);
        let cells = view.meter(id).map(|meter| Arc::clone(&meter.cells)).unwrap_or_default();
        Self {
            info,
            admission,
            handle,
            worker,
            cells,
            host: KnownHost::default(),
            finishing,
            aborted: Cell::new(false),
            requests: Cell::new(0),
            gathered: OnceCell::new(),
            early: None,
            task: LocalWaker::default(),
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

    /// Whether the connection closes after the requests in flight.
    pub fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    /// Whether the connection closes at once.
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

impl OpenConnection for ConnectionState {
    fn load(&self) -> &Arc<ListenerLoad> {
        &self.handle.load
    }

    fn is_admitted(&self) -> bool {
        self.admission.holds(&self.info, &self.handle, &self.worker)
    }

    fn is_finishing(&self) -> bool {
        self.finishing.get()
    }

    fn finish(&self) {
        self.finish();
    }

    fn abort(&self) {
        self.aborted.set(true);
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc as Shared;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;
    use crate::tests::{ANSWERS, House, policy};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Shared<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn requests_are_numbered_from_one() {
        let connection = House::answering("").connection();
        assert_eq!([(); 3].map(|()| connection.count_request()), [1, 2, 3]);
    }

    #[test]
    fn the_task_is_woken_to_finish_and_to_close() {
        let (connection, count) = (House::answering("").connection(), Shared::new(Count::default()));
        connection.register(&Waker::from(Shared::clone(&count)));
        assert!(!connection.is_finishing() && !connection.is_aborted());
        connection.finish();
        assert!(connection.is_finishing() && !connection.is_aborted());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        connection.register(&Waker::from(Shared::clone(&count)));
        connection.abort();
        assert!(connection.is_aborted());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn a_reload_decides_anew_who_is_admitted() {
        let house = House::answering("");
        let connection = house.connection();
        assert!(connection.is_admitted());
        house.reload(&policy("deny-from 192.0.2.1", ANSWERS));
        assert!(!connection.is_admitted());
        house.reload(&policy("", ANSWERS));
        assert!(connection.is_admitted());
    }

    #[test]
    fn bodies_of_one_connection_share_its_room() {
        let house = House::answering("");
        let connection = house.connection();
        let all = connection.gathered().take(limits::GATHERED_BYTES_CONNECTION);
        assert!(all.is_some() && connection.gathered().take(1).is_none());
        assert!(house.connection().gathered().take(1).is_some(), "another has its own");
    }

    #[test]
    fn a_connection_without_early_data_is_never_early() {
        let connection = House::answering("").connection();
        assert!(!connection.is_early());
    }
}
