//! A server group on one worker.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, StatusCode};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{RetryOn, Server, ServerGroup};
use tidegate_engine::affinity::CookieKeys;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::servers::{PickRequest, Servers};

use crate::caller::Caller;
use crate::health::ServerHealth;
use crate::meter::GroupMeter;
use crate::pool::{Pools, ServerPool};
use crate::tls::GroupTls;

/// A group, the balance of its servers, and their pools.
pub struct Group<B> {
    /// The group as the policy has it.
    pub plan: ServerGroup,
    /// How the servers are connected to.
    tls: Option<GroupTls>,
    servers: RefCell<Servers>,
    keys: CookieKeys,
    /// Whether the choice of a server depends on the requests in flight.
    counts: bool,
    /// What is known of each server; empty if they are not checked.
    health: Vec<Arc<ServerHealth>>,
    pools: Vec<Rc<ServerPool<B>>>,
    /// What is counted of it.
    pub(crate) meter: GroupMeter,
}

impl<B> Group<B> {
    /// A group whose servers use these pools, and are counted there.
    pub fn new(
        plan: ServerGroup,
        tls: Option<GroupTls>,
        health: &[Arc<ServerHealth>],
        keys: &CookieKeys,
        pools: &Pools<B>,
        meter: GroupMeter,
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
            meter,
        }
    }

    /// Whether a group of a later policy is this one.
    pub fn is_same(
        &self,
        plan: &ServerGroup,
        tls: Option<&GroupTls>,
        health: &[Arc<ServerHealth>],
        keys: &CookieKeys,
    ) -> bool {
        let checked = self.health.iter().zip(health).all(|(one, other)| Arc::ptr_eq(one, other));
        let named = plan.sticky.is_none() || self.keys == *keys;
        named && self.plan == *plan && self.tls.as_ref() == tls && self.health.len() == health.len() && checked
    }

    /// What a request asks of the choice of a server.
    pub fn pick_request(&self, exchange: &Exchange) -> PickRequest {
        self.servers.borrow().pick_request(exchange)
    }

    /// The next healthy server that was not tried yet; a backup if no other is left. `random` decides where the policy leaves it to chance.
    pub(crate) fn pick(
        &self,
        pick: PickRequest,
        random: u64,
        tried: &[usize],
    ) -> Option<(usize, &Server, &Rc<ServerPool<B>>)> {
        let backup = |at: usize| self.plan.servers.get(at).is_some_and(|server| server.backup);
        let mut servers = self.servers.borrow_mut();
        let healthy = |at: usize| self.health.get(at).is_none_or(|health| health.is_healthy());
        let mut first = |usable: &dyn Fn(usize) -> bool| {
            let open = |at: usize| usable(at) && !tried.contains(&at);
            let chosen = servers.pick(pick, random, |at| !backup(at) && open(at));
            chosen.or_else(|| servers.pick(pick, random, |at| backup(at) && open(at)))
        };
        // If none is healthy, the checks may be what is wrong: all are tried.
        let at = first(&healthy).or_else(|| first(&|_| true))?;
        Some((at, self.plan.servers.get(at)?, self.pools.get(at)?))
    }

    /// Counts a request to a server until what is returned is dropped.
    pub(crate) fn begin(self: &Rc<Self>, server: usize) -> InFlight<B> {
        if self.counts {
            self.servers.borrow_mut().begin(server);
        }
        self.meter.in_flight(server, 1);
        InFlight { group: Rc::clone(self), server }
    }

    /// The cookie that tells a client the server to stay on, if the client does not know it.
    pub(crate) fn sticky_cookie(&self, pick: PickRequest, server: usize, secure: bool) -> Option<HeaderValue> {
        self.servers.borrow().sticky_cookie(pick, server, secure)
    }

    /// Counts one more try of a request of this caller.
    pub(crate) fn count_retry(&self, caller: &impl Caller) {
        self.meter.group.retries.one();
        caller.count_retry();
    }

    /// Whether some server is left for a request beside those that were tried, and this one.
    pub(crate) fn has_another(&self, server: usize, tried: &[usize]) -> bool {
        let takes = |(at, plan): (usize, &Server)| at != server && !tried.contains(&at) && plan.takes_requests();
        self.plan.servers.iter().enumerate().any(takes)
    }

    /// How many servers a request may try: one, and as many more as `retries` says.
    pub(crate) fn tries(&self) -> usize {
        usize::try_from(self.plan.retries.count).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Whether a request may go to another server after this one failed like this.
    pub(crate) fn retries_after(&self, failure: Failure) -> bool {
        let on = match failure {
            Failure::ConnectFailed | Failure::ConnectTimeout | Failure::UpstreamTls => RetryOn::ConnectFailure,
            Failure::UpstreamClosed => RetryOn::Reset,
            Failure::UpstreamTimeout => RetryOn::Timeout,
            _ => return false,
        };
        self.plan.retries.on.contains(&on)
    }

    /// Whether a request may go to another server after this one answered so.
    pub(crate) fn retries_status(&self, status: StatusCode) -> bool {
        let within = |on: &RetryOn| matches!(on, RetryOn::Status(range) if (range.first..=range.last).contains(&status.as_u16()));
        self.plan.retries.on.iter().any(within)
    }

    /// Whether `retries` may want a request a second time that a server has seen.
    pub(crate) fn retries_seen(&self) -> bool {
        self.plan.retries.on.iter().any(|on| *on != RetryOn::ConnectFailure)
    }

    /// How many idle connections to keep for each server.
    pub(crate) fn keep(&self) -> usize {
        self.plan.keepalive.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX))
    }
}

/// A request in flight to a server. Whoever holds its connection holds this, to the end of the response or of a tunnel.
pub(crate) struct InFlight<B> {
    group: Rc<Group<B>>,
    server: usize,
}

impl<B> InFlight<B> {
    /// The pool of the server, and how many idle connections it keeps.
    pub(crate) fn pool(&self) -> Option<(&ServerPool<B>, usize)> {
        Some((self.group.pools.get(self.server)?, self.group.keep()))
    }
}

impl<B> Drop for InFlight<B> {
    fn drop(&mut self) {
        if self.group.counts {
            self.group.servers.borrow_mut().end(self.server);
        }
        self.group.meter.in_flight(self.server, -1);
    }
}
