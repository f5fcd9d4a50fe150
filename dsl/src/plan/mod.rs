//! The execution plan: what a policy means, with every default filled in and every reference an index.
//!
//! Plain data, comparable and hashable, so that two plans can be told apart piece by piece. Nothing here
//! knows about text, spans or files: those stay with the compiler.

mod condition;
mod extension;
mod ids;
mod listener;
mod networks;
mod observed;
mod process;
mod rules;
mod servers;
mod template;
mod tls;

use serde::Serialize;

pub use condition::{ClientCertField, Condition, Predicate, StatusRange, Subject, Test};
pub use extension::{Abi, Capability, Extension, ExtensionLimits, InstanceMode, OnError, Reach, Reached};
pub use ids::{CaId, CertificateId, ExtensionId, GroupId, ListId, ListenerId, RuleSetId, TlsPolicyId};
pub use listener::{
    Bind, ClientCa, ClientIp, Compression, Forwarded, ForwardedFor, Listener, ListenerAction, ListenerLimits,
    ListenerState, ListenerTls, Paths, Peers, Protocol, QuicUpgrade,
};
pub use networks::{List, NetworkSet};
pub use observed::{Admin, Endpoints, Metrics, OtlpProtocol, Propagator, Sampling, Tracing};
pub use process::{AccessLog, Gateway, LogFormat, LogTarget, Secret, Via};
pub use rules::{
    Cors, CorsHeaders, CorsOrigins, Forward, HeaderStep, Limit, LimitKey, Mirror, OTHERWISE, Outcome, Respond,
    ResponseBlock, ResponseStep, Rule, RuleSet, Step, Target, UriPart,
};
pub use servers::{
    Balance, GroupProtocol, HashKey, HealthCheck, HttpProbe, Probe, Retries, RetryOn, Server, ServerGroup, Sticky,
    Verify,
};
pub use template::{ClientCertPart, Insert, LogField, Piece, Template};
pub use tls::{Ca, Certificate, CipherSuite, KeyExchangeGroup, TlsPolicy, TlsVersion};

/// A whole policy, ready for the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Plan {
    /// Process-wide settings.
    pub gateway: Gateway,
    /// The access log of requests: its target and its form.
    pub access_log: AccessLog,
    /// The export of spans; `None` is off.
    pub tracing: Option<Tracing>,
    /// The admin API of the running gateway; `None` is off.
    pub admin: Option<Admin>,
    /// The place where metrics are read.
    pub metrics: Option<Metrics>,
    /// Named networks, in the order declared.
    pub lists: Vec<List>,
    /// Certificate chains and their keys, in the order declared.
    pub certificates: Vec<Certificate>,
    /// Trusted authorities, in the order declared.
    pub authorities: Vec<Ca>,
    /// TLS policies: those that are declared, then the predefined ones that are used.
    pub tls_policies: Vec<TlsPolicy>,
    /// Wasm extensions, in the order declared.
    pub extensions: Vec<Extension>,
    /// Groups of backend servers, in the order declared.
    pub groups: Vec<ServerGroup>,
    /// Named rule lists, in the order declared.
    pub rule_sets: Vec<RuleSet>,
    /// Listeners, in the order declared.
    pub listeners: Vec<Listener>,
}

impl Plan {
    /// The listener that takes requests for a URL: the one of its scheme whose port it has, else the first of its scheme.
    pub fn listener_for(&self, scheme: &str, port: u16) -> Option<ListenerId> {
        self.listener_where(port, |listener| listener.protocol.scheme() == scheme)
    }

    /// Of the listeners that fit, the one that has this port, else the first.
    pub fn listener_where(&self, port: u16, fits: impl Fn(&Listener) -> bool) -> Option<ListenerId> {
        let fitting = || self.listeners.iter().enumerate().filter(|(_, listener)| fits(listener));
        let by_port = fitting().find(|(_, listener)| listener.bind.port() == port);
        by_port.or_else(|| fitting().next()).map(|(at, _)| ListenerId(at))
    }
}
