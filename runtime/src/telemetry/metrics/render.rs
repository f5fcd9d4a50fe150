//! A scrape: every family, each with what was counted in it, of all workers.

use std::sync::Arc;

use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::metrics::{Counter, HistogramRead, PerWorker};
use tidegate_wasm_host::{MetricKind, Sample};

use super::families::{self as f, Family};
use super::process::process;
use super::registry::{
    CLASSES, ClientProtocol, ExtensionCells, GroupSeries, HOOKS, ListenerCells, ListenerSeries, Outcome, Registry,
    Reload,
};
use super::text::{Format, Text};
use crate::tls::handshake::RefusedKind;

/// What others know, as it stands.
#[derive(Debug, Default)]
pub struct Facts<'f> {
    /// The generation of the policy in service.
    pub generation: u64,
    /// Servers that may get requests: group, server, whether it works.
    pub servers: Vec<(&'f str, &'f str, bool)>,
    /// Certificates, and when each ends, in seconds since the epoch.
    pub certificates: Vec<(&'f str, f64)>,
    /// What extensions count, and what the host counts of them.
    pub samples: Vec<Sample>,
    /// Lines of the access log that were lost.
    pub log_lines_dropped: u64,
}

/// Everything that is counted, in this format. It is work for a thread that serves nobody. Workers go on meanwhile; one that looks
/// for the cells of a name waits while the pointers to all names of its kind are copied, and no longer.
pub fn render(registry: &Registry, facts: &Facts<'_>, format: Format) -> String {
    let mut text = Text::new(format);
    listeners(&mut text, &registry.listeners.list());
    requests_beside(&mut text, registry);
    groups(&mut text, &registry.groups.list(), registry);
    let mut healthy = text.family(&f::HEALTHY);
    for (group, server, works) in &facts.servers {
        healthy.value(&[group, server], f64::from(u8::from(*works)));
    }
    extensions(&mut text, &registry.extensions.list());
    samples(&mut text, &facts.samples);
    gateway(&mut text, registry, facts);
    system(&mut text);
    text.finish()
}

/// What is counted by listener.
fn listeners(text: &mut Text, all: &[(Arc<str>, Arc<ListenerSeries>)]) {
    let mut requests = text.family(&f::REQUESTS);
    for (listener, series) in all {
        for (rule, by_group) in series.requests.list() {
            for (group, cells) in by_group.list() {
                for (at, class) in CLASSES.iter().enumerate() {
                    let count = cells.sum(|statuses| statuses.get(at).map_or(0, Counter::value));
                    if count > 0 || is_always_shown(at) {
                        requests.count(&[listener, &rule, &group, class], count);
                    }
                }
            }
        }
    }
    let mut durations = text.family(&f::REQUEST_DURATION);
    for (listener, series) in all {
        durations.durations(&[listener], &series.cells.histogram(|cells| &cells.duration));
    }
    let gauge = |text: &mut Text, family, read: fn(&ListenerCells) -> i64| {
        let mut samples = text.family(family);
        all.iter().for_each(|(name, series)| samples.whole(&[name], series.cells.total(read)));
    };
    let count = |text: &mut Text, family, read: fn(&ListenerCells) -> u64| {
        let mut samples = text.family(family);
        all.iter().for_each(|(name, series)| samples.count(&[name], series.cells.sum(read)));
    };
    gauge(text, &f::IN_FLIGHT, |cells| cells.in_flight.value());
    count(text, &f::RECEIVED, |cells| cells.received.value());
    count(text, &f::SENT, |cells| cells.sent.value());
    let mut connections = text.family(&f::CONNECTIONS);
    for (listener, series) in all {
        for protocol in ClientProtocol::ALL {
            let open =
                |cells: &ListenerCells| cells.connections.get(protocol as usize).map_or(0, |gauge| gauge.value());
            connections.whole(&[listener, protocol.name()], series.cells.total(open));
        }
    }
    gauge(text, &f::TUNNELS, |cells| cells.tunnels.value());
    let mut failed = text.family(&f::HANDSHAKES_FAILED);
    for (listener, series) in all {
        for kind in RefusedKind::ALL {
            let count = |cells: &ListenerCells| cells.handshakes_failed.get(kind as usize).map_or(0, Counter::value);
            failed.count(&[listener, kind.name()], series.cells.sum(count));
        }
    }
}

/// What is counted of requests beside their listener.
fn requests_beside(text: &mut Text, registry: &Registry) {
    let mut failures = text.family(&f::FAILURES);
    for failure in Failure::ALL {
        let count = registry.workers.sum(|it| it.failures.get(failure as usize).map_or(0, Counter::value));
        failures.count(&[failure.row().name, failure.row().side.name()], count);
    }
    let mut limited = text.family(&f::LIMITED);
    for (rule, cells) in registry.limited.list() {
        limited.count(&[&rule], cells.sum(Counter::value));
    }
    let mut bounds = text.family(&f::BOUNDS);
    Bound::ALL.iter().for_each(|bound| bounds.count(&[bound.name()], bound.count()));
}

/// What is counted by server group.
fn groups(text: &mut Text, all: &[(Arc<str>, Arc<GroupSeries>)], registry: &Registry) {
    let mut requests = text.family(&f::UPSTREAM_REQUESTS);
    for (group, series) in all {
        for (server, cells) in series.servers.list() {
            for (at, class) in CLASSES.iter().enumerate() {
                let count = cells.sum(|cells| cells.answers.get(at).map_or(0, Counter::value));
                if count > 0 || is_always_shown(at) {
                    requests.count(&[group, &server, class], count);
                }
            }
            requests.count(&[group, &server, "error"], cells.sum(|cells| cells.errors.value()));
        }
    }
    let mut durations = text.family(&f::UPSTREAM_DURATION);
    for (group, series) in all {
        durations.durations(&[group], &series.cells.histogram(|cells| &cells.duration));
    }
    let mut retries = text.family(&f::UPSTREAM_RETRIES);
    for (group, series) in all {
        retries.count(&[group], series.cells.sum(|cells| cells.retries.value()));
    }
    let mut in_flight = text.family(&f::UPSTREAM_IN_FLIGHT);
    for (group, series) in all {
        for (server, cells) in series.servers.list() {
            in_flight.whole(&[group, &server], cells.total(|cells| cells.in_flight.value()));
        }
    }
    let mut opened = text.family(&f::UPSTREAM_OPENED);
    for (group, series) in all {
        for (server, cells) in series.servers.list() {
            opened.count(&[group, &server], cells.sum(|cells| cells.opened.value()));
        }
    }
    text.family(&f::UPSTREAM_IDLE).whole(&[], registry.workers.total(|cells| cells.idle.value()));
}

/// What is counted by extension.
fn extensions(text: &mut Text, all: &[(Arc<str>, Arc<PerWorker<ExtensionCells>>)]) {
    let calls_of = |cells: &PerWorker<ExtensionCells>, hook: usize, outcome: Outcome| {
        let of = |cells: &ExtensionCells| Some(cells.hooks.get(hook)?.outcomes.get(outcome as usize)?.value());
        cells.sum(|cells| of(cells).unwrap_or(0))
    };
    let mut calls = text.family(&f::EXTENSION_CALLS);
    for (extension, cells) in all {
        for (at, hook) in HOOKS.iter().enumerate() {
            for outcome in Outcome::ALL {
                let count = calls_of(cells, at, outcome);
                if count > 0 {
                    calls.count(&[extension, hook.name(), outcome.name()], count);
                }
            }
        }
    }
    let mut durations = text.family(&f::EXTENSION_DURATION);
    for (extension, cells) in all {
        for (at, hook) in HOOKS.iter().enumerate() {
            let mut sum = HistogramRead::default();
            cells.each(|cells| {
                if let Some(hook) = cells.hooks.get(at) {
                    hook.duration.read(&mut sum);
                }
            });
            if sum.count() > 0 {
                durations.durations(&[extension, hook.name()], &sum);
            }
        }
    }
}

/// What the host and the guests count.
fn samples(text: &mut Text, all: &[Sample]) {
    const FAULT: &str = "host_fault_";
    const HOST: &str = "host_";
    let word = |name: &str| name.replace('_', "-");
    let mut faults = text.family(&f::EXTENSION_FAULTS);
    for sample in all {
        if let Some(fault) = sample.name.strip_prefix(FAULT) {
            faults.value(&[&sample.extension, &word(fault)], sample.value);
        }
    }
    let mut events = text.family(&f::EXTENSION_EVENTS);
    for sample in all.iter().filter(|sample| !sample.name.starts_with(FAULT)) {
        if let Some(event) = sample.name.strip_prefix(HOST) {
            events.value(&[&sample.extension, &word(event)], sample.value);
        }
    }
    let own = |kind| all.iter().filter(move |sample| sample.kind == kind && !sample.name.starts_with(HOST));
    let mut plain = |family: &'static Family, kind| {
        let mut samples = text.family(family);
        own(kind).for_each(|sample| samples.value(&[&sample.extension, &sample.name], sample.value));
    };
    plain(&f::EXTENSION_COUNTED, MetricKind::Counter);
    plain(&f::EXTENSION_VALUE, MetricKind::Gauge);
    let mut values = text.family(&f::EXTENSION_VALUES);
    for sample in own(MetricKind::Histogram) {
        // Below 1, below 2, below 4, and so on; the last is for all above.
        let ends = std::iter::successors(Some(1.0), |end| Some(end * 2.0));
        let ends: Vec<f64> = ends.take(sample.buckets.len().saturating_sub(1)).collect();
        values.histogram(&[&sample.extension, &sample.name], &ends, &sample.buckets, &[], sample.value);
    }
}

/// What is counted of the gateway itself.
fn gateway(text: &mut Text, registry: &Registry, facts: &Facts<'_>) {
    let mut ends = text.family(&f::CERTIFICATE_END);
    facts.certificates.iter().for_each(|(name, end)| ends.value(&[name], *end));
    let mut reloads = text.family(&f::RELOADS);
    Reload::ALL.into_iter().for_each(|result| reloads.count(&[result.name()], registry.reloads(result)));
    text.family(&f::GENERATION).count(&[], facts.generation);
    text.family(&f::WORKER_LOOP).durations(&[], &registry.workers.histogram(|cells| &cells.late));
    text.family(&f::LOG_DROPPED).count(&[], facts.log_lines_dropped);
    text.family(&f::SPANS_DROPPED).count(&[], Bound::Spans.count());
    text.family(&f::BUILD).count(&[env!("CARGO_PKG_VERSION")], 1);
}

/// What the system says of the process.
fn system(text: &mut Text) {
    let process = process();
    text.family(&f::PROCESS_CPU).value(&[], process.cpu_seconds);
    let mut known = |family, value: Option<u64>| {
        let mut samples = text.family(family);
        value.into_iter().for_each(|value| samples.count(&[], value));
    };
    known(&f::PROCESS_RESIDENT, process.resident_bytes);
    known(&f::PROCESS_VIRTUAL, process.virtual_bytes);
    known(&f::PROCESS_FDS, process.open_fds);
    known(&f::PROCESS_MAX_FDS, process.max_fds);
    let mut started = text.family(&f::PROCESS_START);
    process.started_seconds.into_iter().for_each(|seconds| started.value(&[], seconds));
}

/// Whether a class of statuses is shown while nothing was counted in it: a rate of what has just appeared is not known, so the
/// first error of a rule would not be seen otherwise. Only 1xx is too rare for that: it ends WebSockets.
const fn is_always_shown(class: usize) -> bool {
    class > 0
}

#[cfg(test)]
mod tests;
