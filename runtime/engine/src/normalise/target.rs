//! Request targets: the one spelling of a path, and which paths have none.

use std::borrow::Cow;
use std::fmt;

use http::uri::PathAndQuery;
use percent_encoding::percent_encode_byte;
use tidegate_dsl::plan::Paths;

use crate::uri::{hex, is_unreserved};

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
        fn any_bytes_are_taken(raw in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(raw) = PathAndQuery::try_from(&raw[..]) {
                let _ = (target(&raw, Paths::Merge), target(&raw, Paths::Strict));
            }
        }
    }
}
