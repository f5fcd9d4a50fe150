//! Everything that is counted, as a text for who asks.

use std::collections::BTreeMap;

use tidegate_dsl::plan::GroupId;
use tidegate_wasm_host::Host;

use crate::policy::snapshot::Snapshot;
use crate::request::worker::Shared;
use crate::telemetry::metrics::{Facts, Format, render};

impl Shared {
    /// Everything that is counted, with what is known of the policy in service. Not for a worker's thread: it takes time.
    pub fn scrape(&self, host: &Host, format: Format) -> String {
        let snapshot = self.snapshot();
        let facts = Facts {
            generation: snapshot.generation,
            servers: servers(&snapshot),
            certificates: certificates(&snapshot),
            samples: host.samples(),
            log_lines_dropped: self.log.lost(),
        };
        render(&self.metrics, &facts, format)
    }
}

/// The servers that may get requests, and whether they work. One that stands twice in a group works if it does in one place.
fn servers(snapshot: &Snapshot) -> Vec<(&str, &str, bool)> {
    let mut known = BTreeMap::new();
    for (at, group) in snapshot.plan().groups.iter().enumerate() {
        let names = snapshot.names.servers.get(at).into_iter().flatten();
        let health = snapshot.health.group(GroupId(at));
        for ((position, server), name) in group.servers.iter().enumerate().zip(names) {
            if server.takes_requests() {
                let works = health.get(position).is_none_or(|health| health.is_healthy());
                *known.entry((group.name.as_str(), &**name)).or_insert(false) |= works;
            }
        }
    }
    known.into_iter().map(|((group, server), works)| (group, server, works)).collect()
}

fn certificates(snapshot: &Snapshot) -> Vec<(&str, f64)> {
    let named = snapshot.plan().certificates.iter().zip(&snapshot.tls.certificates.chains);
    named.map(|(certificate, chain)| (certificate.name.as_str(), chain.not_after.as_secs_f64())).collect()
}
