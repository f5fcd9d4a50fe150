//! The times of further tries of a reload that failed though no file was at fault.

use std::time::{Duration, Instant};

use tidegate_base::limits;
use tracing::warn;

/// A reload that failed for a reason that may pass: it is tried again, though no file has changed.
#[derive(Default)]
pub(super) struct Again {
    /// The moment of the next try, and the pause before it.
    at: Option<(Instant, Duration)>,
    /// The reason that was given last; it is not given twice.
    said: String,
}

impl Again {
    /// Whether it is time for another try.
    pub(super) fn is_due(&self) -> bool {
        self.at.is_some_and(|(at, _)| at <= Instant::now())
    }

    /// Whether this is the reason that was given last.
    pub(super) fn has_said(&self, reason: &str) -> bool {
        self.said == reason
    }

    /// Sets the next try: at the next look at first, and ever later after that.
    pub(super) fn wait(&mut self) {
        let pause = self.at.map_or(Duration::ZERO, |(_, pause)| (pause * 2).clamp(limits::POLL, limits::RETRY_MAX));
        self.at = Some((Instant::now() + pause, pause));
    }

    /// Sets the next try after a failure for this reason.
    pub(super) fn later(&mut self, said: String, is_new: bool) {
        self.wait();
        if is_new {
            warn!("the files are as they should be, and the system was not: the reload is tried again by itself");
        }
        self.said = said;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_ever_further_apart_up_to_the_longest_pause() {
        let mut again = Again::default();
        assert!(!again.is_due());
        let mut pauses = Vec::new();
        for n in 0..6 {
            again.later("the port is taken".to_owned(), n == 0);
            pauses.extend(again.at.map(|(_, pause)| pause.as_secs()));
            assert_eq!(again.is_due(), n == 0, "at once, and then after a pause");
        }
        let (first, most) = (limits::POLL.as_secs(), limits::RETRY_MAX.as_secs());
        assert_eq!(pauses, [0, first, 2 * first, 4 * first, most, most]);
        assert!(again.has_said("the port is taken") && !again.has_said("another"));
    }
}
