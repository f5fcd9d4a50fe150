//! Requests that a client gives up on a connection of many streams. They cost the gateway more than the client.

use std::cell::Cell;

use tidegate_base::limits;

/// How many were given up, less those that the client let finish and those that time has forgiven.
#[derive(Debug)]
pub struct Resets {
    count: Cell<u32>,
    /// Until when time has forgiven them.
    forgiven_ms: Cell<u64>,
}

impl Resets {
    /// The account of a connection that begins at this time.
    pub const fn new(now_ms: u64) -> Self {
        Self { count: Cell::new(0), forgiven_ms: Cell::new(now_ms) }
    }

    /// The client let a request finish.
    pub fn count_finished(&self) {
        self.count.set(self.count.get().saturating_sub(1));
    }

    /// The client gave a request up. Returns whether these are too many now.
    pub fn count_reset(&self, now_ms: u64) -> bool {
        let every = u64::try_from(limits::RESET_FORGIVEN.as_millis()).unwrap_or(u64::MAX);
        let forgiven = now_ms.saturating_sub(self.forgiven_ms.get()) / every;
        self.forgiven_ms.set(self.forgiven_ms.get() + forgiven * every);
        let left = self.count.get().saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        self.count.set(left.saturating_add(1));
        self.are_too_many()
    }

    /// Whether they are so many that the connection is to end.
    pub fn are_too_many(&self) -> bool {
        self.count.get() > limits::RESET_REQUESTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_finish_and_time_make_up_for_them() {
        let resets = Resets::new(0);
        assert!((0..limits::RESET_REQUESTS).all(|_| !resets.count_reset(0)));
        resets.count_finished();
        assert!(!resets.count_reset(0));
        assert!(resets.count_reset(0));
        let later = u64::try_from(limits::RESET_FORGIVEN.as_millis()).unwrap_or(u64::MAX) * 3;
        assert!(!resets.count_reset(later));
        assert!(!resets.count_reset(later) && resets.count_reset(later));
    }
}
