//! Request targets and authorities in one spelling, so that a test cannot be passed by another one.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use http::uri::{Authority, PathAndQuery};
use percent_encoding::percent_encode_byte;
use tidegate_dsl::plan::Paths;

/// The reason why a request target is refused with 400. Each one could mean another path to a backend than to the
/// gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TargetError {
    /// `..` with nothing before it to remove.
    AboveRoot,
    /// `%00`, which ends a text in some backends.
    Nul,
    /// A `%` without two hexadecimal digits.
    BadEscape,
    /// A bare `\`, which some backends take for `/`.
    Backslash,
    /// The target does not begin with `/`.
    NoSlash,
    /// The target is longer than one can be.
    TooLong,
    /// A character that no target has.
    NoTarget,
    /// A segment of dots with parameters, such as `..;x`: some backends take the parameters away and go up.
    DotsWithParameters,
    /// `//`, where the listener has `paths strict`.
    EmptySegment,
    /// `%2F` or `%5C`, where the listener has `paths strict`.
    EscapedSeparator,
    /// `;`, where the listener has `paths strict`.
    Parameters,
    /// A segment that is dots once it is decoded a second time, where the listener has `paths strict`.
    EscapedDots,
}

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

/// Normalises a request target (RFC 3986, 6.2.2).
///
/// In the path, escaped unreserved characters are decoded, dot segments are removed (also those that were written with
/// `%2e`), runs of slashes become one with `paths merge` and stay otherwise, every other escape stays in upper case, and
/// what may not stand bare in a path is escaped. The query stays as it is. `*` stays `*`. A normal target comes back as a
/// cheap clone.
///
/// # Errors
///
/// A path that has no safe meaning; see [`TargetError`].
pub(crate) fn target(raw: &PathAndQuery, paths: Paths) -> Result<PathAndQuery, TargetError> {
    let text = raw.as_str();
    if text == "*" {
        return Ok(raw.clone());
    }
    let path = path(raw.path(), paths)?;
    if matches!(path, Cow::Borrowed(_)) && text.starts_with('/') {
        return Ok(raw.clone());
    }
    join(&path, raw.query())
}

/// A target from a path that is normal and a query.
pub(crate) fn join(path: &str, query: Option<&str>) -> Result<PathAndQuery, TargetError> {
    let mut whole = String::with_capacity(path.len() + query.map_or(0, |query| query.len() + 1));
    whole.push_str(path);
    if let Some(query) = query {
        whole.push('?');
        whole.push_str(query);
    }
    // The path holds only what a path may, and the query came from a target: only the length can be wrong.
    PathAndQuery::try_from(whole).map_err(|_| TargetError::TooLong)
}

/// The normal form of a path, borrowed if it is normal already.
pub(crate) fn path(raw: &str, paths: Paths) -> Result<Cow<'_, str>, TargetError> {
    if is_normal(raw.as_bytes(), paths) {
        return Ok(Cow::Borrowed(raw));
    }
    if !raw.starts_with('/') {
        return Err(TargetError::NoSlash);
    }
    remove_segments(&decode(raw)?, paths).map(Cow::Owned)
}

/// Refuses a normal path that backends read in two ways: `paths strict`.
pub(crate) fn has_one_reading(path: &str) -> Result<(), TargetError> {
    if path.contains("//") {
        return Err(TargetError::EmptySegment);
    }
    if path.contains(';') {
        return Err(TargetError::Parameters);
    }
    // In a normal path escapes are in upper case, and those of a `%` hide others in either.
    if ["%2F", "%5C", "%252F", "%252f", "%255C", "%255c"].iter().any(|escape| path.contains(escape)) {
        return Err(TargetError::EscapedSeparator);
    }
    // A dot is never escaped in a normal path, but a `%` is: `%252e`.
    let is_dots = |segment: &str| {
        let mut left = segment;
        while let Some(rest) =
            left.strip_prefix('.').or_else(|| left.strip_prefix("%252E")).or_else(|| left.strip_prefix("%252e"))
        {
            left = rest;
        }
        left.is_empty() && !segment.is_empty() && segment.contains('%')
    };
    if path.split('/').any(is_dots) { Err(TargetError::EscapedDots) } else { Ok(()) }
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

/// RFC 3986, 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// Whether a byte may stand bare in a path: `pchar` of RFC 3986, 3.3, and `/`.
const fn is_path_byte(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        )
}

/// [`is_path_byte`] for every byte: the scan below reads each byte of each request's path.
const PATH_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "the loop ends at 255")]
        {
            table[byte] = is_path_byte(byte as u8);
        }
        byte += 1;
    }
    table
};

/// Whether a path needs no change.
fn is_normal(path: &[u8], paths: Paths) -> bool {
    let merge = paths == Paths::Merge;
    let mut rest = path;
    if rest.first() != Some(&b'/') {
        return false;
    }
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'/' if begins_with_dot_segment(after) || merge && must_change(after) => return false,
            b'/' => {}
            b'%' => match after {
                [high, low, ..] if is_normal_escape(*high, *low) => {}
                _ => return false,
            },
            byte if PATH_BYTES[usize::from(*byte)] => {}
            _ => return false,
        }
    }
    true
}

const fn begins_with_dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// Whether merging changes or refuses what stands after a slash: another slash, or dots with parameters.
const fn must_change(rest: &[u8]) -> bool {
    matches!(rest, [b'/', ..] | [b'.', b';', ..] | [b'.', b'.', b';', ..])
}

/// Whether `%` and these two digits may stay as they are.
fn is_normal_escape(high: u8, low: u8) -> bool {
    match (hex(high), hex(low)) {
        (Some(high_value), Some(low_value)) => {
            let byte = high_value << 4 | low_value;
            !high.is_ascii_lowercase() && !low.is_ascii_lowercase() && byte != 0 && !is_unreserved(byte)
        }
        _ => false,
    }
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Decodes escaped unreserved characters; escapes what may not stand bare.
fn decode(path: &str) -> Result<String, TargetError> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => return Err(TargetError::Backslash),
            0 => return Err(TargetError::Nul),
            b'%' => {
                let [high, low, after @ ..] = rest else {
                    return Err(TargetError::BadEscape);
                };
                let (Some(high), Some(low)) = (hex(*high), hex(*low)) else {
                    return Err(TargetError::BadEscape);
                };
                rest = after;
                match high << 4 | low {
                    0 => return Err(TargetError::Nul),
                    byte if is_unreserved(byte) => out.push(char::from(byte)),
                    byte => out.push_str(percent_encode_byte(byte)),
                }
            }
            byte if is_path_byte(*byte) => out.push(char::from(*byte)),
            byte => out.push_str(percent_encode_byte(*byte)),
        }
    }
    Ok(out)
}

/// Escapes what is not `allowed`, and a `%` that begins no escape.
pub(crate) fn escaped(text: &str, allowed: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if allowed(byte) && (byte != b'%' || is_escape(text, at)) {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encode_byte(byte));
        }
    }
    out
}

/// Whether a URI reference may have a character (RFC 3986, 2).
pub(crate) const fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Whether the `%` at `at` has two hexadecimal digits after it.
pub(crate) fn is_escape(text: &str, at: usize) -> bool {
    matches!(
        text.as_bytes().get(at + 1..at + 3),
        Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
    )
}

/// Removes dot segments (RFC 3986, 5.2.4, but `..` above the root is an error), and with `paths merge` empty ones.
fn remove_segments(path: &str, paths: Paths) -> Result<String, TargetError> {
    let merge = paths == Paths::Merge;
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    let cut = out.rfind('/').ok_or(TargetError::AboveRoot)?;
                    out.truncate(cut);
                }
                if last {
                    out.push('/');
                }
            }
            "" if merge && !last => {}
            segment if merge && matches!(segment.split_once(';'), Some(("." | "..", _))) => {
                return Err(TargetError::DotsWithParameters);
            }
            segment => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    Ok(out)
}

impl fmt::Display for TargetError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::AboveRoot => "the path goes above its root with `..`",
            Self::Nul => "the path contains `%00`",
            Self::BadEscape => {
                "the path has a `%` without two hexadecimal digits after it; a bare `%` is written `%25`"
            }
            Self::Backslash => "the path has a bare `\\`, which is written `%5C`",
            Self::NoSlash => "the path does not begin with `/`",
            Self::TooLong => "the request target is too long",
            Self::NoTarget => "it has characters that no request target has",
            Self::DotsWithParameters => "the path has a segment of dots with parameters (`..;`)",
            Self::EmptySegment => "the path has an empty segment (`//`), which `paths strict` refuses",
            Self::EscapedSeparator => "the path has an escaped `/` or `\\`, which `paths strict` refuses",
            Self::Parameters => "the path has a `;`, which `paths strict` refuses",
            Self::EscapedDots => "the path has a segment of dots that is escaped twice, which `paths strict` refuses",
        })
    }
}

impl std::error::Error for TargetError {}

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

    fn normal(raw: &str) -> Result<String, TargetError> {
        target(&PathAndQuery::try_from(raw).unwrap(), Paths::Plain).map(|target| target.as_str().to_owned())
    }

    #[test]
    fn paths_come_out_in_one_spelling() {
        for (raw, expected) in [
            ("/", "/"),
            ("*", "*"),
            ("?q=1", "/?q=1"),
            ("/a/b?c=%7e&d=../x", "/a/b?c=%7e&d=../x"),
            ("/%61%2D%2e%5F%7e", "/a-._~"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/../c", "/a/c"),
            ("/a/.", "/a/"),
            ("/.", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a//b/", "/a//b/"),
            ("//a", "//a"),
            ("/a//../b", "/a/b"),
            ("/a%2fb%5c", "/a%2Fb%5C"),
            ("/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/...", "/..."),
            ("/..a/.b", "/..a/.b"),
            ("/a{b}|^", "/a%7Bb%7D%7C%5E"),
            ("/caf\u{e9}", "/caf%C3%A9"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/%0a", "/%0A"),
        ] {
            assert_eq!(normal(raw).as_deref(), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn what_has_no_safe_meaning_is_refused() {
        for (raw, error) in [
            ("/..", TargetError::AboveRoot),
            ("/../", TargetError::AboveRoot),
            ("/a/../../b", TargetError::AboveRoot),
            ("/%2e%2e/etc", TargetError::AboveRoot),
            ("/a%00", TargetError::Nul),
            ("/a%", TargetError::BadEscape),
            ("/a%2", TargetError::BadEscape),
            ("/a%zz", TargetError::BadEscape),
            ("/a%+1", TargetError::BadEscape),
            ("/a\\b", TargetError::Backslash),
        ] {
            assert_eq!(normal(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn a_target_that_grows_too_long_is_refused() {
        let raw = format!("/{}", "\u{e9}".repeat(30_000));
        assert_eq!(normal(&raw), Err(TargetError::TooLong));
    }

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
        /// Texts dense in what matters.
        #[test]
        fn a_normal_target_stays(raw in "/([a-c./\\\\%]|%2[eEfF5]|%00|%6[0-9a-f]|\\PC){0,24}(\\?[a-z%.=/]{0,8})?") {
            let Ok(raw) = PathAndQuery::try_from(raw.as_str()) else { return Ok(()) };
            for paths in [Paths::Merge, Paths::Plain] {
                let Ok(once) = target(&raw, paths) else { continue };
                prop_assert_eq!(&target(&once, paths), &Ok(once.clone()));
                prop_assert!(is_normal(once.path().as_bytes(), paths));
                prop_assert!(once.path().split('/').all(|segment| segment != "." && segment != ".."));
                prop_assert!(once.path().bytes().all(|byte| is_path_byte(byte) || byte == b'%'));
                prop_assert!(paths == Paths::Plain || !once.path().contains("//"));
                prop_assert_eq!(once.query(), raw.query());
            }
        }

        /// The fast path says "normal" exactly where the slow one changes nothing.
        #[test]
        fn the_scan_agrees_with_the_rewrite(raw in "/([a-c./;]|%2[eEfF5]|%[0-9a-f]{2}){0,16}") {
            for paths in [Paths::Merge, Paths::Plain] {
                let slow = decode(&raw).and_then(|decoded| remove_segments(&decoded, paths));
                prop_assert_eq!(is_normal(raw.as_bytes(), paths), slow.as_deref() == Ok(&raw));
            }
        }

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
            if let Ok(raw) = PathAndQuery::try_from(&raw[..]) {
                let _ = (target(&raw, Paths::Merge), target(&raw, Paths::Strict));
            }
        }
    }
}
