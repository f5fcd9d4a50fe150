//! The state of the mock that outlives a request: store, metrics, groups, the clock and chance. Time stands still but
//! where a test moves it.

use std::time::Duration;

use super::allow::Allow;
use super::metric::Metric;
use super::store::Store;
use crate::groups::group::Group;
use crate::outbound::answer::{Answer, Failure};
use crate::outbound::call::Call;

/// The time when tests begin that name none: 2026-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_767_225_600);

/// The state that extensions of one name share, and what their policy lets them do.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) allow: Allow,
    /// The time of the clock, since 1970-01-01T00:00:00Z.
    pub(crate) now: Duration,
    /// The time that the test has let pass.
    pub(crate) passed: Duration,
    pub(crate) store: Store,
    /// Whether the store takes nothing new.
    pub(crate) store_full: bool,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) groups: Vec<Group>,
    /// The answer that each call to a group gets, in order; the last one stays.
    pub(crate) answers: Vec<(String, Result<Answer, Failure>)>,
    /// The calls that were made.
    pub(crate) calls: Vec<Call>,
    pub(super) random: u64,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            allow: Allow::default(),
            now: START,
            passed: Duration::ZERO,
            store: Store::default(),
            store_full: false,
            metrics: Vec::new(),
            groups: Vec::new(),
            answers: Vec::new(),
            calls: Vec::new(),
            random: 0,
        }
    }
}

impl Shared {
    /// The values of a metric: one, but of a histogram all that came.
    pub(crate) fn metric(&self, name: &str) -> Vec<f64> {
        let known = self.metrics.iter().find(|metric| metric.name == name);
        known.map(|metric| metric.values.clone()).unwrap_or_default()
    }
}
