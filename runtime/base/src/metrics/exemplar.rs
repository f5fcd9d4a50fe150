//! One request of many: what a bucket of a histogram shows of the traces behind it.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A request that fell into a bucket, and its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace (W3C Trace Context, 3.2.2.3).
    pub trace_id: u128,
    /// The value of the request, in nanoseconds.
    pub value_ns: u64,
    /// The time of the request, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// How often a reader looks again at a place that is being written. The writer is done in a few nanoseconds, unless its thread
/// has to wait for a processor; then the place counts as empty.
const LOOKS: usize = 64;

/// A place for an exemplar. One thread writes, any may read: a number that is odd while the parts are written tells readers
/// that they do not belong together, so that nobody sees one half of this and one of that.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Twice the number of writes; odd during one.
    sequence: AtomicU64,
    trace_high: AtomicU64,
    trace_low: AtomicU64,
    value_ns: AtomicU64,
    at_ms: AtomicU64,
}

impl Place {
    /// Puts an exemplar in place of the last one.
    pub(super) fn put(&self, Exemplar { trace_id, value_ns, at_ms }: Exemplar) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        // No part may be seen before the odd number is.
        fence(Ordering::Release);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let (high, low) = ((trace_id >> 64) as u64, trace_id as u64);
        self.trace_high.store(high, Ordering::Relaxed);
        self.trace_low.store(low, Ordering::Relaxed);
        self.value_ns.store(value_ns, Ordering::Relaxed);
        self.at_ms.store(at_ms, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    /// The exemplar, if there is one that can be read whole.
    pub(super) fn get(&self) -> Option<Exemplar> {
        for _ in 0..LOOKS {
            let before = self.sequence.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            let high = self.trace_high.load(Ordering::Relaxed);
            let low = self.trace_low.load(Ordering::Relaxed);
            let value_ns = self.value_ns.load(Ordering::Relaxed);
            let at_ms = self.at_ms.load(Ordering::Relaxed);
            // No part may be read after the number is.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.sequence.load(Ordering::Relaxed) == before {
                let trace_id = u128::from(high) << 64 | u128::from(low);
                return Some(Exemplar { trace_id, value_ns, at_ms });
            }
            std::hint::spin_loop();
        }
        None
    }

    /// The time of the last exemplar, for the thread that writes.
    pub(super) fn written_ms(&self) -> Option<u64> {
        (self.sequence.load(Ordering::Relaxed) > 0).then(|| self.at_ms.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64) -> Exemplar {
        Exemplar { trace_id: u128::from(number) << 64 | u128::from(number), value_ns: number, at_ms: number }
    }

    #[test]
    fn a_place_is_empty_until_something_is_put_there() {
        let place = Place::default();
        assert_eq!((place.get(), place.written_ms()), (None, None));
        place.put(of(7));
        place.put(of(u64::MAX));
        assert_eq!((place.get(), place.written_ms()), (Some(of(u64::MAX)), Some(u64::MAX)));
    }

    #[test]
    fn no_reader_sees_parts_of_two() {
        let place = Place::default();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        if let Some(seen) = place.get() {
                            assert_eq!(seen, of(seen.value_ns));
                        }
                    }
                });
            }
            (1..200_000).for_each(|number| place.put(of(number)));
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(place.get(), Some(of(199_999)));
    }
}
