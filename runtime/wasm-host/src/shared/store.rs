//! The store of an extension: keys and values that all its instances share, on all workers.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::base::limits::{STORE_BYTES, STORE_ENTRIES, STORE_ENTRY_BYTES};

const SHARDS: usize = 16;

/// One extension's store. Bounded in entries and in bytes; what does not fit is refused and counted.
pub(crate) struct SharedStore {
    shards: [Mutex<HashMap<Box<str>, Entry>>; SHARDS],
    hasher: RandomState,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    refused: AtomicU64,
}

struct Entry {
    value: Value,
    /// Changes with each write of a foreign guest.
    version: u32,
    expires: Option<Instant>,
}

enum Value {
    Bytes(Bytes),
    Number(i64),
    Bucket { tokens: f64, filled: Instant },
}

/// The reason why a versioned value was not set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotSet {
    /// There is no room.
    Full,
    /// Somebody has written since.
    Changed,
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Default for SharedStore {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::new(),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn cost(&self, key: &str) -> usize {
        let value = match &self.value {
            Value::Bytes(bytes) => bytes.len(),
            Value::Number(_) | Value::Bucket { .. } => 0,
        };
        STORE_ENTRY_BYTES + key.len() + value
    }
}

impl SharedStore {
    /// A value; numbers as their decimal digits.
    pub(crate) fn get(&self, key: &str, now: Instant) -> Option<Bytes> {
        let shard = self.shard(key);
        let entry = shard.get(key).filter(|entry| !entry.is_over(now))?;
        match &entry.value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            Value::Number(number) => Some(number.to_string().into()),
            Value::Bucket { .. } => None,
        }
    }

    pub(crate) fn set(&self, key: &str, value: &[u8], ttl: Option<Duration>, now: Instant) -> Result<(), Full> {
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        let entry = Entry { value: Value::Bytes(Bytes::copy_from_slice(value)), version: 1, expires };
        self.put(&mut self.shard(key), key, entry, now)
    }

    /// A value, and the number of its version, which is never 0.
    pub(crate) fn get_versioned(&self, key: &str, now: Instant) -> Option<(Bytes, u32)> {
        let shard = self.shard(key);
        let entry = shard.get(key).filter(|entry| !entry.is_over(now))?;
        match &entry.value {
            Value::Bytes(bytes) => Some((bytes.clone(), entry.version)),
            Value::Number(_) | Value::Bucket { .. } => None,
        }
    }

    /// Sets a value; with a version, only if that is still the value's.
    pub(crate) fn set_versioned(
        &self,
        key: &str,
        value: &[u8],
        version: Option<u32>,
        now: Instant,
    ) -> Result<(), NotSet> {
        let mut shard = self.shard(key);
        let known = shard.get(key).filter(|entry| !entry.is_over(now)).map_or(0, |entry| entry.version);
        if version.is_some_and(|version| version != known) {
            return Err(NotSet::Changed);
        }
        let version = known.wrapping_add(1).max(1);
        let entry = Entry { value: Value::Bytes(Bytes::copy_from_slice(value)), version, expires: None };
        self.put(&mut shard, key, entry, now).map_err(|Full| NotSet::Full)
    }

    pub(crate) fn delete(&self, key: &str, now: Instant) -> bool {
        let removed = self.shard(key).remove_entry(key);
        removed.is_some_and(|(key, entry)| {
            self.forget(&key, &entry);
            !entry.is_over(now)
        })
    }

    /// The sum; `Ok(None)` if the value is no number.
    pub(crate) fn incr(&self, key: &str, by: i64, ttl: Option<Duration>, now: Instant) -> Result<Option<i64>, Full> {
        let mut shard = self.shard(key);
        if let Some(entry) = shard.get_mut(key).filter(|entry| !entry.is_over(now)) {
            let Value::Number(number) = &mut entry.value else { return Ok(None) };
            *number = number.saturating_add(by);
            return Ok(Some(*number));
        }
        let expires = ttl.and_then(|ttl| now.checked_add(ttl));
        self.put(&mut shard, key, Entry { value: Value::Number(by), version: 1, expires }, now)?;
        Ok(Some(by))
    }

    /// Takes a token; true if there was one. A bucket that would be full again is as good as none, so it goes.
    pub(crate) fn take(&self, key: &str, burst: u32, per_second: f64, now: Instant) -> Result<bool, Full> {
        let burst = f64::from(burst);
        let rate = if per_second.is_finite() { per_second.max(0.0) } else { 0.0 };
        let expires = |tokens: f64| {
            let wait = Duration::try_from_secs_f64((burst - tokens) / rate).ok()?;
            now.checked_add(wait)
        };
        let mut shard = self.shard(key);
        if let Some(entry) = shard.get_mut(key).filter(|entry| !entry.is_over(now)) {
            let Value::Bucket { tokens, filled } = &mut entry.value else { return Ok(false) };
            let gained = now.saturating_duration_since(*filled).as_secs_f64() * rate;
            *tokens = (*tokens + gained).min(burst);
            *filled = now;
            let taken = *tokens >= 1.0;
            if taken {
                *tokens -= 1.0;
            }
            entry.expires = expires(*tokens);
            return Ok(taken);
        }
        if burst < 1.0 {
            return Ok(false);
        }
        let tokens = burst - 1.0;
        let bucket = Value::Bucket { tokens, filled: now };
        self.put(&mut shard, key, Entry { value: bucket, version: 1, expires: expires(tokens) }, now)?;
        Ok(true)
    }

    /// The number of writes for which there was no room.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &str) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Entry>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an entry in, if there is room: in place of an older one of its key, or of those in this shard whose time is over.
    /// Where there is none, the older one stays.
    fn put(&self, shard: &mut HashMap<Box<str>, Entry>, key: &str, entry: Entry, now: Instant) -> Result<(), Full> {
        if !self.make_room(shard, key, &entry) {
            shard.retain(|key, entry| {
                let over = entry.is_over(now);
                if over {
                    self.forget(key, entry);
                }
                !over
            });
            if !self.make_room(shard, key, &entry) {
                self.refused.fetch_add(1, Ordering::Relaxed);
                return Err(Full);
            }
        }
        shard.insert(key.into(), entry);
        Ok(())
    }

    /// Counts an entry in place of the one of its key, if it fits.
    fn make_room(&self, shard: &HashMap<Box<str>, Entry>, key: &str, entry: &Entry) -> bool {
        let cost = entry.cost(key);
        let Some(old) = shard.get(key).map(|old| old.cost(key)) else { return self.reserve(1, cost) };
        match cost.checked_sub(old) {
            Some(more) => self.reserve(0, more),
            None => {
                self.bytes.fetch_sub(old - cost, Ordering::Relaxed);
                true
            }
        }
    }

    /// Counts first and asks then, so that workers together cannot pass the bound.
    fn reserve(&self, new_entries: usize, cost: usize) -> bool {
        let entries = self.entries.fetch_add(new_entries, Ordering::Relaxed) + new_entries;
        let bytes = self.bytes.fetch_add(cost, Ordering::Relaxed) + cost;
        let fits = entries <= STORE_ENTRIES && bytes <= STORE_BYTES;
        if !fits {
            self.release(new_entries, cost);
        }
        fits
    }

    fn forget(&self, key: &str, entry: &Entry) {
        self.release(1, entry.cost(key));
    }

    fn release(&self, entries: usize, cost: usize) {
        self.entries.fetch_sub(entries, Ordering::Relaxed);
        self.bytes.fetch_sub(cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn values_live_as_long_as_they_may() {
        let store = SharedStore::default();
        let now = Instant::now();
        let later = now + Duration::from_millis(10);
        store.set("a", b"1", Some(Duration::from_millis(10)), now).unwrap();
        assert_eq!(store.get("a", now).unwrap(), "1");
        assert_eq!(store.get("a", later), None);
        assert!(!store.delete("a", later));
        assert_eq!(store.incr("n", 2, Some(Duration::from_millis(10)), now), Ok(Some(2)));
        assert_eq!(store.incr("n", -5, None, now), Ok(Some(-3)));
        assert_eq!(store.get("n", now).unwrap(), "-3");
        assert_eq!(store.incr("n", 1, None, later), Ok(Some(1)), "its time was over");
        store.set("a", b"x", None, now).unwrap();
        assert_eq!(store.incr("a", 1, None, now), Ok(None));
    }

    #[test]
    fn a_version_lets_one_of_two_writers_win() {
        let store = SharedStore::default();
        let now = Instant::now();
        assert_eq!(store.set_versioned("k", b"1", None, now), Ok(()));
        let (_, seen) = store.get_versioned("k", now).unwrap();
        assert_eq!(store.set_versioned("k", b"2", Some(seen), now), Ok(()));
        assert_eq!(store.set_versioned("k", b"3", Some(seen), now), Err(NotSet::Changed));
        assert_eq!(store.get_versioned("k", now).unwrap().0, "2");
        assert_eq!(store.set_versioned("new", b"1", Some(7), now), Err(NotSet::Changed));
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let store = SharedStore::default();
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let take = |ms| store.take("k", 2, 10.0, at(ms)).unwrap();
        assert_eq!(
            [take(0), take(0), take(0), take(50), take(100), take(110)],
            [true, true, false, false, true, false]
        );
        assert!(take(60_000) && take(60_000) && !take(60_000), "it holds no more than its burst");
    }

    #[test]
    fn a_full_store_refuses_and_what_is_over_makes_room() {
        let store = SharedStore::default();
        let now = Instant::now();
        let brief = Some(Duration::from_millis(1));
        let stored = (0..STORE_ENTRIES * 2).filter(|n| store.set(&n.to_string(), b"", brief, now).is_ok()).count();
        assert_eq!(stored, STORE_ENTRIES);
        assert_eq!(store.refused(), STORE_ENTRIES as u64);
        assert_eq!(store.set("large", &vec![0; STORE_BYTES], None, now), Err(Full));
        assert_eq!(store.set("0", &vec![0; STORE_BYTES], None, now), Err(Full));
        assert_eq!(store.get("0", now).unwrap(), "", "what was there stays");
        let later = now + Duration::from_secs(1);
        assert_eq!(store.set("new", b"", None, later), Ok(()));
    }
}
