//! A listener as the policy that means it.

use super::words::{Writer, forwarded_words, name, quote};
use crate::plan::{
    Bind, ClientIp, Compression, ForwardedFor, Listener, ListenerAction, ListenerLimits, ListenerState, Protocol,
    Sampling,
};
use crate::value::{show_duration, show_size};

pub(super) fn write_listener(w: &mut Writer<'_>, listener: &Listener) {
    w.block(&format!("listener {} {}", listener.protocol.word(), listener.name), |w| {
        match listener.bind {
            Bind::Port(port) => w.line(&format!("port {port}")),
            Bind::Address(address) => w.line(&format!("address {address}")),
        }
        write_tls(w, listener);
        w.line(&format!("idle-timeout {}", show_duration(listener.idle_timeout)));
        w.line(&format!("request-timeout {}", show_duration(listener.request_timeout)));
        w.line(&format!("tunnel-timeout {}", show_duration(listener.tunnel_timeout)));
        w.line(&format!("compression {}", compression_words(&listener.compression)));
        if let Some(allow) = &listener.peers.allow {
            w.line(&format!("allow-from {}", w.networks(allow)));
        }
        if let Some(deny) = &listener.peers.deny {
            w.line(&format!("deny-from {}", w.networks(deny)));
        }
        let client_ip = match &listener.client_ip {
            ClientIp::Peer => "peer".to_owned(),
            ClientIp::XForwardedFor(set) => format!("x-forwarded-for trusted {}", w.networks(set)),
            ClientIp::XForwardedForLeftmost => "x-forwarded-for trusted leftmost".to_owned(),
            ClientIp::ProxyProtocol(set) => format!("proxy-protocol trusted {}", w.networks(set)),
        };
        w.line(&format!("client-ip {client_ip}"));
        w.line(&format!("paths {}", listener.paths.word()));
        write_forwarded(w, listener);
        match listener.tracing {
            Some(Sampling { percent, ignore_parent }) => {
                w.line(&format!("tracing {percent}%{}", if ignore_parent { " ignore-parent" } else { "" }));
            }
            None => w.line("tracing off"),
        }
        w.line(if listener.access_log { "access-log on" } else { "access-log off" });
        write_limits(w, &listener.limits);
        w.line(match listener.state {
            ListenerState::Running => "state running",
            ListenerState::Stopped => "state stopped",
        });
        for (key, value) in &listener.labels {
            w.line(&format!("label {key} {}", quote(value)));
        }
        for id in &listener.run {
            let name = w.extension(id.0);
            w.line(&format!("run {name}"));
        }
        w.response_blocks(&listener.on_response);
        let action = match &listener.action {
            ListenerAction::Rules(id) => format!("rules {}", name(&w.plan.rule_sets, id.0, |rules| &rules.name)),
            ListenerAction::Forward(targets) => w.forward(targets),
        };
        w.line(&action);
    });
    w.blank();
}

fn write_forwarded(w: &mut Writer<'_>, listener: &Listener) {
    let words = forwarded_words(&listener.forwarded);
    w.line(&match words.as_slice() {
        [] => "forwarded off".to_owned(),
        words => format!("forwarded [{}]", words.join(", ")),
    });
    if let Some(mode) = listener.forwarded.forwarded_for {
        w.line(match mode {
            ForwardedFor::Append => "forwarded-for append",
            ForwardedFor::Replace => "forwarded-for replace",
            ForwardedFor::Remove => "forwarded-for remove",
        });
    }
}

fn write_limits(w: &mut Writer<'_>, limits: &ListenerLimits) {
    w.block("limits", |w| {
        w.line(&format!("header-bytes {}", show_size(limits.header_bytes)));
        w.line(&format!("headers {}", limits.headers));
        w.line(&format!("uri-bytes {}", show_size(limits.uri_bytes)));
        w.line(&format!("body-bytes {}", limits.body_bytes.map_or("off".to_owned(), show_size)));
        w.line(&format!("connections {}", limits.connections));
        w.line(&format!("streams {}", limits.streams));
        let requests = limits.requests_per_connection.map_or("off".to_owned(), |count| count.to_string());
        w.line(&format!("requests-per-connection {requests}"));
    });
}

fn write_tls(w: &mut Writer<'_>, listener: &Listener) {
    let Some(tls) = &listener.tls else { return };
    for id in &tls.certificates {
        let certificate = name(&w.plan.certificates, id.0, |certificate| &certificate.name);
        w.line(&format!("certificate {certificate}"));
    }
    let on = |on: bool| if on { "on" } else { "off" };
    if listener.protocol == Protocol::Https {
        if let Some(ca) = &tls.client_ca {
            let authority = name(&w.plan.authorities, ca.ca.0, |ca| &ca.name);
            let mode = if ca.required { "required" } else { "optional" };
            w.line(&format!("client-ca {authority} {mode}"));
        }
        if let Some(policy) = tls.policy {
            let policy = name(&w.plan.tls_policies, policy.0, |policy| &policy.name);
            w.line(&format!("tls-policy {policy}"));
        }
        w.line(&format!("http2 {}", on(tls.http2)));
        if let Some(upgrade) = listener.quic_upgrade {
            let target = name(&w.plan.listeners, upgrade.listener.0, |listener| &listener.name);
            let port = upgrade.port.map(|port| format!(" port {port}")).unwrap_or_default();
            w.line(&format!("quic-upgrade {target}{port} max-age {}", show_duration(upgrade.max_age)));
        }
    }
    w.line(&format!("early-data {}", on(tls.early_data)));
}

/// `[br, gzip]`, or `off`.
pub(super) fn compression_words(codings: &[Compression]) -> String {
    let words: Vec<&str> = codings
        .iter()
        .map(|coding| match coding {
            Compression::Br => "br",
            Compression::Gzip => "gzip",
        })
        .collect();
    if words.is_empty() { "off".to_owned() } else { format!("[{}]", words.join(", ")) }
}
