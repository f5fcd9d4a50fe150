//! `/v1/live`: rates and latencies of a second, from the difference between two looks at what is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use tidegate_base::metrics::{Counter, HistogramRead};
use tidegate_dsl::plan::{ListenerAction, Plan};

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::stream::{Events, Reply};
use super::moment;
use crate::telemetry::metrics::Registry;
use crate::telemetry::metrics::registry::{CLASSES, ListenerCells};

/// The time between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// What happened within a second or so.
#[derive(Debug, Serialize)]
pub struct Live {
    /// When it ended.
    pub at: String,
    /// How long it was, in seconds.
    pub seconds: f64,
    /// Open connections of clients now.
    pub connections: i64,
    /// Requests that ended.
    pub requests_per_second: f64,
    /// Requests that failed.
    pub failures_per_second: f64,
    /// Requests that ended, by the class of their status.
    pub status: BTreeMap<String, f64>,
    /// The latencies of requests that ended.
    pub latency_ms: Latency,
    /// What happened on each listener.
    pub listeners: Vec<LiveListener>,
    /// What happened at each server group.
    pub groups: Vec<LiveGroup>,
    /// The rules of each listener, with the requests that each took since the gateway started.
    pub rules: Vec<LiveRule>,
}

/// Latencies, as far as the buckets of the histogram tell them; null where nothing happened.
#[derive(Debug, Default, Serialize)]
pub struct Latency {
    /// Half of the requests took no longer, in milliseconds.
    pub p50: Option<f64>,
    /// Nine of ten took no longer.
    pub p90: Option<f64>,
    /// Ninety-nine of a hundred took no longer.
    pub p99: Option<f64>,
}

/// What happened on a listener.
#[derive(Debug, Serialize)]
pub struct LiveListener {
    /// The name of the listener.
    pub name: String,
    /// Open connections now.
    pub connections: i64,
    /// Requests under way now.
    pub in_flight: i64,
    /// Requests that ended.
    pub requests_per_second: f64,
    /// Their latencies.
    pub latency_ms: Latency,
}

/// What happened at a server group.
#[derive(Debug, Serialize)]
pub struct LiveGroup {
    /// The name of the group.
    pub name: String,
    /// Tries that were answered or failed.
    pub requests_per_second: f64,
    /// The latencies of those that were answered, to the head of the response.
    pub latency_ms: Latency,
}

/// A rule with the requests that it took.
#[derive(Debug, Serialize)]
pub struct LiveRule {
    /// The name of the listener.
    pub listener: String,
    /// The name of the rule.
    pub rule: String,
    /// Requests since the gateway started.
    pub total: u64,
}

/// `GET /v1/live`, as events each second; with `?once` one of them.
pub async fn answer(context: &Arc<Context>, once: bool) -> Reply {
    let before = Look::at(&context.shared.metrics);
    if !once {
        let watched = Arc::clone(context);
        return Events::stream(context, |events| follow(watched, before, events));
    }
    tokio::time::sleep(EVERY).await;
    let after = Look::at(&context.shared.metrics);
    Reply::Whole(Answer::json(&between(&before, &after, context.snapshot().plan())))
}

/// Tells of each second until nobody reads any more.
async fn follow(context: Arc<Context>, mut before: Look, mut events: Events) {
    loop {
        tokio::time::sleep(EVERY).await;
        let after = Look::at(&context.shared.metrics);
        let live = between(&before, &after, context.snapshot().plan());
        let Ok(json) = serde_json::to_string(&live) else { return };
        if events.send(None, &json).await.is_err() {
            return;
        }
        before = after;
    }
}

/// What was counted at a moment.
struct Look {
    at: Instant,
    listeners: BTreeMap<Arc<str>, ListenerLook>,
    groups: BTreeMap<Arc<str>, GroupLook>,
    failures: u64,
}

#[derive(Default)]
struct ListenerLook {
    connections: i64,
    in_flight: i64,
    durations: HistogramRead,
    /// Requests by rule, and of these by class.
    rules: BTreeMap<Arc<str>, [u64; CLASSES.len()]>,
}

#[derive(Default)]
struct GroupLook {
    tries: u64,
    durations: HistogramRead,
}

impl Look {
    fn at(registry: &Registry) -> Self {
        let listeners = registry.listeners.list().into_iter().map(|(name, series)| {
            let open = |cells: &ListenerCells| cells.connections.iter().map(|gauge| gauge.value()).sum::<i64>();
            let mut look = ListenerLook {
                connections: series.cells.total(open),
                in_flight: series.cells.total(|cells| cells.in_flight.value()),
                durations: series.cells.histogram(|cells| &cells.duration),
                rules: BTreeMap::new(),
            };
            for (rule, by_group) in series.requests.list() {
                let counts = look.rules.entry(rule).or_default();
                for (_, statuses) in by_group.list() {
                    for (at, count) in counts.iter_mut().enumerate() {
                        *count += statuses.sum(|statuses| statuses.get(at).map_or(0, Counter::value));
                    }
                }
            }
            (name, look)
        });
        let groups = registry.groups.list().into_iter().map(|(name, series)| {
            let answers = |cells: &tidegate_upstream::ServerCells| {
                cells.answers.iter().map(Counter::value).sum::<u64>() + cells.errors.value()
            };
            let tries = series.servers.list().iter().map(|(_, server)| server.sum(answers)).sum();
            (name, GroupLook { tries, durations: series.cells.histogram(|cells| &cells.duration) })
        });
        let failures = registry.workers.sum(|cells| cells.failures.iter().map(Counter::value).sum());
        Self { at: Instant::now(), listeners: listeners.collect(), groups: groups.collect(), failures }
    }
}

/// What happened between two looks.
fn between(before: &Look, after: &Look, plan: &Plan) -> Live {
    let seconds = after.at.duration_since(before.at).as_secs_f64().max(f64::EPSILON);
    let rate = |count: u64| (count_to_f64(count) / seconds * 1000.0).round() / 1000.0;
    let nothing = ListenerLook::default();
    let mut statuses = [0; CLASSES.len()];
    let mut all = HistogramRead::default();
    let mut listeners = Vec::new();
    for (name, now) in &after.listeners {
        let then = before.listeners.get(name).unwrap_or(&nothing);
        let mut requests = 0;
        for (rule, counts) in &now.rules {
            let known = then.rules.get(rule).copied().unwrap_or_default();
            for ((sum, now), then) in statuses.iter_mut().zip(counts).zip(known) {
                *sum += now.saturating_sub(then);
                requests += now.saturating_sub(then);
            }
        }
        let durations = difference(&now.durations, &then.durations);
        add(&mut all, &durations);
        listeners.push(LiveListener {
            name: name.to_string(),
            connections: now.connections,
            in_flight: now.in_flight,
            requests_per_second: rate(requests),
            latency_ms: latency(&durations),
        });
    }
    let idle = GroupLook::default();
    let groups = after.groups.iter().map(|(name, now)| {
        let then = before.groups.get(name).unwrap_or(&idle);
        LiveGroup {
            name: name.to_string(),
            requests_per_second: rate(now.tries.saturating_sub(then.tries)),
            latency_ms: latency(&difference(&now.durations, &then.durations)),
        }
    });
    let by_class = CLASSES.iter().zip(statuses);
    Live {
        at: moment(SystemTime::now()),
        seconds: (seconds * 1000.0).round() / 1000.0,
        connections: after.listeners.values().map(|look| look.connections).sum(),
        requests_per_second: rate(statuses.iter().sum()),
        failures_per_second: rate(after.failures.saturating_sub(before.failures)),
        status: by_class.map(|(class, count)| ((*class).to_owned(), rate(count))).collect(),
        latency_ms: latency(&all),
        listeners,
        groups: groups.collect(),
        rules: rules(after, plan),
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody sees the last digits of a rate")]
const fn count_to_f64(count: u64) -> f64 {
    count as f64
}

/// Every rule of the policy, those that took nothing too.
fn rules(look: &Look, plan: &Plan) -> Vec<LiveRule> {
    let mut rules = Vec::new();
    for listener in &plan.listeners {
        let ListenerAction::Rules(id) = listener.action else { continue };
        let counted = look.listeners.get(listener.name.as_str());
        for rule in plan.rule_sets.get(id.0).into_iter().flat_map(|set| &set.rules) {
            let counts = counted.and_then(|look| look.rules.get(rule.name.as_str()));
            let total = counts.map_or(0, |counts| counts.iter().sum());
            rules.push(LiveRule { listener: listener.name.clone(), rule: rule.name.clone(), total });
        }
    }
    rules
}

fn difference(now: &HistogramRead, then: &HistogramRead) -> HistogramRead {
    let known = |at: usize| then.buckets.get(at).copied().unwrap_or_default();
    let buckets = now.buckets.iter().enumerate().map(|(at, count)| count.saturating_sub(known(at)));
    HistogramRead { scale: now.scale, buckets: buckets.collect(), ..HistogramRead::default() }
}

fn add(sum: &mut HistogramRead, more: &HistogramRead) {
    sum.scale = more.scale;
    sum.buckets.resize(more.buckets.len().max(sum.buckets.len()), 0);
    sum.buckets.iter_mut().zip(&more.buckets).for_each(|(sum, more)| *sum += more);
}

fn latency(durations: &HistogramRead) -> Latency {
    let at = |share: f64| quantile(durations, share);
    Latency { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}

/// The time within which a share of the durations lies, in milliseconds: within its bucket they are taken to lie evenly.
fn quantile(durations: &HistogramRead, share: f64) -> Option<f64> {
    let wanted = count_to_f64(durations.count()) * share;
    if wanted <= 0.0 {
        return None;
    }
    let (mut below, mut lower) = (0.0, 0.0);
    for (at, count) in durations.buckets.iter().enumerate() {
        let Some(upper) = durations.scale.get(at).map(|nanos| count_to_f64(*nanos) / 1e6) else { break };
        let within = count_to_f64(*count);
        if within > 0.0 && below + within >= wanted {
            let value = lower + (upper - lower) * (wanted - below) / within;
            return Some((value * 1000.0).round() / 1000.0);
        }
        (below, lower) = (below + within, upper);
    }
    // Above the last bucket nothing is known but that.
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn durations(buckets: &[u64]) -> HistogramRead {
        HistogramRead {
            scale: &[1_000_000, 2_000_000, 10_000_000],
            buckets: buckets.to_vec(),
            ..HistogramRead::default()
        }
    }

    #[test]
    fn quantiles_lie_in_their_bucket() {
        for (buckets, share, expected) in [
            (&[0, 0, 0, 0][..], 0.5, None),
            (&[10, 0, 0, 0], 0.5, Some(0.5)),
            (&[5, 5, 0, 0], 0.5, Some(1.0)),
            (&[5, 5, 0, 0], 0.9, Some(1.8)),
            (&[0, 0, 1, 0], 0.99, Some(9.92)),
            (&[1, 0, 0, 99], 0.5, Some(10.0)),
        ] {
            assert_eq!(quantile(&durations(buckets), share), expected, "{buckets:?} {share}");
        }
    }

    #[test]
    fn a_second_is_the_difference_of_two_looks() {
        let (then, now) = (durations(&[1, 2, 3, 4]), durations(&[1, 5, 3, 6]));
        assert_eq!(difference(&now, &then).buckets, [0, 3, 0, 2]);
        assert_eq!(difference(&now, &HistogramRead::default()).buckets, now.buckets, "a listener that is new");
        let mut sum = HistogramRead::default();
        add(&mut sum, &then);
        add(&mut sum, &now);
        assert_eq!(sum.buckets, [2, 7, 6, 10]);
    }
}
