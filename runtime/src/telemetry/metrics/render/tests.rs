//! What a scrape holds.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use super::super::families::{ALL, Kind};
use super::super::reader::read;
use super::*;

/// A registry in which everything was counted that can be, and facts of every kind.
fn full() -> (Registry, Facts<'static>) {
    let registry = Registry::default();
    for worker in 0..2 {
        let listener = registry.listeners.of("main");
        let cells = listener.cells.of(worker);
        cells.duration.observe_traced(Duration::from_millis(3), 7, 8000);
        cells.sent.add(10);
        listener.requests.of("r").of("g").of(worker)[1].add(2);
        let group = registry.groups.of("g");
        group.cells.of(worker).duration.observe(Duration::from_millis(1));
        group.servers.of("10.0.0.1:80").of(worker).errors.one();
        registry.extensions.of("x").of(worker).hooks[0].outcomes[0].one();
        registry.extensions.of("x").of(worker).hooks[0].duration.observe(Duration::from_micros(3));
        registry.limited.of("r").of(worker).one();
        registry.workers.of(worker).failed(Failure::NoServer);
    }
    registry.count_reload(Reload::Refused);
    let sample = |name: &str, kind, value, buckets: &[u64]| Sample {
        extension: "x".into(),
        name: name.into(),
        kind,
        value,
        buckets: buckets.to_vec(),
    };
    let facts = Facts {
        generation: 3,
        servers: vec![("g", "10.0.0.1:80", true), ("g", "10.0.0.2:80", false)],
        certificates: vec![("shop", 1.8e9)],
        samples: vec![
            sample("hits", MetricKind::Counter, 4.0, &[]),
            sample("level", MetricKind::Gauge, -1.5, &[]),
            sample("sizes", MetricKind::Histogram, 9.0, &[1, 0, 2]),
            sample("host_fault_bad_value", MetricKind::Counter, 5.0, &[]),
            sample("host_log_lines_dropped", MetricKind::Counter, 6.0, &[]),
        ],
        log_lines_dropped: 11,
    };
    (registry, facts)
}

#[test]
fn every_family_of_the_table_is_rendered_once_and_in_its_order() {
    let (registry, facts) = full();
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let read = read(&render(&registry, &facts, format), format).unwrap();
        let name = |family: &&Family| match (format, family.kind) {
            (Format::OpenMetrics, Kind::Counter) => family.name.trim_end_matches("_total").to_owned(),
            _ => family.name.to_owned(),
        };
        let table: Vec<_> = ALL.iter().map(|family| (name(family), family.kind.name().to_owned())).collect();
        assert_eq!(read.families, table);
        for family in ALL {
            let own = read.samples.iter().find(|sample| sample.name.starts_with(family.name)).unwrap();
            let labels: Vec<_> =
                own.labels.iter().map(|(name, _)| name.as_str()).filter(|name| *name != "le").collect();
            assert_eq!(labels, family.labels, "{}", family.name);
        }
        for pair in read.samples.windows(2) {
            assert!(pair[0].name != pair[1].name || pair[0].labels != pair[1].labels, "{pair:?}");
        }
    }
}

#[test]
fn the_cells_of_all_workers_are_added_up() {
    let (registry, facts) = full();
    let read = read(&render(&registry, &facts, Format::Prometheus), Format::Prometheus).unwrap();
    for (name, labels, value) in [
        ("tidegate_requests_total", &["main", "r", "g", "2xx"][..], 4.0),
        ("tidegate_requests_total", &["main", "r", "g", "5xx"], 0.0),
        ("tidegate_request_duration_seconds_bucket", &["main", "0.0025"], 0.0),
        ("tidegate_request_duration_seconds_bucket", &["main", "0.005"], 2.0),
        ("tidegate_request_duration_seconds_bucket", &["main", "+Inf"], 2.0),
        ("tidegate_request_duration_seconds_sum", &["main"], 0.006),
        ("tidegate_sent_bytes_total", &["main"], 20.0),
        ("tidegate_connections", &["main", "h3"], 0.0),
        ("tidegate_upstream_requests_total", &["g", "10.0.0.1:80", "error"], 2.0),
        ("tidegate_server_healthy", &["g", "10.0.0.2:80"], 0.0),
        ("tidegate_failures_total", &["no-server", "policy"], 2.0),
        ("tidegate_limited_total", &["r"], 2.0),
        ("tidegate_extension_calls_total", &["x", "request", "next"], 2.0),
        ("tidegate_extension_faults_total", &["x", "bad-value"], 5.0),
        ("tidegate_extension_events_total", &["x", "log-lines-dropped"], 6.0),
        ("tidegate_extension_counted_total", &["x", "hits"], 4.0),
        ("tidegate_extension_value", &["x", "level"], -1.5),
        ("tidegate_extension_values_bucket", &["x", "sizes", "2"], 1.0),
        ("tidegate_extension_values_count", &["x", "sizes"], 3.0),
        ("tidegate_certificate_not_after_seconds", &["shop"], 1.8e9),
        ("tidegate_reloads_total", &["refused"], 1.0),
        ("tidegate_reloads_total", &["ok"], 0.0),
        ("tidegate_generation", &[], 3.0),
        ("tidegate_log_lines_dropped_total", &[], 11.0),
        ("tidegate_build_info", &[env!("CARGO_PKG_VERSION")], 1.0),
    ] {
        assert_eq!(read.value(name, labels), Some(value), "{name} {labels:?}");
    }
    assert_eq!(read.value("tidegate_requests_total", &["main", "r", "g", "1xx"]), None);
}

/// The labels of a listener's rule.
fn many(registry: &Registry) {
    for listener in 0..100 {
        let listener = registry.listeners.of(&format!("listener-{listener}"));
        for rule in 0..250 {
            listener.requests.of(&format!("rule-{rule}")).of("group").of(0)[1].add(rule);
        }
    }
}

#[test]
fn a_hundred_thousand_series_are_told_at_once() {
    let registry = Registry::default();
    many(&registry);
    let began = std::time::Instant::now();
    let text = render(&registry, &Facts::default(), Format::OpenMetrics);
    // For whoever wonders: `--nocapture`. It is several times as fast once optimised.
    println!("{} bytes in {:?}", text.len(), began.elapsed());
    assert_eq!(text.lines().filter(|line| line.starts_with("tidegate_requests_total{")).count(), 100_000);
    assert!(text.contains("{listener=\"listener-99\",rule=\"rule-249\",group=\"group\",status=\"2xx\"} 249\n"));
}

#[test]
fn exemplars_are_in_openmetrics_alone() {
    let (registry, facts) = full();
    let exemplars = |format| {
        let read = read(&render(&registry, &facts, format), format).unwrap();
        read.samples.into_iter().filter_map(|sample| sample.exemplar).collect::<Vec<_>>()
    };
    assert!(exemplars(Format::Prometheus).is_empty());
    let shown = exemplars(Format::OpenMetrics);
    assert_eq!(shown, ["{trace_id=\"00000000000000000000000000000007\"} 0.003 8.000"]);
}
