//! Watches the frames of an HTTP/3 stream go by (RFC 9114, 7.1).
//!
//! The library above gathers every frame but DATA whole before it looks at it, and takes a stream that ends within
//! DATA for one that ends well. So what passes here has bounded frames, and says whether it ended between two.

/// The type of DATA frames, which are streamed and not gathered.
const DATA: u64 = 0;

/// Where a stream is in its frames.
#[derive(Debug)]
pub struct Frames {
    /// The length that a frame other than DATA may have.
    longest: u64,
    /// A unidirectional stream begins with its type (RFC 9114, 6.2).
    prefix: bool,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// In a number of the frame's header; the type, if it is known already, and the bytes of the number so far.
    Header { kind: Option<u64>, value: u64, left: u8, begun: bool },
    /// Within a frame.
    Payload(u64),
    /// A stream of another type than the control stream: it is not made of frames.
    Opaque,
}

const START: State = State::Header { kind: None, value: 0, left: 0, begun: false };

/// A frame that is gathered whole is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub struct TooLong;

impl Frames {
    /// A request's stream.
    pub const fn request(longest: u64) -> Self {
        Self { longest, prefix: false, state: START }
    }

    /// A stream of the client alone: its control stream, or one that is not made of frames.
    pub const fn unidirectional(longest: u64) -> Self {
        Self { longest, prefix: true, state: START }
    }

    /// Looks at bytes in passing.
    ///
    /// # Errors
    /// A frame announces more than is allowed.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), TooLong> {
        while !bytes.is_empty() {
            match self.state {
                State::Opaque => return Ok(()),
                State::Payload(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    bytes = &bytes[here..];
                    let left = left - here as u64;
                    self.state = if left == 0 { START } else { State::Payload(left) };
                }
                State::Header { kind, value, left, begun } => {
                    let byte = u64::from(bytes[0]);
                    bytes = &bytes[1..];
                    // A number's first two bits say how many bytes it has (RFC 9000, 16).
                    let (value, left) =
                        if begun { (value << 8 | byte, left - 1) } else { (byte & 0x3f, (1_u8 << (byte >> 6)) - 1) };
                    if left > 0 {
                        self.state = State::Header { kind, value, left, begun: true };
                    } else {
                        self.number(kind, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A number of a header is complete.
    fn number(&mut self, kind: Option<u64>, value: u64) -> Result<(), TooLong> {
        self.state = match kind {
            _ if self.prefix => {
                self.prefix = false;
                // Type 0 is the control stream.
                if value == 0 { START } else { State::Opaque }
            }
            None => State::Header { kind: Some(value), value: 0, left: 0, begun: false },
            Some(kind) if kind != DATA && value > self.longest => return Err(TooLong),
            Some(_) if value == 0 => START,
            Some(_) => State::Payload(value),
        };
        Ok(())
    }

    /// Whether the stream may end here (RFC 9114, 7.1).
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header { kind: None, begun: false, .. } | State::Opaque)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Passes the bytes in pieces of every size.
    fn pass(frames: impl Fn() -> Frames, bytes: &[u8]) -> Result<bool, TooLong> {
        let mut results = (1..=bytes.len().max(1)).map(|size| {
            let mut frames = frames();
            bytes.chunks(size).try_for_each(|piece| frames.pass(piece))?;
            Ok(frames.is_between_frames())
        });
        let first = results.next().unwrap_or(Ok(true));
        for result in results {
            assert_eq!(result, first, "the size of the pieces does not matter");
        }
        first
    }

    #[test]
    fn a_stream_may_end_between_frames_alone() {
        let request = || Frames::request(100);
        assert_eq!(pass(request, &[]), Ok(true));
        assert_eq!(pass(request, &[1, 2, 9, 9, 0, 1, 7]), Ok(true));
        assert_eq!(pass(request, &[1, 2, 9, 9, 0, 2, 7]), Ok(false));
        assert_eq!(pass(request, &[1, 2, 9, 9, 0]), Ok(false));
        assert_eq!(pass(request, &[1, 2, 9, 9, 0, 0]), Ok(true));
        // Two bytes of length, one of which is missing.
        assert_eq!(pass(request, &[0, 0x40]), Ok(false));
    }

    #[test]
    fn only_data_may_be_long() {
        let request = || Frames::request(100);
        // HEADERS of 100 and of 101 bytes.
        assert_eq!(pass(request, &[1, 0x40, 100]), Ok(false));
        assert_eq!(pass(request, &[1, 0x40, 101]), Err(TooLong));
        // An unknown frame.
        assert_eq!(pass(request, &[0x21, 0x80, 1, 0, 0]), Err(TooLong));
        // DATA of 2^61 bytes.
        assert_eq!(pass(request, &[0, 0xe0, 0, 0, 0, 0, 0, 0, 0]), Ok(false));
    }

    #[test]
    fn the_control_stream_is_watched_and_others_are_not() {
        let stream = || Frames::unidirectional(100);
        assert_eq!(pass(stream, &[0, 4, 0]), Ok(true));
        assert_eq!(pass(stream, &[0, 4, 0x40, 101]), Err(TooLong));
        assert_eq!(pass(stream, &[2, 4, 0x40, 101, 0xff, 0xff]), Ok(true));
        assert_eq!(pass(stream, &[0x40, 0x54, 0xff, 0xff]), Ok(true));
    }
}
