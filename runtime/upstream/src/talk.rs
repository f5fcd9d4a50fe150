//! Frames that a server sends on an HTTP/2 connection and that move no request: they are counted, and too many end it.
//!
//! Frames that are right may still come without end: PRIORITY, WINDOW_UPDATE, PING, SETTINGS, GOAWAY, frames of unknown types,
//! heads of interim responses. They cost the server nothing and the worker its time, also when nobody asks for anything.

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use tidegate_base::bounds::Bound;
use tidegate_base::limits;

/// RFC 9113, 6.1.
const DATA: u8 = 0;
/// RFC 9113, 6.2.
const HEADERS: u8 = 1;
/// RFC 9113, 6.6.
const PUSH_PROMISE: u8 = 5;
/// RFC 9113, 6.10.
const CONTINUATION: u8 = 9;

/// The account of what a server may still say on a connection of HTTP/2. Shared by its requests and by what carries its bytes.
#[derive(Debug)]
pub(crate) struct Talk {
    /// Units that are left.
    left: Cell<u32>,
    /// Units said since others had their turn.
    turn: Cell<u32>,
    /// The number of requests under way.
    requests: Cell<usize>,
    /// Whether the server said too much.
    flooded: Cell<bool>,
    /// Small pieces of bodies that have come since they were gathered.
    pieces: Cell<u32>,
}

impl Talk {
    /// The account of a new connection.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            left: Cell::new(limits::UPSTREAM_TALK),
            turn: Cell::new(0),
            requests: Cell::new(0),
            flooded: Cell::new(false),
            pieces: Cell::new(0),
        })
    }

    /// The number of requests under way.
    pub(crate) fn requests(&self) -> usize {
        self.requests.get()
    }

    /// Counts a request that begins.
    pub(crate) fn begin(&self) {
        self.requests.set(self.requests.get() + 1);
        self.moved();
    }

    /// Counts a request that has ended.
    pub(crate) fn end(&self) {
        self.requests.set(self.requests.get().saturating_sub(1));
    }

    /// Notes that a piece of a body has gone or come.
    pub(crate) fn moved(&self) {
        self.forgive(limits::UPSTREAM_TALK_MOVED);
    }

    /// Notes that the head of a response has come, or its trailers.
    pub(crate) fn answered(&self) {
        self.forgive(limits::UPSTREAM_TALK_HEAD + limits::UPSTREAM_TALK_MOVED);
    }

    /// Notes that time has passed: a [`limits::TICK`].
    pub(crate) fn tick(&self) {
        self.forgive(limits::UPSTREAM_TALK_TICK);
    }

    fn forgive(&self, count: u32) {
        self.left.set(self.left.get().saturating_add(count).min(limits::UPSTREAM_TALK));
    }

    /// Whether the server said too much.
    pub(crate) fn is_flooded(&self) -> bool {
        self.flooded.get()
    }

    /// Whether so many small pieces have come that those which wait are to be gathered; says so once.
    pub(crate) fn take_pieces(&self) -> bool {
        let over = self.pieces.get() >= limits::SMALL_PIECES;
        if over {
            self.pieces.set(0);
        }
        over
    }

    /// Whether others have their turn before more is read; says so once.
    pub(crate) fn take_turn(&self) -> bool {
        let over = self.turn.get() >= limits::UPSTREAM_TALK_TURN || self.pieces.get() >= limits::SMALL_PIECES;
        if over {
            self.turn.set(0);
        }
        over
    }

    /// Counts a frame of this type and length. Data for a request is bounded by its window, and read at the client's pace.
    fn count(&self, kind: u8, length: usize) {
        let cost = match kind {
            DATA if length > 0 && self.requests.get() > 0 => {
                if length < limits::SMALL_PIECE {
                    self.pieces.set(self.pieces.get().saturating_add(1));
                }
                return;
            }
            HEADERS | PUSH_PROMISE | CONTINUATION => limits::UPSTREAM_TALK_HEAD,
            _ => 1,
        };
        self.turn.set(self.turn.get().saturating_add(cost));
        match self.left.get().checked_sub(cost) {
            Some(left) => self.left.set(left),
            None => {
                if !self.flooded.replace(true) {
                    Bound::UpstreamTalk.met();
                }
            }
        }
    }
}

/// Finds the frames in what a server sends (RFC 9113, 4.1).
#[derive(Debug)]
pub(crate) struct Frames {
    talk: Rc<Talk>,
    /// The beginning of a frame's head.
    head: [u8; 9],
    /// The number of its bytes that are known.
    known: usize,
    /// The bytes of the frame's payload that are to come.
    payload: usize,
}

impl Frames {
    /// The frames of a connection, from its first byte on.
    pub(crate) fn new(talk: &Rc<Talk>) -> Self {
        Self { talk: Rc::clone(talk), head: [0; 9], known: 0, payload: 0 }
    }

    /// Whether others have their turn before more is read.
    pub(crate) fn take_turn(&self) -> bool {
        self.talk.take_turn()
    }

    /// Counts the frames that begin in these bytes.
    ///
    /// # Errors
    /// The frames are too many.
    pub(crate) fn count(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (payload, left) = bytes.split_at(self.payload.min(bytes.len()));
            self.payload -= payload.len();
            let (head, left) = left.split_at(left.len().min(self.head.len() - self.known));
            for (place, byte) in self.head.iter_mut().skip(self.known).zip(head) {
                *place = *byte;
            }
            self.known += head.len();
            if self.known == self.head.len() {
                let [a, b, c, kind, ..] = self.head;
                self.payload = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.known = 0;
                self.talk.count(kind, self.payload);
            }
            bytes = left;
        }
        if self.talk.is_flooded() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frames without end that move no request"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: u8 = 6;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, 0, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(0xff, usize::from(length)));
        bytes
    }

    /// The units that these bytes cost, read in pieces of this size.
    fn cost(talk: &Rc<Talk>, bytes: &[u8], piece: usize) -> u32 {
        let before = talk.left.get();
        let mut frames = Frames::new(talk);
        assert!(bytes.chunks(piece).all(|piece| frames.count(piece).is_ok()));
        before - talk.left.get()
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let bytes = [frame(PING, 8), frame(HEADERS, 200), frame(DATA, 0), frame(DATA, 5), frame(0x77, 3)].concat();
        for piece in 1..bytes.len() {
            let talk = Talk::new();
            talk.begin();
            assert_eq!(cost(&talk, &bytes, piece), 3 + limits::UPSTREAM_TALK_HEAD, "{piece}");
            talk.end();
            assert_eq!(cost(&talk, &bytes, piece), 4 + limits::UPSTREAM_TALK_HEAD, "{piece}: nobody asks for data");
        }
    }

    #[test]
    fn what_moves_no_request_is_bounded() {
        let talk = Talk::new();
        let mut frames = Frames::new(&talk);
        let ping = frame(PING, 8);
        assert!((1..limits::UPSTREAM_TALK).all(|_| frames.count(&ping).is_ok()), "below");
        assert!(frames.count(&ping).is_ok() && !talk.is_flooded(), "at");
        let met = Bound::UpstreamTalk.count();
        assert!(frames.count(&ping).is_err() && talk.is_flooded(), "above");
        assert!(Bound::UpstreamTalk.count() > met);
    }

    #[test]
    fn progress_and_time_make_up_for_it() {
        let talk = Talk::new();
        let mut frames = Frames::new(&talk);
        let ping = frame(PING, 8);
        assert!((0..limits::UPSTREAM_TALK).all(|_| frames.count(&ping).is_ok()));
        talk.moved();
        assert!((0..limits::UPSTREAM_TALK_MOVED).all(|_| frames.count(&ping).is_ok()));
        talk.tick();
        assert!((0..limits::UPSTREAM_TALK_TICK).all(|_| frames.count(&ping).is_ok()));
        talk.answered();
        assert!(frames.count(&frame(HEADERS, 20)).is_ok());
    }

    #[test]
    fn small_pieces_are_gathered_in_time() {
        let talk = Talk::new();
        talk.begin();
        (1..limits::SMALL_PIECES).for_each(|_| talk.count(DATA, limits::SMALL_PIECE - 1));
        talk.count(DATA, limits::SMALL_PIECE);
        assert!(!talk.take_pieces() && !talk.take_turn(), "below");
        talk.count(DATA, 1);
        assert!(talk.take_turn() && talk.take_pieces() && !talk.take_pieces(), "at");
    }

    #[test]
    fn others_have_their_turn() {
        let talk = Talk::new();
        assert!((0..limits::UPSTREAM_TALK_TURN).all(|_| {
            let turn = talk.take_turn();
            talk.count(PING, 8);
            !turn
        }));
        assert!(talk.take_turn() && !talk.take_turn());
    }
}
