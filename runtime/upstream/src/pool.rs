//! Idle connections to servers, kept by each worker for itself.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tidegate_base::clock::millis;
use tidegate_base::limits;

use crate::http1::Http1;
use crate::multiplexed::Multiplexed;
use crate::tls::Secure;

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

    /// Closes connections that were idle for too long, and says how many are idle still. Called once a [`limits::TICK`].
    pub fn prune(&self, now_ms: u64) -> usize {
        let idle_ms = millis(limits::UPSTREAM_IDLE);
        let mut left = 0;
        for pool in self.0.borrow().values() {
            pool.idle
                .borrow_mut()
                .retain(|idle| !idle.connection.sender.is_closed() && now_ms.saturating_sub(idle.since_ms) < idle_ms);
            pool.multiplexed.prune(now_ms, idle_ms);
            left += pool.idle.borrow().len() + pool.multiplexed.idle();
        }
        left
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

    /// Keeps a connection for later, unless so many are kept already.
    pub(crate) fn put(&self, connection: Http1<B>, since_ms: u64, keep: usize) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < keep {
            idle.push(Idle { connection, since_ms });
        }
    }

    /// The number of idle connections.
    #[cfg(test)]
    pub(crate) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }
}
