//! A count and a value that one thread writes.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// A count that only grows. One thread adds, any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts so many more. For the one thread that writes: what two add at once is lost.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    /// Counts one more.
    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down. One thread writes, any may read.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Changes the value by so much. For the one thread that writes.
    #[inline]
    pub fn add(&self, by: i64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// Sets the value.
    #[inline]
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn value(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_grows_and_a_gauge_goes_both_ways() {
        let (counter, gauge) = (Counter::default(), Gauge::default());
        counter.add(4);
        counter.one();
        gauge.add(3);
        gauge.add(-5);
        assert_eq!((counter.value(), gauge.value()), (5, -2));
        gauge.set(7);
        assert_eq!(gauge.value(), 7);
    }

    #[test]
    fn what_one_thread_counts_another_reads() {
        let counter = std::sync::Arc::new(Counter::default());
        let seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = 0;
                while last < 10_000 {
                    let now = counter.value();
                    assert!(now >= last, "it went back from {last} to {now}");
                    last = now;
                    std::thread::yield_now();
                }
                last
            });
            (0..10_000).for_each(|_| counter.one());
            reader.join()
        });
        assert_eq!(seen.ok(), Some(10_000));
    }
}
