//! A snapshot as one worker sees it: with the worker's own Wasm instances, balancers and upstream pools.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_dsl::plan::{ExtensionId, GroupId};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, Verdict};
use tidegate_wasm_host::Pool as Instances;

use crate::policy::snapshot::Snapshot;
use crate::upstream::group::Group;
use crate::upstream::pool::Pools;

/// One generation on one worker.
pub struct View {
    /// The policy.
    pub snapshot: Arc<Snapshot>,
    /// Instances of each extension. Shared with later generations that have the same extension.
    instances: Vec<Rc<RefCell<Instances>>>,
    /// Balancer and pools of each group. Shared with later generations that have the same group.
    groups: Vec<Rc<Group>>,
}

impl View {
    /// Adopts a snapshot and carries over what did not change.
    pub fn new(snapshot: Arc<Snapshot>, old: Option<&Self>, pools: &Pools) -> Self {
        let instances = snapshot
            .extensions
            .iter()
            .map(|extension| {
                let same = |old: &Self| {
                    let at = old.snapshot.extensions.iter().position(|other| Arc::ptr_eq(other, extension))?;
                    old.instances.get(at).cloned()
                };
                old.and_then(same).unwrap_or_else(|| Rc::new(RefCell::new(Instances::new(Arc::clone(extension)))))
            })
            .collect();
        let groups = snapshot
            .plan()
            .groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let tls = snapshot.tls.upstream(GroupId(at));
                let is_same = |other: &&Rc<Group>| other.plan == *group && other.tls.as_ref() == tls;
                let same = |old: &Self| old.groups.iter().find(is_same).cloned();
                old.and_then(same).unwrap_or_else(|| Rc::new(Group::new(group.clone(), tls.cloned(), pools)))
            })
            .collect();
        Self { snapshot, instances, groups }
    }

    /// The group; `None` cannot happen for an id of this plan.
    pub fn group(&self, id: GroupId) -> Option<&Rc<Group>> {
        self.groups.get(id.0)
    }

    /// Calls a hook of an extension, unless it said that it does not want such requests.
    pub fn call(
        &self,
        id: ExtensionId,
        hook: Hook,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        let (Some(extension), Some(instances)) = (self.snapshot.extensions.get(id.0), self.instances.get(id.0)) else {
            return (exchange, Ok(Verdict::Next));
        };
        if !extension.wants(hook, &exchange) {
            return (exchange, Ok(Verdict::Next));
        }
        instances.borrow_mut().call(hook, exchange)
    }
}
