//! Keeps the gateway's own log readable when one kind of trouble repeats.

use std::cell::RefCell;
use std::collections::HashMap;

use tracing::warn;

use crate::limits;

/// Lines written and left out in the current second, by kind of trouble.
#[derive(Default)]
pub struct LogThrottle(RefCell<State>);

#[derive(Default)]
struct State {
    second: u64,
    lines: HashMap<&'static str, u32>,
}

impl LogThrottle {
    /// Whether another line about this kind may be written now. The rest of a second's lines is counted.
    pub fn may_write(&self, kind: &'static str) -> bool {
        let mut state = self.0.borrow_mut();
        let lines = state.lines.entry(kind).or_default();
        *lines += 1;
        *lines <= limits::TROUBLE_LINES
    }

    /// Starts a new second when it is time, and says what was left out in the old one.
    pub fn tick(&self, now_ms: u64) {
        let mut state = self.0.borrow_mut();
        if state.second == now_ms / 1000 {
            return;
        }
        state.second = now_ms / 1000;
        for (kind, lines) in state.lines.drain() {
            if lines > limits::TROUBLE_LINES {
                warn!(kind, left_out = lines - limits::TROUBLE_LINES, "more of the same");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_starts_anew_each_second() {
        let trouble = LogThrottle::default();
        let written = (0..1000).filter(|_| trouble.may_write("trap")).count();
        assert_eq!(written, usize::try_from(limits::TROUBLE_LINES).unwrap_or_default());
        assert!(trouble.may_write("deadline"), "each kind has its own count");
        trouble.tick(1000);
        assert!(trouble.may_write("trap"));
    }
}
