//! Server groups, as policies and as lines for people.

use super::words::{Writer, name, one_or_list, quote, status_range};
use crate::plan::{
    Balance, GroupProtocol, HashKey, HealthCheck, Probe, Retries, RetryOn, Server, ServerGroup, Sticky, Verify,
};
use crate::value::show_duration;

/// A group as a policy declares it, every default filled in.
pub(super) fn write_group(w: &mut Writer<'_>, group: &ServerGroup) {
    w.block(&format!("server-group {}", group.name), |w| {
        w.line(&format!("protocol {}", group.protocol.word()));
        w.line(&format!("balance {}", balance(&group.balance)));
        for server in &group.servers {
            w.line(&server_words(server));
        }
        write_health_check(w, group.health_check.as_ref());
        w.line(&sticky(group.sticky.as_ref()));
        w.line(&format!("keepalive {}", or_off(group.keepalive)));
        match group.slow_start.is_zero() {
            true => w.line("slow-start off"),
            false => w.line(&format!("slow-start {}", show_duration(group.slow_start))),
        }
        w.line(&format!("drain {}", show_duration(group.drain)));
        w.line(&format!("connect-timeout {}", show_duration(group.connect_timeout)));
        if speaks_tls(group) {
            w.line(&verify(w, group.verify));
            match &group.server_name {
                Some(name) => w.line(&format!("server-name {}", quote(name))),
                None => w.line("# server-name: the host of each server"),
            }
        }
        w.line(&retries(&group.retries));
        w.line(&format!("max-connections {}", or_off(group.max_connections)));
    });
    w.blank();
}

/// Prints the groups for people.
pub(super) fn group_lines(w: &mut Writer<'_>) {
    for group in &w.plan.groups {
        w.line(&format!(
            "{}: {}, {}, keepalive {}, connect within {}",
            group.name,
            group.protocol.word(),
            balance(&group.balance),
            or_off(group.keepalive),
            show_duration(group.connect_timeout)
        ));
        w.indented(|w| one_group(w, group));
    }
}

fn one_group(w: &mut Writer<'_>, group: &ServerGroup) {
    let takes = |server: &&Server| !server.stopped && !server.backup;
    let total: u64 = group.servers.iter().filter(takes).map(|server| u64::from(server.weight)).sum();
    let backups: u64 = group.servers.iter().filter(|s| s.backup && !s.stopped).map(|s| u64::from(s.weight)).sum();
    for server in &group.servers {
        let share = match (server.stopped, server.backup) {
            (true, _) => "is stopped".to_owned(),
            (false, true) => format!("takes {} of {backups} when no other can", server.weight),
            (false, false) => format!("takes {} of {total}", server.weight),
        };
        w.line(&format!("{} {share}", address(server, false)));
    }
    if let Some(check) = &group.health_check {
        let port = check.port.map_or(String::new(), |port| format!(" on port {port}"));
        w.line(&format!(
            "asked by {}{port} every {}, waiting {}; healthy after {}, unhealthy after {}",
            probe_words(&check.probe),
            show_duration(check.every),
            show_duration(check.timeout),
            check.healthy,
            check.unhealthy
        ));
    }
    if group.sticky.is_some() {
        w.line(&sticky(group.sticky.as_ref()));
    }
    if !group.slow_start.is_zero() {
        w.line(&format!("slow start over {}", show_duration(group.slow_start)));
    }
    if speaks_tls(group) {
        let name = group.server_name.as_deref().unwrap_or("the host of each server");
        w.line(&format!("{}, server name {name}", verify(w, group.verify)));
    }
    w.line(&format!("{}, drain {}", retries(&group.retries), show_duration(group.drain)));
    if let Some(most) = group.max_connections {
        w.line(&format!("at most {most} connections to a server"));
    }
}

fn speaks_tls(group: &ServerGroup) -> bool {
    let probe = group.health_check.as_ref().map(|check| &check.probe);
    group.protocol == GroupProtocol::Https || matches!(probe, Some(Probe::Http(probe)) if probe.tls)
}

fn balance(balance: &Balance) -> String {
    match balance {
        Balance::RoundRobin => "round-robin".to_owned(),
        Balance::LeastRequests => "least-requests".to_owned(),
        Balance::Hash(key) => format!("hash {}", hash_key(key)),
        Balance::RandomTwo => "random-two".to_owned(),
    }
}

fn hash_key(key: &HashKey) -> String {
    match key {
        HashKey::ClientIp => "client-ip".to_owned(),
        HashKey::Uri => "uri".to_owned(),
        HashKey::Header(name) => format!("header {}", quote(name)),
        HashKey::Query(name) => format!("query {}", quote(name)),
        HashKey::Cookie(name) => format!("cookie {}", quote(name)),
    }
}

fn server_words(server: &Server) -> String {
    let backup = if server.backup { " backup" } else { "" };
    let state = if server.stopped { "stopped" } else { "running" };
    format!("server {} weight {}{backup} state {state}", address(server, true), server.weight)
}

/// Addresses are bare, names are quoted where the language wants them to be.
fn address(server: &Server, quoted: bool) -> String {
    match server.host.parse() {
        Ok(std::net::IpAddr::V6(ip)) => format!("[{ip}]:{}", server.port),
        Ok(ip) => format!("{ip}:{}", server.port),
        Err(_) if quoted => quote(&format!("{}:{}", server.host, server.port)),
        Err(_) => format!("{}:{}", server.host, server.port),
    }
}

fn write_health_check(w: &mut Writer<'_>, check: Option<&HealthCheck>) {
    let Some(check) = check else { return w.line("health-check off") };
    let kind = match &check.probe {
        Probe::Http(probe) if probe.tls => "https",
        Probe::Http(_) => "http",
        Probe::Tcp => "tcp",
        Probe::Grpc => "grpc",
    };
    w.block(&format!("health-check {kind}"), |w| {
        if let Probe::Http(probe) = &check.probe {
            w.line(&format!("method {}", probe.method));
            w.line(&format!("path {}", quote(&probe.path)));
            match &probe.host {
                Some(host) => w.line(&format!("host {}", quote(host))),
                None => w.line("# host: the server's own"),
            }
            for (name, value) in &probe.headers {
                w.line(&format!("header {} {}", quote(name), quote(value)));
            }
        }
        match check.port {
            Some(port) => w.line(&format!("port {port}")),
            None => w.line("# port: the server's own"),
        }
        w.line(&format!("every {}", show_duration(check.every)));
        w.line(&format!("timeout {}", show_duration(check.timeout)));
        if let Probe::Http(probe) = &check.probe {
            w.line(&format!("expect [{}]", probe.expect.iter().map(status_range).collect::<Vec<_>>().join(", ")));
        }
        w.line(&format!("healthy {}", check.healthy));
        w.line(&format!("unhealthy {}", check.unhealthy));
    });
}

fn probe_words(probe: &Probe) -> String {
    match probe {
        Probe::Http(probe) => {
            let scheme = if probe.tls { "https" } else { "http" };
            let expect = one_or_list(probe.expect.iter().map(status_range).collect());
            let host = probe.host.as_ref().map(|host| format!(" at {}", quote(host))).unwrap_or_default();
            let headers = match probe.headers.len() {
                0 => String::new(),
                1 => " with 1 header".to_owned(),
                more => format!(" with {more} headers"),
            };
            let method = if probe.method == "GET" { String::new() } else { format!(" {}", probe.method) };
            format!("{scheme}{method} for {}{host}{headers} expecting {expect}", quote(&probe.path))
        }
        Probe::Tcp => "tcp".to_owned(),
        Probe::Grpc => "grpc".to_owned(),
    }
}

fn sticky(sticky: Option<&Sticky>) -> String {
    match sticky {
        None => "sticky off".to_owned(),
        Some(Sticky { cookie, ttl: None }) => format!("sticky cookie {}", quote(cookie)),
        Some(Sticky { cookie, ttl: Some(ttl) }) => {
            format!("sticky cookie {} ttl {}", quote(cookie), show_duration(*ttl))
        }
    }
}

fn verify(w: &Writer<'_>, verify: Verify) -> String {
    match verify {
        Verify::System => "verify system".to_owned(),
        Verify::Ca(id) => format!("verify ca {}", name(&w.plan.authorities, id.0, |ca| &ca.name)),
        Verify::Off => "verify off".to_owned(),
    }
}

fn retries(retries: &Retries) -> String {
    if retries.count == 0 {
        return "retries off".to_owned();
    }
    let on = retries.on.iter().map(|on| match on {
        RetryOn::ConnectFailure => "connect-failure".to_owned(),
        RetryOn::Reset => "reset".to_owned(),
        RetryOn::Timeout => "timeout".to_owned(),
        RetryOn::Status(range) => status_range(range),
    });
    format!("retries {} on [{}]", retries.count, on.collect::<Vec<_>>().join(", "))
}

fn or_off(count: Option<u32>) -> String {
    count.map_or("off".to_owned(), |count| count.to_string())
}
