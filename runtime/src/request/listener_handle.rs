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
