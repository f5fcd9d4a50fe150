//! A policy in service: the engine and the loaded extensions of one generation. It never changes once built.

use std::sync::Arc;

use tidegate_dsl::plan::{Bind, Listener, ListenerId, ListenerState, Plan, Protocol};
use tidegate_engine::Engine;
use tidegate_wasm_host::Extension;

use super::alternative::Alternatives;
use crate::health::Health;
use crate::tls::Service;
use crate::via::Via;

/// What a request is served by, from its first byte to its last.
pub struct Snapshot {
    /// Counts the policies that this process has put in service; the first is 1.
    pub generation: u64,
    /// Decides.
    pub engine: Engine,
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

/// What makes a listener the same over reloads: an HTTPS and a QUIC listener may share a port, and one that
/// comes to speak another protocol is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// Where it listens.
    pub bind: Bind,
    /// What it speaks.
    pub protocol: Protocol,
}

impl Place {
    /// The place of a listener.
    pub fn of(listener: &Listener) -> Self {
        Self { bind: listener.bind, protocol: listener.protocol }
    }
}

/// Names as shared texts, in the order of the plan.
pub struct Names {
    /// Of each listener.
    pub listeners: Vec<Arc<str>>,
    /// Of each group.
    pub groups: Vec<Arc<str>>,
    /// Of each server of each group: its address as written.
    pub servers: Vec<Vec<Arc<str>>>,
    /// Of the gateway, in `Via`; `None` where it is off.
    pub via: Option<Via>,
}

impl Snapshot {
    /// The plan.
    pub fn plan(&self) -> &Plan {
        self.engine.plan()
    }

    /// The running listener of this place.
    pub fn listener_at(&self, place: Place) -> Option<ListenerId> {
        let runs = |listener: &Listener| Place::of(listener) == place && listener.state == ListenerState::Running;
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

/// `host:port`, with brackets around an IPv6 address.
pub fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
