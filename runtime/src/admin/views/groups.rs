//! `/v1/groups`: server groups, and what is known of their servers.

use http::StatusCode;
use serde::Serialize;
use tidegate_base::address::address;
use tidegate_dsl::plan::{GroupId, Server, ServerGroup};
use tidegate_upstream::health::{LastCheck, ServerHealth};

use super::super::answer::Answer;
use super::super::context::Context;
use super::{masked, moment};
use crate::policy::overrides::{Overrides, ServerState};
use crate::policy::snapshot::Snapshot;

/// All server groups.
#[derive(Debug, Serialize)]
pub struct GroupList {
    /// The number of the policy in service.
    pub generation: u64,
    /// The groups, in the order of the policy.
    pub groups: Vec<GroupView>,
}

/// A server group.
#[derive(Debug, Serialize)]
pub struct GroupView {
    /// The name.
    pub name: String,
    /// `http`, `https` or `grpc`.
    pub protocol: &'static str,
    /// Whether its servers are checked.
    pub checked: bool,
    /// Servers that get requests now.
    pub available: usize,
    /// The servers, in the order of the policy.
    pub servers: Vec<ServerView>,
}

/// A server of a group.
#[derive(Debug, Serialize)]
pub struct ServerView {
    /// The address of the server, by which orders name it.
    pub address: String,
    /// `running`, `draining` or `stopped`.
    pub state: &'static str,
    /// The server's share of the requests.
    pub weight: u32,
    /// Whether it gets requests only where no other can.
    pub backup: bool,
    /// Whether it was changed by hand, against what the policy's files say.
    pub by_hand: bool,
    /// `healthy`, `unhealthy`, or `unchecked`.
    pub health: &'static str,
    /// What became of its last check.
    pub last_check: Option<Check>,
    /// Requests that it has now, tunnels among them.
    pub in_flight: i64,
}

/// What became of a check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// When it was done.
    pub at: String,
    /// How long it took, in milliseconds.
    pub ms: f64,
    /// The reason why the check failed, if it did.
    pub error: Option<String>,
}

/// `GET /v1/groups`
pub fn all(context: &Context) -> Answer {
    let (snapshot, overrides) = (context.snapshot(), context.facts.overrides());
    let groups = snapshot.plan().groups.iter().enumerate();
    let groups = groups.map(|(at, group)| view(context, &snapshot, (GroupId(at), group), &overrides)).collect();
    masked(context, &GroupList { generation: snapshot.generation, groups })
}

/// `GET /v1/groups/NAME`
pub fn one(context: &Context, name: &str) -> Answer {
    let (snapshot, overrides) = (context.snapshot(), context.facts.overrides());
    let found = snapshot.plan().groups.iter().enumerate().find(|(_, group)| group.name == name);
    match found {
        Some((at, group)) => masked(context, &view(context, &snapshot, (GroupId(at), group), &overrides)),
        None => Answer::problem(StatusCode::NOT_FOUND, format!("the policy has no server group `{name}`")),
    }
}

fn view(
    context: &Context,
    snapshot: &Snapshot,
    (id, group): (GroupId, &ServerGroup),
    overrides: &Overrides,
) -> GroupView {
    let health = snapshot.health.group(id);
    let counted = context.shared.metrics.groups.of(&group.name).servers.list();
    let in_flight = |address: &str| {
        let cells = counted.iter().find(|(name, _)| **name == *address);
        cells.map_or(0, |(_, cells)| cells.total(|cells| cells.in_flight.value()))
    };
    let servers: Vec<_> = group
        .servers
        .iter()
        .enumerate()
        .map(|(at, server)| {
            let view = server_view(group, server, health.get(at).map(|health| &**health), overrides);
            ServerView { in_flight: in_flight(&view.address), ..view }
        })
        .collect();
    let available = servers.iter().filter(|server| server.state == "running" && server.health != "unhealthy");
    GroupView {
        name: group.name.clone(),
        protocol: group.protocol.word(),
        checked: group.health_check.is_some(),
        available: available.count(),
        servers,
    }
}

fn server_view(
    group: &ServerGroup,
    server: &Server,
    health: Option<&ServerHealth>,
    overrides: &Overrides,
) -> ServerView {
    let address = address(&server.host, server.port);
    let change = overrides.server(&group.name, &address);
    let state = match change.map(|change| change.state) {
        Some(ServerState::Draining) => "draining",
        _ if server.stopped => "stopped",
        _ => "running",
    };
    let checked = checked(server, health);
    ServerView {
        address,
        state,
        weight: server.weight,
        backup: server.backup,
        by_hand: change.is_some(),
        health: match checked {
            None => "unchecked",
            Some(health) if health.is_healthy() => "healthy",
            Some(_) => "unhealthy",
        },
        last_check: checked.and_then(ServerHealth::last_check).map(check),
        in_flight: 0,
    }
}

/// What checks know of a server; nothing of one that is not checked, as those are not that get no requests.
pub(super) fn checked<'h>(server: &Server, health: Option<&'h ServerHealth>) -> Option<&'h ServerHealth> {
    health.filter(|_| server.takes_requests())
}

fn check(LastCheck { at, took, error }: LastCheck) -> Check {
    Check { at: moment(at), ms: (took.as_secs_f64() * 1e6).round() / 1e3, error }
}
