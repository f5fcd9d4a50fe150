//! Watches the frames of an HTTP/3 stream go by (RFC 9114, 7.1).
//!
//! The library above gathers every frame but DATA whole before it looks at it, takes a stream that ends within DATA for
//! one that ends well, takes an empty DATA frame for the end of a body, and checks field sections less than it should.
//! So what passes here has bounded frames, none of them empty, and says whether it ended between two; field sections are
//! checked before the library gets them (see [`super::field_section`]).

use bytes::{Bytes, BytesMut};

use crate::field_section::{self, Kind, SectionError};

/// The type of DATA frames, which are streamed and not gathered.
const DATA: u64 = 0;

/// The type of HEADERS frames, which hold a field section.
const HEADERS: u64 = 1;

/// The types of the client's unidirectional streams that matter here.
const CONTROL: u64 = 0;
const PUSH: u64 = 1;

/// The reader of a stream's frames: where in them it stands.
#[derive(Debug)]
pub struct Frames {
    /// The length that a frame other than DATA may have.
    longest: u64,
    /// A unidirectional stream begins with its type (RFC 9114, 6.2).
    prefix: bool,
    /// The kind of the next field section; `None` where there is none to come.
    sections: Option<Kind>,
    /// The beginning of a frame that is passed on when more of it has come: its header is whole, and its field section.
    held: BytesMut,
    /// The request names a protocol to switch to.
    names_protocol: bool,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Within a number of the frame's header; the type, if it is known already, and the bytes of the number so far.
    Header { kind: Option<u64>, value: u64, left: u8, begun: bool },
    /// Within a frame.
    Payload(u64),
    /// Within a field section, behind a header of so many bytes.
    Section { left: u64, header: usize },
    /// A stream of another type than the control stream: it is not made of frames.
    Opaque,
}

const START: State = State::Header { kind: None, value: 0, left: 0, begun: false };

/// The mistake that a stream has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// A frame that is gathered whole is longer than allowed.
    TooLong,
    /// A field section is wrong.
    Section(SectionError),
    /// The stream is one of pushes, which only servers open (RFC 9114, 6.2.2).
    Push,
}

impl Frames {
    /// The frames of a request's stream.
    pub fn request(longest: u64) -> Self {
        Self { sections: Some(Kind::Request), prefix: false, ..Self::unidirectional(longest) }
    }

    /// The frames of a stream of the client alone: its control stream, or one that is not made of frames.
    pub fn unidirectional(longest: u64) -> Self {
        Self { longest, prefix: true, sections: None, held: BytesMut::new(), names_protocol: false, state: START }
    }

    /// Looks at bytes that have come, and returns what may be passed on.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn pass(&mut self, new: Bytes) -> Result<Bytes, FrameError> {
        let (mut bytes, mut at) = (new, 0);
        if !self.held.is_empty() {
            at = self.held.len();
            self.held.extend_from_slice(&bytes);
            if let State::Section { left, .. } = &mut self.state
                && (bytes.len() as u64) < *left
            {
                *left -= bytes.len() as u64;
                return Ok(Bytes::new());
            }
            bytes = std::mem::take(&mut self.held).freeze();
        }
        // Where the frame begins that `at` is in.
        let mut frame = 0;
        while let Some(byte) = bytes.get(at).copied() {
            match self.state {
                State::Opaque => return Ok(bytes),
                State::Payload(left) => {
                    let here = within(left, bytes.len() - at);
                    at += here;
                    frame = at;
                    self.state = if here as u64 == left { START } else { State::Payload(left - here as u64) };
                }
                State::Section { left, header } => {
                    let here = within(left, bytes.len() - at);
                    at += here;
                    if here as u64 == left {
                        bytes = self.section(bytes, frame + header, at)?;
                        (frame, self.state) = (at, START);
                    } else {
                        self.state = State::Section { left: left - here as u64, header };
                    }
                }
                State::Header { kind, value, left, begun } => {
                    at += 1;
                    // A number's first two bits say how many bytes it has (RFC 9000, 16).
                    let byte = u64::from(byte);
                    let (value, left) =
                        if begun { (value << 8 | byte, left - 1) } else { (byte & 0x3f, (1_u8 << (byte >> 6)) - 1) };
                    if left > 0 {
                        self.state = State::Header { kind, value, left, begun: true };
                        continue;
                    }
                    if kind == Some(DATA) && value == 0 && self.sections == Some(Kind::Trailers) {
                        bytes = without(&bytes, frame, at);
                        at = frame;
                    }
                    self.number(kind, value, at - frame)?;
                    if matches!(self.state, State::Header { kind: None, .. } | State::Payload(_)) {
                        frame = at;
                    }
                }
            }
        }
        if matches!(self.state, State::Section { .. } | State::Header { .. }) {
            self.held = BytesMut::from(&bytes[frame..]);
            bytes.truncate(frame);
        }
        Ok(bytes)
    }

    /// A number of a header is complete, which has so many bytes up to here.
    fn number(&mut self, kind: Option<u64>, value: u64, header: usize) -> Result<(), FrameError> {
        self.state = match kind {
            _ if self.prefix => {
                self.prefix = false;
                match value {
                    CONTROL => START,
                    PUSH => return Err(FrameError::Push),
                    _ => State::Opaque,
                }
            }
            None => State::Header { kind: Some(value), value: 0, left: 0, begun: false },
            Some(kind) if kind != DATA && value > self.longest => return Err(FrameError::TooLong),
            Some(_) if value == 0 => START,
            Some(HEADERS) if self.sections.is_some() => State::Section { left: value, header },
            Some(_) => State::Payload(value),
        };
        Ok(())
    }

    /// A field section is complete.
    fn section(&mut self, bytes: Bytes, begin: usize, end: usize) -> Result<Bytes, FrameError> {
        let Some(kind) = self.sections else { return Ok(bytes) };
        self.sections = (kind == Kind::Request).then_some(Kind::Trailers);
        let section = bytes.get(begin..end).unwrap_or_default();
        let Some(protocol) = field_section::check(section, kind).map_err(FrameError::Section)? else {
            return Ok(bytes);
        };
        self.names_protocol = true;
        let mut bytes = BytesMut::from(bytes);
        field_section::rename(&mut bytes, begin + protocol);
        Ok(bytes.freeze())
    }

    /// Whether the request's head, which has passed, names a protocol to switch to: it is in [`field_section::PROTOCOL`] then.
    pub const fn names_protocol(&self) -> bool {
        self.names_protocol
    }

    /// Whether the stream may end here (RFC 9114, 7.1).
    pub const fn is_between_frames(&self) -> bool {
        matches!(self.state, State::Header { kind: None, begun: false, .. } | State::Opaque)
    }
}

/// The number of bytes that are here, of those that are left.
fn within(left: u64, here: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(here)
}

/// The bytes without some in the middle.
fn without(bytes: &[u8], begin: usize, end: usize) -> Bytes {
    [&bytes[..begin], &bytes[end..]].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `:method: GET`, `:scheme: https`, `:path: /`, in a HEADERS frame.
    const GET: [u8; 7] = [1, 5, 0, 0, 0xd1, 0xd7, 0xc1];

    /// Passes the bytes in pieces of every size; what comes out is what went in.
    fn pass(frames: impl Fn() -> Frames, bytes: &[u8]) -> Result<bool, FrameError> {
        pass_to(frames, bytes, bytes)
    }

    /// Passes the bytes in pieces of every size; at the end of a frame, these have come out.
    fn pass_to(frames: impl Fn() -> Frames, bytes: &[u8], out: &[u8]) -> Result<bool, FrameError> {
        let mut results = (1..=bytes.len().max(1)).map(|size| {
            let (mut frames, mut passed) = (frames(), Vec::new());
            for piece in bytes.chunks(size) {
                passed.extend_from_slice(&frames.pass(Bytes::copy_from_slice(piece))?);
            }
            if frames.is_between_frames() {
                assert_eq!(passed, out, "in pieces of {size}");
            }
            Ok(frames.is_between_frames())
        });
        let first = results.next().unwrap_or(Ok(true));
        for result in results {
            assert_eq!(result, first, "the size of the pieces does not matter");
        }
        first
    }

    fn after_head(bytes: &[u8]) -> Vec<u8> {
        [&GET, bytes].concat()
    }

    #[test]
    fn a_stream_may_end_between_frames_alone() {
        let request = || Frames::request(100);
        assert_eq!(pass(request, &[]), Ok(true));
        assert_eq!(pass(request, &after_head(&[0, 1, 7])), Ok(true));
        assert_eq!(pass(request, &after_head(&[0, 2, 7])), Ok(false));
        assert_eq!(pass(request, &after_head(&[0])), Ok(false));
        assert_eq!(pass(request, &GET[..5]), Ok(false));
        // Two bytes of length, one of which is missing.
        assert_eq!(pass(request, &[0, 0x40]), Ok(false));
    }

    #[test]
    fn only_data_may_be_long() {
        let request = || Frames::request(100);
        // HEADERS of 100 and of 101 bytes.
        assert_eq!(pass(request, &[1, 0x40, 100]), Ok(false));
        assert_eq!(pass(request, &[1, 0x40, 101]), Err(FrameError::TooLong));
        // An unknown frame.
        assert_eq!(pass(request, &[0x21, 0x80, 1, 0, 0]), Err(FrameError::TooLong));
        // DATA of 2^61 bytes.
        assert_eq!(pass(request, &[0, 0xe0, 0, 0, 0, 0, 0, 0, 0]), Ok(false));
    }

    #[test]
    fn empty_data_is_left_out_where_it_may_stand() {
        let request = || Frames::request(100);
        let with = after_head(&[0, 0, 0, 1, 7, 0, 0x40, 0, 0, 1, 8]);
        assert_eq!(pass_to(request, &with, &after_head(&[0, 1, 7, 0, 1, 8])), Ok(true));
        // Before the head and after the trailers it is a mistake, which the library finds.
        assert_eq!(pass(request, &[0, 0]), Ok(true));
        assert_eq!(pass(request, &after_head(&[1, 3, 0, 0, 0xc4, 0, 0])), Ok(true));
    }

    #[test]
    fn heads_and_trailers_are_checked() {
        let request = || Frames::request(100);
        let malformed = Err(FrameError::Section(SectionError::Malformed));
        assert_eq!(pass(request, &[1, 4, 0, 0, 0xd1, 0xd7]), malformed);
        // The library refuses a second head in its own way; a pseudo-header field in trailers it would drop.
        assert_eq!(pass(request, &after_head(&[0, 1, 7, 1, 3, 0, 0, 0xc1])), malformed);
        assert_eq!(
            pass(request, &after_head(&[1, 3, 0, 0, 0x80])),
            Err(FrameError::Section(SectionError::Undecodable))
        );
    }

    #[test]
    fn a_protocol_is_renamed_however_it_comes() {
        // `:method: CONNECT`, `:scheme: https`, `:path: /`, `:protocol: websocket`.
        let section = [&[0, 0, 0xcf, 0xd7, 0xc1, 0x27, 2][..], b":protocol", &[9], b"websocket"].concat();
        let bytes = [&[1, u8::try_from(section.len()).unwrap_or(0)][..], &section, &[0, 1, 7]].concat();
        for size in 1..=bytes.len() {
            let (mut frames, mut passed) = (Frames::request(100), Vec::new());
            for piece in bytes.chunks(size) {
                passed.extend_from_slice(&frames.pass(Bytes::copy_from_slice(piece)).unwrap_or_default());
            }
            let text = String::from_utf8_lossy(&passed);
            assert!(text.contains("xprotocol\u{9}websocket") && passed.len() == bytes.len(), "{text}");
            assert!(frames.names_protocol());
        }
    }

    #[test]
    fn the_control_stream_is_watched_and_others_are_not() {
        let stream = || Frames::unidirectional(100);
        assert_eq!(pass(stream, &[0, 4, 0]), Ok(true));
        assert_eq!(pass(stream, &[0, 4, 0x40, 101]), Err(FrameError::TooLong));
        assert_eq!(pass(stream, &[1, 0]), Err(FrameError::Push));
        assert_eq!(pass(stream, &[2, 4, 0x40, 101, 0xff, 0xff]), Ok(true));
        assert_eq!(pass(stream, &[0x40, 0x54, 0xff, 0xff]), Ok(true));
    }
}
