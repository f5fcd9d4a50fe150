//! A snapshot as one worker sees it: with the worker's own Wasm instances, balancers and upstream pools.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tidegate_base::limits;
use tidegate_base::permits::Permits;
use tidegate_dsl::plan::{Extension, ExtensionId, GroupId, ListenerId, ServerGroup};
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, BodyVerdict, Hook, HookFault, HookFaultKind, Verdict};
use tidegate_upstream::GroupMeter;
use tidegate_upstream::health::ServerHealth;
use tidegate_wasm_host::{
    BodyMode, CalloutResult, GroupSource, GroupState, Groups, Pool as Instances, Step, SuspendedCall,
};

use crate::policy::snapshot::Snapshot;
use crate::request::extension_meter::{ExtensionMeter, ToOutcome};
use crate::request::lend::StandIn;
use crate::request::meter::ListenerMeter;
use crate::request::request_body::RequestBody;
use crate::telemetry::metrics::Registry;

/// A server group on one worker.
pub type Group = tidegate_upstream::Group<RequestBody>;

/// The connections of one worker to backends.
pub type Pools = tidegate_upstream::Pools<RequestBody>;

/// One generation on one worker.
pub struct WorkerSnapshot {
    /// The policy.
    pub snapshot: Arc<Snapshot>,
    /// Instances of each extension. Shared with later generations that have the same extension.
    instances: Vec<Rc<RefCell<Instances>>>,
    /// Room for the calls of each extension to other servers. Shared as the instances are.
    outbound: Vec<Rc<Permits>>,
    /// Balancer and pools of each group. Shared with later generations that have the same group.
    groups: Vec<Rc<Group>>,
    /// What is counted of each listener. Shared with later generations that have the same listeners and rules.
    meters: Vec<Rc<ListenerMeter>>,
    /// What is counted of each extension.
    extension_meters: Vec<ExtensionMeter>,
    stand_in: StandIn,
}

impl WorkerSnapshot {
    /// Adopts a snapshot and carries over what did not change.
    pub fn new(
        snapshot: Arc<Snapshot>,
        old: Option<&Self>,
        pools: &Pools,
        (registry, worker): (&Arc<Registry>, u16),
    ) -> Self {
        let share = outbound_share(&snapshot);
        let (instances, outbound): (Vec<_>, Vec<_>) = snapshot
            .extensions
            .iter()
            .map(|extension| {
                let same = |old: &Self| {
                    let at = old.snapshot.extensions.iter().position(|other| Arc::ptr_eq(other, extension))?;
                    Some((old.instances.get(at).cloned()?, old.outbound.get(at).cloned()?))
                };
                let (instances, places) = old.and_then(same).unwrap_or_else(|| {
                    let instances = Rc::new(RefCell::new(Instances::new(Arc::clone(extension))));
                    (instances, Rc::new(Permits::new(share)))
                });
                places.set_most(share);
                (instances, places)
            })
            .unzip();
        if !snapshot.extensions.is_empty() {
            let source: GroupSource = Arc::new(PlannedGroups::of(&snapshot));
            let each = |instances: &Rc<RefCell<Instances>>| instances.borrow_mut().set_groups(Arc::clone(&source));
            instances.iter().for_each(each);
        }
        let keys = snapshot.engine.cookie_keys();
        let groups = snapshot
            .plan()
            .groups
            .iter()
            .enumerate()
            .map(|(at, group)| {
                let tls = snapshot.tls.upstream(GroupId(at));
                let health = snapshot.health.group(GroupId(at));
                let is_same = |other: &&Rc<Group>| other.is_same(group, tls, health, keys);
                let same = |old: &Self| old.groups.iter().find(is_same).cloned();
                old.and_then(same).unwrap_or_else(|| {
                    let meter = group_meter(registry, worker, group, snapshot.names.servers.get(at));
                    Rc::new(Group::new(group.clone(), tls.cloned(), health, keys, pools, meter))
                })
            })
            .collect();
        let same_rules = |old: &&Self| Arc::ptr_eq(&old.snapshot.engine, &snapshot.engine);
        let meters = match old.filter(same_rules) {
            // Only certificates are new.
            Some(old) => old.meters.clone(),
            None => snapshot.names.listeners.iter().map(|name| ListenerMeter::new(registry, name, worker)).collect(),
        };
        let meter = |extension: &Extension| ExtensionMeter::new(registry, &extension.name, worker);
        let extension_meters = snapshot.plan().extensions.iter().map(meter).collect();
        Self { snapshot, instances, outbound, groups, meters, extension_meters, stand_in: StandIn::default() }
    }

    /// What is counted of a listener; `None` cannot happen for an id of this plan.
    pub fn meter(&self, id: ListenerId) -> Option<&Rc<ListenerMeter>> {
        self.meters.get(id.0)
    }

    /// The group; `None` cannot happen for an id of this plan.
    pub fn group(&self, id: GroupId) -> Option<&Rc<Group>> {
        self.groups.get(id.0)
    }

    /// Calls a hook of an extension, unless it said that it does not want such requests.
    pub fn call(&self, id: ExtensionId, hook: Hook, exchange: &mut Box<Exchange>) -> Result<Verdict, HookFault> {
        let (Some(extension), Some(instances)) = (self.snapshot.extensions.get(id.0), self.instances.get(id.0)) else {
            return Ok(Verdict::Next);
        };
        if !extension.wants(hook, exchange) {
            return Ok(Verdict::Next);
        }
        self.timed(id, hook, || self.stand_in.lend(exchange, |exchange| instances.borrow_mut().call(hook, exchange)))
    }

    /// Makes a call of an extension that does not wait, and counts it.
    fn timed<V: ToOutcome>(
        &self,
        id: ExtensionId,
        hook: Hook,
        call: impl FnOnce() -> Result<V, HookFault>,
    ) -> Result<V, HookFault> {
        let began = Instant::now();
        let verdict = call();
        self.count_call(id, hook, began, &verdict);
        verdict
    }

    /// Counts a call of an extension that began at this time and has ended now.
    pub fn count_call<V: ToOutcome>(
        &self,
        id: ExtensionId,
        hook: Hook,
        began: Instant,
        verdict: &Result<V, HookFault>,
    ) {
        if let Some(meter) = self.extension_meters.get(id.0) {
            meter.ended(hook, began, verdict);
        }
    }

    /// Whether a call of this hook may wait for other servers; it is then made with [`WorkerSnapshot::begin`].
    pub fn waits(&self, id: ExtensionId, hook: Hook, exchange: &Exchange) -> bool {
        self.snapshot.extensions.get(id.0).is_some_and(|extension| extension.waits() && extension.wants(hook, exchange))
    }

    /// Begins a call that may wait, for a request of this client.
    ///
    /// # Errors
    /// If the extension is paused, or there is no room for another call.
    pub fn begin(&self, id: ExtensionId, client: IpAddr) -> Result<SuspendedCall, HookFault> {
        let Some(instances) = self.instances.get(id.0) else {
            let message = "there is no such extension".to_owned();
            return Err(HookFault { kind: HookFaultKind::Instance, message });
        };
        instances.borrow_mut().begin(client)
    }

    /// Ends a call that could wait.
    pub fn end(&self, id: ExtensionId, suspended: SuspendedCall, verdict: &Result<Verdict, HookFault>) {
        if let Some(instances) = self.instances.get(id.0) {
            instances.borrow_mut().end(suspended, verdict);
        }
    }

    /// Whether an extension speaks another ABI than the gateway's; its calls that may wait are made with [`WorkerSnapshot::step`].
    pub fn is_foreign(&self, id: ExtensionId) -> bool {
        self.snapshot.extensions.get(id.0).is_some_and(|extension| extension.spec().abi != Abi::Tidegate)
    }

    /// Calls a foreign guest, or tells it what became of what it asked for.
    pub fn step(
        &self,
        id: ExtensionId,
        hook: Hook,
        exchange: &mut Box<Exchange>,
        answer: Option<(u32, CalloutResult)>,
    ) -> Result<Step, HookFault> {
        let Some(instances) = self.instances.get(id.0) else { return Ok(Step::Done(Verdict::Next)) };
        self.stand_in.lend(exchange, |exchange| instances.borrow_mut().step(hook, exchange, answer))
    }

    /// Room for the calls of an extension to other servers.
    pub fn outbound(&self, id: ExtensionId) -> Option<&Permits> {
        self.outbound.get(id.0).map(|places| &**places)
    }

    /// The group of this name.
    pub fn group_named(&self, name: &str) -> Option<&Rc<Group>> {
        self.groups.iter().find(|group| group.plan.name == name)
    }

    /// What an extension wants of a body of this exchange.
    pub fn body(&self, id: ExtensionId, hook: Hook, exchange: &Exchange) -> Option<BodyMode> {
        self.instances.get(id.0)?.borrow().body(hook, exchange)
    }

    /// Whether an extension wants to see the body of this exchange even if there is none.
    pub fn holds(&self, id: ExtensionId, hook: Hook, exchange: &Exchange) -> bool {
        self.instances.get(id.0).is_some_and(|instances| instances.borrow().holds(hook, exchange))
    }

    /// Gives a piece of a body to an extension; `streams` says that the head has left.
    pub fn call_body(
        &self,
        id: ExtensionId,
        hook: Hook,
        exchange: &mut Box<Exchange>,
        piece: (&[u8], bool),
        streams: bool,
    ) -> Result<BodyVerdict, HookFault> {
        let Some(instances) = self.instances.get(id.0) else { return Ok(BodyVerdict::Next) };
        let call = |exchange| instances.borrow_mut().call_body(hook, exchange, piece, streams);
        self.timed(id, hook, || self.stand_in.lend(exchange, call))
    }

    /// The fault of a body that is longer than an extension wants to take.
    pub fn body_too_long(&self, id: ExtensionId, most: usize) -> Result<BodyVerdict, HookFault> {
        match self.instances.get(id.0) {
            Some(instances) => Err(instances.borrow().body_too_long(most)),
            None => Ok(BodyVerdict::Next),
        }
    }

    /// Whether an extension that was started wants to know how this request ended.
    pub fn wants_log(&self, walk: &Walk, exchange: &Exchange) -> bool {
        let mut started = self.snapshot.engine.started(walk);
        started.any(|id| self.snapshot.extensions.get(id.0).is_some_and(|it| it.wants(Hook::Log, exchange)))
    }

    /// Tells the extensions that want to know that a request is over; the last fault of them.
    pub fn log(&self, walk: &Walk, exchange: &mut Box<Exchange>) -> Option<(ExtensionId, HookFault)> {
        let mut last = None;
        for id in self.snapshot.engine.started(walk) {
            let (Some(extension), Some(instances)) = (self.snapshot.extensions.get(id.0), self.instances.get(id.0))
            else {
                continue;
            };
            if extension.wants(Hook::Log, exchange) {
                let tell = || self.stand_in.lend(exchange, |exchange| instances.borrow_mut().log(exchange));
                let told = self.timed(id, Hook::Log, tell);
                last = told.err().map(|fault| (id, fault)).or(last);
            }
        }
        last
    }

    /// Ticks the extensions whose time has come; their faults.
    pub fn tick(&self, now: Instant) -> Vec<(ExtensionId, HookFault)> {
        let tick = |(at, instances): (usize, &Rc<RefCell<Instances>>)| {
            let id = ExtensionId(at);
            let due = instances.borrow().is_due(now);
            let ticked = due.then(|| self.timed(id, Hook::Tick, || instances.borrow_mut().tick(now)))?;
            ticked.err().map(|fault| (id, fault))
        };
        self.instances.iter().enumerate().filter_map(tick).collect()
    }
}

/// The calls to other servers that each extension may have under way on a worker: an equal share of half of what the worker may.
/// The other half is for those that a reload brings, while calls of others are still under way.
fn outbound_share(snapshot: &Snapshot) -> usize {
    let asking = snapshot.extensions.iter().filter(|extension| extension.waits()).count();
    (limits::OUTBOUND_CALLS / 2 / asking.max(1)).max(1)
}

/// The cells of a group and its servers on a worker.
fn group_meter(registry: &Registry, worker: u16, group: &ServerGroup, servers: Option<&Vec<Arc<str>>>) -> GroupMeter {
    let series = registry.groups.of(&group.name);
    let servers = servers.into_iter().flatten().map(|server| series.servers.of(server).of(worker)).collect();
    GroupMeter { group: series.cells.of(worker), servers }
}

/// The groups of a policy, for guests: each with its name, how many servers it has, and what is known of them.
struct PlannedGroups(Vec<(String, usize, Vec<Arc<ServerHealth>>)>);

impl PlannedGroups {
    fn of(snapshot: &Snapshot) -> Self {
        let known = |(at, group): (usize, &ServerGroup)| {
            (group.name.clone(), group.servers.len(), snapshot.health.group(GroupId(at)).to_vec())
        };
        Self(snapshot.plan().groups.iter().enumerate().map(known).collect())
    }
}

impl Groups for PlannedGroups {
    fn list(&self) -> Vec<GroupState> {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let state = |(name, total, health): &(String, usize, Vec<Arc<ServerHealth>>)| {
            let unhealthy = health.iter().filter(|server| !server.is_healthy()).count();
            GroupState { name: name.clone(), healthy: count(total - unhealthy), total: count(*total) }
        };
        self.0.iter().map(state).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::request::tests::guarded;
    use crate::request::tests::guest::Act;
    use crate::tests::House;
    use crate::tls::Certificates;

    fn with_groups(groups: &str) -> String {
        let rules = "rules site { rule b { when path is \"/b\"; forward b }; otherwise { forward a } }";
        format!("tidegate 1\n{groups}\nlistener http main {{ port 8080; rules site }}\n{rules}\n")
    }

    #[test]
    fn a_group_that_did_not_change_is_carried_over_a_reload() {
        let (a, b) = ("server-group a { server 127.0.0.1:1 }", "server-group b { server 127.0.0.1:2 }");
        let house = House::of(&with_groups(&format!("{a}\n{b}")));
        let before = house.worker.view();
        house.reload(&with_groups(&format!("{b}\nserver-group a {{ server 127.0.0.1:1; server 127.0.0.1:3 }}")));
        let after = house.worker.view();
        let same = |name: &str| Rc::ptr_eq(before.group_named(name).unwrap(), after.group_named(name).unwrap());
        assert!(same("b"), "although it stands elsewhere");
        assert!(!same("a"), "it has another server");
    }

    #[test]
    fn a_group_is_found_by_its_id_and_its_name() {
        let house =
            House::of(&with_groups("server-group a { server 127.0.0.1:1 }\nserver-group b { server 127.0.0.1:2 }"));
        let view = house.worker.view();
        assert!(Rc::ptr_eq(view.group(GroupId(1)).unwrap(), view.group_named("b").unwrap()));
        assert!(view.group(GroupId(2)).is_none() && view.group_named("c").is_none());
    }

    #[test]
    fn a_view_stays_the_same_until_a_reload() {
        let house = House::answering("");
        let view = house.worker.view();
        assert!(Rc::ptr_eq(&view, &house.worker.view()));
        house.reload(&crate::tests::policy("", crate::tests::ANSWERS));
        assert!(!Rc::ptr_eq(&view, &house.worker.view()));
        assert_eq!(view.snapshot.generation, 1, "whoever has it keeps it");
    }

    #[test]
    fn guests_see_the_groups_with_their_servers() {
        let two = "server-group a { server 127.0.0.1:1; server 127.0.0.1:3 }\nserver-group b { server 127.0.0.1:2 }";
        let snapshot = crate::tests::snapshot(&with_groups(two), None);
        let groups: Vec<_> = PlannedGroups::of(&snapshot).list();
        let seen: Vec<_> = groups.iter().map(|group| (&*group.name, group.healthy, group.total)).collect();
        assert_eq!(seen, [("a", 2, 2), ("b", 1, 1)]);
    }

    #[test]
    fn calls_to_other_servers_are_shared_out_also_if_nobody_makes_any() {
        assert_eq!(
            outbound_share(&crate::tests::snapshot(
                &with_groups("server-group a { server 127.0.0.1:1 }\nserver-group b { server 127.0.0.1:2 }",),
                None
            )),
            limits::OUTBOUND_CALLS / 2
        );
    }

    #[test]
    fn an_extension_that_did_not_change_keeps_its_instances_and_its_room() {
        const REQUEST: &[(&str, &[Act])] = &[("proxy_on_request_headers", &[])];
        fn room(view: &WorkerSnapshot, id: usize) -> Option<tidegate_base::permits::Permit<'_>> {
            view.outbound(ExtensionId(id)).unwrap().enter()
        }
        let house = guarded("", &[REQUEST, REQUEST], "respond 204");
        let (shared, before) = (&house.worker.shared, house.worker.view());
        let share = limits::OUTBOUND_CALLS / 4;
        let taken: Vec<_> = (0..share).map(|_| room(&before, 0).unwrap()).collect();
        assert!(room(&before, 0).is_none(), "two ask, and each has half of what there is for them");
        let (old, certificates) = (shared.snapshot(), Certificates::default());
        let next = Snapshot::build(Arc::clone(&old.engine), old.extensions.clone(), certificates, Some(&old)).unwrap();
        shared.commit(Arc::new(next));
        let after = house.worker.view();
        assert!(Rc::ptr_eq(&before.instances[1], &after.instances[1]));
        assert!(room(&after, 0).is_none() && room(&after, 1).is_some(), "calls that are under way count");
        drop(taken);
        assert!(room(&after, 0).is_some());
    }
}
