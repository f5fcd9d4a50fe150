//! A deadline that is compared, not waited for.
//!
//! The timeouts of connections and requests take no timer of the event loop: a worker's tick compares every
//! [`Timer`] with its clock. Setting a deadline is one store, so that progress can renew it on every read and write.

use std::cell::Cell;
use std::task::Waker;
use std::time::Duration;

use crate::clock::millis;
use crate::limits;
use crate::local_waker::LocalWaker;

/// The lag of a worker's clock: at most a tick. It is added to every deadline, so that no timeout comes early.
const TICK_MS: u64 = limits::TICK.subsec_millis() as u64;

/// Never, in milliseconds.
const NEVER: u64 = u64::MAX;

/// The deadline of what one task does. Times are milliseconds of the worker's clock.
#[derive(Debug)]
pub struct Timer {
    deadline_ms: Cell<u64>,
    /// The time that silence may last.
    patience_ms: Cell<u64>,
    /// The end that no progress puts off.
    end_ms: Cell<u64>,
    /// Whether the deadline has passed and nobody has acted on it yet.
    expired: Cell<bool>,
    task: LocalWaker,
}

impl Default for Timer {
    fn default() -> Self {
        Self {
            deadline_ms: Cell::new(NEVER),
            patience_ms: Cell::new(NEVER),
            end_ms: Cell::new(NEVER),
            expired: Cell::new(false),
            task: LocalWaker::default(),
        }
    }
}

impl Timer {
    /// Sets how long silence may last from now on; `None` is for ever.
    pub fn set_patience(&self, patience: Option<Duration>, now_ms: u64) {
        self.patience_ms.set(patience.map_or(NEVER, millis));
        self.renew(now_ms);
    }

    /// The time that silence may last.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.get())
    }

    /// Puts the deadline off: there was progress. Not beyond the end.
    pub fn renew(&self, now_ms: u64) {
        let deadline = now_ms.saturating_add(self.patience_ms.get()).saturating_add(TICK_MS);
        self.deadline_ms.set(deadline.min(self.end_ms.get()));
    }

    /// Sets the end that no progress puts off.
    pub fn set_end(&self, within: Duration, now_ms: u64) {
        self.end_ms.set(now_ms.saturating_add(millis(within)).saturating_add(TICK_MS));
        self.renew(now_ms);
    }

    /// Takes the end away that no progress puts off; the deadline stays until it is renewed.
    pub fn clear_end(&self) {
        self.end_ms.set(NEVER);
    }

    /// Sets the deadline itself, until it is renewed.
    pub fn set_deadline(&self, deadline_ms: u64) {
        self.deadline_ms.set(deadline_ms.saturating_add(TICK_MS));
    }

    /// Whether the deadline has passed.
    pub fn is_due(&self, now_ms: u64) -> bool {
        self.deadline_ms.get() <= now_ms
    }

    /// Wakes the task if its time is up. For the worker's tick.
    pub fn expire(&self, now_ms: u64) {
        if self.is_due(now_ms) {
            self.deadline_ms.set(NEVER);
            self.expired.set(true);
            self.task.wake();
        }
    }

    /// Whether the deadline has passed; says so once.
    pub fn take_expired(&self) -> bool {
        self.expired.replace(false)
    }

    /// Registers the task to wake when the deadline has passed.
    pub fn register(&self, waker: &Waker) {
        self.task.register(waker);
    }

    /// Wakes the task for another reason.
    pub fn wake(&self) {
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_ends_it_and_progress_puts_that_off() {
        let timer = Timer::default();
        timer.set_patience(Some(SECOND), 0);
        assert!(!timer.is_due(1000 + TICK_MS - 1), "the clock may be a tick behind");
        assert!(timer.is_due(1000 + TICK_MS));
        timer.renew(700);
        assert!(!timer.is_due(1000 + TICK_MS) && timer.is_due(1700 + TICK_MS));
    }

    #[test]
    fn nothing_puts_off_the_end() {
        let timer = Timer::default();
        timer.set_patience(Some(SECOND), 0);
        timer.set_end(2 * SECOND, 0);
        for now in [500, 1000, 1500, 1900] {
            timer.renew(now);
        }
        assert!(timer.is_due(2000 + TICK_MS) && !timer.is_due(2000 + TICK_MS - 1));
        timer.clear_end();
        timer.renew(1900);
        assert!(!timer.is_due(2000 + TICK_MS));
    }

    #[test]
    fn the_task_is_woken_once_and_told_once() {
        let (timer, count) = (Timer::default(), Arc::new(Count::default()));
        timer.register(&Waker::from(Arc::clone(&count)));
        timer.set_patience(Some(SECOND), 0);
        timer.expire(1000);
        assert!(!timer.take_expired() && count.0.load(Ordering::Relaxed) == 0, "too early");
        timer.expire(2000);
        timer.expire(3000);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(timer.take_expired() && !timer.take_expired());
    }

    #[test]
    fn patience_without_end_is_never_over() {
        let timer = Timer::default();
        timer.set_patience(None, u64::MAX - 5);
        assert!(!timer.is_due(u64::MAX - 1));
        timer.set_deadline(10);
        assert!(timer.is_due(10 + TICK_MS));
    }
}
