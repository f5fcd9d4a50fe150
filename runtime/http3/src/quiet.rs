//! An HTTP/3 connection without a request: how long it may stay.

use tidegate_base::limits;

/// The time in which nothing happens on a connection. While parts of its last answers go out and arrive, the client is
/// reading them: then the connection is looked at every now and then. What the client sends itself counts for nothing, or
/// it could hold for ever what it does not read.
#[derive(Debug)]
pub struct Quiet {
    since_ms: u64,
    /// STREAM frames that had been sent, and acknowledgements that had come, at the last look.
    seen: (u64, u64),
    /// An answer was still under way at the last look.
    under_way: bool,
}

impl Quiet {
    /// A quiet time from now on: the last request has just ended; so much was sent and acknowledged.
    pub const fn new(now_ms: u64, seen: (u64, u64)) -> Self {
        Self { since_ms: now_ms, seen, under_way: false }
    }

    /// Whether an answer was still under way at the last look.
    pub const fn waits(&self) -> bool {
        self.under_way
    }

    /// Looks at the connection: whether the client has all its answers, and what was sent and acknowledged so far. Says when
    /// to look again; nothing if nothing has happened for `idle_ms`.
    pub fn look(&mut self, now_ms: u64, settled: bool, seen: (u64, u64), idle_ms: u64) -> Option<u64> {
        let before = std::mem::replace(&mut self.seen, seen);
        let moved = seen.0 != before.0 && seen.1 != before.1;
        // An answer counts from its arrival; until then, from the last time that it moved.
        if if settled { self.under_way } else { moved } {
            self.since_ms = now_ms;
        }
        self.under_way = !settled;
        let end = self.since_ms.saturating_add(idle_ms);
        let next = if settled { end } else { end.min(now_ms.saturating_add(LOOK_MS)) };
        (now_ms < end).then_some(next)
    }
}

const LOOK_MS: u64 = limits::QUIC_LOOK.as_millis() as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_answer_under_way_it_counts_from_the_last_request() {
        let mut quiet = Quiet::new(1000, (5, 5));
        assert_eq!(quiet.look(1020, true, (9, 7), 2000), Some(3000));
        assert_eq!(quiet.look(2999, true, (9, 7), 2000), Some(3000));
        assert_eq!(quiet.look(3000, true, (9, 7), 2000), None);
    }

    #[test]
    fn an_answer_under_way_is_looked_at_and_counts_from_its_arrival() {
        let mut quiet = Quiet::new(1000, (5, 5));
        assert_eq!(quiet.look(1000, false, (5, 5), 2000), Some(1000 + LOOK_MS));
        assert_eq!(quiet.look(2500, false, (90, 80), 2000), Some(2500 + LOOK_MS));
        assert_eq!(quiet.look(2600, true, (99, 88), 2000), Some(4600));
        assert_eq!(quiet.look(4600, true, (99, 88), 2000), None);
    }

    #[test]
    fn a_client_that_takes_nothing_is_idle_whatever_it_sends() {
        let mut quiet = Quiet::new(1000, (5, 5));
        assert_eq!(quiet.look(1000, false, (5, 5), 2000), Some(1000 + LOOK_MS));
        // Acknowledgements alone, then frames alone.
        assert_eq!(quiet.look(2000, false, (5, 50), 2000), Some(2000 + LOOK_MS));
        assert_eq!(quiet.look(2950, false, (6, 50), 2000), Some(3000));
        assert_eq!(quiet.look(3000, false, (6, 90), 2000), None);
    }
}
