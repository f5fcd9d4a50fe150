//! The PROXY protocol, versions 1 and 2: a trusted peer says for whom it speaks, before anything else.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. The parser is our own: those that are published take
//! more than the document allows (signs before ports, text after `UNKNOWN`), and who may lie about an address is all that
//! there is to it. It takes bytes and reads none: how they come from a socket is its caller's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::limits;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// For this client, which connected there.
    For {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
    /// For itself, or for somebody whom the protocol cannot name: its own addresses count.
    ForItself,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// A header, and its length in bytes. What follows is somebody else's.
    Whole(Spoken, usize),
    /// The beginning of a header. At least so many bytes of it are to come.
    More(usize),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// The bytes are a header of neither version.
    Malformed,
    /// The bytes begin a header of version 2 over [`limits::PROXY_HEADER_BYTES`].
    TooLong,
}

/// What version 2 begins with. No text protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The length of version 2's fixed part: the signature, version and command, family, and the length of the rest.
const FIXED: usize = SIGNATURE.len() + 4;

/// The shortest header of version 1: `PROXY UNKNOWN\r\n`. The fixed part of version 2 is longer.
const SHORTEST: usize = 15;

/// The longest header of version 1 (section 2.1).
pub const LONGEST_LINE: usize = 107;

/// Reads the first bytes of a connection as far as they are a header.
///
/// # Errors
/// No header begins with these bytes.
pub fn parse(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    if bytes.len() < SHORTEST {
        return Ok(Parsed::More(SHORTEST - bytes.len()));
    }
    match bytes.strip_prefix(&SIGNATURE) {
        Some(rest) => parse_block(rest),
        None => parse_line(bytes),
    }
}

/// Version 2 from behind its signature.
fn parse_block(rest: &[u8]) -> Result<Parsed, HeaderError> {
    let Some(([version_and_command, family, high, low], rest)) = rest.split_first_chunk() else {
        return Ok(Parsed::More(FIXED - SIGNATURE.len() - rest.len()));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if length > limits::PROXY_HEADER_BYTES {
        return Err(HeaderError::TooLong);
    }
    let Some(block) = rest.get(..length) else { return Ok(Parsed::More(length - rest.len())) };
    let spoken = binary(*version_and_command, *family, block).ok_or(HeaderError::Malformed)?;
    Ok(Parsed::Whole(spoken, FIXED + length))
}

/// Version 1, whose end nobody knows before it comes.
fn parse_line(bytes: &[u8]) -> Result<Parsed, HeaderError> {
    let seen = bytes.get(..LONGEST_LINE).unwrap_or(bytes);
    let Some(end) = seen.iter().position(|byte| *byte == b'\n') else {
        let may_end = seen.starts_with(b"PROXY ") && seen.len() < LONGEST_LINE;
        return if may_end { Ok(Parsed::More(1)) } else { Err(HeaderError::Malformed) };
    };
    let spoken = seen.get(..=end).and_then(text).ok_or(HeaderError::Malformed)?;
    Ok(Parsed::Whole(spoken, end + 1))
}

/// Version 1 (section 2.1): a line of text, with its end.
fn text(line: &[u8]) -> Option<Spoken> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?.strip_prefix("PROXY ")?;
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        // What follows is to be ignored.
        return Some(Spoken::ForItself);
    }
    let mut address = || -> Option<IpAddr> {
        let word = words.next()?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (source, destination) = (address()?, address()?);
    let mut port = || {
        let word = words.next().filter(|word| word.bytes().all(|byte| byte.is_ascii_digit()))?;
        // "Leading zeroes are not permitted".
        let plain = word == "0" || !word.starts_with('0');
        word.parse::<u16>().ok().filter(|_| plain)
    };
    let (from, to) = (port()?, port()?);
    words
        .next()
        .is_none()
        .then_some(Spoken::For { source: SocketAddr::new(source, from), destination: SocketAddr::new(destination, to) })
}

/// Version 2 (section 2.2): what follows the signature, and the block whose length that named.
fn binary(version_and_command: u8, family: u8, block: &[u8]) -> Option<Spoken> {
    match version_and_command {
        // LOCAL: the peer's own health check. The block is to be skipped.
        0x20 => return Some(Spoken::ForItself),
        0x21 => {}
        _ => return None,
    }
    match family {
        // TCP over IPv4 and over IPv6. What follows the addresses is extensions, which nobody needs here.
        0x11 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            let (destination, rest) = rest.split_first_chunk::<4>()?;
            addresses(Ipv4Addr::from(*source).into(), Ipv4Addr::from(*destination).into(), rest)
        }
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (destination, rest) = rest.split_first_chunk::<16>()?;
            addresses(Ipv6Addr::from(*source).into(), Ipv6Addr::from(*destination).into(), rest)
        }
        // Unspecified, datagrams and UNIX sockets name no TCP peer.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(Spoken::ForItself),
        _ => None,
    }
}

fn addresses(source: IpAddr, destination: IpAddr, ports: &[u8]) -> Option<Spoken> {
    let (from, rest) = ports.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some(Spoken::For {
        source: SocketAddr::new(source, u16::from_be_bytes(*from)),
        destination: SocketAddr::new(destination, u16::from_be_bytes(*to)),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spoken(source: &str, destination: &str) -> Spoken {
        Spoken::For { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn lines_of_version_1() {
        for (line, expected) in [
            ("PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n", Some(spoken("203.0.113.9:50000", "10.0.0.1:443"))),
            ("PROXY TCP6 2001:db8::9 ::1 1 65535\r\n", Some(spoken("[2001:db8::9]:1", "[::1]:65535"))),
            ("PROXY UNKNOWN\r\n", Some(Spoken::ForItself)),
            ("PROXY UNKNOWN ffff:: ffff:: 1 2\r\n", Some(Spoken::ForItself)),
            ("PROXY UNKNOWNS\r\n", None),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\n", None),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 50000 443 \r\n", None),
            ("PROXY TCP4 203.0.113.9  10.0.0.1 50000 443\r\n", None),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 +5 443\r\n", None),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 05 443\r\n", None),
            ("PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n", None),
            ("PROXY TCP4 203.0.113.09 10.0.0.1 1 443\r\n", None),
            ("PROXY TCP4 ::1 ::1 1 443\r\n", None),
            ("PROXY TCP6 1.1.1.1 1.1.1.1 1 443\r\n", None),
            ("PROXY UDP4 1.1.1.1 1.1.1.1 1 443\r\n", None),
            ("proxy tcp4 1.1.1.1 1.1.1.1 1 443\r\n", None),
            ("PROXY TCP4\r\n", None),
        ] {
            assert_eq!(text(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn blocks_of_version_2() {
        let v4 = [203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 1, 0xbb];
        let expected = Some(spoken("203.0.113.9:50000", "10.0.0.1:443"));
        assert_eq!(binary(0x21, 0x11, &v4), expected);
        assert_eq!(binary(0x21, 0x11, &[&v4[..], &[4, 0, 1, 0]].concat()), expected, "extensions are passed over");
        assert_eq!(binary(0x21, 0x11, &v4[..11]), None);
        assert_eq!(binary(0x20, 0x11, &[]), Some(Spoken::ForItself));
        assert_eq!(binary(0x21, 0x00, &[]), Some(Spoken::ForItself));
        assert_eq!(binary(0x22, 0x11, &v4), None, "an unknown command");
        assert_eq!(binary(0x11, 0x11, &v4), None, "an unknown version");
        assert_eq!(binary(0x21, 0x13, &v4), None, "an unknown protocol");
        let v6 = [[0; 15].as_slice(), &[1], &[0; 15], &[2], &[0, 1, 0, 2]].concat();
        assert_eq!(binary(0x21, 0x21, &v6), Some(spoken("[::1]:1", "[::2]:2")));
        assert_eq!(binary(0x21, 0x21, &v6[..35]), None);
    }

    /// A header of version 2 with so long a block.
    fn block(length: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
        let mut header =
            [&SIGNATURE[..], &[0x21, 0x11, high, low, 203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 1, 0xbb]].concat();
        header.resize(FIXED + length, 0);
        header
    }

    #[test]
    fn a_header_is_whole_with_its_last_byte() {
        let line = b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n".to_vec();
        let expected = spoken("203.0.113.9:50000", "10.0.0.1:443");
        for header in [line, block(12), block(300)] {
            for end in 0..header.len() {
                let parsed = parse(&header[..end]);
                let right = matches!(parsed, Ok(Parsed::More(more)) if (1..=header.len() - end).contains(&more));
                assert!(right, "{parsed:?} behind {end}");
            }
            assert_eq!(parse(&header), Ok(Parsed::Whole(expected, header.len())));
            let followed = [&header[..], b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(parse(&followed), Ok(Parsed::Whole(expected, header.len())), "what follows is somebody else's");
        }
    }

    #[test]
    fn a_header_is_no_longer_than_allowed() {
        let longest = limits::PROXY_HEADER_BYTES;
        for length in [longest - 1, longest] {
            assert!(matches!(parse(&block(length)), Ok(Parsed::Whole(_, whole)) if whole == FIXED + length));
        }
        assert_eq!(parse(&block(longest + 1)[..FIXED]), Err(HeaderError::TooLong));
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
        for length in [LONGEST_LINE - 1, LONGEST_LINE] {
            assert_eq!(parse(&line(length)), Ok(Parsed::Whole(Spoken::ForItself, length)));
        }
        assert_eq!(parse(&line(LONGEST_LINE + 1)), Err(HeaderError::Malformed));
        assert_eq!(parse(&line(LONGEST_LINE + 1)[..LONGEST_LINE]), Err(HeaderError::Malformed), "no end in sight");
    }

    #[test]
    fn what_begins_as_no_header_is_refused_at_once() {
        assert_eq!(parse(b"GET / HTTP/1.1\r"), Err(HeaderError::Malformed));
        assert_eq!(parse(b"PROXY\nUNKNOWN\r\n"), Err(HeaderError::Malformed));
        assert_eq!(parse(&[&SIGNATURE[..], &[0x11, 0x11, 0, 0]].concat()), Err(HeaderError::Malformed));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(line in proptest::collection::vec(any::<u8>(), 0..120), kind in any::<[u8; 2]>()) {
            let _ = text(&line);
            let _ = binary(kind[0], kind[1], &line);
            let _ = binary(0x21, 0x11, &line);
            let _ = binary(0x21, 0x21, &line);
        }

        #[test]
        fn what_is_written_is_read(source in any::<SocketAddr>(), to in any::<(u32, u128, u16)>()) {
            let (family, destination) = match source {
                SocketAddr::V4(_) => ("TCP4", SocketAddr::from((Ipv4Addr::from(to.0), to.2))),
                SocketAddr::V6(_) => ("TCP6", SocketAddr::from((Ipv6Addr::from(to.1), to.2))),
            };
            let source = SocketAddr::new(source.ip(), source.port());
            let (from, at) = (source.ip(), destination.ip());
            let line = format!("PROXY {family} {from} {at} {} {}\r\n", source.port(), destination.port());
            prop_assert_eq!(text(line.as_bytes()), Some(Spoken::For { source, destination }));
        }

        /// A broken line is nobody's address but for a change within one.
        #[test]
        fn mutations_never_panic_nor_grow(at in 0_usize..44, byte in any::<u8>()) {
            let mut line = b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n".to_vec();
            if let Some(place) = line.get_mut(at) { *place = byte; }
            if let Some(Spoken::For { source, .. }) = text(&line) {
                prop_assert!(source.is_ipv4());
            }
        }
    }
}
