//! The PROXY protocol, versions 1 and 2: a trusted peer says for whom it speaks, before anything else.
//!
//! <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>. The parser is our own: those that are published take
//! more than the document allows (signs before ports, text after `UNKNOWN`), and who may lie about an address is all that
//! there is to it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tidegate_base::limits;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// For this client, which connected there.
    For {
        /// The client.
        source: SocketAddr,
        /// Where it connected to.
        destination: SocketAddr,
    },
    /// For itself, or for somebody whom the protocol cannot name: its own addresses count.
    ForItself,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unspoken {
    /// The peer left.
    Left,
    /// What came is no header.
    Malformed,
    /// A header of version 2 over [`limits::PROXY_HEADER_BYTES`].
    TooLong,
}

impl Unspoken {
    /// In the user's words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Left => "the peer left before its PROXY header was complete",
            Self::Malformed => {
                "a peer that `client-ip proxy-protocol` trusts has to begin with a PROXY header, and did not"
            }
            Self::TooLong => "the peer's PROXY header is too long",
        }
    }
}

impl From<io::Error> for Unspoken {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

/// What version 2 begins with. No text protocol does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The shortest header of version 1: `PROXY UNKNOWN\r\n`. The fixed part of version 2 is longer.
const SHORTEST: usize = 15;

/// The longest header of version 1 (section 2.1).
const LONGEST_LINE: usize = 107;

/// Reads a header, and not a byte more: what follows is somebody else's.
///
/// # Errors
/// There is none; the connection is of no use then.
pub async fn read(stream: &mut TcpStream) -> Result<Spoken, Unspoken> {
    let mut start = [0; SHORTEST];
    stream.read_exact(&mut start).await?;
    if start.starts_with(&SIGNATURE) {
        let [.., version_and_command, family, length] = start;
        let length = usize::from(u16::from_be_bytes([length, stream.read_u8().await?]));
        if length > limits::PROXY_HEADER_BYTES {
            return Err(Unspoken::TooLong);
        }
        let mut block = vec![0; length];
        stream.read_exact(&mut block).await?;
        return binary(version_and_command, family, &block).ok_or(Unspoken::Malformed);
    }
    let mut line = start.to_vec();
    while !line.ends_with(b"\n") {
        let mut seen = [0; LONGEST_LINE];
        let room = LONGEST_LINE.saturating_sub(line.len());
        if room == 0 || !line.starts_with(b"PROXY ") {
            return Err(Unspoken::Malformed);
        }
        // A look at what lies in the socket finds the line's end, so that nothing behind it is taken.
        let count = stream.peek(seen.get_mut(..room).unwrap_or_default()).await?;
        let seen = seen.get(..count).unwrap_or_default();
        let wanted = seen.iter().position(|byte| *byte == b'\n').map_or(count, |end| end + 1);
        if wanted == 0 {
            return Err(Unspoken::Left);
        }
        let had = line.len();
        line.resize(had + wanted, 0);
        stream.read_exact(line.get_mut(had..).unwrap_or_default()).await?;
    }
    text(&line).ok_or(Unspoken::Malformed)
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
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

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

    /// Sends pieces one by one; what was read as a header, and what is left behind it.
    fn over_a_socket(pieces: &[&[u8]]) -> (Result<Spoken, Unspoken>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut server, _) = listener.accept().await.unwrap();
            let send = async {
                for piece in pieces {
                    // It may be gone already: it has seen enough.
                    let _ = client.write_all(piece).await;
                    tokio::task::yield_now().await;
                }
                let _ = client.shutdown().await;
            };
            let receive = async {
                let read = read(&mut server).await;
                let mut rest = Vec::new();
                let _ = server.read_to_end(&mut rest).await;
                (read, rest)
            };
            tokio::join!(send, receive).1
        })
    }

    #[test]
    fn not_a_byte_more_is_taken() {
        let line = b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n";
        let block = [&SIGNATURE[..], &[0x21, 0x11, 0, 12, 203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 1, 0xbb]].concat();
        let expected = Ok(spoken("203.0.113.9:50000", "10.0.0.1:443"));
        for header in [&line[..], &block] {
            let whole = [header, b"GET / HTTP/1.1\r\n"].concat();
            assert_eq!(over_a_socket(&[&whole]), (expected, b"GET / HTTP/1.1\r\n".to_vec()));
            let bytes: Vec<&[u8]> = whole.chunks(1).collect();
            assert_eq!(over_a_socket(&bytes), (expected, b"GET / HTTP/1.1\r\n".to_vec()));
            assert_eq!(over_a_socket(&[&header[..header.len() - 1]]).0, Err(Unspoken::Left));
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        assert_eq!(over_a_socket(&[b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"]).0, Err(Unspoken::Malformed));
        assert_eq!(over_a_socket(&[b"PROXY ", &[b'x'; 200]]).0, Err(Unspoken::Malformed));
        assert_eq!(over_a_socket(&[&SIGNATURE, &[0x21, 0x11, 0xff, 0xff]]).0, Err(Unspoken::TooLong));
        assert_eq!(over_a_socket(&[]).0, Err(Unspoken::Left));
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
