//! Durations, counted by how long they were.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::exemplar::{Exemplar, Place};

/// The upper ends of a histogram's buckets, in nanoseconds, from the smallest; one more bucket takes what is above.
pub type Scale = [u64];

const US: u64 = 1000;
const MS: u64 = 1000 * US;

/// Requests through a proxy: from what it answers itself to what clients give up on.
pub static REQUEST_TIMES: &Scale = &[
    MS / 2,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    500 * MS,
    1000 * MS,
    2500 * MS,
    5000 * MS,
    10_000 * MS,
];

/// Work within the process: calls of extensions, the turns of a worker.
pub static WORK_TIMES: &Scale = &[
    US,
    5 * US / 2,
    5 * US,
    10 * US,
    25 * US,
    50 * US,
    100 * US,
    250 * US,
    500 * US,
    MS,
    5 * MS / 2,
    5 * MS,
    10 * MS,
    25 * MS,
    50 * MS,
    100 * MS,
    250 * MS,
    1000 * MS,
];

/// The least time between two exemplars of a bucket, in milliseconds. Nobody reads more than one between two scrapes.
const EXEMPLAR_EVERY_MS: u64 = 1000;

/// Durations by their length, their sum and their number. One thread observes, any may read.
#[derive(Debug)]
pub struct Histogram {
    scale: &'static Scale,
    /// How many fell into each bucket; not cumulative. Their sum is the number of all, so that these two never disagree.
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
    /// An exemplar a bucket, once there is one.
    exemplars: OnceLock<Box<[Place]>>,
}

impl Histogram {
    /// An empty histogram with these buckets.
    pub fn new(scale: &'static Scale) -> Self {
        let buckets = std::iter::repeat_with(AtomicU64::default).take(scale.len() + 1).collect();
        Self { scale, buckets, sum_ns: AtomicU64::default(), exemplars: OnceLock::new() }
    }

    /// Counts a duration. For the one thread that writes.
    #[inline]
    pub fn observe(&self, took: Duration) {
        self.count(nanos(took));
    }

    /// Counts a duration of a request with this trace, which becomes the exemplar of its bucket if the last one is old. `now_ms`
    /// is the time, in milliseconds since the epoch.
    pub fn observe_traced(&self, took: Duration, trace_id: u128, now_ms: u64) {
        let value_ns = nanos(took);
        let bucket = self.count(value_ns);
        let places = self.exemplars.get_or_init(|| (0..self.buckets.len()).map(|_| Place::default()).collect());
        if let Some(place) = places.get(bucket)
            && place.written_ms().is_none_or(|last| now_ms.saturating_sub(last) >= EXEMPLAR_EVERY_MS)
        {
            place.put(Exemplar { trace_id, value_ns, at_ms: now_ms });
        }
    }

    #[inline]
    fn count(&self, nanos: u64) -> usize {
        let at = self.scale.iter().position(|end| nanos <= *end).unwrap_or(self.scale.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.store(bucket.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        self.sum_ns.store(self.sum_ns.load(Ordering::Relaxed).wrapping_add(nanos), Ordering::Relaxed);
        at
    }

    /// Adds the histogram as it stands to what was read of others with the same buckets.
    pub fn read(&self, into: &mut HistogramRead) {
        into.scale = self.scale;
        into.buckets.resize(self.buckets.len(), 0);
        into.exemplars.resize(self.buckets.len(), None);
        into.sum_ns = into.sum_ns.wrapping_add(self.sum_ns.load(Ordering::Relaxed));
        for (sum, bucket) in into.buckets.iter_mut().zip(&self.buckets) {
            *sum = sum.wrapping_add(bucket.load(Ordering::Relaxed));
        }
        let Some(places) = self.exemplars.get() else { return };
        for (known, place) in into.exemplars.iter_mut().zip(places) {
            // The latest of all workers.
            if let Some(found) = place.get()
                && known.is_none_or(|known| known.at_ms < found.at_ms)
            {
                *known = Some(found);
            }
        }
    }
}

fn nanos(took: Duration) -> u64 {
    u64::try_from(took.as_nanos()).unwrap_or(u64::MAX)
}

/// The state of one histogram, or the sum of several.
#[derive(Debug, Clone, Default)]
pub struct HistogramRead {
    /// The upper ends of the buckets, in nanoseconds; one bucket more is above them.
    pub scale: &'static Scale,
    /// How many fell into each bucket; not cumulative.
    pub buckets: Vec<u64>,
    /// The sum of all durations, in nanoseconds.
    pub sum_ns: u64,
    /// The latest exemplar of each bucket.
    pub exemplars: Vec<Option<Exemplar>>,
}

impl HistogramRead {
    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn read(histogram: &Histogram) -> HistogramRead {
        let mut read = HistogramRead::default();
        histogram.read(&mut read);
        read
    }

    #[test]
    fn a_duration_falls_into_the_bucket_that_it_is_not_above() {
        let histogram = Histogram::new(&[10, 20]);
        for nanos in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let read = read(&histogram);
        assert_eq!((read.buckets.as_slice(), read.count()), ([2, 2, 2].as_slice(), 6));
        assert_eq!(read.sum_ns, 61, "it wraps, as counters do");
    }

    #[test]
    fn the_scales_grow() {
        for scale in [REQUEST_TIMES, WORK_TIMES] {
            assert!(scale.windows(2).all(|pair| matches!(pair, [one, next] if one < next)));
        }
        assert_eq!((REQUEST_TIMES.first(), REQUEST_TIMES.last()), (Some(&500_000), Some(&10_000_000_000)));
    }

    #[test]
    fn several_are_read_as_one() {
        let (one, other) = (Histogram::new(&[10]), Histogram::new(&[10]));
        one.observe(Duration::from_nanos(3));
        other.observe_traced(Duration::from_nanos(30), 7, 5);
        one.observe_traced(Duration::from_nanos(40), 8, 6);
        let mut read = read(&one);
        other.read(&mut read);
        assert_eq!((read.buckets.as_slice(), read.sum_ns), ([1, 2].as_slice(), 73));
        assert_eq!(read.exemplars, [None, Some(Exemplar { trace_id: 8, value_ns: 40, at_ms: 6 })], "the latest");
    }

    #[test]
    fn an_exemplar_stays_for_a_while() {
        let histogram = Histogram::new(&[10]);
        let long = Duration::from_nanos(30);
        for (trace, now_ms) in [(1, 50), (2, 50 + EXEMPLAR_EVERY_MS - 1)] {
            histogram.observe_traced(long, trace, now_ms);
            assert_eq!(read(&histogram).exemplars[1].unwrap().trace_id, 1);
        }
        histogram.observe_traced(long, 3, 50 + EXEMPLAR_EVERY_MS);
        assert_eq!(read(&histogram).exemplars[1].unwrap().trace_id, 3);
        assert_eq!(read(&histogram).count(), 3);
    }
}
