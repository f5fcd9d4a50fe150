//! Numbers for the operator: those that an extension defines, and the counts that the host keeps of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tidegate_engine::hook::HookFaultKind;

use crate::base::host_error::HostError;
use crate::base::limits::{METRIC_NAME_BYTES, METRICS_PER_EXTENSION};
use crate::shared::store::SharedStore;

/// Store, metrics and counts of all instances of the extensions of one name; they outlive reloads.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) store: SharedStore,
    pub(crate) metrics: Metrics,
    pub(crate) counts: Counts,
}

/// The counts that the host keeps of an extension.
#[derive(Default)]
pub(crate) struct Counts {
    faults: [AtomicU64; HookFaultKind::ALL.len()],
    /// Log lines over the bound of a call.
    pub(crate) lines_dropped: AtomicU64,
    /// Calls to server groups.
    pub(crate) outbound_calls: AtomicU64,
    /// Calls to server groups without an answer.
    pub(crate) outbound_failures: AtomicU64,
    /// Pauses of the extension after repeated failure.
    pub(crate) pauses: AtomicU64,
}

impl Counts {
    pub(crate) fn fault(&self, kind: HookFaultKind) {
        self.faults[kind as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The metrics that an extension defined. A slot is written once, so that reading takes no lock.
pub(crate) struct Metrics([OnceLock<Metric>; METRICS_PER_EXTENSION]);

impl Default for Metrics {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

struct Metric {
    name: Box<str>,
    kind: MetricKind,
    /// A float's bits; a histogram's sum.
    value: AtomicU64,
    /// A histogram's counts, by the power of two that a value is below; the last is for all above.
    buckets: Box<[AtomicU64]>,
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// Counts of how often values of each size came.
    Histogram,
}

/// A metric as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The extension.
    pub extension: String,
    /// The metric; what the host counts begins with `host_`.
    pub name: String,
    /// The kind of the metric.
    pub kind: MetricKind,
    /// The value; of a histogram, the sum of its values.
    pub value: f64,
    /// A histogram's counts: of values below 1, below 2, below 4 … and, last, of all above.
    pub buckets: Vec<u64>,
}

const BUCKETS: usize = 32;

impl Metrics {
    /// The metric of this name, made if there is none; its number.
    pub(crate) fn define(&self, name: &str, kind: MetricKind) -> Result<u32, HostError> {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
        let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !first || !rest || name.len() > METRIC_NAME_BYTES || name.starts_with("host_") {
            let name = crate::base::log::shown(name);
            return Err(HostError::bad_value(format!(
                "`{name}` is no name of a metric: it is of `[a-z0-9_]`, begins with a letter and not with `host_`, and has at most {METRIC_NAME_BYTES} bytes"
            )));
        }
        for (at, slot) in self.0.iter().enumerate() {
            let metric = slot.get_or_init(|| Metric::new(name, kind));
            if *metric.name == *name {
                if metric.kind != kind {
                    return Err(HostError::bad_value(format!("the metric `{name}` is of another kind")));
                }
                return Ok(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        let message = format!("the metric `{name}` is one too many: an extension may define {METRICS_PER_EXTENSION}");
        Err(HostError::too_much(message))
    }

    pub(crate) fn add(&self, metric: u32, by: f64) -> Result<(), HostError> {
        let metric = self.of(metric)?;
        let name = &metric.name;
        match metric.kind {
            MetricKind::Counter if by.is_finite() && by >= 0.0 => metric.grow(by),
            MetricKind::Gauge if by.is_finite() => metric.grow(by),
            MetricKind::Histogram => {
                return Err(HostError::bad_value(format!("the metric `{name}` is a histogram: record values")));
            }
            _ => return Err(HostError::bad_value(format!("the metric `{name}` cannot take {by}"))),
        }
        Ok(())
    }

    pub(crate) fn record(&self, metric: u32, value: f64) -> Result<(), HostError> {
        let metric = self.of(metric)?;
        if !value.is_finite() {
            return Err(HostError::bad_value(format!("the metric `{}` cannot take {value}", metric.name)));
        }
        match metric.kind {
            MetricKind::Counter => {
                return Err(HostError::bad_value(format!("the metric `{}` is a counter: add to it", metric.name)));
            }
            MetricKind::Gauge => metric.value.store(value.to_bits(), Ordering::Relaxed),
            MetricKind::Histogram => {
                metric.grow(value);
                let above = (0..BUCKETS).find(|power| value < 2_f64.powi(i32::try_from(*power).unwrap_or(0)));
                if let Some(bucket) = metric.buckets.get(above.unwrap_or(BUCKETS)) {
                    bucket.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// The value of a metric; of a histogram, the sum of its values.
    pub(crate) fn value(&self, metric: u32) -> Option<f64> {
        let metric = self.of(metric).ok()?;
        Some(f64::from_bits(metric.value.load(Ordering::Relaxed)))
    }

    fn of(&self, metric: u32) -> Result<&Metric, HostError> {
        let slot = self.0.get(metric as usize).and_then(OnceLock::get);
        slot.ok_or_else(|| HostError::bad_value(format!("there is no metric {metric}: define it first")))
    }
}

impl Metric {
    fn new(name: &str, kind: MetricKind) -> Self {
        let buckets = if kind == MetricKind::Histogram { BUCKETS + 1 } else { 0 };
        Self {
            name: name.into(),
            kind,
            value: AtomicU64::default(),
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn grow(&self, by: f64) {
        let sum = |bits| Some((f64::from_bits(bits) + by).to_bits());
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
    }
}

impl Shared {
    /// Every count of the host that is not zero, and every metric that the guest defined.
    pub(crate) fn samples(&self, extension: &str) -> Vec<Sample> {
        let guests = self.metrics.0.iter().filter_map(OnceLock::get).map(|metric| Sample {
            extension: extension.to_owned(),
            name: metric.name.to_string(),
            kind: metric.kind,
            value: f64::from_bits(metric.value.load(Ordering::Relaxed)),
            buckets: metric.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
        });
        let faults = HookFaultKind::ALL.into_iter().map(|kind| {
            (
                format!("host_fault_{}", kind.name().replace('-', "_")),
                self.counts.faults[kind as usize].load(Ordering::Relaxed),
            )
        });
        let others = [
            ("host_log_lines_dropped".to_owned(), self.counts.lines_dropped.load(Ordering::Relaxed)),
            ("host_outbound_calls".to_owned(), self.counts.outbound_calls.load(Ordering::Relaxed)),
            ("host_outbound_failures".to_owned(), self.counts.outbound_failures.load(Ordering::Relaxed)),
            ("host_pauses".to_owned(), self.counts.pauses.load(Ordering::Relaxed)),
            ("host_store_full".to_owned(), self.store.refused()),
        ];
        let ours = faults.chain(others).filter(|(_, count)| *count > 0).map(|(name, count)| Sample {
            extension: extension.to_owned(),
            name,
            kind: MetricKind::Counter,
            value: count as f64,
            buckets: Vec::new(),
        });
        guests.chain(ours).collect()
    }
}

/// Reads a server group's state for guests.
pub trait Groups: Send + Sync {
    /// The groups, in the order of the policy.
    fn list(&self) -> Vec<GroupState>;
}

/// A server group, as guests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupState {
    /// The group's name.
    pub name: String,
    /// Servers that requests may go to.
    pub healthy: u32,
    /// All servers.
    pub total: u32,
}

/// The source from which guests read the groups.
pub type GroupSource = Arc<dyn Groups>;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn metrics_keep_their_kind_and_their_bound() {
        let shared = Shared::default();
        let metrics = &shared.metrics;
        let hits = metrics.define("hits", MetricKind::Counter).unwrap();
        assert_eq!(metrics.define("hits", MetricKind::Counter).unwrap(), hits);
        assert!(metrics.define("hits", MetricKind::Gauge).is_err());
        for bad in ["", "Hits", "1a", "a-b", "host_x", &"a".repeat(METRIC_NAME_BYTES + 1)] {
            assert!(metrics.define(bad, MetricKind::Gauge).is_err(), "{bad}");
        }
        metrics.add(hits, 2.0).unwrap();
        assert!(
            metrics.add(hits, -1.0).is_err() && metrics.add(hits, f64::NAN).is_err() && metrics.add(99, 1.0).is_err()
        );
        let times = metrics.define("times", MetricKind::Histogram).unwrap();
        for value in [0.5, 1.0, 3.0, 1e30] {
            metrics.record(times, value).unwrap();
        }
        for n in 2..METRICS_PER_EXTENSION {
            metrics.define(&format!("m{n}"), MetricKind::Gauge).unwrap();
        }
        assert!(metrics.define("more", MetricKind::Gauge).unwrap_err().0.message.contains("one too many"));
        shared.counts.fault(HookFaultKind::Deadline);
        let samples = shared.samples("e");
        let of = |name: &str| samples.iter().find(|sample| sample.name == name).unwrap();
        assert_eq!(of("hits").value, 2.0);
        assert_eq!((of("times").buckets[..3].to_vec(), of("times").buckets[BUCKETS]), (vec![1, 1, 1], 1));
        assert_eq!(of("host_fault_deadline").value, 1.0);
    }
}
