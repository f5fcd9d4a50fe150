//! The open connections of a changed listener: which words reach them, and which of them end.

use ipnet::IpNet;

use super::{Change, Line};
use crate::plan::{CaId, ClientIp, Listener, ListenerState, NetworkSet, Plan, TlsPolicy};
use crate::value::show_duration;

/// Words of a listener that count from the next connection on. In `limits`, behind a dot.
const FOR_NEW: [&str; 7] = [
    "certificate",
    "early-data",
    "limits.header-bytes",
    "limits.headers",
    "limits.connections",
    "limits.streams",
    "state",
];

/// Words that say who may connect. What ends by them is told apart.
const WHO: [&str; 5] = ["allow-from", "deny-from", "client-ca", "tls-policy", "http2"];

/// Tells what the changed words of a listener that stays mean for its open connections.
pub(super) fn tell(change: &mut Change, (before, old): (&Listener, &Plan), (after, new): (&Listener, &Plan)) {
    let words = words(&change.lines);
    let within = |list: &[&str], word: &&String| list.contains(&word.as_str());
    let for_new: Vec<_> = words.iter().filter(|word| within(&FOR_NEW, word)).collect();
    let at_once: Vec<_> = words.iter().filter(|word| !within(&FOR_NEW, word) && !within(&WHO, word)).collect();
    if !at_once.is_empty() {
        let which = if at_once.len() == words.len() { "the change".to_owned() } else { listed(&at_once) };
        change.effects.push(format!("its connections stay, and their next request sees {which}"));
    }
    if !for_new.is_empty() {
        change
            .effects
            .push(format!("{} counts for new connections; those that are open keep theirs", listed(&for_new)));
    }
    let ended: Vec<_> = ended((before, old), (after, new)).into_iter().map(|(_, ended)| ended).collect();
    if ended.is_empty() && words.iter().any(|word| within(&WHO, &word)) {
        change.effects.push("its connections stay: they would be let in, too".to_owned());
    }
    change.ends.extend(ended);
}

/// Tells what a changed `list`, `ca` or `tls-policy` means for the open connections of the listeners that use it.
pub(super) fn tell_of_used(change: &mut Change, old: &Plan, new: &Plan) {
    let stays = |after: &&Listener| after.state == ListenerState::Running;
    for after in new.listeners.iter().filter(stays) {
        let same = |before: &&Listener| super::effects::socket(before) == super::effects::socket(after);
        let Some(before) = old.listeners.iter().filter(stays).find(same) else { continue };
        if uses(after, new, &change.kind, &change.name) {
            let of = |ended: String| format!("of listener {}: {ended}", after.name);
            let by_this = ended((before, old), (after, new)).into_iter().filter(|(by, _)| *by == change.kind);
            change.ends.extend(by_this.map(|(_, ended)| of(ended)));
        }
    }
}

fn uses(listener: &Listener, plan: &Plan, kind: &str, name: &str) -> bool {
    let tls = listener.tls.as_ref();
    let listed =
        |set: &NetworkSet| set.lists.iter().any(|id| plan.lists.get(id.0).is_some_and(|list| list.name == name));
    match kind {
        "ca" => tls.and_then(|tls| tls.client_ca).is_some_and(|ca| bundle(plan, ca.ca).0 == name),
        "tls-policy" => policy(listener, plan).is_some_and(|policy| policy.name == name),
        _ => {
            let peers = [&listener.peers.allow, &listener.peers.deny].into_iter().flatten();
            peers.chain(proxy_set(listener)).any(listed)
        }
    }
}

/// The open connections that the new policy would not have let in, each with the kind of declaration that may be why.
fn ended((before, old): (&Listener, &Plan), (after, new): (&Listener, &Plan)) -> Vec<(&'static str, String)> {
    let mut ended = Vec::new();
    let peers = |listener: &Listener, plan: &Plan| {
        let of = |set: &Option<NetworkSet>| set.as_ref().map(|set| networks(set, plan));
        (of(&listener.peers.allow), of(&listener.peers.deny).unwrap_or_default())
    };
    let ((allowed, denied), (allows, denies)) = (peers(before, old), peers(after, new));
    let fewer = match (&allowed, &allows) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(allowed), Some(allows)) => !holds(allows, allowed),
    };
    if fewer || !holds(&denied, &denies) {
        ended.push(("list", "the connections of those that `allow-from` and `deny-from` keep out now".to_owned()));
    }
    if proxies(before, old) != proxies(after, new) {
        ended.push((
            "list",
            "the connections of peers whose word about the client counts only now, or no more".to_owned(),
        ));
    }
    if let (Some(was), Some(is)) = (&before.tls, &after.tls) {
        if let Some(ca) = is.client_ca {
            let same = was.client_ca.is_some_and(|was| bundle(old, was.ca).1 == bundle(new, ca.ca).1);
            if ca.required && !was.client_ca.is_some_and(|was| was.required) {
                ended.push(("ca", "the connections of clients that showed no certificate".to_owned()));
            }
            if !same && was.client_ca.is_some() {
                ended.push((
                    "ca",
                    format!("the connections whose certificate `{}` has not signed", bundle(new, ca.ca).0),
                ));
            }
        }
        if let (Some(was), Some(is)) = (policy(before, old), policy(after, new))
            && !offers(is, was)
        {
            ended.push((
                "tls-policy",
                format!("the connections with a version, suite or group that `{}` does not have", is.name),
            ));
        }
        if was.http2 && !is.http2 {
            ended.push(("listener", "the connections that speak HTTP/2".to_owned()));
        }
    }
    let drain = show_duration(new.gateway.drain);
    let when = |which: String| format!("{which}, each when its requests are done, at the latest after {drain}");
    ended.into_iter().map(|(by, which)| (by, when(which))).collect()
}

/// The name of an authority, and its file.
fn bundle(plan: &Plan, id: CaId) -> (&str, &str) {
    plan.authorities.get(id.0).map_or(("", ""), |ca| (&ca.name, &ca.bundle))
}

fn policy<'p>(listener: &Listener, plan: &'p Plan) -> Option<&'p TlsPolicy> {
    listener.tls.as_ref().and_then(|tls| tls.policy).and_then(|id| plan.tls_policies.get(id.0))
}

/// Whether a policy has all that another one has.
fn offers(policy: &TlsPolicy, other: &TlsPolicy) -> bool {
    other.versions.iter().all(|version| policy.versions.contains(version))
        && other.suites.iter().all(|suite| policy.suites.contains(suite))
        && other.groups.iter().all(|group| policy.groups.contains(group))
}

/// The peers whose header of the PROXY protocol counts.
fn proxy_set(listener: &Listener) -> Option<&NetworkSet> {
    match &listener.client_ip {
        ClientIp::ProxyProtocol(set) => Some(set),
        _ => None,
    }
}

fn proxies(listener: &Listener, plan: &Plan) -> Vec<IpNet> {
    proxy_set(listener).map(|set| networks(set, plan)).unwrap_or_default()
}

/// The networks of a set and of its lists, the fewest that hold the same.
fn networks(set: &NetworkSet, plan: &Plan) -> Vec<IpNet> {
    let listed = set.lists.iter().filter_map(|id| plan.lists.get(id.0)).flat_map(|list| &list.networks);
    let all: Vec<IpNet> = listed.chain(&set.networks).copied().collect();
    let mut fewest = IpNet::aggregate(&all);
    fewest.sort_unstable();
    fewest
}

/// Whether some networks, the fewest of their kind, hold others.
fn holds(networks: &[IpNet], others: &[IpNet]) -> bool {
    others.iter().all(|other| networks.iter().any(|network| network.contains(other)))
}

/// The words whose lines differ.
fn words(lines: &[Line]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut around = "";
    for line in lines {
        let word = line.text.split_whitespace().next().unwrap_or_default();
        let outer = !line.text.starts_with(' ');
        let opens = outer && line.text.ends_with(" {");
        if opens {
            around = word;
        }
        let word = match around {
            "limits" if !outer => format!("limits.{word}"),
            _ if outer => word.to_owned(),
            around => around.to_owned(),
        };
        if word != "}" && !(opens && around == "limits") && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// Words as people list them.
fn listed(words: &[&String]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.trim_start_matches("limits."))).collect();
    words.join(", ")
}
