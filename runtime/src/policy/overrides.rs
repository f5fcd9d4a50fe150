//! What an operator has changed by hand in the policy in service: listeners that are stopped or started, servers that are
//! drained. It stands between the files and the plan, so that everything that reads the plan sees it, and ends when the files
//! say something else.

use std::collections::BTreeMap;

use tidegate_base::address::address;
use tidegate_dsl::plan::{ListenerState, Plan, Server};

/// The changes by hand. A listener is known by its name, a server by its group's name and its address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    listeners: BTreeMap<String, ListenerOverride>,
    servers: BTreeMap<(String, String), ServerOverride>,
}

/// A listener that was stopped or started by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListenerOverride {
    /// The state in the files at that time: once they say something else, that holds.
    written: ListenerState,
    state: ListenerState,
}

/// A server that was changed by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ServerOverride {
    /// The server in the files at that time.
    written: Server,
    change: ServerChange,
}

/// A change of a server by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerChange {
    /// Whether the server gets requests.
    pub state: ServerState,
    /// A weight in place of the one in the policy.
    pub weight: Option<u32>,
    /// Whether the next reload ends the change.
    pub until_reload: bool,
}

/// The state of a server, as an operator sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    /// The server gets requests.
    Running,
    /// The server gets no new requests, and finishes those that it has. It is still checked where others of the group are.
    Draining,
    /// The server gets no requests and no checks.
    Stopped,
}

/// What a change by hand names and is not in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl Overrides {
    /// No changes.
    pub const NONE: &'static Self = &Self { listeners: BTreeMap::new(), servers: BTreeMap::new() };

    /// Starts or stops a listener; `written` is what the files say.
    ///
    /// # Errors
    /// There is no such listener.
    pub fn set_listener(&mut self, written: &Plan, name: &str, state: ListenerState) -> Result<(), Unknown> {
        let listener = written.listeners.iter().find(|listener| listener.name == name).ok_or(Unknown)?;
        if listener.state == state {
            self.listeners.remove(name);
        } else {
            self.listeners.insert(name.to_owned(), ListenerOverride { written: listener.state, state });
        }
        Ok(())
    }

    /// Changes a server; `written` is what the files say.
    ///
    /// # Errors
    /// There is no such group, or no such server in it.
    pub fn set_server(
        &mut self,
        written: &Plan,
        group: &str,
        place: &str,
        change: ServerChange,
    ) -> Result<(), Unknown> {
        let server = find_server(written, group, place).ok_or(Unknown)?.clone();
        let key = (group.to_owned(), place.to_owned());
        if change.state == ServerState::Running && !server.stopped && change.weight.is_none_or(|w| w == server.weight) {
            self.servers.remove(&key);
        } else {
            self.servers.insert(key, ServerOverride { written: server, change });
        }
        Ok(())
    }

    /// What of the changes still holds after the files were read: they say the same of what was changed as before.
    pub fn after_reload(&self, written: &Plan) -> Self {
        let listener_holds = |name: &String, change: &ListenerOverride| {
            written.listeners.iter().any(|listener| listener.name == *name && listener.state == change.written)
        };
        let server_holds = |(group, place): &(String, String), change: &ServerOverride| {
            !change.change.until_reload && find_server(written, group, place) == Some(&change.written)
        };
        let (mut listeners, mut servers) = (self.listeners.clone(), self.servers.clone());
        listeners.retain(|name, change| listener_holds(name, change));
        servers.retain(|key, change| server_holds(key, change));
        Self { listeners, servers }
    }

    /// Puts the changes into a plan.
    pub fn apply(&self, plan: &mut Plan) {
        for listener in &mut plan.listeners {
            if let Some(change) = self.listeners.get(&listener.name) {
                listener.state = change.state;
            }
        }
        for ((group, place), ServerOverride { change, .. }) in &self.servers {
            let groups = plan.groups.iter_mut().filter(|other| other.name == *group);
            for server in groups.flat_map(|group| &mut group.servers).filter(|server| place_of(server) == *place) {
                server.stopped = change.state == ServerState::Stopped;
                server.weight = match change.state {
                    ServerState::Draining => 0,
                    _ => change.weight.unwrap_or(server.weight),
                };
            }
        }
    }

    /// The state that a listener was given by hand, if it was.
    pub fn listener(&self, name: &str) -> Option<ListenerState> {
        self.listeners.get(name).map(|change| change.state)
    }

    /// The change of a server by hand, if there was one.
    pub fn server(&self, group: &str, place: &str) -> Option<ServerChange> {
        self.servers.get(&(group.to_owned(), place.to_owned())).map(|change| change.change)
    }
}

fn place_of(server: &Server) -> String {
    address(&server.host, server.port)
}

fn find_server<'p>(plan: &'p Plan, group: &str, place: &str) -> Option<&'p Server> {
    let group = plan.groups.iter().find(|other| other.name == group)?;
    group.servers.iter().find(|server| place_of(server) == place)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::{ANSWERS, plan, policy};

    fn written(listener: &str, servers: &str) -> Plan {
        plan(&(policy(listener, ANSWERS) + &format!("server-group web {{ {servers} }}\n")))
    }

    const DRAINED: ServerChange = ServerChange { state: ServerState::Draining, weight: None, until_reload: false };
    const SERVERS: &str = "server 10.0.0.1:80; server [2001:db8::1]:80 weight 3";

    fn applied(overrides: &Overrides, written: &Plan) -> Plan {
        let mut plan = written.clone();
        overrides.apply(&mut plan);
        plan
    }

    #[test]
    fn what_was_stopped_stays_so_until_the_files_say_something_else_of_it() {
        let running = written("", SERVERS);
        let mut overrides = Overrides::default();
        overrides.set_listener(&running, "main", ListenerState::Stopped).unwrap();
        assert_eq!(applied(&overrides, &running).listeners[0].state, ListenerState::Stopped);
        let other = written("idle-timeout 9s", SERVERS);
        assert_eq!(overrides.after_reload(&other), overrides, "another word of it changed");
        let stopped = written("state stopped", SERVERS);
        let after = overrides.after_reload(&stopped);
        assert_eq!(after, Overrides::default());
        assert_eq!(after.after_reload(&running).listener("main"), None, "the files say that it runs");
    }

    #[test]
    fn to_change_something_back_ends_the_change() {
        let plan = written("", SERVERS);
        let mut overrides = Overrides::default();
        overrides.set_listener(&plan, "main", ListenerState::Stopped).unwrap();
        overrides.set_listener(&plan, "main", ListenerState::Running).unwrap();
        overrides.set_server(&plan, "web", "10.0.0.1:80", DRAINED).unwrap();
        let running = ServerChange { state: ServerState::Running, weight: Some(1), ..DRAINED };
        overrides.set_server(&plan, "web", "10.0.0.1:80", running).unwrap();
        assert_eq!(overrides, Overrides::default());
    }

    #[test]
    fn servers_get_no_requests_or_another_weight() {
        let plan = written("", SERVERS);
        for (change, stopped, weight) in [
            (DRAINED, false, 0),
            (ServerChange { weight: Some(7), ..DRAINED }, false, 0),
            (ServerChange { state: ServerState::Stopped, ..DRAINED }, true, 3),
            (ServerChange { state: ServerState::Running, weight: Some(7), ..DRAINED }, false, 7),
        ] {
            let mut overrides = Overrides::default();
            overrides.set_server(&plan, "web", "[2001:db8::1]:80", change).unwrap();
            let servers = &applied(&overrides, &plan).groups[0].servers;
            assert_eq!((servers[1].stopped, servers[1].weight), (stopped, weight), "{change:?}");
            assert_eq!(servers[0], plan.groups[0].servers[0]);
        }
    }

    #[test]
    fn a_change_of_a_server_ends_with_its_line_or_with_the_next_reload() {
        let plan = written("", SERVERS);
        let mut overrides = Overrides::default();
        overrides.set_server(&plan, "web", "10.0.0.1:80", DRAINED).unwrap();
        let once = ServerChange { until_reload: true, ..DRAINED };
        overrides.set_server(&plan, "web", "[2001:db8::1]:80", once).unwrap();
        let after = overrides.after_reload(&plan);
        assert_eq!(after.server("web", "10.0.0.1:80"), Some(DRAINED));
        assert_eq!(after.server("web", "[2001:db8::1]:80"), None);
        assert_eq!(overrides.after_reload(&written("", "server 10.0.0.1:80 weight 2")), Overrides::default());
    }

    #[test]
    fn what_is_not_in_the_policy_cannot_be_changed() {
        let plan = written("", SERVERS);
        let mut overrides = Overrides::default();
        assert_eq!(overrides.set_listener(&plan, "other", ListenerState::Stopped), Err(Unknown));
        assert_eq!(overrides.set_server(&plan, "web", "10.0.0.1:81", DRAINED), Err(Unknown));
        assert_eq!(overrides.set_server(&plan, "app", "10.0.0.1:80", DRAINED), Err(Unknown));
    }
}
