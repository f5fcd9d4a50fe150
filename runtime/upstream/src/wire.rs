//! The bound on what a server sends over HTTP/1 without a response.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tidegate_base::bounds::Bound;
use tidegate_base::limits;

/// No bound: more than can ever come.
const FREE: usize = usize::MAX;

/// How much a server may still send without a response. Shared by whoever asks on a connection and by what carries its bytes.
///
/// Interim responses (RFC 9110, 15.2) and empty lines may come without end, and whoever reads them would read on as long as
/// some are there. Once the head of the response has been seen, what comes is paced by whoever reads it: nothing is bounded.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Bytes until the bound.
    left: Cell<usize>,
    /// Bytes until others have their turn.
    turn: Cell<usize>,
    /// Whether the server sent too many.
    flooded: Cell<bool>,
}

impl Wire {
    /// A connection on which no response has begun.
    pub(crate) fn new() -> Rc<Self> {
        let (left, turn) = (Cell::new(limits::UNANSWERED_BYTES), Cell::new(limits::UNANSWERED_TURN));
        Rc::new(Self { left, turn, flooded: Cell::new(false) })
    }

    /// A request begins: the server owes a response.
    pub(crate) fn begin(&self) {
        self.left.set(limits::UNANSWERED_BYTES);
        self.turn.set(limits::UNANSWERED_TURN);
    }

    /// The head of the response has come.
    pub(crate) fn answered(&self) {
        self.left.set(FREE);
        self.turn.set(FREE);
    }

    /// Whether the server sent more than [`limits::UNANSWERED_BYTES`] without a response.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.get()
    }

    /// Whether others have their turn before more is read; says so once.
    pub(crate) fn take_turn(&self) -> bool {
        if self.turn.get() > 0 {
            return false;
        }
        self.turn.set(limits::UNANSWERED_TURN);
        true
    }

    /// Counts what was read.
    ///
    /// # Errors
    /// The bytes are too many for what precedes a response.
    pub(crate) fn count(&self, bytes: usize) -> io::Result<()> {
        self.turn.set(self.turn.get().saturating_sub(bytes));
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(self.flood()),
        }
    }

    #[cold]
    fn flood(&self) -> io::Error {
        self.left.set(0);
        if !self.flooded.replace(true) {
            Bound::Unanswered.met();
        }
        io::Error::new(io::ErrorKind::InvalidData, "bytes without end, and no answer")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_precedes_a_response_is_bounded() {
        let wire = Wire::new();
        wire.begin();
        assert!(wire.count(limits::UNANSWERED_BYTES - 1).is_ok(), "below");
        assert!(wire.count(1).is_ok() && !wire.is_flooded(), "at");
        let met = Bound::Unanswered.count();
        assert!(wire.count(1).is_err() && wire.is_flooded(), "above");
        assert!(Bound::Unanswered.count() > met);
        assert!(wire.count(1).is_err(), "and it stays so");
    }

    #[test]
    fn each_request_counts_anew_and_bodies_do_not_count() {
        let wire = Wire::new();
        for _ in 0..3 {
            wire.begin();
            assert!(wire.count(limits::UNANSWERED_BYTES).is_ok());
            wire.answered();
            assert!(wire.count(1 << 40).is_ok() && !wire.take_turn());
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
