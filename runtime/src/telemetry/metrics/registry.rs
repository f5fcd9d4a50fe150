//! What is counted, by the names of the policy. It outlives policies: the same names in the next one find the same cells.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate_base::address::address;
use tidegate_base::failure::Failure;
use tidegate_base::metrics::{Counter, Gauge, Held, Histogram, Names, PerWorker, REQUEST_TIMES, WORK_TIMES};
use tidegate_dsl::Hook;
use tidegate_dsl::plan::{ListenerAction, Plan};
use tidegate_upstream::{GroupCells, ServerCells};

use crate::tls::handshake::RefusedKind;

/// Everything that is counted in this process.
#[derive(Debug, Default)]
pub struct Registry {
    /// By listener.
    pub listeners: Names<ListenerSeries>,
    /// By server group.
    pub groups: Names<GroupSeries>,
    /// By extension.
    pub extensions: Names<PerWorker<ExtensionCells>>,
    /// Requests that a `limit` refused, by rule.
    pub limited: Names<PerWorker<Counter>>,
    /// By nothing but the worker.
    pub workers: PerWorker<WorkerCells>,
    reloads: [AtomicU64; Reload::ALL.len()],
}

/// How a reload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// Another policy, or other certificates, are in service.
    Ok,
    /// The files mean what is in service already.
    Unchanged,
    /// The files had a mistake, or something that they need could not be had.
    Refused,
}

impl Reload {
    /// Every way in which a reload ends.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Unchanged, Self::Refused];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// What is counted of a listener.
#[derive(Debug, Default)]
pub struct ListenerSeries {
    /// By nothing but the listener.
    pub cells: PerWorker<ListenerCells>,
    /// Requests by rule, then by group; both are empty for what had none. Made when the first request comes, so that a thousand
    /// rules that a hundred listeners share cost nothing where nobody asks for them.
    pub requests: Names<Names<PerWorker<Statuses>>>,
}

/// What a worker counts of a listener.
#[derive(Debug)]
pub struct ListenerCells {
    /// From a request's head to the end of its answer.
    pub duration: Histogram,
    /// Requests that have not ended, less tunnels.
    pub in_flight: Gauge,
    /// Open tunnels.
    pub tunnels: Gauge,
    /// Open connections, by protocol.
    pub connections: [Gauge; ClientProtocol::ALL.len()],
    /// Bytes of requests' bodies, and from clients of tunnels.
    pub received: Counter,
    /// Bytes of answers' bodies, and to clients of tunnels.
    pub sent: Counter,
    /// TLS handshakes that failed, by kind.
    pub handshakes_failed: [Counter; RefusedKind::ALL.len()],
}

impl Default for ListenerCells {
    fn default() -> Self {
        Self {
            duration: Histogram::new(REQUEST_TIMES),
            in_flight: Gauge::default(),
            tunnels: Gauge::default(),
            connections: Default::default(),
            received: Counter::default(),
            sent: Counter::default(),
            handshakes_failed: Default::default(),
        }
    }
}

/// The version of HTTP that a client's connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientProtocol {
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

impl ClientProtocol {
    /// Every version.
    pub const ALL: [Self; 3] = [Self::Http1, Self::Http2, Self::Http3];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http1 => "h1",
            Self::Http2 => "h2",
            Self::Http3 => "h3",
        }
    }
}

/// A connection that is open: it counts until this is dropped, for the listener's name at the time when it began.
#[derive(Debug)]
pub struct ConnectionCount(Arc<ListenerCells>, ClientProtocol);

impl ConnectionCount {
    /// Counts a connection in.
    pub fn new(cells: &Arc<ListenerCells>, protocol: ClientProtocol) -> Self {
        let open = Self(Arc::clone(cells), protocol);
        open.add(1);
        open
    }

    /// The client turns out to speak this.
    pub fn speaks(&mut self, protocol: ClientProtocol) {
        self.add(-1);
        self.1 = protocol;
        self.add(1);
    }

    fn add(&self, by: i64) {
        if let Some(gauge) = self.0.connections.get(self.1 as usize) {
            gauge.add(by);
        }
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.add(-1);
    }
}

/// Requests by the class of their status: the first is 1xx.
pub type Statuses = [Counter; 5];

/// The names of the classes.
pub const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of a server group.
#[derive(Debug, Default)]
pub struct GroupSeries {
    /// By nothing but the group.
    pub cells: PerWorker<GroupCells>,
    /// By server.
    pub servers: Names<PerWorker<ServerCells>>,
}

/// How a call of an extension ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The request, the answer or the piece goes on as it is.
    Next,
    /// The piece goes on with other bytes.
    Replace,
    /// The extension answers.
    Respond,
    /// The extension chose the group.
    Forward,
    /// The connection is closed.
    Close,
    /// The extension gave no verdict.
    Fault,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 6] = [Self::Next, Self::Replace, Self::Respond, Self::Forward, Self::Close, Self::Fault];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Replace => "replace",
            Self::Respond => "respond",
            Self::Forward => "forward",
            Self::Close => "close",
            Self::Fault => "fault",
        }
    }
}

/// The hooks, in the order of their numbers.
pub const HOOKS: [Hook; 6] =
    [Hook::Request, Hook::Response, Hook::RequestBody, Hook::ResponseBody, Hook::Log, Hook::Tick];

/// What a worker counts of an extension.
#[derive(Debug, Default)]
pub struct ExtensionCells {
    /// By hook, in the order of [`HOOKS`].
    pub hooks: [HookCells; HOOKS.len()],
}

/// What a worker counts of a hook of an extension.
#[derive(Debug)]
pub struct HookCells {
    /// Calls by their outcome.
    pub outcomes: [Counter; Outcome::ALL.len()],
    /// The time of the calls.
    pub duration: Histogram,
}

impl Default for HookCells {
    fn default() -> Self {
        Self { outcomes: Default::default(), duration: Histogram::new(WORK_TIMES) }
    }
}

/// What a worker counts without any name of the policy.
#[derive(Debug)]
pub struct WorkerCells {
    /// Requests that failed.
    pub failures: [Counter; Failure::ALL.len()],
    /// How late the worker's ticks come.
    pub late: Histogram,
    /// Connections to servers that wait for a request.
    pub idle: Gauge,
}

impl Default for WorkerCells {
    fn default() -> Self {
        Self {
            failures: std::array::from_fn(|_| Counter::default()),
            late: Histogram::new(WORK_TIMES),
            idle: Gauge::default(),
        }
    }
}

impl WorkerCells {
    /// Counts a request that failed.
    pub fn failed(&self, failure: Failure) {
        if let Some(count) = self.failures.get(failure as usize) {
            count.one();
        }
    }
}

impl Held for ListenerSeries {
    fn is_held(&self) -> bool {
        self.cells.is_held() || self.requests.is_held()
    }
}

impl Held for GroupSeries {
    fn is_held(&self) -> bool {
        self.cells.is_held() || self.servers.is_held()
    }
}

impl Registry {
    /// Counts a reload, or one that was not made.
    pub fn count_reload(&self, result: Reload) {
        if let Some(count) = self.reloads.get(result as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many reloads ended so.
    pub fn reloads(&self, result: Reload) -> u64 {
        self.reloads.get(result as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// Drops what this plan does not name, unless a request, a connection or a worker still counts for it. It is done when a policy
    /// is put in service, off the workers; what is held then goes the next time.
    pub fn keep(&self, plan: &Plan) {
        let named = Named::of(plan);
        for (listener, series) in self.listeners.list() {
            for (rule, by_group) in series.requests.list() {
                let takes = named.has_rule(&listener, &rule);
                by_group.keep(|group| takes && (group.is_empty() || named.groups.contains_key(group)));
            }
            series.requests.keep(|rule| named.has_rule(&listener, rule));
        }
        self.listeners.keep(|name| named.listeners.contains_key(name));
        for (group, series) in self.groups.list() {
            series.servers.keep(|server| named.groups.get(&*group).is_some_and(|servers| servers.contains(server)));
        }
        self.groups.keep(|name| named.groups.contains_key(name));
        self.extensions.keep(|name| plan.extensions.iter().any(|extension| extension.name == name));
        self.limited.keep(|name| named.rules.iter().any(|set| set.contains(name)));
    }
}

/// The names of a plan.
struct Named<'p> {
    /// The rules of each set.
    rules: Vec<HashSet<&'p str>>,
    /// The listeners, and the set of their rules.
    listeners: HashMap<&'p str, Option<usize>>,
    /// The groups, and their servers.
    groups: HashMap<&'p str, HashSet<String>>,
}

impl<'p> Named<'p> {
    fn of(plan: &'p Plan) -> Self {
        let rules = plan.rule_sets.iter().map(|set| set.rules.iter().map(|rule| rule.name.as_str()).collect());
        let listeners = plan.listeners.iter().map(|listener| {
            let own = if let ListenerAction::Rules(id) = &listener.action { Some(id.0) } else { None };
            (listener.name.as_str(), own)
        });
        let groups = plan.groups.iter().map(|group| {
            let servers = group.servers.iter().map(|server| address(&server.host, server.port));
            (group.name.as_str(), servers.collect())
        });
        Self { rules: rules.collect(), listeners: listeners.collect(), groups: groups.collect() }
    }

    /// Whether a listener of this name has a rule of this name; requests without a rule it may always have.
    fn has_rule(&self, listener: &str, rule: &str) -> bool {
        let Some(own) = self.listeners.get(listener) else { return false };
        rule.is_empty() || own.and_then(|set| self.rules.get(set)).is_some_and(|set| set.contains(rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{plan, policy};

    fn names<T>(all: &Names<T>) -> Vec<String> {
        all.list().into_iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn only_what_the_plan_names_is_kept_unless_somebody_counts() {
        let registry = Registry::default();
        let group = "server-group app { server 10.0.0.1:80; server [fd00::1]:81 }\n";
        let named =
            plan(&(policy("", "rule r { when path is \"/\"; forward app }; otherwise { respond 204 }") + group));
        let app = registry.groups.of("app");
        drop((app.servers.of("10.0.0.1:80"), app.servers.of("[fd00::1]:81"), app.servers.of("10.0.0.9:80")));
        drop(app);
        let held = registry.groups.of("old").servers.of("10.0.0.9:80").of(0);
        drop((
            registry.groups.of("older"),
            registry.extensions.of("x"),
            registry.limited.of("gone"),
            registry.limited.of("r"),
        ));
        let main = registry.listeners.of("main").requests.of("r");
        drop((main.of(""), main.of("app"), main.of("older")));
        drop(main);
        drop((
            registry.listeners.of("main").requests.of("gone").of("app"),
            registry.listeners.of("main").requests.of("").of(""),
        ));
        drop(registry.listeners.of("other").cells.of(0));
        registry.keep(&named);
        assert_eq!(names(&registry.groups), ["app", "old"]);
        assert_eq!(names(&registry.groups.of("app").servers), ["10.0.0.1:80", "[fd00::1]:81"]);
        assert_eq!((names(&registry.extensions), names(&registry.limited)), (Vec::new(), vec!["r".to_owned()]));
        assert_eq!(names(&registry.listeners), ["main"]);
        assert_eq!(names(&registry.listeners.of("main").requests), ["", "r"]);
        assert_eq!(names(&registry.listeners.of("main").requests.of("r")), ["", "app"]);
        drop(held);
        registry.keep(&named);
        assert_eq!(names(&registry.groups), ["app"]);
    }

    #[test]
    fn every_word_stands_at_its_number() {
        assert!(Reload::ALL.iter().enumerate().all(|(at, one)| *one as usize == at));
        assert!(Outcome::ALL.iter().enumerate().all(|(at, one)| *one as usize == at));
        assert!(ClientProtocol::ALL.iter().enumerate().all(|(at, one)| *one as usize == at));
        let registry = Registry::default();
        registry.count_reload(Reload::Unchanged);
        assert_eq!(Reload::ALL.map(|result| registry.reloads(result)), [0, 1, 0]);
    }
}
