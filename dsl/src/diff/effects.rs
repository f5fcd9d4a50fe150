//! The effects that a change has on a running gateway.

use super::{Change, How, open_connections};
use crate::plan::{Bind, Listener, ListenerState, OTHERWISE, Plan, Rule, Server, ServerGroup, Step};
use crate::value::show_duration;

/// Completes a change with what the plans say about it.
pub(super) fn tell(change: &mut Change, old: &Plan, new: &Plan) {
    match change.kind.as_str() {
        "listener" => listener(change, old, new),
        "server-group" => group(change, old, new),
        "rule" | OTHERWISE => rule(change, old, new),
        "extension" if change.how == How::Change => {
            change.effects.push("it gets new instances; requests in flight keep theirs".to_owned());
        }
        "list" if change.how == How::Change => open_connections::tell_of_used(change, old, new),
        "certificate" | "ca" | "tls-policy" if change.how == How::Change => {
            change.effects.push("it counts for new handshakes".to_owned());
            open_connections::tell_of_used(change, old, new);
        }
        "gateway" => {
            if old.gateway.workers != new.gateway.workers {
                change.effects.push("the number of workers counts from the next start".to_owned());
            }
            if old.gateway.secrets.iter().any(|secret| !new.gateway.secrets.contains(secret)) {
                change
                    .effects
                    .push("cookies and tickets of a secret that is gone are not accepted any more".to_owned());
            }
        }
        _ => {}
    }
}

// === listeners ===

fn listener(change: &mut Change, old: &Plan, new: &Plan) {
    let find = |plan: &'_ Plan| plan.listeners.iter().position(|listener| listener.name == change.name);
    let before = find(old).and_then(|at| old.listeners.get(at));
    let after = find(new).and_then(|at| new.listeners.get(at));
    let serves =
        |listener: Option<&Listener>| listener.is_some_and(|listener| listener.state == ListenerState::Running);
    match (before, after) {
        (Some(before), Some(after)) if socket(before) != socket(after) => {
            change.how = How::Replace;
            change.effects.push("a listener cannot change its protocol or its port in place".to_owned());
        }
        (Some(_), Some(_)) if serves(before) && !serves(after) => change.how = How::Stop,
        (Some(_), Some(_)) if !serves(before) && serves(after) => change.how = How::Start,
        (Some(_), Some(_)) => {
            if let (Some(before), Some(after)) = (before, after.filter(|after| serves(Some(after)))) {
                open_connections::tell(change, (before, old), (after, new));
            }
            return;
        }
        _ => {}
    }
    let serving = |plan: &Plan, socket_of: (Transport, Bind)| {
        let serving = |listener: &&Listener| serves(Some(listener)) && socket(listener) == socket_of;
        plan.listeners.iter().find(serving).map(|listener| listener.name.clone())
    };
    if let Some(after) = after.filter(|after| serves(Some(after))) {
        match serving(old, socket(after)) {
            None => change.effects.push(format!("opens {}", words(after.bind))),
            Some(heir) => change.effects.push(format!("takes over {} from the listener {heir}", words(after.bind))),
        }
    }
    if let Some(before) = before.filter(|before| serves(Some(before))) {
        match serving(new, socket(before)) {
            None => change.ends.push(format!(
                "the connections of {}, each when its requests are done, at the latest after {}",
                words(before.bind),
                show_duration(new.gateway.drain)
            )),
            Some(heir) => change
                .effects
                .push(format!("{} goes on at the listener {heir}: its connections stay", words(before.bind))),
        }
    }
}

/// The transport that connections come in by; HTTP/3 has ports of its own.
pub(super) type Transport = crate::plan::Protocol;

pub(super) const fn socket(listener: &Listener) -> (Transport, Bind) {
    (listener.protocol, listener.bind)
}

fn words(bind: Bind) -> String {
    match bind {
        Bind::Port(port) => format!("port {port}"),
        Bind::Address(address) => address.to_string(),
    }
}

// === server groups ===

fn group(change: &mut Change, old: &Plan, new: &Plan) {
    let find = |plan: &'_ Plan| plan.groups.iter().position(|group| group.name == change.name);
    let before = find(old).and_then(|at| old.groups.get(at));
    let after = find(new).and_then(|at| new.groups.get(at));
    let Some(before) = before else { return };
    for server in &before.servers {
        if after.is_some_and(|after| has(after, server)) {
            continue;
        }
        if new.groups.iter().any(|group| has(group, server)) {
            change.effects.push(format!("{} still serves another group", address(server)));
        } else {
            change.ends.push(format!(
                "the connections to {}: idle ones at once, others when their request is done",
                address(server)
            ));
        }
    }
    let Some(after) = after else { return };
    for server in after.servers.iter().filter(|server| server.stopped) {
        if before.servers.iter().any(|other| same(other, server) && !other.stopped) {
            change.effects.push(format!("{} takes no new requests", address(server)));
        }
    }
}

fn has(group: &ServerGroup, server: &Server) -> bool {
    group.servers.iter().any(|other| same(other, server))
}

fn same(one: &Server, other: &Server) -> bool {
    (&one.host, one.port) == (&other.host, other.port)
}

fn address(server: &Server) -> String {
    let Server { host, port, .. } = server;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

// === rules ===

/// A bucket is kept if the rule keeps its name, and the limit its place among the rule's limits and all but its status.
fn rule(change: &mut Change, old: &Plan, new: &Plan) {
    let limits = |plan: &Plan| {
        let set = plan.rule_sets.iter().find(|set| Some(&set.name) == change.of.as_ref());
        let named = |rule: &&Rule| rule.name == change.name || rule.name == change.kind;
        let rule = set.and_then(|set| set.rules.iter().find(named));
        rule.map(buckets).unwrap_or_default()
    };
    let (before, after) = (limits(old), limits(new));
    if after.iter().enumerate().any(|(at, bucket)| before.get(at) != Some(bucket)) {
        change.effects.push("what is new of its limits begins with full buckets".to_owned());
    }
}

fn buckets(rule: &Rule) -> Vec<String> {
    let limits = rule.steps.iter().filter_map(|step| match step {
        Step::Limit(limit) => Some(format!("{} {:?} {} {:?}", limit.requests, limit.interval, limit.burst, limit.per)),
        _ => None,
    });
    limits.collect()
}
