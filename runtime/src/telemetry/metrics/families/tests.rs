//! The table, and all that names a metric, say the same.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeSet, HashSet};

use super::*;

const PAGE: &str = include_str!("../../../../../docs/metrics.md");
const ALERTS: &str = include_str!("../../../../../deploy/prometheus/alerts.yml");
const ALERTS_TEST: &str = include_str!("../../../../../deploy/prometheus/alerts_test.yml");
const BOARD: &str = include_str!("../../../../../deploy/grafana/tidegate.json");

#[test]
fn names_say_what_they_are_and_stand_once() {
    let names: HashSet<_> = ALL.iter().map(|family| family.name).collect();
    assert_eq!(names.len(), ALL.len());
    for family in ALL {
        assert_eq!(family.name.ends_with("_total"), family.kind == Kind::Counter, "{}", family.name);
        assert!(family.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", family.name);
        assert!(!family.labels.contains(&"le") && family.help.ends_with('.'), "{}", family.name);
    }
}

/// What stands in backticks.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn the_page_has_every_family_and_no_other() {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let documented: Vec<_> = rows
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            (words(cells[1])[0], words(cells[2]), cells[3])
        })
        .collect();
    let table: Vec<_> = ALL.iter().map(|family| (family.name, family.labels.to_vec(), family.kind.name())).collect();
    assert_eq!(documented, table);
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tidegate_") || word.starts_with("process_")).collect()
}

/// Whether samples have this name.
fn is_sample(name: &str) -> bool {
    ALL.iter().any(|family| {
        name.strip_prefix(family.name).is_some_and(|suffix| match family.kind {
            Kind::Histogram => ["_bucket", "_sum", "_count"].contains(&suffix),
            Kind::Counter | Kind::Gauge => suffix.is_empty(),
        })
    })
}

#[test]
fn alerts_ask_for_metrics_that_there_are() {
    let expressions: String = ALERTS.lines().filter(|line| !line.contains("description:")).collect();
    for text in [expressions.as_str(), ALERTS_TEST] {
        let (asked, unknown): (Vec<_>, Vec<_>) = named(text).into_iter().partition(|name| is_sample(name));
        assert!(unknown.is_empty() && asked.len() > 10, "{unknown:?}");
    }
    let described = named(ALERTS).into_iter().filter(|name| !is_sample(name));
    let unknown: Vec<_> = described.filter(|name| ALL.iter().all(|family| family.name != *name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn each_alert_is_tried() {
    let alerts = ALERTS.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    let untried: Vec<_> = alerts.filter(|alert| !ALERTS_TEST.contains(&format!("alertname=\"{alert}\""))).collect();
    assert!(untried.is_empty(), "{untried:?}");
}

#[test]
fn the_board_asks_for_metrics_that_there_are_and_shows_nearly_all() {
    let board: serde_json::Value = serde_json::from_str(BOARD).unwrap();
    let panels = board["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    let all = expressions.join(" ");
    let shown = named(&all);
    let unknown: Vec<_> = shown.iter().filter(|name| !is_sample(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    let hidden = ALL.iter().filter(|family| !shown.iter().any(|name| name.starts_with(family.name)));
    let hidden: Vec<_> = hidden.map(|family| family.name).collect();
    assert_eq!(hidden, ["process_virtual_memory_bytes", "process_start_time_seconds"]);
    let ids: HashSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len());
    // Its variables and annotations, too.
    let rest = named(BOARD).into_iter().filter(|name| !is_sample(name)).collect::<Vec<_>>();
    assert!(rest.is_empty(), "{rest:?}");
}
