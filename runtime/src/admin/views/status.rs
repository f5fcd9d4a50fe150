//! `/v1/status` and `/ready`: the gateway at a glance.

use http::StatusCode;
use serde::Serialize;
use tidegate_dsl::plan::GroupId;

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::facts::Outcome;
use super::super::lifecycle::State;
use super::groups::checked;
use super::moment;

/// The gateway at a glance.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The version of the gateway.
    pub version: &'static str,
    /// The number of the process.
    pub pid: u32,
    /// `running`, or `draining` once it ends.
    pub state: &'static str,
    /// When the process started.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// The policy's file.
    pub policy: String,
    /// The number of the policy in service.
    pub generation: u64,
    /// The threads that serve.
    pub workers: usize,
    /// ListenerCounts by state.
    pub listeners: ListenerCounts,
    /// Open connections of clients.
    pub connections: u32,
    /// ServerCounts by what is known of them.
    pub servers: ServerCounts,
    /// What became of the policy that was read last.
    pub last_read: Option<LastRead>,
}

/// ListenerCounts by state.
#[derive(Debug, Default, Serialize)]
pub struct ListenerCounts {
    /// Those whose workers do not accept yet.
    pub warming: usize,
    /// Those that accept.
    pub running: usize,
    /// Those that finish requests.
    pub draining: usize,
    /// Those that hold no socket.
    pub stopped: usize,
}

/// ServerCounts by what is known of them.
#[derive(Debug, Default, Serialize)]
pub struct ServerCounts {
    /// Those whose checks are answered.
    pub healthy: usize,
    /// Those whose checks fail.
    pub unhealthy: usize,
    /// Those that are not checked.
    pub unchecked: usize,
}

/// What became of a policy that was read.
#[derive(Debug, Serialize)]
pub struct LastRead {
    /// When it was read.
    pub at: String,
    /// The reason why it was read.
    pub cause: String,
    /// `in-service` or `refused`.
    pub result: &'static str,
}

/// `GET /v1/status`
pub fn answer(context: &Context) -> Answer {
    let (facts, snapshot) = (&context.facts, context.snapshot());
    let plan = snapshot.plan();
    let mut connections = 0;
    let listeners = facts.lifecycle(|lifecycle| {
        let mut listeners = ListenerCounts::default();
        let named = plan.listeners.iter().filter_map(|listener| lifecycle.of(&listener.name));
        for life in named.chain(lifecycle.leaving().map(|(_, life)| life)) {
            connections += life.connections();
            *match life.state {
                State::Warming => &mut listeners.warming,
                State::Running => &mut listeners.running,
                State::Draining => &mut listeners.draining,
                State::Stopped => &mut listeners.stopped,
            } += 1;
        }
        listeners
    });
    let last_read = facts.last().map(|last| LastRead {
        at: moment(last.at),
        cause: last.cause,
        result: match last.outcome {
            Outcome::InService(_) => "in-service",
            Outcome::Refused { .. } => "refused",
        },
    });
    Answer::json(&Status {
        version: env!("CARGO_PKG_VERSION"),
        pid: std::process::id(),
        state: if facts.is_ending() { "draining" } else { "running" },
        started: moment(facts.started),
        uptime_seconds: facts.started.elapsed().map_or(0, |uptime| uptime.as_secs()),
        policy: facts.root.display().to_string(),
        generation: snapshot.generation,
        workers: facts.workers,
        listeners,
        connections,
        servers: servers(context),
        last_read,
    })
}

fn servers(context: &Context) -> ServerCounts {
    let snapshot = context.snapshot();
    let mut servers = ServerCounts::default();
    for (at, group) in snapshot.plan().groups.iter().enumerate() {
        let health = snapshot.health.group(GroupId(at));
        for (position, server) in group.servers.iter().enumerate() {
            *match checked(server, health.get(position).map(|health| &**health)) {
                None => &mut servers.unchecked,
                Some(health) if health.is_healthy() => &mut servers.healthy,
                Some(_) => &mut servers.unhealthy,
            } += 1;
        }
    }
    servers
}

/// `GET /ready`: whether clients may be sent here.
pub fn ready(context: &Context) -> Answer {
    if context.facts.is_ending() {
        return Answer::problem(StatusCode::SERVICE_UNAVAILABLE, "the gateway ends");
    }
    let snapshot = context.snapshot();
    let warming = context.facts.lifecycle(|lifecycle| {
        let mut listeners = snapshot.plan().listeners.iter();
        let is_warming = |name: &str| lifecycle.of(name).is_some_and(|life| life.state == State::Warming);
        listeners.find(|listener| is_warming(&listener.name)).map(|listener| listener.name.clone())
    });
    match warming {
        Some(name) => Answer::problem(StatusCode::SERVICE_UNAVAILABLE, format!("listener `{name}` is warming")),
        None => Answer::text("text/plain", "ready\n"),
    }
}
