//! A server group on one worker.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate_dsl::plan::{Server, ServerGroup};
use tidegate_engine::balance::RoundRobin;

use super::pool::{Pools, ServerPool};

/// A group, its balancer and the pools of its servers.
pub struct Group {
    /// What the policy says of it; its identity over reloads.
    pub plan: ServerGroup,
    balancer: RefCell<RoundRobin>,
    pools: Vec<Rc<ServerPool>>,
}

impl Group {
    /// A group whose servers use these pools.
    pub fn new(plan: ServerGroup, pools: &Pools) -> Self {
        let balancer = RefCell::new(RoundRobin::new(plan.servers.iter().map(|server| server.weight)));
        let pools = plan.servers.iter().map(|server| pools.of(&server.host, server.port)).collect();
        Self { plan, balancer, pools }
    }

    /// The next server in turn that was not tried yet.
    pub fn pick(&self, tried: &[usize]) -> Option<(usize, &Server, &Rc<ServerPool>)> {
        let at = self.balancer.borrow_mut().pick(|at| !tried.contains(&at))?;
        Some((at, self.plan.servers.get(at)?, self.pools.get(at)?))
    }

    /// Idle connections to keep for each server.
    pub fn keep(&self) -> usize {
        self.plan.keepalive.map_or(0, |keep| usize::try_from(keep).unwrap_or(usize::MAX))
    }
}
