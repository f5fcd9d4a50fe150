//! The time that a worker's deadlines are compared with.

use std::cell::Cell;
use std::time::Duration;

use crate::limits;

/// Milliseconds of a worker's life, less those in which it stood still: a process that was stopped, a machine that was moved or
/// whose processors were needed elsewhere. What nobody could have done in that time is nobody's fault.
#[derive(Debug, Default)]
pub struct Clock {
    /// The time of the process at the last turn.
    last: Cell<u64>,
    /// The time in which the worker stood still, in milliseconds.
    still: Cell<u64>,
}

impl Clock {
    /// The time, at so many milliseconds of the process. A turn that comes late moves all deadlines by as much.
    pub fn turn(&self, elapsed_ms: u64) -> u64 {
        let step = elapsed_ms.saturating_sub(self.last.replace(elapsed_ms));
        if step > millis(limits::STANDSTILL) {
            self.still.set(self.still.get() + step - millis(limits::TICK));
        }
        elapsed_ms - self.still.get()
    }

    /// The second of the process at the last turn, standstills and all.
    pub fn second(&self) -> u64 {
        self.last.get() / 1000
    }
}

/// A duration in whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standstill_does_not_count() {
        let clock = Clock::default();
        for (elapsed, now) in [
            (100, 100),
            (200, 200),
            // Late, as on a busy machine: below the bound, at it, above it.
            (1199, 1199),
            (2199, 2199),
            (3200, 2299),
            (3300, 2399),
            (63_300, 2499),
            (63_400, 2599),
        ] {
            assert_eq!(clock.turn(elapsed), now, "{elapsed}");
        }
        assert_eq!(clock.second(), 63);
    }
}
