//! The life of each listener: `warming`, `running`, `draining`, `stopped`, since when and why.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tidegate_base::address::ListenerKey;
use tidegate_dsl::plan::{Listener, ListenerState, Plan};

use crate::policy::overrides::Overrides;
use crate::request::listener_load::ListenerLoad;

/// The loads of the listeners that hold sockets.
pub type Loads = HashMap<ListenerKey, Arc<ListenerLoad>>;

/// The state of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The sockets of the listener are open, and not every worker accepts on them yet.
    Warming,
    /// The listener accepts connections.
    Running,
    /// The listener accepts no more, and its connections finish their requests.
    Draining,
    /// The listener holds no socket.
    Stopped,
}

/// What is known of one listener.
#[derive(Debug, Clone)]
pub struct Life {
    /// The state of the listener.
    pub state: State,
    /// The time when that state began.
    pub since: SystemTime,
    /// The reason for the state, in words.
    pub reason: String,
    key: ListenerKey,
    load: Option<Arc<ListenerLoad>>,
    /// When draining ends at the latest.
    until: Option<Instant>,
    /// The listener is in the policy no more.
    is_gone: bool,
}

/// What is known of all listeners, by name.
#[derive(Debug, Default)]
pub struct Lifecycle(BTreeMap<String, Life>);

const BY_POLICY: &str = "the policy says so";
const BY_HAND: &str = "by hand";
const GONE: &str = "the policy has it no more";
const MOVED: &str = "the policy has it at another address";

impl Life {
    fn new(state: State, reason: &str, key: ListenerKey) -> Self {
        let reason = reason.to_owned();
        Self { state, since: SystemTime::now(), reason, key, load: None, until: None, is_gone: false }
    }

    /// The number of its connections, over all workers.
    pub fn connections(&self) -> u32 {
        self.load.as_ref().map_or(0, |load| load.connections())
    }

    fn enter(&mut self, state: State, reason: &str) {
        if self.state != state {
            (self.state, self.since) = (state, SystemTime::now());
            reason.clone_into(&mut self.reason);
        }
    }

    /// Takes no more connections, and ends those that it has within the time.
    fn close(&mut self, reason: &str, drain: Duration, now: Instant) {
        if matches!(self.state, State::Warming | State::Running) {
            self.enter(State::Draining, reason);
            self.until = Some(now + drain);
        }
    }
}

impl Lifecycle {
    /// The listeners of a policy whose sockets are about to be handed to the workers. `drain` is how long those that go may take.
    pub fn prepare(&mut self, plan: &Plan, overrides: &Overrides, drain: Duration) {
        let now = Instant::now();
        for listener in &plan.listeners {
            let reason = if overrides.listener(&listener.name).is_some() { BY_HAND } else { BY_POLICY };
            self.adopt(listener, reason, drain, now);
        }
        for (name, life) in &mut self.0 {
            if !plan.listeners.iter().any(|listener| listener.name == *name) {
                life.close(GONE, drain, now);
                life.is_gone = true;
            }
        }
        self.settle(now);
    }

    fn adopt(&mut self, listener: &Listener, reason: &str, drain: Duration, now: Instant) {
        let key = ListenerKey::of(listener);
        let (fresh, wanted) = match listener.state {
            ListenerState::Running => (Life::new(State::Warming, reason, key), State::Warming),
            ListenerState::Stopped => (Life::new(State::Stopped, reason, key), State::Stopped),
        };
        let Some(life) = self.0.get_mut(&listener.name) else {
            self.0.insert(listener.name.clone(), fresh);
            return;
        };
        life.is_gone = false;
        match (life.state, wanted) {
            (State::Running | State::Warming, State::Warming) if life.key == key => {}
            (_, State::Warming) => {
                let moved = matches!(life.state, State::Running | State::Warming);
                *life = Life { reason: if moved { MOVED.to_owned() } else { fresh.reason }, ..fresh };
            }
            _ => life.close(reason, drain, now),
        }
    }

    /// Every worker accepts on the sockets that it was given.
    pub fn run(&mut self, loads: &Loads) {
        for life in self.0.values_mut().filter(|life| life.state == State::Warming) {
            if let Some(load) = loads.get(&life.key) {
                let reason = life.reason.clone();
                life.load = Some(Arc::clone(load));
                life.enter(State::Running, &reason);
            }
        }
    }

    /// Notes what time has brought: what has no connections left has drained. What is gone from the policy, too, is forgotten.
    pub fn settle(&mut self, now: Instant) {
        for life in self.0.values_mut().filter(|life| life.state == State::Draining) {
            let is_over = life.until.is_none_or(|until| until <= now);
            if life.connections() == 0 || is_over {
                let reason = life.reason.clone();
                life.enter(State::Stopped, &reason);
            }
        }
        self.0.retain(|_, life| !(life.is_gone && life.state == State::Stopped));
    }

    /// What is known of a listener.
    pub fn of(&self, name: &str) -> Option<&Life> {
        self.0.get(name)
    }

    /// The listeners that drain and are in the policy no more.
    pub fn leaving(&self) -> impl Iterator<Item = (&str, &Life)> {
        self.0.iter().filter(|(_, life)| life.is_gone).map(|(name, life)| (&**name, life))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::{ANSWERS, plan, policy};

    const DRAIN: Duration = Duration::from_secs(30);

    struct World {
        lifecycle: Lifecycle,
        overrides: Overrides,
        loads: Loads,
    }

    impl World {
        /// A gateway that serves a policy whose listener has these words.
        fn new(listener: &str) -> Self {
            let mut world =
                Self { lifecycle: Lifecycle::default(), overrides: Overrides::default(), loads: Loads::default() };
            world.reload(&policy(listener, ANSWERS));
            world
        }

        fn prepare(&mut self, policy: &str) -> Plan {
            let mut plan = plan(policy);
            self.overrides.apply(&mut plan);
            self.lifecycle.prepare(&plan, &self.overrides, DRAIN);
            plan
        }

        fn reload(&mut self, policy: &str) {
            let plan = self.prepare(policy);
            for listener in plan.listeners.iter().filter(|listener| listener.state == ListenerState::Running) {
                self.loads.entry(ListenerKey::of(listener)).or_default();
            }
            self.lifecycle.run(&self.loads);
        }

        fn says(&self, name: &str) -> Option<(State, &str)> {
            self.lifecycle.of(name).map(|life| (life.state, life.reason.as_str()))
        }

        fn load(&self) -> &ListenerLoad {
            self.loads.values().next().unwrap()
        }
    }

    #[test]
    fn a_listener_is_warm_when_the_workers_accept() {
        let mut world = World { ..World::new("state stopped") };
        assert_eq!(world.says("main"), Some((State::Stopped, BY_POLICY)));
        world.prepare(&policy("", ANSWERS));
        assert_eq!(world.says("main"), Some((State::Warming, BY_POLICY)));
        world.reload(&policy("", ANSWERS));
        assert_eq!(world.says("main"), Some((State::Running, BY_POLICY)));
    }

    #[test]
    fn what_does_not_change_has_been_so_since_it_began() {
        let mut world = World::new("");
        let since = world.lifecycle.of("main").unwrap().since;
        world.reload(&policy("idle-timeout 9s", ANSWERS));
        assert_eq!(world.lifecycle.of("main").unwrap().since, since);
        assert_eq!(world.says("main"), Some((State::Running, BY_POLICY)));
    }

    #[test]
    fn a_stopped_listener_drains_while_it_has_connections() {
        let mut world = World::new("");
        assert!(world.load().admit(10));
        let stopped = plan(&policy("", ANSWERS));
        world.overrides.set_listener(&stopped, "main", ListenerState::Stopped).unwrap();
        world.reload(&policy("", ANSWERS));
        assert_eq!(world.says("main"), Some((State::Draining, BY_HAND)));
        assert_eq!(world.lifecycle.of("main").unwrap().connections(), 1);
        world.load().release();
        world.lifecycle.settle(Instant::now());
        assert_eq!(world.says("main"), Some((State::Stopped, BY_HAND)));
    }

    #[test]
    fn draining_ends_with_its_time() {
        let mut world = World::new("");
        assert!(world.load().admit(10));
        world.reload(&policy("state stopped", ANSWERS));
        let now = Instant::now();
        world.lifecycle.settle(now + DRAIN - Duration::from_secs(1));
        assert_eq!(world.says("main"), Some((State::Draining, BY_POLICY)));
        world.lifecycle.settle(now + DRAIN);
        assert_eq!(world.says("main"), Some((State::Stopped, BY_POLICY)));
    }

    #[test]
    fn what_is_gone_is_shown_until_it_has_drained() {
        let mut world = World::new("");
        assert!(world.load().admit(10));
        let other = policy("", ANSWERS).replace("main", "other").replace("8080", "9090");
        world.reload(&other);
        assert_eq!(world.says("main"), Some((State::Draining, GONE)));
        assert_eq!(world.lifecycle.leaving().map(|(name, _)| name).collect::<Vec<_>>(), ["main"]);
        assert_eq!(world.says("other"), Some((State::Running, BY_POLICY)));
        world.lifecycle.settle(Instant::now() + DRAIN);
        assert_eq!(world.says("main"), None);
    }

    #[test]
    fn a_listener_at_another_address_begins_anew() {
        let mut world = World::new("");
        world.reload(&policy("", ANSWERS).replace("8080", "9090"));
        assert_eq!(world.says("main"), Some((State::Running, MOVED)));
    }

    #[test]
    fn one_that_is_started_again_while_it_drains_runs() {
        let mut world = World::new("");
        assert!(world.load().admit(10));
        world.reload(&policy("state stopped", ANSWERS));
        world.loads.clear();
        world.reload(&policy("", ANSWERS));
        assert_eq!(world.says("main"), Some((State::Running, BY_POLICY)));
        assert_eq!(world.lifecycle.of("main").unwrap().connections(), 0, "those of the new sockets");
    }
}
