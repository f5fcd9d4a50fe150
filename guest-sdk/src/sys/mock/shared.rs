//! The state of the mock that outlives a request: store, metrics, groups, the clock and chance. Time stands still but
//! where a test moves it.

use std::cell::RefCell;
use std::time::Duration;

use super::allow::{Allow, needs};
use super::call;
use super::metrics::Metric;
use super::store::Store;
use crate::bounds::OUTBOUND_BODY_BYTES;
use crate::groups::Group;
use crate::outbound::{Answer, Call, Failure};

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
    random: u64,
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

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

/// Gives the state back where it came from, also if the call panics.
struct Borrowed<'s>(&'s RefCell<Shared>);

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        SHARED.with(|here| here.swap(self.0));
    }
}

/// Runs `call`, as one call of the extension, with this state in place.
pub(crate) fn beside<R>(shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> R {
    call::begin();
    SHARED.with(|here| here.swap(shared));
    let _borrowed = Borrowed(shared);
    call()
}

pub(super) fn on<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    SHARED.with(|shared| work(&mut shared.borrow_mut()))
}

/// The next answer of the group that is called.
pub(super) fn answer(call: Call) -> Result<Answer, Failure> {
    on(|shared| {
        let mut answers = shared.answers.iter().enumerate().filter(|(_, (group, _))| *group == call.group);
        let (first, answer, more) = match answers.next() {
            Some((first, (_, answer))) => (first, answer.clone(), answers.next().is_some()),
            None => (0, Err(Failure::Offline), false),
        };
        shared.calls.push(call);
        if more {
            drop(shared.answers.remove(first));
        }
        answer.and_then(|answer| match answer.body.len() {
            length if length > OUTBOUND_BODY_BYTES => Err(Failure::TooLarge),
            _ => Ok(answer),
        })
    })
}

/// The groups that the extension may route to.
pub(crate) fn groups() -> Vec<Group> {
    needs("groups", "route");
    on(|shared| {
        let may = |group: &&Group| shared.allow.may_route_to(&group.name);
        shared.groups.iter().filter(may).cloned().collect()
    })
}

pub(crate) fn now_unix_ns() -> u64 {
    needs("clock", "clock");
    on(|shared| u64::try_from((shared.now + shared.passed).as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn monotonic_ns() -> u64 {
    needs("clock", "clock");
    on(|shared| u64::try_from(shared.passed.as_nanos()).unwrap_or(u64::MAX))
}

/// `SplitMix64`: the same numbers in each run, so that a failing test fails again.
pub(crate) fn random_u64() -> u64 {
    needs("random", "random");
    on(|shared| {
        shared.random = shared.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = shared.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
