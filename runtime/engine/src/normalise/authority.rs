//! Authorities: the one spelling of a host, and its port.

use std::fmt;
use std::net::Ipv6Addr;

use http::uri::Authority;

use crate::uri::is_unreserved;

/// The reason why a host is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorityError {
    /// The request has no host.
    Empty,
    /// The host has a user name before an `@` (RFC 9110, 4.2.4).
    UserInfo,
    /// The host has a character that a host name cannot have.
    BadHost,
    /// The text in `[…]` is no IPv6 address.
    BadAddress,
    /// The port is no number from 0 to 65535.
    BadPort,
}

/// Normalises the authority of a request: host in lower case, without the final dot of an absolute name; an IPv6
/// address in its one spelling (RFC 5952); the port without leading zeros, and without its colon if it is empty.
///
/// # Errors
///
/// What is no host, perhaps with a port; see [`AuthorityError`].
pub fn authority(raw: &[u8]) -> Result<Authority, AuthorityError> {
    let (host, port) = split(raw)?;
    let mut whole = String::with_capacity(raw.len());
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').ok_or(AuthorityError::BadAddress)?;
        let address: Ipv6Addr = address.parse().map_err(|_| AuthorityError::BadAddress)?;
        whole = format!("[{address}]");
    } else {
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return Err(AuthorityError::Empty);
        }
        if !host.bytes().all(is_host_byte) || host.starts_with('.') || host.ends_with('.') || host.contains("..") {
            return Err(AuthorityError::BadHost);
        }
        whole.push_str(host);
        whole.make_ascii_lowercase();
    }
    if !port.is_empty() {
        if port.len() > 5 || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(AuthorityError::BadPort);
        }
        port.parse::<u16>().map_err(|_| AuthorityError::BadPort)?;
        let digits = port.trim_start_matches('0');
        whole.push(':');
        whole.push_str(if digits.is_empty() { "0" } else { digits });
    }
    Authority::try_from(whole).map_err(|_| AuthorityError::BadHost)
}

/// Host and port of an authority; the port is empty if there is none.
fn split(raw: &[u8]) -> Result<(&str, &str), AuthorityError> {
    let text = std::str::from_utf8(raw).map_err(|_| AuthorityError::BadHost)?;
    if text.is_empty() {
        return Err(AuthorityError::Empty);
    }
    if text.contains('@') {
        return Err(AuthorityError::UserInfo);
    }
    // In `[::1]:80` only a colon after the bracket begins a port.
    let after = text.rfind(']').map_or(0, |bracket| bracket + 1);
    Ok(match text.get(after..).and_then(|rest| rest.find(':')) {
        Some(colon) => {
            let (host, port) = text.split_at(after + colon);
            (host, port.get(1..).unwrap_or_default())
        }
        None => (text, ""),
    })
}

/// Characters of a host name: RFC 3986, 3.2.2 without escapes, which no name that resolves has.
const fn is_host_byte(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=')
}

impl fmt::Display for AuthorityError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Empty => "the host is empty",
            Self::UserInfo => "the host has a user name before an `@`",
            Self::BadHost => "the host has a character that a host name cannot have, or an empty label",
            Self::BadAddress => "what stands in `[…]` is no IPv6 address",
            Self::BadPort => "the port is no number from 0 to 65535",
        })
    }
}

impl std::error::Error for AuthorityError {}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn authorities_come_out_in_one_spelling() {
        for (raw, expected) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("example.com:8080", "example.com:8080"),
            ("example.com:080", "example.com:80"),
            ("example.com:00", "example.com:0"),
            ("example.com:", "example.com"),
            ("EXAMPLE.com.:80", "example.com:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("a_b-c~d", "a_b-c~d"),
        ] {
            assert_eq!(
                authority(raw.as_bytes()).map(|authority| authority.as_str().to_owned()).as_deref(),
                Ok(expected),
                "{raw}"
            );
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for (raw, error) in [
            ("", AuthorityError::Empty),
            (":80", AuthorityError::Empty),
            (".", AuthorityError::Empty),
            ("user@example.com", AuthorityError::UserInfo),
            ("a..b", AuthorityError::BadHost),
            (".a", AuthorityError::BadHost),
            ("a..", AuthorityError::BadHost),
            ("a b", AuthorityError::BadHost),
            ("a/b", AuthorityError::BadHost),
            ("a%41", AuthorityError::BadHost),
            ("caf\u{e9}", AuthorityError::BadHost),
            ("a]", AuthorityError::BadHost),
            ("[::1", AuthorityError::BadAddress),
            ("[::g]", AuthorityError::BadAddress),
            ("[fe80::1%25eth0]", AuthorityError::BadAddress),
            ("[::1]x", AuthorityError::BadAddress),
            ("a:65536", AuthorityError::BadPort),
            ("a:+80", AuthorityError::BadPort),
            ("a:80:80", AuthorityError::BadPort),
        ] {
            assert_eq!(authority(raw.as_bytes()), Err(error), "{raw}");
        }
        assert_eq!(authority(b"\xff"), Err(AuthorityError::BadHost));
    }

    proptest! {
        #[test]
        fn a_normal_authority_stays(raw in "([a-zA-Z0-9.:\\[\\]@_-]|\\PC){0,24}") {
            if let Ok(once) = authority(raw.as_bytes()) {
                let twice = authority(once.as_str().as_bytes()).unwrap();
                prop_assert_eq!(twice.as_str(), once.as_str());
            }
        }

        #[test]
        fn any_bytes_are_taken(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = authority(&raw);
        }
    }
}
