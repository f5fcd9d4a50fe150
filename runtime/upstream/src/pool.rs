//! Idle connections to backends, kept by each worker for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use http_body::Body;
use hyper::client::conn::http1::SendRequest;
use tidegate_base::limits;
use tokio::task::JoinHandle;

use super::connect::{Http1, Switched};
use super::h2::Multiplexed;
use super::wire::Wire;
use crate::tls::Secure;

/// The pools of one worker, by the server's host, port, and what its connections are secured with. They outlive reloads.
pub struct Pools<B>(RefCell<HashMap<Key, Rc<ServerPool<B>>>>);

type Key = (String, u16, Option<Secure>);

impl<B> Default for Pools<B> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<B: Body + 'static> Pools<B> {
    /// The pool of a server.
    pub fn of(&self, host: &str, port: u16, secure: Option<&Secure>) -> Rc<ServerPool<B>> {
        let mut pools = self.0.borrow_mut();
        let pool = || {
            Rc::new(ServerPool {
                secure: secure.cloned(),
                multiplexed: Multiplexed::default(),
                idle: RefCell::default(),
            })
        };
        Rc::clone(pools.entry((host.to_owned(), port, secure.cloned())).or_insert_with(pool))
    }

    /// Closes what was idle for too long. Only whole seconds matter here, so most ticks do nothing.
    pub fn prune(&self, now_ms: u64) {
        let idle_ms = u64::try_from(limits::UPSTREAM_IDLE.as_millis()).unwrap_or(u64::MAX);
        for pool in self.0.borrow().values() {
            pool.idle
                .borrow_mut()
                .retain(|idle| !idle.connection.sender.is_closed() && now_ms.saturating_sub(idle.since_ms) < idle_ms);
            pool.multiplexed.prune(now_ms, idle_ms);
        }
    }

    /// Forgets the pools that no group uses.
    pub fn retain_used(&self) {
        self.0.borrow_mut().retain(|_, pool| Rc::strong_count(pool) > 1);
    }
}

/// The connections to one server that can take a request.
pub struct ServerPool<B> {
    /// What new connections are secured with; `None` is in clear text.
    pub secure: Option<Secure>,
    /// Connections of HTTP/2, which many requests share.
    pub multiplexed: Multiplexed,
    /// The one used last is taken first, so that the others can grow old and go.
    idle: RefCell<Vec<Idle<B>>>,
}

struct Idle<B> {
    connection: Http1<B>,
    since_ms: u64,
}

impl<B: Body + 'static> ServerPool<B> {
    /// An idle connection that is still open, as far as we know.
    pub fn take(self: &Rc<Self>, keep: usize) -> Option<Lease<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if !connection.sender.is_closed() {
                return Some(Lease { reused: true, ..self.lease(connection, keep) });
            }
        }
        None
    }

    /// A new connection as a lease.
    pub fn lease(self: &Rc<Self>, Http1 { sender, wire, task }: Http1<B>, keep: usize) -> Lease<B> {
        Lease { sender, wire, hold: Hold(Some(task)), pool: Rc::clone(self), keep, reused: false, switched: None }
    }

    /// A new connection that may switch protocols; it carries one request only.
    pub fn lease_for_upgrade(self: &Rc<Self>, connection: Http1<B>, switched: Switched) -> Lease<B> {
        Lease { switched: Some(switched), ..self.lease(connection, 0) }
    }
}

/// A connection in use. Dropping it ends the connection, whatever is under way on it.
pub struct Lease<B> {
    /// The connection.
    pub sender: SendRequest<B>,
    /// Knowledge of the connection beside its bytes.
    pub wire: Rc<Wire>,
    hold: Hold,
    pool: Rc<ServerPool<B>>,
    keep: usize,
    reused: bool,
    /// The connection's bytes, once it has switched protocols.
    switched: Option<Switched>,
}

/// Ends a connection's task when it is dropped.
struct Hold(Option<JoinHandle<()>>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl<B: Body + 'static> Lease<B> {
    /// Whether it has carried a request before: it may then be closing without our knowing.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The bytes of a connection that was opened for an upgrade.
    pub fn into_switched(mut self) -> Option<Switched> {
        // Its task hands them over, and ends.
        self.hold.0 = None;
        self.switched
    }

    /// Puts it back, if there is room and the backend lets it live.
    ///
    /// The answer has ended. If the request has not, because the backend answered before it had read it, nothing is known
    /// of when it will: such a connection ends here.
    pub fn give_back(mut self, now_ms: u64) {
        if !self.sender.is_ready() {
            return;
        }
        let Some(task) = self.hold.0.take() else { return };
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < self.keep {
            let connection = Http1 { sender: self.sender, wire: self.wire, task };
            idle.push(Idle { connection, since_ms: now_ms });
        }
    }
}
