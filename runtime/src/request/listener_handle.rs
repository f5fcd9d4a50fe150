//! A listener's place on a worker: it outlives reloads as long as something listens there.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_base::address::ListenerKey;
use tidegate_base::bounds::Bound;
use tidegate_dsl::plan::{Listener, ListenerId};
use tokio::sync::Notify;

use crate::request::listener_load::ListenerLoad;
use crate::request::worker::Worker;
use crate::request::worker_snapshot::WorkerSnapshot;
use crate::tls::handshake::RefusedKind;

/// One socket of a listener, with the policy that its connections see.
pub struct ListenerHandle {
    /// The key of the listener: its identity over reloads.
    pub key: ListenerKey,
    /// The count over all workers.
    pub load: Arc<ListenerLoad>,
    /// The last policy that had this listener, and the listener in it.
    current: RefCell<(Rc<WorkerSnapshot>, ListenerId)>,
    /// Set when nothing listens here any more.
    closed: Cell<bool>,
    /// Wakes the accept loop when `closed` was set.
    pub closing: Notify,
}

impl ListenerHandle {
    /// A handle for a listener of this view; `None` if the view has none there.
    pub fn new(key: ListenerKey, load: Arc<ListenerLoad>, view: Rc<WorkerSnapshot>) -> Option<Self> {
        let listener = view.snapshot.listener_at(key)?;
        let current = RefCell::new((view, listener));
        Some(Self { key, load, current, closed: Cell::new(false), closing: Notify::new() })
    }

    /// The policy for the next request. A listener that the policy no longer has keeps the last one that had it,
    /// until its connections have drained.
    pub fn view(&self, worker: &Worker) -> (Rc<WorkerSnapshot>, ListenerId) {
        let newest = worker.view();
        let mut current = self.current.borrow_mut();
        if !Rc::ptr_eq(&newest, &current.0)
            && let Some(listener) = newest.snapshot.listener_at(self.key)
        {
            *current = (newest, listener);
        }
        (Rc::clone(&current.0), current.1)
    }

    /// Whether this TCP peer has to say first for whom it speaks.
    pub fn speaks_for_others(&self, worker: &Worker, peer: IpAddr) -> bool {
        let (view, id) = self.view(worker);
        view.snapshot.engine.expects_proxy_header(id, peer)
    }

    /// Whether `allow-from` and `deny-from` take a connection of this client; one that they do not take is counted.
    pub fn takes(&self, worker: &Worker, client: IpAddr) -> bool {
        let (view, id) = self.view(worker);
        let takes = view.snapshot.engine.takes(id, client);
        if !takes {
            Bound::Peers.met();
        }
        takes
    }

    /// Counts a handshake that failed.
    pub fn count_refused(&self, worker: &Worker, kind: RefusedKind) {
        let (view, id) = self.view(worker);
        if let Some(count) = view.meter(id).and_then(|meter| meter.cells.handshakes_failed.get(kind as usize)) {
            count.one();
        }
    }

    /// What the policy in service says of this listener.
    pub fn with_listener<T>(&self, worker: &Worker, read: impl FnOnce(&Listener, &Arc<str>) -> T) -> Option<T> {
        let (view, id) = self.view(worker);
        let listener = view.snapshot.plan().listeners.get(id.0)?;
        let name = view.snapshot.names.listeners.get(id.0)?;
        Some(read(listener, name))
    }

    /// Ends the accept loop.
    pub fn close(&self) {
        self.closed.set(true);
        self.closing.notify_one();
    }

    /// Whether the listener was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.get()
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{ANSWERS, House, policy};

    fn elsewhere(port: u16) -> String {
        policy("", ANSWERS).replace("port 8080", &format!("port {port}"))
    }

    #[test]
    fn a_listener_sees_the_policy_in_service() {
        let house = House::answering("");
        assert_eq!(house.handle.view(&house.worker).0.snapshot.generation, 1);
        house.reload(&policy("idle-timeout 9s", ANSWERS));
        assert_eq!(house.handle.view(&house.worker).0.snapshot.generation, 2);
        let read = house
            .handle
            .with_listener(&house.worker, |listener, name| (listener.idle_timeout.as_secs(), name.to_string()));
        assert_eq!(read, Some((9, "main".to_owned())));
    }

    #[test]
    fn a_listener_that_is_gone_keeps_the_last_policy_that_had_it() {
        let house = House::answering("");
        house.reload(&elsewhere(9090));
        assert_eq!(house.worker.view().snapshot.generation, 2);
        assert_eq!(house.handle.view(&house.worker).0.snapshot.generation, 1);
        house.reload(&elsewhere(8080));
        assert_eq!(house.handle.view(&house.worker).0.snapshot.generation, 3, "and it comes back");
    }

    #[test]
    fn a_listener_that_is_stopped_is_gone() {
        let house = House::answering("");
        house.reload(&policy("state stopped", ANSWERS));
        assert_eq!(house.handle.view(&house.worker).0.snapshot.generation, 1);
    }

    #[test]
    fn a_listener_may_move_in_the_policy() {
        let house = House::answering("");
        let other = "listener http other { port 9090; rules site }\n";
        house.reload(&policy("", ANSWERS).replacen('\n', &format!("\n{other}"), 1));
        let (view, id) = house.handle.view(&house.worker);
        assert_eq!((view.snapshot.generation, id.0), (2, 1));
    }

    #[test]
    fn the_peers_that_it_takes_are_those_of_the_policy_in_service() {
        let house = House::answering("allow-from 192.0.2.0/24");
        let takes = |client: &str| client.parse().is_ok_and(|client| house.handle.takes(&house.worker, client));
        assert!(takes("192.0.2.1") && !takes("198.51.100.1"));
        house.reload(&policy("deny-from 192.0.2.1", ANSWERS));
        assert!(!takes("192.0.2.1") && takes("198.51.100.1"));
    }

    #[test]
    fn a_handle_is_closed_once_and_for_all() {
        let house = House::answering("");
        assert!(!house.handle.is_closed() && !house.connection().is_finishing());
        house.handle.close();
        assert!(house.handle.is_closed() && house.connection().is_finishing(), "who comes now is the last");
    }
}
