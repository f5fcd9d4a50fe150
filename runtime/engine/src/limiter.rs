//! `limit`: token buckets that all workers share.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_dsl::plan::{Limit, LimitKey};

use crate::bounds::{LIMIT_SHARDS, MAX_BUCKETS_PER_SHARD, MAX_LIMIT_KEY_BYTES};

/// The buckets of one `limit` step.
///
/// A bucket is the generic cell rate algorithm: one number, the time at which it would be full again if nothing more came.
/// A request moves that time forward by the time that one token takes; it is refused if that would be further ahead of now
/// than the burst allows. So a bucket needs no clock of its own and no refilling.
#[derive(Debug)]
pub(crate) struct Limiter {
    /// The limit that the buckets were made from, but for the status: a limit that says the same may take them over.
    identity: (u32, Duration, LimitKey, u32),
    rate: Rate,
    buckets: Buckets,
}

#[derive(Debug)]
enum Buckets {
    One(AtomicU64),
    Keyed(Shards),
}

/// The key that a bucket is found by.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BucketKey<'a> {
    /// The only bucket.
    All,
    Address(IpAddr),
    Text(&'a [u8]),
}

impl Limiter {
    pub(crate) fn new(limit: &Limit) -> Self {
        Self {
            identity: identity(limit),
            rate: Rate::new(limit),
            buckets: match limit.per {
                LimitKey::All => Buckets::One(AtomicU64::new(0)),
                _ => Buckets::Keyed(Shards::new()),
            },
        }
    }

    /// Whether the buckets mean the same for `limit`.
    pub(crate) fn serves(&self, limit: &Limit) -> bool {
        self.identity == identity(limit)
    }

    /// Takes a token at `now`, in nanoseconds of the monotonic clock.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(crate) fn take(&self, key: BucketKey<'_>, now: u64) -> Result<(), Duration> {
        match &self.buckets {
            Buckets::One(full_at) => self.rate.take_shared(full_at, now),
            Buckets::Keyed(shards) => match key {
                BucketKey::All => shards.take(&[], self.rate, now),
                BucketKey::Address(address) => match address.to_canonical() {
                    IpAddr::V4(address) => shards.take(&address.octets(), self.rate, now),
                    IpAddr::V6(address) => shards.take(&address.octets(), self.rate, now),
                },
                BucketKey::Text(text) => shards.take_text(text, self.rate, now),
            },
        }
    }
}

fn identity(limit: &Limit) -> (u32, Duration, LimitKey, u32) {
    (limit.requests, limit.interval, limit.per.clone(), limit.burst)
}

/// The rate at which a bucket fills, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// The time that one token takes; `u64::MAX` if none ever comes.
    token: u64,
    /// The time that a bucket may be ahead of now and still give a token.
    ahead: u64,
    /// The longest time that a refused client is told to wait.
    longest: u64,
}

impl Rate {
    /// The rate of a limit, rounded up to whole nanoseconds a token, so that it is never exceeded.
    fn new(limit: &Limit) -> Self {
        let interval = u64::try_from(limit.interval.as_nanos()).unwrap_or(u64::MAX);
        let token = match limit.requests {
            0 => u64::MAX,
            requests => interval.div_ceil(u64::from(requests)).max(1),
        };
        Self { token, ahead: token.saturating_mul(u64::from(limit.burst.saturating_sub(1))), longest: interval }
    }

    /// The new state of a bucket that gives a token, or the time until it can.
    fn take(self, full_at: u64, now: u64) -> Result<u64, Duration> {
        if self.token == u64::MAX {
            return Err(Duration::from_nanos(self.longest));
        }
        let full_at = full_at.max(now);
        let over = (full_at - now).saturating_sub(self.ahead);
        if over > 0 {
            return Err(Duration::from_nanos(over));
        }
        Ok(full_at.saturating_add(self.token))
    }

    fn take_shared(self, bucket: &AtomicU64, now: u64) -> Result<(), Duration> {
        // Relaxed: the number stands for itself, nothing else is published with it.
        let mut seen = bucket.load(Ordering::Relaxed);
        loop {
            let next = self.take(seen, now)?;
            match bucket.compare_exchange_weak(seen, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(current) => seen = current,
            }
        }
    }
}

/// The buckets of a keyed limit: maps of bounded size, each behind its own lock, held for one look-up.
#[derive(Debug)]
struct Shards {
    /// The hasher of keys, seeded at random, so that a client cannot choose keys that fall together.
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

/// Bytes of a key → when its bucket is full again.
type Shard = HashMap<Box<[u8]>, u64, RandomState>;

impl Shards {
    fn new() -> Self {
        let hasher = RandomState::new();
        Self { shards: (0..LIMIT_SHARDS).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect(), hasher }
    }

    /// A key of any length.
    fn take_text(&self, text: &[u8], rate: Rate, now: u64) -> Result<(), Duration> {
        let Some(beginning) = text.get(..MAX_LIMIT_KEY_BYTES) else {
            return self.take(text, rate, now);
        };
        let mut key = [0; MAX_LIMIT_KEY_BYTES + 8];
        let (head, tail) = key.split_at_mut(MAX_LIMIT_KEY_BYTES);
        head.copy_from_slice(beginning);
        tail.copy_from_slice(&self.hasher.hash_one(text).to_ne_bytes());
        self.take(&key, rate, now)
    }

    fn take(&self, key: &[u8], rate: Rate, now: u64) -> Result<(), Duration> {
        // The map uses the low bits of the same hash for itself, so the shard comes from the high half.
        let hash = self.hasher.hash_one(key) >> 32;
        let index = usize::try_from(hash).unwrap_or(0) & (LIMIT_SHARDS - 1);
        let Some(shard) = self.shards.get(index) else {
            return Ok(());
        };
        // A panic while it is held cannot leave it half changed; and there is nothing better to do.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(full_at) = shard.get_mut(key) {
            *full_at = rate.take(*full_at, now)?;
            return Ok(());
        }
        let full_at = rate.take(now, now)?;
        if shard.len() >= MAX_BUCKETS_PER_SHARD {
            make_room(&mut shard, now);
        }
        shard.insert(key.into(), full_at);
        Ok(())
    }
}

/// Drops the buckets that are full again; if there is none, the one that is nearest to it.
fn make_room(shard: &mut Shard, now: u64) {
    shard.retain(|_, full_at| *full_at > now);
    if shard.len() >= MAX_BUCKETS_PER_SHARD
        && let Some(nearest) = shard.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| key.clone())
    {
        shard.remove(&nearest);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;

    fn limit(requests: u32, interval: Duration, burst: u32, per: LimitKey) -> Limit {
        Limit { requests, interval, per, burst, status: 503 }
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let limiter = Limiter::new(&limit(2, Duration::from_secs(1), 3, LimitKey::All));
        let now = 7 * SECOND;
        for _ in 0..3 {
            assert_eq!(limiter.take(BucketKey::All, now), Ok(()));
        }
        assert_eq!(limiter.take(BucketKey::All, now), Err(Duration::from_millis(500)));
        assert_eq!(limiter.take(BucketKey::All, now + SECOND / 2), Ok(()));
        assert_eq!(limiter.take(BucketKey::All, now + SECOND / 2 + 1), Err(Duration::from_nanos(SECOND / 2 - 1)));
        for _ in 0..3 {
            assert_eq!(limiter.take(BucketKey::All, now + 9 * SECOND), Ok(()));
        }
        assert!(limiter.take(BucketKey::All, now + 9 * SECOND).is_err());
    }

    #[test]
    fn each_key_has_its_bucket() {
        let limiter = Limiter::new(&limit(1, Duration::from_secs(60), 1, LimitKey::ClientIp(64)));
        let take = |address: &str| limiter.take(BucketKey::Address(address.parse().unwrap()), SECOND);
        assert!(take("10.0.0.1").is_ok());
        assert!(take("10.0.0.1").is_err());
        assert!(take("::ffff:10.0.0.1").is_err());
        assert!(take("10.0.0.2").is_ok());
    }

    #[test]
    fn long_keys_are_told_apart() {
        let limiter = Limiter::new(&limit(1, Duration::from_secs(60), 1, LimitKey::Host));
        let (a, b) = ("x".repeat(10_000) + "a", "x".repeat(10_000) + "b");
        assert!(limiter.take(BucketKey::Text(a.as_bytes()), 0).is_ok());
        assert!(limiter.take(BucketKey::Text(b.as_bytes()), 0).is_ok());
        assert!(limiter.take(BucketKey::Text(a.as_bytes()), 0).is_err());
    }

    #[test]
    fn nothing_is_nothing() {
        let limiter = Limiter::new(&limit(0, Duration::from_secs(1), 5, LimitKey::All));
        assert_eq!(limiter.take(BucketKey::All, 0), Err(Duration::from_secs(1)));
        assert_eq!(limiter.take(BucketKey::All, u64::MAX), Err(Duration::from_secs(1)));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for requests in [1, 3, u32::MAX] {
            for burst in [0, 1, u32::MAX] {
                for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
                    let limiter = Limiter::new(&limit(requests, interval, burst, LimitKey::All));
                    for now in [0, 1, u64::MAX - 1, u64::MAX, 0] {
                        let _ = limiter.take(BucketKey::All, now);
                    }
                }
            }
        }
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_full_ones_go_first() {
        let limiter = Limiter::new(&limit(1, Duration::from_secs(1), 1, LimitKey::Host));
        let count = 3 * LIMIT_SHARDS * MAX_BUCKETS_PER_SHARD / 2;
        for key in 0..count {
            assert!(limiter.take(BucketKey::Text(&key.to_ne_bytes()), 0).is_ok());
        }
        assert!(limiter.take(BucketKey::Text(&(count - 1).to_ne_bytes()), 0).is_err());
        let Buckets::Keyed(shards) = &limiter.buckets else { unreachable!("it has a key") };
        let held = || -> usize { shards.shards.iter().map(|shard| shard.lock().unwrap().len()).sum() };
        assert!(held() <= LIMIT_SHARDS * MAX_BUCKETS_PER_SHARD);
        // A second later all are full again: one more key in each shard drops every one of them.
        for key in 0..LIMIT_SHARDS * 20 {
            assert!(limiter.take(BucketKey::Text(&(count + key).to_ne_bytes()), SECOND).is_ok());
        }
        assert!(held() <= LIMIT_SHARDS * 20);
    }

    #[test]
    fn workers_together_do_not_exceed_it() {
        for per in [LimitKey::All, LimitKey::Host] {
            let limiter = Arc::new(Limiter::new(&limit(100, Duration::from_secs(1), 10, per)));
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let limiter = Arc::clone(&limiter);
                    std::thread::spawn(move || {
                        let times = (0..2_000).map(|tick| tick * SECOND / 1_000);
                        times.filter(|now| limiter.take(BucketKey::Text(b"k"), *now).is_ok()).count()
                    })
                })
                .collect();
            let taken: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
            // 2 s at 100/s, and the burst.
            assert!((190..=210).contains(&taken), "{taken}");
        }
    }

    proptest! {
        /// In no window of any length does a bucket give more than the burst and what the rate allows in it.
        #[test]
        fn the_rate_is_never_exceeded(
            requests in 1_u32..50,
            burst in 1_u32..20,
            gaps in proptest::collection::vec(0_u64..SECOND / 10, 1..120),
        ) {
            let limiter = Limiter::new(&limit(requests, Duration::from_secs(1), burst, LimitKey::All));
            let mut now = 0;
            let mut given = Vec::new();
            for gap in gaps {
                now += gap;
                match limiter.take(BucketKey::All, now) {
                    Ok(()) => given.push(now),
                    Err(wait) => {
                        // The wait is exact: a nanosecond earlier is too early.
                        let wait = u64::try_from(wait.as_nanos()).unwrap();
                        prop_assert!(wait > 0);
                        prop_assert!(limiter.rate.take(bucket(&limiter), now + wait - 1).is_err());
                        prop_assert!(limiter.rate.take(bucket(&limiter), now + wait).is_ok());
                    }
                }
            }
            for (first, from) in given.iter().enumerate() {
                for (last, to) in given.iter().enumerate().skip(first) {
                    let in_window = u64::try_from(last - first + 1).unwrap();
                    let allowed = u64::from(burst) + (to - from) * u64::from(requests) / SECOND;
                    prop_assert!(in_window <= allowed, "{in_window} > {allowed}");
                }
            }
        }
    }

    fn bucket(limiter: &Limiter) -> u64 {
        match &limiter.buckets {
            Buckets::One(full_at) => full_at.load(Ordering::Relaxed),
            Buckets::Keyed(_) => 0,
        }
    }
}
