//! Idle connections to servers, kept by each worker for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use hyper::client::conn::http1::SendRequest;
use tidegate_base::clock::millis;
use tidegate_base::limits;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connect::{Bare, Http1, Switched};
use crate::content::Content;
use crate::group::InFlight;
use crate::multiplexed::Multiplexed;
use crate::tls::Secure;
use crate::wire::Wire;

/// The pools of one worker, by the server's host, port, and what its connections are secured with. They outlive reloads.
pub struct Pools<B>(RefCell<HashMap<Key, Rc<ServerPool<B>>>>);

type Key = (String, u16, Option<Secure>);

impl<B> Default for Pools<B> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<B> Pools<B> {
    /// The pool of a server.
    pub(crate) fn of(&self, host: &str, port: u16, secure: Option<&Secure>) -> Rc<ServerPool<B>> {
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

    /// Closes connections that were idle for too long. Called once a [`limits::TICK`].
    pub fn prune(&self, now_ms: u64) {
        let idle_ms = millis(limits::UPSTREAM_IDLE);
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
pub(crate) struct ServerPool<B> {
    /// What new connections are secured with; `None` is in clear text.
    pub(crate) secure: Option<Secure>,
    /// The connections of HTTP/2, which many requests share.
    pub(crate) multiplexed: Multiplexed,
    /// The idle connections of HTTP/1. The one used last is taken first, so that the others can grow old and go.
    idle: RefCell<Vec<Idle<B>>>,
}

struct Idle<B> {
    connection: Http1<B>,
    since_ms: u64,
}

impl<B> ServerPool<B> {
    /// An idle connection that is still open, as far as we know.
    pub(crate) fn take(&self) -> Option<Http1<B>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
        None
    }

    /// The number of idle connections.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}

/// A connection in use, and the request that is in flight on it. Dropping it ends the connection, whatever is under way there.
pub(crate) struct Lease<B> {
    /// The way in for requests.
    pub(crate) sender: SendRequest<Content<B>>,
    /// The bound on what comes before a response.
    pub(crate) wire: Rc<Wire>,
    hold: Hold,
    in_flight: InFlight<B>,
    /// Whether the connection has carried a request before: it may then be closing without our knowing.
    pub(crate) reused: bool,
    /// The bytes of the connection, once it has switched protocols.
    switched: Option<oneshot::Receiver<Bare>>,
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

impl<B> Lease<B> {
    /// A new connection for a request.
    pub(crate) fn new(Http1 { sender, wire, task }: Http1<B>, in_flight: InFlight<B>) -> Self {
        Self { sender, wire, hold: Hold(Some(task)), in_flight, reused: false, switched: None }
    }

    /// An idle connection for a request.
    pub(crate) fn again(Http1 { sender, wire, task }: Http1<B>, in_flight: InFlight<B>) -> Self {
        Self { sender, wire, hold: Hold(Some(task)), in_flight, reused: true, switched: None }
    }

    /// A new connection that may switch protocols; it carries one request only.
    pub(crate) fn for_upgrade(connection: Http1<B>, in_flight: InFlight<B>, switched: oneshot::Receiver<Bare>) -> Self {
        let mut lease = Self::new(connection, in_flight);
        lease.switched = Some(switched);
        lease
    }

    /// The bytes of a connection that was opened for an upgrade.
    pub(crate) fn into_switched(mut self) -> Option<Switched<B>> {
        let switched = self.switched?;
        // Its task hands them over, and ends.
        self.hold.0 = None;
        Some(Switched::new(switched, self.in_flight))
    }

    /// Puts the connection back, if there is room and the server lets it live.
    ///
    /// The response has ended. If the request has not, because the server answered before it had read it, nothing is known
    /// of when it will: such a connection ends here. So does one that was opened for an upgrade.
    pub(crate) fn give_back(mut self, now_ms: u64) {
        if !self.sender.is_ready() {
            return;
        }
        let Some(task) = self.hold.0.take() else { return };
        let Some((pool, keep)) = self.in_flight.pool().filter(|_| self.switched.is_none()) else { return };
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < keep {
            let connection = Http1 { sender: self.sender, wire: self.wire, task };
            idle.push(Idle { connection, since_ms: now_ms });
        }
    }
}
