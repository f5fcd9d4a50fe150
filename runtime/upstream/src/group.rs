//! A server group on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use http_body::Body;
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{RetryOn, Server, ServerGroup};
use tidegate_engine::affinity::CookieKeys;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::servers::{Servers, Wish};

use super::pool::{Pools, ServerPool};
use crate::health::ServerHealth;
use crate::tls::Upstream;

/// A group, its balancer and the pools of its servers.
pub struct Group<B> {
    /// What the policy says of it.
    pub plan: ServerGroup,
    /// How its servers are connected to.
    pub tls: Option<Upstream>,
    servers: RefCell<Servers>,
    keys: CookieKeys,
    counts: bool,
    /// Empty if its servers are not checked.
    health: Vec<Arc<ServerHealth>>,
    pools: Vec<Rc<ServerPool<B>>>,
}

impl<B: Body + 'static> Group<B> {
    /// A group whose servers use these pools.
    pub fn new(
        plan: ServerGroup,
        tls: Option<Upstream>,
        health: &[Arc<ServerHealth>],
        keys: &CookieKeys,
        pools: &Pools<B>,
    ) -> Self {
        let chosen = Servers::new(&plan, keys);
        let secure = |at| tls.as_ref().and_then(|tls| tls.secure(at));
        let servers = plan.servers.iter().enumerate();
        let pools = servers.map(|(at, server)| pools.of(&server.host, server.port, secure(at).as_ref())).collect();
        Self {
            plan,
            tls,
            counts: chosen.counts(),
            servers: RefCell::new(chosen),
            keys: keys.clone(),
            health: health.to_vec(),
            pools,
        }
    }

    /// Whether a group of a later policy is this one.
    pub fn is_same(
        &self,
        plan: &ServerGroup,
        tls: Option<&Upstream>,
        health: &[Arc<ServerHealth>],
        keys: &CookieKeys,
    ) -> bool {
        let checked = self.health.iter().zip(health).all(|(one, other)| Arc::ptr_eq(one, other));
        let named = plan.sticky.is_none() || self.keys == *keys;
        named && self.plan == *plan && self.tls.as_ref() == tls && self.health.len() == health.len() && checked
    }

    /// What a request asks of the choice of a server.
    pub fn wish(&self, exchange: &Exchange) -> Wish {
        self.servers.borrow().wish(exchange)
    }

    /// The next healthy server that was not tried yet; a backup if no other is left. `random` decides where the policy leaves it to chance.
    pub fn pick(&self, wish: Wish, random: u64, tried: &[usize]) -> Option<(usize, &Server, &Rc<ServerPool<B>>)> {
        let backup = |at: usize| self.plan.servers.get(at).is_some_and(|server| server.backup);
        let mut servers = self.servers.borrow_mut();
        let healthy = |at: usize| self.health.get(at).is_none_or(|health| health.is_healthy());
        let mut first = |usable: &dyn Fn(usize) -> bool| {
            let open = |at: usize| usable(at) && !tried.contains(&at);
            let chosen = servers.pick(wish, random, |at| !backup(at) && open(at));
            chosen.or_else(|| servers.pick(wish, random, |at| backup(at) && open(at)))
        };
        // If none is healthy, the checks may be what is wrong: all are tried.
        let at = first(&healthy).or_else(|| first(&|_| true))?;
        Some((at, self.plan.servers.get(at)?, self.pools.get(at)?))
    }

    /// Counts a request to a server until what is returned is dropped; `None` if the choice does not depend on it.
    pub fn busy(self: &Rc<Self>, server: usize) -> Option<Busy<B>> {
        self.counts.then(|| {
            self.servers.borrow_mut().begin(server);
            Busy { group: Rc::clone(self), server }
        })
    }

    /// What tells a client the server that it is to stay on, if it does not know.
    pub fn tell(&self, wish: Wish, server: usize, secure: bool) -> Option<HeaderValue> {
        self.servers.borrow().tell(wish, server, secure)
    }

    /// Whether some server is left for a request beside those that were tried, and this one.
    pub fn has_another(&self, server: usize, tried: &[usize]) -> bool {
        let takes =
            |(at, plan): (usize, &Server)| at != server && !tried.contains(&at) && !plan.stopped && plan.weight > 0;
        self.plan.servers.iter().enumerate().any(takes)
    }

    /// How many servers a request may try: one, and as many more as `retries` says.
    pub fn tries(&self) -> usize {
        usize::try_from(self.plan.retries.count).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Whether a request may go to another server after this one failed like this.
    pub fn retries_after(&self, failure: Failure) -> bool {
        let on = match failure {
            Failure::ConnectFailed | Failure::ConnectTimeout | Failure::UpstreamTls => RetryOn::ConnectFailure,
            Failure::UpstreamClosed => RetryOn::Reset,
            Failure::UpstreamTimeout => RetryOn::Timeout,
            _ => return false,
        };
        self.plan.retries.on.contains(&on)
    }

    /// Whether a request may go to another server after this one answered so.
    pub fn retries_status(&self, status: StatusCode) -> bool {
        let within = |on: &RetryOn| matches!(on, RetryOn::Status(range) if (range.first..=range.last).contains(&status.as_u16()));
        self.plan.retries.on.iter().any(within)
    }

    /// Whether `retries` may want a request a second time that a server has seen.
    pub fn retries_seen(&self) -> bool {
        self.plan.retries.on.iter().any(|on| *on != RetryOn::ConnectFailure)
    }

    /// Idle connections to keep for each server.
    pub fn keep(&self) -> usize {
        self.plan.keepalive.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX))
    }
}

/// A request in flight to a server.
pub struct Busy<B> {
    group: Rc<Group<B>>,
    server: usize,
}

impl<B> Drop for Busy<B> {
    fn drop(&mut self) {
        self.group.servers.borrow_mut().end(self.server);
    }
}
