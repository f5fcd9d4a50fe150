//! A plan for people: for each listener, in the order in which a request meets it.

use super::groups::group_lines;
use super::listener::compression_words;
use super::tls;
use super::words::{Writer, allow_words, name, template};
use crate::plan::{
    Abi, Admin, Bind, ClientIp, Endpoints, Listener, ListenerAction, ListenerState, LogFormat, LogTarget, OTHERWISE,
    Paths, Plan, Sampling, Via,
};
use crate::value::{show_duration, show_network, show_size};

/// The plan as text for people.
pub fn plan(plan: &Plan) -> String {
    let mut w = Writer::new(plan);
    process(&mut w);
    for listener in &plan.listeners {
        w.blank();
        write_listener(&mut w, listener);
    }
    if !plan.tls_policies.is_empty() {
        w.blank();
        w.section("TLS policies", tls::policy_lines);
    }
    if !plan.certificates.is_empty() {
        w.blank();
        w.section("certificates", tls::certificate_lines);
    }
    if !plan.authorities.is_empty() {
        w.blank();
        w.section("authorities", tls::authority_lines);
    }
    if !plan.groups.is_empty() {
        w.blank();
        w.section("server groups", group_lines);
    }
    for (title, lines) in [("extensions", extensions(plan)), ("lists", lists(plan))] {
        if !lines.is_empty() {
            w.blank();
            w.section(title, |w| lines.iter().for_each(|line| w.line(line)));
        }
    }
    w.out
}

fn process(w: &mut Writer<'_>) {
    let plan = w.plan;
    let workers = plan.gateway.workers.map_or("one for each core".to_owned(), |count| count.to_string());
    w.line(&format!("workers: {workers}"));
    w.line(&format!("drain: {}", show_duration(plan.gateway.drain)));
    if !plan.gateway.secrets.is_empty() {
        let secrets: Vec<_> = plan.gateway.secrets.iter().map(super::policy::show_secret).collect();
        w.line(&format!("keys: derived from {}", secrets.join(", accepted also those from ")));
    }
    match &plan.gateway.via {
        Via::On => {}
        Via::Off => w.line("via: off"),
        Via::Name(name) => w.line(&format!("via: {name}")),
    }
    let format = match &plan.access_log.format {
        LogFormat::Json => "json".to_owned(),
        LogFormat::Text => "text".to_owned(),
        LogFormat::Template(line) => template(line),
    };
    match &plan.access_log.to {
        LogTarget::Stdout => w.line(&format!("access log: {format} to standard output")),
        LogTarget::File(path) => w.line(&format!("access log: {format} to {path}")),
    }
    if let Some(tracing) = &plan.tracing {
        let protocol = tls::otlp_word(tracing.protocol);
        w.line(&format!("spans: otlp over {protocol} to {}, as {}", tracing.endpoint, tracing.service));
    }
    if let Some(admin) = &plan.admin {
        w.line(&format!("admin: {}{}", endpoints(&admin.at), tokens(admin)));
    }
    if let Some(metrics) = &plan.metrics {
        w.line(&format!("metrics: {}", endpoints(&metrics.at)));
    }
}

/// Addresses for people.
fn endpoints(at: &Endpoints) -> String {
    let address = at.listen.map(|address| address.to_string());
    let socket = at.unix.as_ref().map(|path| format!("unix {path}"));
    address.into_iter().chain(socket).collect::<Vec<_>>().join(" and ")
}

fn tokens(admin: &Admin) -> String {
    let read = admin.read_token.as_ref().map(|_| "to read");
    let operate = admin.operate_token.as_ref().map(|_| "to change anything");
    let asked: Vec<_> = read.into_iter().chain(operate).collect();
    if asked.is_empty() { String::new() } else { format!(", with tokens {}", asked.join(" and ")) }
}

fn write_listener(w: &mut Writer<'_>, listener: &Listener) {
    let place = match listener.bind {
        Bind::Port(port) => format!("port {port} of every interface"),
        Bind::Address(address) => address.to_string(),
    };
    let stopped = if listener.state == ListenerState::Stopped { ", stopped" } else { "" };
    w.section(&format!("listener {}: {} on {place}{stopped}", listener.name, listener.protocol.word()), |w| {
        for (key, value) in &listener.labels {
            w.line(&format!("label {key}: {value}"));
        }
        write_tls(w, listener);
        w.line(&format!(
            "timeouts: idle {}, request {}, tunnel {}",
            show_duration(listener.idle_timeout),
            show_duration(listener.request_timeout),
            show_duration(listener.tunnel_timeout)
        ));
        write_limits(w, listener);
        if let Some(deny) = &listener.peers.deny {
            w.line(&format!("connections never from {}", w.networks(deny)));
        }
        if let Some(allow) = &listener.peers.allow {
            w.line(&format!("connections only from {}", w.networks(allow)));
        }
        let client = match &listener.client_ip {
            ClientIp::Peer => "the peer".to_owned(),
            ClientIp::XForwardedFor(set) => format!("x-forwarded-for, trusting {}", w.networks(set)),
            ClientIp::XForwardedForLeftmost => "x-forwarded-for, the leftmost".to_owned(),
            ClientIp::ProxyProtocol(set) => format!("the PROXY protocol, trusting {}", w.networks(set)),
        };
        w.line(&format!("client address: {client}"));
        match listener.paths {
            Paths::Merge => {}
            Paths::Plain => w.line("paths: slashes and `;` as they came"),
            Paths::Strict => w.line("paths: refused where servers read them in two ways"),
        }
        w.line(&format!("told to backends: {}", forwarded(listener)));
        if !listener.compression.is_empty() {
            w.line(&format!("compression: {}", compression_words(&listener.compression).trim_matches(['[', ']'])));
        }
        if let Some(Sampling { percent, ignore_parent }) = listener.tracing {
            let of = if ignore_parent { ", whatever a request says of itself" } else { "" };
            w.line(&format!("traced: {percent}%{of}"));
        }
        if !listener.access_log {
            w.line("access log: off");
        }
        for id in &listener.run {
            let name = w.extension(id.0);
            w.line(&format!("run {name}"));
        }
        write_action(w, &listener.action);
        w.response_blocks(&listener.on_response);
    });
}

fn write_tls(w: &mut Writer<'_>, listener: &Listener) {
    let Some(tls) = &listener.tls else { return };
    let certificate = |at: usize| name(&w.plan.certificates, at, |certificate| &certificate.name);
    let certificates: Vec<String> = tls.certificates.iter().map(|id| certificate(id.0)).collect();
    w.line(&format!("certificates: {}", certificates.join(", ")));
    if let Some(policy) = tls.policy {
        let policy = name(&w.plan.tls_policies, policy.0, |policy| &policy.name);
        let http2 = if tls.http2 { "h2 and http/1.1" } else { "http/1.1" };
        w.line(&format!("tls: {policy}, offering {http2}"));
    }
    if let Some(ca) = &tls.client_ca {
        let authority = name(&w.plan.authorities, ca.ca.0, |ca| &ca.name);
        let mode = if ca.required { "required" } else { "optional" };
        w.line(&format!("client certificates: {mode}, of {authority}"));
    }
    if tls.early_data {
        w.line(if tls.client_ca.is_some() {
            "0-RTT data: none, since clients are asked for a certificate"
        } else {
            "0-RTT data: taken for safe methods"
        });
    }
    if let Some(upgrade) = listener.quic_upgrade {
        let target = w.plan.listeners.get(upgrade.listener.0);
        let port = upgrade.port.or(target.map(|target| target.bind.port())).unwrap_or_default();
        let (target, age) = (target.map_or("", |target| &target.name), show_duration(upgrade.max_age));
        w.line(&format!("upgrade: to HTTP/3 at {target}, port {port}, remembered for {age}, while it accepts"));
    }
}

fn write_limits(w: &mut Writer<'_>, listener: &Listener) {
    let limits = &listener.limits;
    let off = || "off".to_owned();
    w.line(&format!(
        "limits: header {} in {} fields, uri {}, body {}, connections {}, streams {}, requests on a connection {}",
        show_size(limits.header_bytes),
        limits.headers,
        show_size(limits.uri_bytes),
        limits.body_bytes.map_or_else(off, show_size),
        limits.connections,
        limits.streams,
        limits.requests_per_connection.map_or_else(off, |count| count.to_string()),
    ));
}

fn forwarded(listener: &Listener) -> String {
    use crate::plan::ForwardedFor::{Append, Remove, Replace};
    let words = super::words::forwarded_words(&listener.forwarded);
    if words.is_empty() {
        return "nothing".to_owned();
    }
    let how = match listener.forwarded.forwarded_for {
        None => "",
        Some(Append) => " (x-forwarded-for appended)",
        Some(Replace) => " (x-forwarded-for replaced)",
        Some(Remove) => " (x-forwarded-for removed)",
    };
    format!("{}{how}", words.join(", "))
}

fn write_action(w: &mut Writer<'_>, action: &ListenerAction) {
    let id = match action {
        ListenerAction::Forward(targets) => {
            let forward = w.forward(targets);
            return w.line(&forward);
        }
        ListenerAction::Rules(id) => id.0,
    };
    let Some(rules) = w.plan.rule_sets.get(id) else { return };
    w.section(&format!("rules {}", rules.name), |w| {
        for (at, rule) in rules.rules.iter().enumerate() {
            let title = if rule.name == OTHERWISE { OTHERWISE.to_owned() } else { format!("rule {}", rule.name) };
            w.section(&format!("{}. {title}", at + 1), |w| w.rule_body(rule));
        }
    });
}

fn extensions(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for extension in &plan.extensions {
        let limits = &extension.limits;
        let abi = match extension.abi {
            Abi::Tidegate => "",
            Abi::ProxyWasm => " (proxy-wasm)",
            Abi::HttpWasm => " (http-wasm)",
        };
        lines.push(format!("{}: {}{abi}", extension.name, extension.module));
        lines.push(format!("    config {}", extension.config));
        lines.push(format!(
            "    memory {}, time {}, instances {} a worker, {}",
            show_size(limits.memory),
            show_duration(limits.time),
            limits.instances,
            match extension.instance {
                crate::plan::InstanceMode::Reused => "reused",
                crate::plan::InstanceMode::Fresh => "fresh for each call",
            }
        ));
        let words = |on_fault| match on_fault {
            crate::plan::OnError::Deny(status) => format!("answer {status}"),
            crate::plan::OnError::Skip => "go on".to_owned(),
        };
        let (on_error, on_pause) = (words(extension.on_error), words(extension.on_pause));
        let allow = allow_words(extension);
        let allow = if allow.is_empty() { "nothing".to_owned() } else { allow.join(", ") };
        lines.push(format!("    may {allow}; on error {on_error}; on pause {on_pause}"));
    }
    lines
}

fn lists(plan: &Plan) -> Vec<String> {
    let line = |at: usize| {
        let networks = plan.lists.get(at).map(|list| list.networks.iter().map(show_network).collect::<Vec<_>>());
        format!("{}: {}", name(&plan.lists, at, |list| &list.name), networks.unwrap_or_default().join(", "))
    };
    (0..plan.lists.len()).map(line).collect()
}

impl Writer<'_> {
    /// A title and the indented lines below it.
    fn section(&mut self, title: &str, body: impl FnOnce(&mut Self)) {
        self.line(title);
        self.indented(body);
    }
}
