//! The PROXY protocol on a socket: its header is read, and not a byte more.

use std::io;

use tidegate_base::proxy_protocol::{HeaderError, LONGEST_LINE, Parsed, Spoken, parse};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unspoken {
    /// The peer left.
    Left,
    /// What came is none.
    Header(HeaderError),
}

impl Unspoken {
    /// The reason in the user's words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Left => "the peer left before its PROXY header was complete",
            Self::Header(HeaderError::Malformed) => {
                "a peer that `client-ip proxy-protocol` trusts has to begin with a PROXY header, and did not"
            }
            Self::Header(HeaderError::TooLong) => "the peer's PROXY header is too long",
        }
    }
}

impl From<io::Error> for Unspoken {
    fn from(_: io::Error) -> Self {
        Self::Left
    }
}

impl From<HeaderError> for Unspoken {
    fn from(error: HeaderError) -> Self {
        Self::Header(error)
    }
}

/// Reads a header, and not a byte more: what follows is somebody else's.
///
/// # Errors
/// There is none; the connection is of no use then.
pub async fn read(stream: &mut TcpStream) -> Result<Spoken, Unspoken> {
    let mut bytes = Vec::with_capacity(LONGEST_LINE);
    loop {
        let more = match parse(&bytes)? {
            Parsed::Whole(spoken, _) => return Ok(spoken),
            Parsed::More(more) => more,
        };
        let had = bytes.len();
        bytes.resize((had + more).max(LONGEST_LINE), 0);
        // A look at what lies in the socket finds the header's end, so that nothing behind it is taken.
        let seen = had + stream.peek(bytes.get_mut(had..).unwrap_or_default()).await?;
        if seen == had {
            return Err(Unspoken::Left);
        }
        bytes.truncate(seen);
        if let Parsed::Whole(_, length) = parse(&bytes)? {
            bytes.truncate(length);
        }
        stream.read_exact(bytes.get_mut(had..).unwrap_or_default()).await?;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    fn spoken(source: &str, destination: &str) -> Spoken {
        Spoken::For { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
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
        let block = [SIGNATURE, &[0x21, 0x11, 0, 12, 203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 1, 0xbb]].concat();
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
        assert_eq!(over_a_socket(&[b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"]).0, Err(HeaderError::Malformed.into()));
        assert_eq!(over_a_socket(&[b"PROXY ", &[b'x'; 200]]).0, Err(HeaderError::Malformed.into()));
        assert_eq!(over_a_socket(&[SIGNATURE, &[0x21, 0x11, 0xff, 0xff]]).0, Err(HeaderError::TooLong.into()));
        assert_eq!(over_a_socket(&[]).0, Err(Unspoken::Left));
    }
}
