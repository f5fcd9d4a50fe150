//! A client that sends HTTP/2 frames (RFC 9113, 4.1) exactly as it is told, right or wrong.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::websocket::socket;

/// RFC 9113, 6.1.
pub const DATA: u8 = 0;
/// RFC 9113, 6.2.
pub const HEADERS: u8 = 1;
/// RFC 9113, 6.3.
pub const PRIORITY: u8 = 2;
/// RFC 9113, 6.4.
pub const RST_STREAM: u8 = 3;
/// RFC 9113, 6.5.
pub const SETTINGS: u8 = 4;
/// RFC 9113, 6.6.
pub const PUSH_PROMISE: u8 = 5;
/// RFC 9113, 6.7.
pub const PING: u8 = 6;
/// RFC 9113, 6.8.
pub const GOAWAY: u8 = 7;
/// RFC 9113, 6.9.
pub const WINDOW_UPDATE: u8 = 8;
/// RFC 9113, 6.10.
pub const CONTINUATION: u8 = 9;

/// The flags of HEADERS and DATA.
pub const END_STREAM: u8 = 1;
/// The flag of SETTINGS and PING.
pub const ACK: u8 = 1;
/// The flag of HEADERS and CONTINUATION.
pub const END_HEADERS: u8 = 4;

/// The bytes with which a client begins (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection.
pub struct Frames {
    socket: TcpStream,
    /// The last frames that came, for messages.
    seen: Vec<(u8, u8, u32)>,
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The type.
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// The stream; 0 is the connection.
    pub stream: u32,
    /// The bytes behind the head of nine.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The next frame of a connection.
    ///
    /// # Errors
    /// The connection ends, or is broken.
    pub fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut head = [0; 9];
        from.read_exact(&mut head)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        from.read_exact(&mut payload)?;
        Ok(Self { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }
}

/// The end of a request, or of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// An answer with this status.
    Status(u16),
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, which is not 0.
    GoAway(u32),
    /// The connection ended without a reason.
    Closed,
}

impl Frames {
    /// Connects, and begins as a client does, with empty settings.
    pub fn connect(port: u16) -> Self {
        let mut frames = Self::bare(port);
        frames.raw(PREFACE).send(SETTINGS, 0, 0, &[]);
        frames
    }

    /// Connects, and says nothing.
    ///
    /// # Panics
    /// Nobody listens there.
    pub fn bare(port: u16) -> Self {
        Self { socket: socket(port), seen: Vec::new() }
    }

    /// The socket.
    pub const fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Sends bytes. The gateway may have closed already, which what is read says better.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        let _ = self.try_raw(bytes);
        self
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The gateway does not take them.
    pub fn try_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends a frame.
    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.raw(&frame(kind, flags, stream, payload))
    }

    /// Sends a whole header section with these flags beside `END_HEADERS`.
    pub fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> &mut Self {
        self.send(HEADERS, END_HEADERS | flags, stream, &block(fields))
    }

    /// Sends a GET that ends with its head.
    pub fn get(&mut self, stream: u32, path: &str) -> &mut Self {
        self.headers(stream, END_STREAM, &request("GET", path, &[]))
    }

    /// The next frame; `None` at the end. SETTINGS and PING are answered and passed over.
    pub fn receive(&mut self) -> Option<Frame> {
        loop {
            let frame = self.receive_any()?;
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS, 0) => self.send(SETTINGS, ACK, 0, &[]),
                (PING, 0) => self.send(PING, ACK, 0, &frame.payload),
                (SETTINGS, _) => self,
                _ => return Some(frame),
            };
        }
    }

    /// The next frame, whatever it is.
    ///
    /// # Panics
    /// Nothing comes in time.
    pub fn receive_any(&mut self) -> Option<Frame> {
        match Frame::read(&mut self.socket) {
            Ok(frame) => {
                self.seen.push((frame.kind, frame.flags, frame.stream));
                Some(frame)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("nothing comes; so far {:?}", self.seen),
            Err(_) => None,
        }
    }

    /// Waits for the end of a stream: its answer, or why there is none.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        while let Some(frame) = self.receive() {
            match frame.kind {
                HEADERS if frame.stream == stream => return Outcome::Status(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return Outcome::Reset(code(&frame.payload)),
                GOAWAY if code(&frame.payload[4..]) != 0 => return Outcome::GoAway(code(&frame.payload[4..])),
                _ => {}
            }
        }
        Outcome::Closed
    }

    /// Reads to the end of the connection; the code of the last GOAWAY, if there was one.
    pub fn end(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(frame) = self.receive() {
            if frame.kind == GOAWAY {
                last = Some(code(&frame.payload[4..]));
            }
        }
        last
    }
}

/// The bytes with which a server begins: empty settings, and that it has the client's.
pub fn greeting() -> Vec<u8> {
    [frame(SETTINGS, 0, 0, &[]), frame(SETTINGS, ACK, 0, &[])].concat()
}

/// A frame's bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The fields of a request for the host `test`, and more.
pub fn request<'r>(method: &'r str, path: &'r str, more: &[(&'r str, &'r str)]) -> Vec<(&'r str, &'r str)> {
    let mut fields = vec![(":method", method), (":scheme", "http"), (":authority", "test"), (":path", path)];
    fields.extend(more);
    fields
}

/// Fields as a header block, each as a literal that is not indexed (RFC 7541, 6.2.2), so that anything can stand in it.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            length(&mut bytes, text.len());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// A length with a prefix of seven bits (RFC 7541, 5.1).
fn length(bytes: &mut Vec<u8>, length: usize) {
    if length < 127 {
        bytes.push(u8::try_from(length).unwrap_or(0));
        return;
    }
    bytes.push(127);
    let mut left = length - 127;
    while left >= 128 {
        bytes.push(u8::try_from(left % 128).unwrap_or(0) | 128);
        left /= 128;
    }
    bytes.push(u8::try_from(left).unwrap_or(0));
}

fn code(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
}

/// The status of an answer whose block begins with it: indexed, or a literal of three digits, which are Huffman-coded
/// (RFC 7541, A and B). After a change of the table's size.
pub fn status(block: &[u8]) -> u16 {
    let block = if block.first().is_some_and(|byte| byte & 0xe0 == 0x20) { &block[1..] } else { block };
    match *block {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, length, ref value @ ..] if length & 0x80 != 0 => {
            let bits =
                value.iter().take(usize::from(length & 0x7f)).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            huffman_digits(bits, 8 * u32::from(length & 0x7f))
        }
        [0x08 | 0x18 | 0x48, 3, a, b, c, ..] => {
            [a, b, c].iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0'))
        }
        _ => panic!("no status in {block:x?}"),
    }
}

/// Digits: `0`, `1` and `2` have five bits, the others six. What is left is padding.
fn huffman_digits(bits: u64, count: u32) -> u16 {
    let (mut left, mut number) = (count, 0);
    while left >= 5 {
        let five = bits >> (left - 5) & 31;
        if five <= 2 {
            (number, left) = (number * 10 + u16::try_from(five).unwrap_or(0), left - 5);
        } else if left >= 6 {
            let six = bits >> (left - 6) & 63;
            if !(25..=31).contains(&six) {
                break;
            }
            (number, left) = (number * 10 + u16::try_from(six - 22).unwrap_or(0), left - 6);
        } else {
            break;
        }
    }
    number
}
