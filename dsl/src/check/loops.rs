//! Requests that would go round: a listener that forwards to itself, at once or over other listeners.

use std::collections::HashSet;
use std::net::IpAddr;

use super::checker::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Bind, GroupId, Listener, ListenerAction, Outcome, Plan, Protocol, Server, Step};
use crate::source::Span;

impl Checker<'_, '_> {
    /// Warns of servers that are listeners of this gateway, where a request would come back to where it came in.
    pub(crate) fn check_loops(&mut self, plan: &Plan, binds: &[Span]) {
        let reached: Vec<Vec<GroupId>> = plan.listeners.iter().map(|listener| groups_of(listener, plan)).collect();
        // From each listener, the listeners that a request may come to next, and by which server.
        let next: Vec<Vec<(usize, GroupId, usize)>> =
            reached.iter().map(|groups| groups.iter().flat_map(|group| arrivals(*group, plan)).collect()).collect();
        let mut told = HashSet::new();
        for (from, steps) in next.iter().enumerate() {
            for (to, group, server) in steps {
                if !leads_to(*to, from, &next) || !told.insert((*group, *server)) {
                    continue;
                }
                let span = self.server_spans.get(group.0).and_then(|spans| spans.get(*server)).copied();
                let (Some(span), Some(listener)) = (span, plan.listeners.get(*to)) else { continue };
                let message = format!("this server is the listener {} of this gateway", quoted(&listener.name));
                let mut report = Diagnostic::new(codes::LOOP, span, message)
                    .here("a request that goes here comes back")
                    .help("write the address of the backend, or another port for the listener");
                if let Some(bind) = binds.get(*to) {
                    report = report.also(*bind, "it listens here");
                }
                self.report(report);
            }
        }
    }
}

/// The groups that a listener may forward to.
fn groups_of(listener: &Listener, plan: &Plan) -> Vec<GroupId> {
    let mut groups = Vec::new();
    match &listener.action {
        ListenerAction::Forward(targets) => groups.extend(targets.iter().map(|target| target.group)),
        ListenerAction::Rules(id) => {
            for rule in plan.rule_sets.get(id.0).into_iter().flat_map(|set| &set.rules) {
                groups.extend(rule.steps.iter().filter_map(|step| match step {
                    Step::Mirror(mirror) => Some(mirror.group),
                    _ => None,
                }));
                if let Outcome::Forward(forward) = &rule.outcome {
                    groups.extend(forward.targets.iter().map(|target| target.group));
                }
            }
        }
    }
    groups.sort_unstable();
    groups.dedup();
    groups
}

/// The listeners that servers of a group are.
fn arrivals(group: GroupId, plan: &Plan) -> Vec<(usize, GroupId, usize)> {
    let servers = plan.groups.get(group.0).into_iter().flat_map(|group| group.servers.iter().enumerate());
    let at = |(position, server): (usize, &Server)| {
        let listener = plan.listeners.iter().position(|listener| is_at(listener, server))?;
        Some((listener, group, position))
    };
    servers.filter_map(at).collect()
}

/// Whether a server is a listener of this policy: the port is the same, and the address is this machine's own.
fn is_at(listener: &Listener, server: &Server) -> bool {
    if listener.bind.port() != server.port || listener.protocol == Protocol::Quic {
        return false;
    }
    let ip: Option<IpAddr> =
        if server.host == "localhost" { Some(IpAddr::from([127, 0, 0, 1])) } else { server.host.parse().ok() };
    let Some(ip) = ip else { return false };
    let here = ip.is_loopback() || ip.is_unspecified();
    match listener.bind {
        Bind::Port(_) => here,
        Bind::Address(address) => address.ip() == ip || address.ip().is_unspecified() && here,
    }
}

/// Whether a request at one listener may come to the other.
fn leads_to(from: usize, to: usize, next: &[Vec<(usize, GroupId, usize)>]) -> bool {
    let mut seen = HashSet::new();
    let mut waiting = vec![from];
    while let Some(at) = waiting.pop() {
        if at == to {
            return true;
        }
        if seen.insert(at) {
            waiting.extend(next.get(at).into_iter().flatten().map(|(next, ..)| *next));
        }
    }
    false
}
