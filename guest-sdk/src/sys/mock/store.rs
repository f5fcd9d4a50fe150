//! The store that extensions of one name share.

use std::collections::HashMap;
use std::time::Duration;

use super::state::Shared;
use crate::bounds::{STORE_BYTES, STORE_ENTRIES, STORE_ENTRY_BYTES};
use crate::store::taken::Taken;

/// Keys, each with its value and the end of its time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    entries: HashMap<String, Entry>,
    bytes: usize,
}

/// The entry of a key, and when its time is over.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    value: Value,
    until: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Value {
    Bytes(Vec<u8>),
    Number(i64),
    Bucket { tokens: f64, filled: Duration },
}

impl Entry {
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    fn cost(&self, key: &str) -> usize {
        let value = match &self.value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Number(_) | Value::Bucket { .. } => 0,
        };
        STORE_ENTRY_BYTES + key.len() + value
    }
}

impl Store {
    /// An entry whose time is not over.
    fn live(&self, key: &str, now: Duration) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| !entry.is_over(now))
    }

    /// Puts an entry in, if there is room: in place of the one of its key, or of those whose time is over.
    fn put(&mut self, key: &str, entry: Entry, now: Duration) -> bool {
        if !self.fits(key, &entry) {
            self.entries.retain(|_, entry| !entry.is_over(now));
            self.bytes = self.entries.iter().map(|(key, entry)| entry.cost(key)).sum();
            if !self.fits(key, &entry) {
                return false;
            }
        }
        self.remove(key);
        self.bytes += entry.cost(key);
        self.entries.insert(key.to_owned(), entry);
        true
    }

    fn fits(&self, key: &str, entry: &Entry) -> bool {
        let old = self.entries.get(key);
        let entries = self.entries.len() + usize::from(old.is_none());
        let bytes = self.bytes - old.map_or(0, |old| old.cost(key)) + entry.cost(key);
        entries <= STORE_ENTRIES && bytes <= STORE_BYTES
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.bytes -= entry.cost(key);
        Some(entry)
    }
}

impl Shared {
    /// A value as `store.get` gives it.
    pub(crate) fn stored(&self, key: &str) -> Option<Vec<u8>> {
        match &self.store.live(key, self.passed)?.value {
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
        let refused = self.store_full && self.store.live(key, self.passed).is_none();
        !refused && self.store.put(key, Entry { value, until }, self.passed)
    }

    fn until(&self, ttl_ms: u32) -> Option<Duration> {
        (ttl_ms > 0).then(|| self.passed + Duration::from_millis(ttl_ms.into()))
    }

    pub(super) fn incr(&mut self, key: &str, by: i64, ttl_ms: u32) -> Option<i64> {
        let (number, until) = match self.store.live(key, self.passed) {
            Some(Entry { value: Value::Number(number), until }) => (number.saturating_add(by), *until),
            Some(_) => return None,
            None => (by, self.until(ttl_ms)),
        };
        self.put(key, Value::Number(number), until).then_some(number)
    }

    /// A bucket that would be full again is as good as none, so it goes.
    pub(super) fn take(&mut self, key: &str, burst: u32, per_second: f64) -> Taken {
        let (now, burst) = (self.passed, f64::from(burst));
        let rate = if per_second.is_finite() { per_second.max(0.0) } else { 0.0 };
        let tokens = match self.store.live(key, now) {
            Some(Entry { value: Value::Bucket { tokens, filled }, .. }) => {
                (tokens + now.saturating_sub(*filled).as_secs_f64() * rate).min(burst)
            }
            Some(_) => return Taken::No,
            None if burst < 1.0 => return Taken::No,
            None => burst,
        };
        let taken = tokens >= 1.0;
        let tokens = if taken { tokens - 1.0 } else { tokens };
        let full = Duration::try_from_secs_f64((burst - tokens) / rate).ok().and_then(|wait| now.checked_add(wait));
        match (self.put(key, Value::Bucket { tokens, filled: now }, full), taken) {
            (false, _) => Taken::Full,
            (true, true) => Taken::Yes,
            (true, false) => Taken::No,
        }
    }
}
