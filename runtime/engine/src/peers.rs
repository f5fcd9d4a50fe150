//! `allow-from` and `deny-from`: whose connections a listener takes.

use std::net::IpAddr;

use tidegate_dsl::plan::{self, Plan};

use crate::networks::Networks;

/// The networks whose connections a listener takes, and those whose it does not.
#[derive(Debug)]
pub(crate) struct Peers {
    allow: Option<Networks>,
    deny: Option<Networks>,
}

impl Peers {
    pub(crate) fn new(peers: &plan::Peers, plan: &Plan) -> Self {
        let of = |set: &Option<plan::NetworkSet>| set.as_ref().map(|set| Networks::of(set, plan));
        Self { allow: of(&peers.allow), deny: of(&peers.deny) }
    }

    /// Whether a connection of this peer is taken.
    pub(crate) fn take(&self, peer: IpAddr) -> bool {
        self.refusal(peer).is_none()
    }

    /// The word that keeps a connection of this peer out: `deny-from` counts first.
    pub(crate) fn refusal(&self, peer: IpAddr) -> Option<Refusal> {
        let within = |networks: &Networks| networks.contains(peer);
        if self.deny.as_ref().is_some_and(within) {
            return Some(Refusal::Denied);
        }
        (!self.allow.as_ref().is_none_or(within)).then_some(Refusal::NotAllowed)
    }
}

/// The word that keeps a connection out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `deny-from`
    Denied,
    /// `allow-from`
    NotAllowed,
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn who_is_denied_is_not_allowed() {
        let set = |networks: &[&str]| {
            let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
            Some(plan::NetworkSet { lists: Vec::new(), networks })
        };
        let plan = testing::plan(Vec::new());
        let office = Some(plan::NetworkSet { lists: vec![plan::ListId(0)], networks: Vec::new() });
        for (allow, deny, peer, taken) in [
            (None, None, "203.0.113.9", true),
            (office.clone(), None, "10.1.2.3", true),
            (office.clone(), None, "::ffff:10.1.2.3", true),
            (office.clone(), None, "11.0.0.0", false),
            (office.clone(), None, "2001:db8::1", false),
            (office.clone(), set(&["10.9.0.0/16"]), "10.9.255.255", false),
            (office.clone(), set(&["10.9.0.0/16"]), "10.10.0.0", true),
            (None, set(&["2001:db8::/32", "192.0.2.0/24"]), "2001:db8::1", false),
            (None, set(&["2001:db8::/32", "192.0.2.0/24"]), "::ffff:192.0.2.255", false),
            (None, set(&["2001:db8::/32", "192.0.2.0/24"]), "192.0.3.0", true),
            (set(&["10.0.0.0/8"]), office, "10.1.2.3", false),
            (Some(plan::NetworkSet::default()), None, "10.1.2.3", false),
        ] {
            let peers = Peers::new(&plan::Peers { allow, deny }, &plan);
            assert_eq!(peers.take(peer.parse().unwrap()), taken, "{peers:?} {peer}");
        }
    }
}
