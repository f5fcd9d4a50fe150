//! Exchanges and small plans, for the tests of several files.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Version};
use tidegate_dsl::plan::*;

use crate::exchange::{self, Connection, Exchange};

/// A request of 203.0.113.9 that came over 192.0.2.1.
pub(crate) fn exchange(method: &str, authority: &str, target: &str) -> Box<Exchange> {
    let target = (target.parse().unwrap(), target.parse().unwrap());
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let request =
        exchange::Request::new(method, authority.parse().unwrap(), target, Version::HTTP_11, HeaderMap::new());
    let connection = Connection {
        peer: "192.0.2.1:4711".parse().unwrap(),
        local: "192.0.2.2:8080".parse().unwrap(),
        listener: "main".into(),
        tls: None,
    };
    Box::new(Exchange::new(Arc::new(connection), request, [203, 0, 113, 9].into(), 42))
}

/// A template of one literal text.
pub(crate) fn text(text: &str) -> Template {
    Template(vec![Piece::Text(text.into())])
}

/// A template of one insert.
pub(crate) fn insert(insert: Insert) -> Template {
    Template(vec![Piece::Insert(insert)])
}

pub(crate) fn when(subject: Subject, predicate: Predicate) -> Condition {
    Condition { unless: false, test: Test::Is(subject, predicate) }
}

pub(crate) fn to(group: usize) -> Outcome {
    Outcome::Forward(Forward { targets: vec![Target { group: GroupId(group), weight: 100 }], sticky: None })
}

pub(crate) fn rule(name: &str, conditions: Vec<Condition>, steps: Vec<Step>, outcome: Outcome) -> Rule {
    Rule { name: name.into(), conditions, steps, outcome, on_response: Vec::new() }
}

/// A plan with one listener `main`, one rule list `shop` of these rules, and the groups `web` and `api`.
pub(crate) fn plan(rules: Vec<Rule>) -> Plan {
    Plan {
        gateway: Gateway { workers: None, drain: Duration::from_secs(30), secrets: Vec::new(), via: Via::default() },
        access_log: AccessLog { to: LogTarget::Stdout, format: LogFormat::Json },
        tracing: None,
        admin: None,
        metrics: None,
        certificates: Vec::new(),
        authorities: Vec::new(),
        tls_policies: Vec::new(),
        lists: vec![List { name: "office".into(), networks: vec!["10.0.0.0/8".parse().unwrap()] }],
        extensions: vec![
            extension("first", OnError::Deny(500)),
            extension("second", OnError::Skip),
            extension("third", OnError::Deny(418)),
        ],
        groups: vec![group("web"), group("api")],
        rule_sets: vec![RuleSet { name: "shop".into(), rules }],
        listeners: vec![listener()],
    }
}

fn extension(name: &str, on_error: OnError) -> Extension {
    Extension {
        name: name.into(),
        module: format!("{name}.wasm"),
        abi: Abi::Tidegate,
        config: "{}".into(),
        limits: ExtensionLimits { memory: 16 << 20, time: Duration::from_millis(5), instances: 4 },
        instance: InstanceMode::Reused,
        on_error,
        on_pause: OnError::Deny(503),
        allow: vec![Capability::ReadRequest],
        reach: Reach::default(),
    }
}

pub(crate) fn group(name: &str) -> ServerGroup {
    ServerGroup {
        name: name.into(),
        protocol: GroupProtocol::Http,
        balance: Balance::RoundRobin,
        servers: vec![Server { host: "127.0.0.1".into(), port: 9000, weight: 1, backup: false, stopped: false }],
        health_check: None,
        sticky: None,
        keepalive: None,
        slow_start: Duration::ZERO,
        drain: Duration::from_secs(30),
        connect_timeout: Duration::from_secs(1),
        verify: Verify::System,
        server_name: None,
        retries: Retries { count: 0, on: Vec::new() },
        max_connections: None,
    }
}

fn listener() -> Listener {
    Listener {
        name: "main".into(),
        protocol: Protocol::Http,
        bind: Bind::Port(8080),
        tls: None,
        peers: Peers::default(),
        quic_upgrade: None,
        idle_timeout: Duration::from_secs(15),
        request_timeout: Duration::from_secs(60),
        tunnel_timeout: Duration::from_secs(3600),
        compression: Vec::new(),
        client_ip: ClientIp::Peer,
        paths: Paths::default(),
        forwarded: Forwarded {
            forwarded_for: Some(ForwardedFor::Append),
            proto: true,
            port: false,
            client_port: false,
            host: false,
            listener_id: false,
            client_cert: false,
        },
        tracing: None,
        access_log: true,
        limits: ListenerLimits {
            header_bytes: 64 << 10,
            headers: 100,
            uri_bytes: 16 << 10,
            body_bytes: None,
            connections: 1000,
            streams: 100,
            requests_per_connection: None,
        },
        run: Vec::new(),
        on_response: Vec::new(),
        labels: Vec::new(),
        state: ListenerState::Running,
        action: ListenerAction::Rules(RuleSetId(0)),
    }
}
