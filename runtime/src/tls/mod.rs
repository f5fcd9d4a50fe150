//! TLS: certificates and authorities as files and in use, the handshakes of clients.

pub mod client_cert;
pub mod early;
pub mod endpoint;
pub mod files;
pub mod handshake;
pub mod resolver;
pub mod terms;
pub mod tickets;

use std::sync::Arc;

use tidegate_base::address::ListenerKey;
use tidegate_base::secret::Secrets;
use tidegate_base::token::Tokens;
use tidegate_dsl::plan::{CaId, GroupId, GroupProtocol, HealthCheck, HttpProbe, ListenerId, Plan, Probe};
use tidegate_upstream::tls::GroupTls;

use self::endpoint::Endpoint;
use self::files::{Authorities, ServerCertificate};

/// The certificates, authorities and secrets of a policy, as they were read from files; in the order of the plan.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    /// The chain of each `certificate`, with its key.
    pub chains: Vec<Arc<ServerCertificate>>,
    /// The authorities of each `ca`.
    pub authorities: Vec<Arc<Authorities>>,
    /// The secrets that keys are derived from.
    pub secrets: Secrets,
    /// The tokens of the admin API.
    pub tokens: Tokens,
}

impl Certificates {
    /// Whether both come to the same in every handshake.
    pub fn serves_the_same(&self, other: &Self) -> bool {
        let certificate = |one: &Arc<ServerCertificate>| (one.key.cert.clone(), one.key.ocsp.clone());
        let roots = |one: &Arc<Authorities>| one.roots.roots.clone();
        self.chains.iter().map(certificate).eq(other.chains.iter().map(certificate))
            && self.authorities.iter().map(roots).eq(other.authorities.iter().map(roots))
            && self.secrets == other.secrets
            && self.tokens == other.tokens
    }
}

/// All TLS of a policy, ready to serve; both sides.
#[derive(Debug, Default)]
pub struct Service {
    /// What the service was made from.
    pub certificates: Certificates,
    endpoints: Vec<Option<Arc<Endpoint>>>,
    upstream: Vec<Option<GroupTls>>,
    /// For health checks.
    checks: Vec<Option<GroupTls>>,
}

impl Service {
    /// Builds the service, and takes over from the one before what has to outlive a reload: the keys of session tickets, and the
    /// settings towards backends, which name the pools.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn build(plan: &Plan, certificates: Certificates, previous: Option<(&Plan, &Self)>) -> Result<Self, String> {
        let endpoints: Result<Vec<_>, String> = plan
            .listeners
            .iter()
            .map(|listener| {
                let Some(tls) = &listener.tls else { return Ok(None) };
                let old = previous.and_then(|(old, service)| {
                    let same = |other: &_| ListenerKey::of(other) == ListenerKey::of(listener);
                    service.endpoints.get(old.listeners.iter().position(same)?)?.as_deref()
                });
                Endpoint::build(plan, listener, tls, &certificates, old).map(|endpoint| Some(Arc::new(endpoint)))
            })
            .collect();
        let mut service = Self { endpoints: endpoints?, ..Self::default() };
        let roots = |ca: CaId| certificates.authorities.get(ca.0).map(|authorities| Arc::clone(&authorities.roots));
        for group in &plan.groups {
            let before = previous.map(|(_, old)| old.upstream.iter().chain(&old.checks)).into_iter().flatten();
            let known: Vec<_> = before.chain(&service.upstream).chain(&service.checks).flatten().cloned().collect();
            let build = |wanted: bool| wanted.then(|| GroupTls::build(group, roots, &known)).transpose();
            let check =
                matches!(group.health_check, Some(HealthCheck { probe: Probe::Http(HttpProbe { tls: true, .. }), .. }));
            service.upstream.push(build(group.protocol == GroupProtocol::Https)?);
            service.checks.push(build(check)?);
        }
        service.certificates = certificates;
        Ok(service)
    }

    /// What a listener's handshakes need; `None` for one without TLS.
    pub fn endpoint(&self, id: ListenerId) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(id.0)?.as_ref()
    }

    /// How a group's servers are connected to; `None` is in clear text.
    pub fn upstream(&self, id: GroupId) -> Option<&GroupTls> {
        self.upstream.get(id.0)?.as_ref()
    }

    /// How the servers of each group are checked; `None` is in clear text.
    pub fn checks(&self) -> &[Option<GroupTls>] {
        &self.checks
    }
}

#[cfg(test)]
pub(crate) mod tests;
