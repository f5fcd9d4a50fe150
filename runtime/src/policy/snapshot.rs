//! A policy in service: the engine and the loaded extensions of one generation. It never changes once built.

use std::sync::Arc;
use std::time::Instant;

use tidegate_base::address::{ListenerKey, address};
use tidegate_dsl::plan::{Listener, ListenerId, ListenerState, Plan};
use tidegate_engine::Engine;
use tidegate_upstream::health::Health;
use tidegate_wasm_host::Extension;

use super::alt_svc::Alternatives;
use super::via::Via;
use crate::tls::{Certificates, Service};

/// What a request is served by, from its first byte to its last.
pub struct Snapshot {
    /// Counts the policies that this process has put in service; the first is 1.
    pub generation: u64,
    /// The rules, ready to decide. A renewal of certificates keeps them.
    pub engine: Arc<Engine>,
    /// The loaded extensions, in the order of the plan.
    pub extensions: Vec<Arc<Extension>>,
    /// Names that requests carry about, made once.
    pub names: Names,
    /// Certificates, and what handshakes on both sides need.
    pub tls: Service,
    /// Which servers work.
    pub health: Health,
    /// What HTTPS listeners say of QUIC listeners.
    pub alternatives: Alternatives,
}

/// Names as shared texts, in the order of the plan.
pub struct Names {
    /// The names of the listeners.
    pub listeners: Vec<Arc<str>>,
    /// The names of the groups.
    pub groups: Vec<Arc<str>>,
    /// The addresses of each group's servers, as written.
    pub servers: Vec<Vec<Arc<str>>>,
    /// The name of the gateway in `Via`; `None` where it is off.
    pub via: Option<Via>,
}

impl Snapshot {
    /// The snapshot after `previous`, from which everything is taken over that has to outlive a reload.
    ///
    /// # Errors
    /// A sentence for the user: the certificates do not fit the policy.
    pub fn build(
        engine: Arc<Engine>,
        extensions: Vec<Arc<Extension>>,
        certificates: Certificates,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let plan = engine.plan();
        let tls = Service::build(plan, certificates, previous.map(|previous| (previous.plan(), &previous.tls)))?;
        let known = previous.map(|previous| (previous.plan(), &previous.alternatives));
        Ok(Self {
            generation: previous.map_or(1, |previous| previous.generation + 1),
            names: Names::of(plan),
            health: Health::of(plan, tls.checks(), previous.map(|previous| &previous.health)),
            alternatives: Alternatives::of(plan, known, Instant::now()),
            tls,
            extensions,
            engine,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.engine.plan()
    }

    /// The running listener with this key.
    pub fn listener_at(&self, key: ListenerKey) -> Option<ListenerId> {
        let runs = |listener: &Listener| ListenerKey::of(listener) == key && listener.state == ListenerState::Running;
        self.plan().listeners.iter().position(runs).map(ListenerId)
    }
}

impl Names {
    /// The names of a plan.
    pub fn of(plan: &Plan) -> Self {
        Self {
            listeners: plan.listeners.iter().map(|listener| listener.name.as_str().into()).collect(),
            groups: plan.groups.iter().map(|group| group.name.as_str().into()).collect(),
            servers: plan
                .groups
                .iter()
                .map(|group| group.servers.iter().map(|server| address(&server.host, server.port).into()).collect())
                .collect(),
            via: Via::of(&plan.gateway.via),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_dsl::plan::{Bind, Protocol};

    use crate::tests::snapshot;

    use super::*;

    #[test]
    fn a_listener_is_found_by_what_it_listens_on_while_it_runs() {
        let listener = |name: &str, words: &str| format!("listener http {name} {{ {words}; rules site }}\n");
        let policy = format!(
            "tidegate 1\n{}{}{}rules site {{ otherwise {{ close }} }}\n",
            listener("stopped", "port 8080; state stopped"),
            listener("one", "address 127.0.0.1:8081"),
            listener("other", "address 127.0.0.2:8081"),
        );
        let first = snapshot(&policy, None);
        let at = |bind, protocol| first.listener_at(ListenerKey { bind, protocol }).map(|id| id.0);
        let address = |text: &str| Bind::Address(text.parse().unwrap());
        assert_eq!(at(Bind::Port(8080), Protocol::Http), None, "it holds no socket");
        assert_eq!(at(address("127.0.0.1:8081"), Protocol::Http), Some(1));
        assert_eq!(at(address("127.0.0.2:8081"), Protocol::Http), Some(2));
        assert_eq!(at(address("127.0.0.2:8081"), Protocol::Https), None);
        assert_eq!(at(Bind::Port(8081), Protocol::Http), None);
        let second = snapshot(&policy, Some(&first));
        assert_eq!((first.generation, second.generation), (1, 2));
    }
}
