//! Stops calling an extension that fails again and again, for a while, on one worker.

use std::time::{Duration, Instant};

use tidegate_engine::hook::Hook;

use crate::limits::{BREAKER_FAULTS, BREAKER_PAUSE, BREAKER_PAUSE_MAX};

/// Closed until [`BREAKER_FAULTS`] calls in a row have failed; then open for a pause, after which one call is tried.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Faults in a row.
    faults: u32,
    /// The hook that failed last. Only its success says that the extension works: the answer that a fault leads to passes its
    /// other hooks.
    failing: Option<Hook>,
    /// The last pause; it doubles while trials fail.
    pause: Duration,
    /// Until when it is open.
    open: Option<Instant>,
}

impl Breaker {
    /// Closed.
    pub(crate) const fn new() -> Self {
        Self { faults: 0, failing: None, pause: Duration::ZERO, open: None }
    }

    /// How long the pause still takes; `None` if calls may be made. It looks at the clock only while open.
    pub(crate) fn left(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let left = self.open?.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }

    /// A call gave a verdict. True if that ends a pause.
    pub(crate) fn succeeded(&mut self, hook: Hook) -> bool {
        if self.failing != Some(hook) {
            return false;
        }
        self.faults = 0;
        self.failing = None;
        self.pause = Duration::ZERO;
        self.open.take().is_some()
    }

    /// A call failed. The pause that begins now, if one does.
    pub(crate) fn failed(&mut self, hook: Hook, now: Instant) -> Option<Duration> {
        self.failing = Some(hook);
        self.faults = self.faults.saturating_add(1);
        if self.faults < BREAKER_FAULTS {
            return None;
        }
        self.pause = if self.pause.is_zero() { BREAKER_PAUSE } else { (self.pause * 2).min(BREAKER_PAUSE_MAX) };
        self.open = Some(now + self.pause);
        Some(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_faults_in_a_row_and_pauses_longer_while_trials_fail() {
        let now = Instant::now();
        let mut breaker = Breaker::new();
        for _ in 1..BREAKER_FAULTS {
            assert_eq!(breaker.failed(Hook::Request, now), None);
            assert!(!breaker.succeeded(Hook::Response), "the answer to the fault passes the other hook");
        }
        assert!(!breaker.succeeded(Hook::Request));
        for _ in 1..BREAKER_FAULTS {
            assert_eq!(breaker.failed(Hook::Request, now), None, "a success in between begins anew");
        }
        assert_eq!(breaker.failed(Hook::Request, now), Some(BREAKER_PAUSE));
        assert_eq!(breaker.left(|| now), Some(BREAKER_PAUSE));
        let later = now + BREAKER_PAUSE;
        assert_eq!(breaker.left(|| later), None, "a trial");
        assert_eq!(breaker.failed(Hook::Request, later), Some(BREAKER_PAUSE * 2));
        for _ in 0..100 {
            breaker.failed(Hook::Request, later);
        }
        assert_eq!(breaker.left(|| later), Some(BREAKER_PAUSE_MAX));
        assert!(breaker.succeeded(Hook::Request));
        assert_eq!((breaker.left(|| later), breaker.failed(Hook::Request, later)), (None, None));
    }
}
