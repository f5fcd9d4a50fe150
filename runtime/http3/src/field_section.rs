//! Looks into the field sections of HTTP/3 (RFC 9204, 4.5), for what the library above does not refuse.
//!
//! The library keeps the last of several equal pseudo-header fields, takes them behind other fields and in trailers, and
//! knows no `:protocol` but those of its own. Names are enough to see all that, and are told apart as they are encoded:
//! nothing is decoded twice.

/// The part of a message that a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request's head.
    Request,
    /// The fields that follow a body.
    Trailers,
}

/// The mistake that a section has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SectionError {
    /// The bytes are no section, or refer to a table that we do not keep. That ends the connection (RFC 9204, 2.2).
    Undecodable,
    /// The section says what no request may say. That ends the stream (RFC 9114, 4.1.2).
    Malformed,
}

/// The name of the field that `:protocol` becomes, which the library passes on. It is as long, in both encodings.
pub const PROTOCOL: &str = "xprotocol";

/// Checks a section whole. Returns where the name `:protocol` begins, for [`rename`], if it is there.
///
/// # Errors
/// What is wrong with it.
pub fn check(section: &[u8], kind: Kind) -> Result<Option<usize>, SectionError> {
    let mut lines = Lines { section, at: 0 };
    // How many entries of the client's table it needs, and from where they are counted: we have none.
    if lines.number(8)? != 0 {
        return Err(SectionError::Undecodable);
    }
    lines.number(7)?;
    let mut seen = Seen::default();
    while let Some(line) = lines.next()? {
        seen.note(&line, kind)?;
    }
    if kind == Kind::Request {
        seen.is_complete()?;
    }
    Ok(seen.protocol)
}

/// Makes `:protocol`, whose name begins here, a field that the library passes on.
pub fn rename(section: &mut [u8], at: usize) {
    if let Some(first) = section.get_mut(at) {
        // The first seven bits are a `:` in Huffman's code, or the byte is a `:` itself: an `x` is as long in both.
        *first = if *first & 0xfe == HUFFMAN_COLON { *first & 1 | 0xf2 } else { b'x' };
    }
}

/// The code of `:` in the first seven bits of a byte (RFC 7541, B).
const HUFFMAN_COLON: u8 = 0xb8;

/// A field line, as far as it matters here.
struct Line<'s> {
    name: Name<'s>,
    /// Where a literal name begins.
    at: usize,
    /// The value; `None` if it stands in the table.
    value: Option<Text<'s>>,
}

enum Name<'s> {
    /// A name of the static table.
    Indexed(u64),
    Literal(Text<'s>),
}

/// A text, perhaps in Huffman's code.
#[derive(Clone, Copy)]
struct Text<'s> {
    bytes: &'s [u8],
    huffman: bool,
}

/// The pseudo-header fields of a request (RFC 9114, 4.3.1; RFC 9220, 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pseudo {
    Method,
    Scheme,
    Authority,
    Path,
    Protocol,
}

/// The name of each pseudo-header field, as it is and in Huffman's code.
const NAMES: [(Pseudo, &[u8], &[u8]); 5] = [
    (Pseudo::Method, b":method", b"\xb9\x49\x53\x39\xe4"),
    (Pseudo::Scheme, b":scheme", b"\xb8\x82\x4e\x5a\x4b"),
    (Pseudo::Authority, b":authority", b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f"),
    (Pseudo::Path, b":path", b"\xb9\x58\xd3\x3f"),
    (Pseudo::Protocol, b":protocol", b"\xb9\x5d\x87\x49\xc8\x7a\x3f"),
];

/// The method `CONNECT`, as it is and in Huffman's code.
const CONNECT: (&[u8], &[u8]) = (b"CONNECT", b"\xbd\xab\x4e\x9c\x17\xb7\xff");

/// The place of `:method: CONNECT` in the static table, as a whole line (RFC 9204, A).
const INDEXED_CONNECT: u64 = 15;

impl Line<'_> {
    /// Which pseudo-header field it is; `None` if it is another field.
    fn pseudo(&self) -> Result<Option<Pseudo>, SectionError> {
        match &self.name {
            Name::Indexed(0) => Ok(Some(Pseudo::Authority)),
            Name::Indexed(1) => Ok(Some(Pseudo::Path)),
            Name::Indexed(15..=21) => Ok(Some(Pseudo::Method)),
            Name::Indexed(22 | 23) => Ok(Some(Pseudo::Scheme)),
            // `:status`, which is of answers.
            Name::Indexed(24..=28 | 63..=71) => Err(SectionError::Malformed),
            Name::Indexed(_) => Ok(None),
            Name::Literal(name) => match name.bytes.first() {
                Some(first) if *first == b':' && !name.huffman || first & 0xfe == HUFFMAN_COLON && name.huffman => {
                    let known = NAMES.iter().find(|(_, plain, huffman)| name.is(plain, huffman));
                    known.map(|(pseudo, ..)| Some(*pseudo)).ok_or(SectionError::Malformed)
                }
                _ => Ok(None),
            },
        }
    }

    fn is_connect(&self) -> bool {
        match (&self.name, self.value) {
            (Name::Indexed(index), None) => *index == INDEXED_CONNECT,
            (_, value) => value.is_some_and(|value| value.is(CONNECT.0, CONNECT.1)),
        }
    }
}

impl Text<'_> {
    fn is(&self, plain: &[u8], huffman: &[u8]) -> bool {
        self.bytes == if self.huffman { huffman } else { plain }
    }
}

/// The lines that a section has shown so far.
#[derive(Default)]
struct Seen {
    pseudo: [bool; NAMES.len()],
    others: bool,
    connect: bool,
    protocol: Option<usize>,
}

impl Seen {
    fn note(&mut self, line: &Line<'_>, kind: Kind) -> Result<(), SectionError> {
        let Some(pseudo) = line.pseudo()? else {
            self.others = true;
            return Ok(());
        };
        // The line of the static table for an authority has an empty one.
        let empty = match line.value {
            Some(value) => value.bytes.is_empty(),
            None => pseudo == Pseudo::Authority,
        };
        let again = std::mem::replace(&mut self.pseudo[pseudo as usize], true);
        if kind == Kind::Trailers || self.others || again || empty {
            return Err(SectionError::Malformed);
        }
        match pseudo {
            Pseudo::Method => self.connect = line.is_connect(),
            Pseudo::Protocol => self.protocol = Some(line.at),
            Pseudo::Scheme | Pseudo::Authority | Pseudo::Path => {}
        }
        Ok(())
    }

    /// Whether a request has what it must have. A plain `CONNECT` has neither scheme nor path (RFC 9114, 4.4).
    fn is_complete(&self) -> Result<(), SectionError> {
        let has = |pseudo: Pseudo| self.pseudo[pseudo as usize];
        let whole = has(Pseudo::Scheme) && has(Pseudo::Path);
        let right = match self.protocol {
            Some(_) => self.connect && whole,
            None => has(Pseudo::Method) && (whole || self.connect),
        };
        if right { Ok(()) } else { Err(SectionError::Malformed) }
    }
}

/// Reads a section line by line.
struct Lines<'s> {
    section: &'s [u8],
    at: usize,
}

impl<'s> Lines<'s> {
    fn next(&mut self) -> Result<Option<Line<'s>>, SectionError> {
        let Some(first) = self.section.get(self.at) else { return Ok(None) };
        match first >> 4 {
            // A line of the static table.
            0b1100..=0b1111 => {
                let name = Name::Indexed(self.number(6)?);
                Ok(Some(Line { name, at: 0, value: None }))
            }
            // A name of the static table.
            0b0101 | 0b0111 => {
                let name = Name::Indexed(self.number(4)?);
                Ok(Some(Line { name, at: 0, value: Some(self.text(7)?) }))
            }
            // A name of its own.
            0b0010 | 0b0011 => {
                let name = self.text(3)?;
                let at = self.at - name.bytes.len();
                Ok(Some(Line { name: Name::Literal(name), at, value: Some(self.text(7)?) }))
            }
            // All others refer to the table that we do not keep.
            _ => Err(SectionError::Undecodable),
        }
    }

    /// A text behind its length, which begins in so many bits of a byte; the bit before them says how it is encoded.
    fn text(&mut self, bits: u32) -> Result<Text<'s>, SectionError> {
        let huffman = self.section.get(self.at).is_some_and(|first| first >> bits & 1 == 1);
        let length = usize::try_from(self.number(bits)?).map_err(|_| SectionError::Undecodable)?;
        let end = self.at.checked_add(length).ok_or(SectionError::Undecodable)?;
        let bytes = self.section.get(self.at..end).ok_or(SectionError::Undecodable)?;
        self.at = end;
        Ok(Text { bytes, huffman })
    }

    /// A number that begins in the last so many bits of a byte (RFC 7541, 5.1), of at most 32 bits.
    fn number(&mut self, bits: u32) -> Result<u64, SectionError> {
        let most = (1_u64 << bits) - 1;
        let mut value = u64::from(self.byte()?) & most;
        if value < most {
            return Ok(value);
        }
        for shift in (0..=28).step_by(7) {
            let byte = self.byte()?;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(SectionError::Undecodable)
    }

    fn byte(&mut self) -> Result<u8, SectionError> {
        let byte = self.section.get(self.at).ok_or(SectionError::Undecodable)?;
        self.at += 1;
        Ok(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: u8 = 0xc0 | 17;
    const HTTPS: u8 = 0xc0 | 23;
    const ROOT: u8 = 0xc0 | 1;

    /// A line with a literal name.
    fn literal(name: &[u8], huffman: bool, value: &[u8]) -> Vec<u8> {
        let mut line = vec![0x20 | u8::from(huffman) << 3];
        let length = u8::try_from(name.len()).unwrap_or(255);
        if length < 7 {
            line[0] |= length;
        } else {
            line[0] |= 7;
            line.push(length - 7);
        }
        line.extend_from_slice(name);
        line.push(u8::try_from(value.len()).unwrap_or(127));
        line.extend_from_slice(value);
        line
    }

    fn request(lines: &[&[u8]]) -> Result<Option<usize>, SectionError> {
        check(&[&[0, 0][..], &lines.concat()].concat(), Kind::Request)
    }

    #[test]
    fn requests_have_what_they_must_have_once_and_first() {
        let field = literal(b"x-a", false, b"1");
        assert_eq!(request(&[&[GET, HTTPS, ROOT], &field]), Ok(None));
        for missing in [&[GET, HTTPS][..], &[GET, ROOT], &[HTTPS, ROOT], &[]] {
            assert_eq!(request(&[missing]), Err(SectionError::Malformed), "{missing:?}");
        }
        for again in [GET, HTTPS, ROOT] {
            assert_eq!(request(&[&[GET, HTTPS, ROOT, again]]), Err(SectionError::Malformed), "{again}");
        }
        assert_eq!(request(&[&[GET, HTTPS], &field, &[ROOT]]), Err(SectionError::Malformed));
        // In every encoding of the name.
        for (name, huffman) in [(&b":path"[..], false), (b"\xb9\x58\xd3\x3f", true)] {
            let path = literal(name, huffman, b"/a");
            assert_eq!(request(&[&[GET, HTTPS], &path]), Ok(None));
            assert_eq!(request(&[&[GET, HTTPS, ROOT], &path]), Err(SectionError::Malformed));
        }
        assert_eq!(request(&[&[GET, HTTPS], &literal(b":path", false, b"")]), Err(SectionError::Malformed));
        // `:authority` as a whole line of the static table, which is empty.
        assert_eq!(request(&[&[GET, HTTPS, ROOT, 0xc0]]), Err(SectionError::Malformed));
    }

    #[test]
    fn other_pseudo_fields_are_malformed() {
        let whole = [GET, HTTPS, ROOT];
        // `:status`, by its place and by its name; one that nobody knows.
        assert_eq!(request(&[&whole, &[0xc0 | 25]]), Err(SectionError::Malformed));
        assert_eq!(request(&[&whole, &literal(b":status", false, b"200")]), Err(SectionError::Malformed));
        assert_eq!(request(&[&whole, &literal(b"\xb8\x84\x8d\x36\xa3", true, b"200")]), Err(SectionError::Malformed));
        assert_eq!(request(&[&whole, &literal(b":new", false, b"1")]), Err(SectionError::Malformed));
        let trailers = |lines: &[u8]| check(&[&[0, 0], lines].concat(), Kind::Trailers);
        assert_eq!(trailers(&literal(b"x-sum", false, b"1")), Ok(None));
        assert_eq!(trailers(&[ROOT]), Err(SectionError::Malformed));
    }

    #[test]
    fn connect_may_name_a_protocol_and_nothing_else_may() {
        const CONNECT: u8 = 0xc0 | 15;
        for (name, huffman, renamed) in [
            (&b":protocol"[..], false, &b"xprotocol"[..]),
            (b"\xb9\x5d\x87\x49\xc8\x7a\x3f", true, b"\xf3\x5d\x87\x49\xc8\x7a\x3f"),
        ] {
            let protocol = literal(name, huffman, b"websocket");
            assert_eq!(request(&[&[GET, HTTPS, ROOT], &protocol]), Err(SectionError::Malformed));
            assert_eq!(request(&[&[CONNECT, HTTPS], &protocol]), Err(SectionError::Malformed));
            let mut section = [&[0, 0, CONNECT, HTTPS, ROOT][..], &protocol].concat();
            let at = check(&section, Kind::Request);
            assert_eq!(at, Ok(Some(7)));
            rename(&mut section, 7);
            assert_eq!(&section[7..7 + renamed.len()], renamed);
            assert_eq!(check(&section, Kind::Request), Ok(None));
        }
        assert_eq!(request(&[&[CONNECT]]), Ok(None));
    }

    #[test]
    fn what_is_no_section_ends_the_connection() {
        assert_eq!(check(&[], Kind::Request), Err(SectionError::Undecodable));
        assert_eq!(check(&[1, 0, GET], Kind::Request), Err(SectionError::Undecodable));
        // A line of the client's table, one behind its base, a name behind its base.
        for line in [0x80, 0x10, 0x00, 0x40] {
            assert_eq!(request(&[&[line, 0, 0]]), Err(SectionError::Undecodable), "{line:x}");
        }
        // A number without an end, a text without its bytes.
        assert_eq!(request(&[&[0xff; 40]]), Err(SectionError::Undecodable));
        assert_eq!(request(&[&[GET, HTTPS, ROOT, 0x51, 0x7f, 0xff, 0xff, 0x7f]]), Err(SectionError::Undecodable));
    }

    #[test]
    fn nothing_panics() {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for length in 0..3000 {
            let mut section = vec![0; 2 + length % 60];
            for byte in section.iter_mut().skip(2) {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                *byte = random.to_le_bytes()[0];
            }
            if let Ok(Some(at)) = check(&section, Kind::Request) {
                rename(&mut section, at);
            }
        }
    }
}
