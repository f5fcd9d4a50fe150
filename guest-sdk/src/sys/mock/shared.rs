//! What outlives a request: store, metrics, groups, the clock and chance. Time stands still but where a test moves it.
#![expect(clippy::panic, reason = "a refused call ends the test, as it ends the call in the gateway")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use crate::groups::Group;
use crate::metrics::Kind;
use crate::outbound::{Answer, Call, Failure};
use crate::store::Taken;

/// 2026-01-01T00:00:00Z: when tests begin that name no time.
const START: Duration = Duration::from_secs(1_767_225_600);

/// The state that extensions of one name share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Since 1970-01-01T00:00:00Z.
    pub(crate) now: Duration,
    /// How much of it the test has let pass.
    pub(crate) passed: Duration,
    store: HashMap<String, Entry>,
    /// Whether it takes nothing new.
    pub(crate) store_full: bool,
    pub(crate) metrics: Vec<(String, Kind, Vec<f64>)>,
    pub(crate) groups: Vec<Group>,
    /// What each call to a group gets, in order; the last one stays.
    pub(crate) answers: Vec<(String, Result<Answer, Failure>)>,
    /// The calls that were made.
    pub(crate) calls: Vec<Call>,
    random: u64,
}

/// What the store has for a key, and when its time is over.
#[derive(Debug, Clone)]
struct Entry {
    value: Value,
    until: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Value {
    Bytes(Vec<u8>),
    Number(i64),
    Bucket { tokens: f64, filled: Duration },
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            now: START,
            passed: Duration::ZERO,
            store: HashMap::new(),
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
    /// A value as `store.get` gives it.
    pub(crate) fn stored(&self, key: &str) -> Option<Vec<u8>> {
        match &self.live(key)?.value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Number(number) => Some(number.to_string().into_bytes()),
            Value::Bucket { .. } => None,
        }
    }

    /// Puts a value in; not if there is no room.
    pub(crate) fn keep(&mut self, key: &str, value: &[u8], ttl_ms: u32) -> bool {
        let until = self.until(ttl_ms);
        self.put(key, Value::Bytes(value.to_vec()), until)
    }

    fn put(&mut self, key: &str, value: Value, until: Option<Duration>) -> bool {
        let fits = !self.store_full || self.live(key).is_some();
        if fits {
            self.store.insert(key.to_owned(), Entry { value, until });
        }
        fits
    }

    /// An entry whose time is not over.
    fn live(&self, key: &str) -> Option<&Entry> {
        self.store.get(key).filter(|entry| entry.until.is_none_or(|until| self.passed < until))
    }

    /// The values of a metric: one, but of a histogram all that came.
    pub(crate) fn metric(&self, name: &str) -> Vec<f64> {
        let known = self.metrics.iter().find(|(known, _, _)| known == name);
        known.map(|(_, _, values)| values.clone()).unwrap_or_default()
    }

    fn until(&self, ttl_ms: u32) -> Option<Duration> {
        (ttl_ms > 0).then(|| self.passed + Duration::from_millis(ttl_ms.into()))
    }
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

/// Runs `call` with this state in place.
pub(crate) fn beside<R>(shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> R {
    SHARED.with(|here| here.swap(shared));
    let result = call();
    SHARED.with(|here| here.swap(shared));
    result
}

fn on<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    SHARED.with(|shared| work(&mut shared.borrow_mut()))
}

// === metrics ===

pub(crate) fn metric_define(name: &str, kind: Kind) -> u32 {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if !first || !rest || name.starts_with("host_") {
        panic!("`{name}` is no name of a metric: it is of `[a-z0-9_]`, begins with a letter and not with `host_`");
    }
    on(|shared| {
        let at = match shared.metrics.iter().position(|(known, _, _)| known == name) {
            Some(at) if shared.metrics[at].1 != kind => panic!("the metric `{name}` is of another kind"),
            Some(at) => at,
            None => {
                shared.metrics.push((name.to_owned(), kind, Vec::new()));
                shared.metrics.len() - 1
            }
        };
        u32::try_from(at).unwrap_or(u32::MAX)
    })
}

pub(crate) fn metric_add(metric: u32, by: f64) {
    on(|shared| match shared.metrics.get_mut(metric as usize) {
        Some((name, Kind::Counter, _)) if by < 0.0 => panic!("the metric `{name}` cannot take {by}"),
        Some((_, Kind::Histogram, _)) | None => panic!("there is no counter or gauge {metric}"),
        Some((_, _, values)) => {
            let sum = values.first().copied().unwrap_or_default() + by;
            *values = vec![sum];
        }
    });
}

pub(crate) fn metric_record(metric: u32, value: f64) {
    on(|shared| match shared.metrics.get_mut(metric as usize) {
        Some((_, Kind::Histogram, values)) => values.push(value),
        Some((_, Kind::Gauge, values)) => *values = vec![value],
        _ => panic!("there is no gauge or histogram {metric}"),
    });
}

// === store ===

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    on(|shared| shared.stored(key))
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl_ms: u32) -> bool {
    on(|shared| shared.keep(key, value, ttl_ms))
}

pub(crate) fn store_delete(key: &str) -> bool {
    on(|shared| {
        let live = shared.live(key).is_some();
        shared.store.remove(key);
        live
    })
}

pub(crate) fn store_incr(key: &str, by: i64, ttl_ms: u32) -> Option<i64> {
    on(|shared| {
        let (number, until) = match shared.live(key) {
            Some(Entry { value: Value::Number(number), until }) => (number.saturating_add(by), *until),
            Some(_) => return None,
            None => (by, shared.until(ttl_ms)),
        };
        shared.put(key, Value::Number(number), until).then_some(number)
    })
}

pub(crate) fn store_take(key: &str, burst: u32, per_second: f64) -> Taken {
    on(|shared| {
        let (now, full) = (shared.passed, f64::from(burst));
        let tokens = match shared.live(key) {
            Some(Entry { value: Value::Bucket { tokens, filled }, .. }) => {
                let gained = now.saturating_sub(*filled).as_secs_f64() * per_second.max(0.0);
                (tokens + gained).min(full)
            }
            Some(_) => return Taken::No,
            None => full,
        };
        let left = if tokens < 1.0 { tokens } else { tokens - 1.0 };
        match shared.put(key, Value::Bucket { tokens: left, filled: now }, None) {
            false => Taken::Full,
            true if tokens < 1.0 => Taken::No,
            true => Taken::Yes,
        }
    })
}

// === outbound ===

/// The next answer of the group that is called.
pub(crate) fn answer(call: &Call) -> Result<Answer, Failure> {
    on(|shared| {
        shared.calls.push(call.clone());
        let mut answers = shared.answers.iter().enumerate().filter(|(_, (group, _))| *group == call.group);
        let Some((first, (_, answer))) = answers.next() else { return Err(Failure::Offline) };
        let (answer, more) = (answer.clone(), answers.next().is_some());
        if more {
            drop(shared.answers.remove(first));
        }
        answer
    })
}

// === groups, clock, random ===

pub(crate) fn groups() -> Vec<Group> {
    on(|shared| shared.groups.clone())
}

pub(crate) fn now_unix_ns() -> u64 {
    on(|shared| u64::try_from((shared.now + shared.passed).as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn monotonic_ns() -> u64 {
    on(|shared| u64::try_from(shared.passed.as_nanos()).unwrap_or(u64::MAX))
}

/// `SplitMix64`: the same numbers in each run, so that a failing test fails again.
pub(crate) fn random_u64() -> u64 {
    on(|shared| {
        shared.random = shared.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = shared.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
