//! A server group on one worker.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate_dsl::plan::{RetryOn, Server, ServerGroup};
use tidegate_engine::balance::RoundRobin;

use super::pool::{Pools, ServerPool};
use crate::tls::upstream::Upstream;

/// A group, its balancer and the pools of its servers.
pub struct Group {
    /// What the policy says of it; its identity over reloads.
    pub plan: ServerGroup,
    /// How its servers are connected to; part of the identity.
    pub tls: Option<Upstream>,
    balancer: RefCell<RoundRobin>,
    pools: Vec<Rc<ServerPool>>,
}

impl Group {
    /// A group whose servers use these pools.
    pub fn new(plan: ServerGroup, tls: Option<Upstream>, pools: &Pools) -> Self {
        // What is stopped takes nothing, as what has no weight.
        let weight = |server: &Server| if server.stopped { 0 } else { server.weight };
        let balancer = RefCell::new(RoundRobin::new(plan.servers.iter().map(weight)));
        let secure = |at| tls.as_ref().and_then(|tls| tls.secure(at));
        let servers = plan.servers.iter().enumerate();
        let pools = servers.map(|(at, server)| pools.of(&server.host, server.port, secure(at).as_ref())).collect();
        Self { plan, tls, balancer, pools }
    }

    /// The next server in turn that was not tried yet; a backup if no other is left.
    pub fn pick(&self, tried: &[usize]) -> Option<(usize, &Server, &Rc<ServerPool>)> {
        let backup = |at: usize| self.plan.servers.get(at).is_some_and(|server| server.backup);
        let mut balancer = self.balancer.borrow_mut();
        let first = balancer.pick(|at| !backup(at) && !tried.contains(&at));
        let at = first.or_else(|| balancer.pick(|at| backup(at) && !tried.contains(&at)))?;
        Some((at, self.plan.servers.get(at)?, self.pools.get(at)?))
    }

    /// How many servers a request may try: one, and those that `retries` allows where no connection could be opened.
    pub fn tries(&self) -> usize {
        let retries = &self.plan.retries;
        let more = if retries.on.contains(&RetryOn::ConnectFailure) { retries.count } else { 0 };
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Idle connections to keep for each server.
    pub fn keep(&self) -> usize {
        self.plan.keepalive.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX))
    }
}
