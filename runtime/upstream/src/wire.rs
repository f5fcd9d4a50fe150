//! Knowledge of a connection to a backend that speaks HTTP/1, beside its bytes.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tidegate_base::bounds::Bound;
use tidegate_base::limits;

/// Shared by whoever asks on a connection and by what carries its bytes: how much the backend has sent without an answer.
///
/// Interim answers (RFC 9110, 15.2) and empty lines may come without end, and whoever reads them would read on as long as
/// some are there.
#[derive(Debug, Default)]
pub struct Wire {
    /// The head of the answer has been seen: what comes now is paced by whoever reads it.
    answered: Cell<bool>,
    /// Bytes since the request began.
    bytes: Cell<usize>,
    /// Bytes since others had their turn.
    turn: Cell<usize>,
    /// The backend sent too many.
    flooded: Cell<bool>,
}

impl Wire {
    /// A connection on which no answer has begun.
    pub fn new() -> Rc<Self> {
        Rc::default()
    }

    /// A request begins: the backend owes an answer.
    pub fn begin(&self) {
        self.answered.set(false);
        self.bytes.set(0);
    }

    /// The head of the answer has come.
    pub fn answered(&self) {
        self.answered.set(true);
    }

    /// Whether the backend sent more than [`limits::UNANSWERED_BYTES`] without an answer.
    pub fn is_flooded(&self) -> bool {
        self.flooded.get()
    }

    /// Whether others have their turn before more is read; says so once.
    pub(super) fn take_turn(&self) -> bool {
        let over = !self.answered.get() && self.turn.get() >= limits::UNANSWERED_TURN;
        if over {
            self.turn.set(0);
        }
        over
    }

    /// Counts what was read.
    ///
    /// # Errors
    /// The bytes are too many for what precedes an answer.
    pub(super) fn count(&self, bytes: usize) -> io::Result<()> {
        if self.answered.get() {
            return Ok(());
        }
        self.turn.set(self.turn.get().saturating_add(bytes));
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() <= limits::UNANSWERED_BYTES {
            return Ok(());
        }
        if !self.flooded.replace(true) {
            Bound::Unanswered.met();
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "bytes without end, and no answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_precedes_an_answer_is_bounded() {
        let wire = Wire::new();
        wire.begin();
        assert!(wire.count(limits::UNANSWERED_BYTES - 1).is_ok(), "below");
        assert!(wire.count(1).is_ok() && !wire.is_flooded(), "at");
        let met = Bound::Unanswered.count();
        assert!(wire.count(1).is_err() && wire.is_flooded(), "above");
        assert!(Bound::Unanswered.count() > met);
    }

    #[test]
    fn each_request_counts_anew_and_bodies_do_not_count() {
        let wire = Wire::new();
        for _ in 0..3 {
            wire.begin();
            assert!(wire.count(limits::UNANSWERED_BYTES).is_ok());
            wire.answered();
            assert!(wire.count(usize::MAX).is_ok() && !wire.take_turn());
        }
    }

    #[test]
    fn others_have_their_turn() {
        let wire = Wire::new();
        assert!(wire.count(limits::UNANSWERED_TURN - 1).is_ok() && !wire.take_turn());
        assert!(wire.count(1).is_ok() && wire.take_turn());
        assert!(!wire.take_turn());
    }
}
