//! The one spelling that paths and hosts have once a request was normalised, and whether a glob or an expression can
//! meet it.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::plan::Subject;

/// The kind of texts that a subject has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum UriComponent {
    Path,
    Host,
    /// Host and port.
    Authority,
}

impl UriComponent {
    pub(super) fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Path => Some(Self::Path),
            Subject::Host | Subject::Sni => Some(Self::Host),
            Subject::Header(name) if name == "host" => Some(Self::Authority),
            _ => None,
        }
    }

    /// Whether a text of this kind can have the character.
    pub(super) fn has(self, c: char) -> bool {
        match self {
            Self::Path => c == '%' || c == '/' || is_path_char(c),
            Self::Host | Self::Authority => is_host_char(c) || matches!(c, '[' | ']' | ':'),
        }
    }
}

/// Whether a character is unreserved (RFC 3986, 2.3).
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// Whether a character stands bare in a segment of a path (RFC 3986, 3.3).
fn is_path_char(c: char) -> bool {
    is_unreserved(c) || ":@!$&'()*+,;=".contains(c)
}

/// Whether a host name in lower case can have a character (RFC 3986, 3.2.2, without escapes).
pub(super) fn is_host_char(c: char) -> bool {
    !c.is_ascii_uppercase() && (is_unreserved(c) || "!$&'()*+,;=".contains(c))
}

/// A text of a test beside the spelling of requests.
pub(super) enum Spelt {
    /// Requests may have the text.
    Right,
    /// Requests have the text in this spelling.
    Other(String),
    /// No request has the text, for this reason.
    Never(&'static str),
}

/// The reason why no request has a path that `is` or `under` names; empty if one may. Such a path is normalised before
/// it is compared.
pub(super) fn unreachable_path(path: &str) -> &'static str {
    let mut depth = 0_i64;
    for segment in path.split('/').skip(1) {
        depth += match decoded(segment).as_str() {
            "." => 0,
            ".." => -1,
            _ => 1,
        };
        if depth < 0 {
            return "no path goes above its root with `..`";
        }
    }
    if path.contains('\\') {
        "no path has a bare `\\`, which is written `%5C`"
    } else if !escapes_are_whole(path) {
        "no path has a `%` without two hexadecimal digits behind it; a `%` itself is written `%25`"
    } else if path.contains("%00") || path.contains('\0') {
        "no path has a NUL"
    } else {
        ""
    }
}

/// A segment with its escaped unreserved characters decoded.
fn decoded(segment: &str) -> String {
    respelt(&format!("/{segment}")).ok().and_then(|path| path.get(1..).map(str::to_owned)).unwrap_or_default()
}

fn escapes_are_whole(path: &str) -> bool {
    path.match_indices('%').all(|(at, _)| {
        path.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The spelling that requests have for a glob of paths.
pub(super) fn path_glob(glob: &str) -> Spelt {
    match respelt(glob) {
        Err(why) => Spelt::Never(why),
        Ok(path) if path.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) => {
            Spelt::Never("no path has a segment `.` or `..`: they are taken out")
        }
        Ok(path) if path == glob => Spelt::Right,
        Ok(path) => Spelt::Other(path),
    }
}

/// A path, perhaps with wildcards, with the escapes that requests have; segments of dots stay. Why no path is so, if none is.
fn respelt(glob: &str) -> Result<String, &'static str> {
    if glob.contains('\\') {
        return Err("no path has a bare `\\`, which is written `%5C`");
    }
    let mut out = String::with_capacity(glob.len());
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        let mut used = c.len_utf8();
        match c {
            '%' => match escape(rest) {
                Escape::Byte(byte) if is_unreserved(char::from(byte)) => {
                    out.push(char::from(byte));
                    used = 3;
                }
                Escape::Byte(0) => return Err("no path has a NUL"),
                Escape::Byte(byte) => {
                    out.push_str(&format!("%{byte:02X}"));
                    used = 3;
                }
                // A wildcard stands for digits.
                Escape::Wild => out.push('%'),
                Escape::Broken => {
                    return Err(
                        "no path has a `%` without two hexadecimal digits behind it; a `%` itself is written `%25`",
                    );
                }
            },
            '*' | '?' | '/' => out.push(c),
            c if is_path_char(c) => out.push(c),
            c => push_escaped(&mut out, c),
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    if !out.starts_with(['/', '*', '?']) && !out.is_empty() {
        out.insert(0, '/');
    }
    Ok(out)
}

/// Adds a character as the escapes of its bytes (RFC 3986, 2.1).
fn push_escaped(out: &mut String, c: char) {
    let mut bytes = [0; 4];
    c.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
}

/// The escape that a `%` begins.
enum Escape {
    Byte(u8),
    /// A wildcard of a glob stands in the escape.
    Wild,
    /// Two hexadecimal digits do not follow.
    Broken,
}

fn escape(text: &str) -> Escape {
    let mut value = 0;
    for at in 1..3 {
        match text.as_bytes().get(at).map(|byte| char::from(*byte)) {
            Some('*' | '?') => return Escape::Wild,
            Some(c) => match c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()) {
                Some(digit) => value = value * 16 + digit,
                None => return Escape::Broken,
            },
            None => return Escape::Broken,
        }
    }
    Escape::Byte(value)
}

/// Whether an expression can find something in a text of the kind, as far as its characters tell.
pub(super) fn meets(hir: &Hir, kind: UriComponent) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
            .is_ok_and(|text| text.chars().all(|c| kind.has(c)) && escapes_fit(text, kind)),
        HirKind::Class(Class::Unicode(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end().min('\u{7f}')).any(|c| kind.has(c)))
        }
        HirKind::Class(Class::Bytes(class)) => {
            class.ranges().iter().any(|range| (range.start()..=range.end()).any(|byte| kind.has(char::from(byte))))
        }
        HirKind::Repetition(repetition) => repetition.min == 0 || meets(&repetition.sub, kind),
        HirKind::Capture(capture) => meets(&capture.sub, kind),
        HirKind::Concat(parts) => parts.iter().all(|part| meets(part, kind)),
        HirKind::Alternation(parts) => parts.iter().any(|part| meets(part, kind)),
    }
}

/// Whether each whole escape of a run of plain characters is one that normalised paths still have.
fn escapes_fit(text: &str, kind: UriComponent) -> bool {
    kind != UriComponent::Path
        || text.match_indices('%').all(|(at, _)| {
            let Some(rest) = text.get(at..).filter(|rest| rest.len() >= 3) else { return true };
            match escape(rest) {
                Escape::Byte(byte) => {
                    let upper = !rest.bytes().take(3).any(|b| b.is_ascii_lowercase());
                    upper && byte != 0 && !is_unreserved(char::from(byte))
                }
                // Here `*` and `?` are characters, too.
                Escape::Wild | Escape::Broken => false,
            }
        })
}

/// Whether what an expression asks for at the very beginning is what paths begin with.
pub(super) fn begins_rightly(hir: &Hir, kind: UriComponent) -> bool {
    let HirKind::Concat(parts) = hir.kind() else { return true };
    match parts.as_slice() {
        [start, next, ..] if kind == UriComponent::Path && matches!(start.kind(), HirKind::Look(Look::Start)) => {
            match next.kind() {
                HirKind::Literal(literal) => matches!(literal.0.first(), Some(b'/' | b'*')),
                _ => true,
            }
        }
        _ => true,
    }
}

/// An expression with what no text has put right, where that needs no thought.
pub(super) fn mended(text: &str, kind: UriComponent) -> Option<String> {
    if kind != UriComponent::Path {
        return (text.is_ascii() && !text.contains('"')).then(|| format!("(?i){text}"));
    }
    if text.contains(['[', '"']) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == ' ' || !c.is_ascii() {
            // What repeats it would repeat the last byte alone.
            if matches!(rest.peek(), Some('?' | '*' | '+' | '{')) {
                return None;
            }
            push_escaped(&mut out, c);
        } else if c == '%' {
            let ahead: String = std::iter::once('%').chain(rest.clone().take(2)).collect();
            match escape(&ahead) {
                Escape::Byte(byte) => {
                    let plain = char::from(byte);
                    out.push_str(&match plain {
                        '.' => "\\.".to_owned(),
                        plain if is_unreserved(plain) => plain.to_string(),
                        _ => ahead.to_ascii_uppercase(),
                    });
                    rest.next();
                    rest.next();
                }
                _ => return None,
            }
        } else {
            out.push(c);
        }
    }
    if let Some(after) = out.strip_prefix('^')
        && after.starts_with(|c: char| c.is_ascii_alphanumeric())
    {
        out = format!("^/{after}");
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;

    #[test]
    fn globs_have_one_spelling() {
        for (glob, spelt) in [
            ("/a%2fb*", "/a%2Fb*"),
            ("/%c3%a9tage", "/%C3%A9tage"),
            ("/étage/*", "/%C3%A9tage/*"),
            ("/a b", "/a%20b"),
            ("/%7Euser/*", "/~user/*"),
            ("admin/*", "/admin/*"),
        ] {
            assert!(matches!(path_glob(glob), Spelt::Other(other) if other == spelt), "{glob}");
        }
        for right in ["*", "", "/", "/a/*", "*.html", "/%2F?", "/a%*", "/~a", "/a;b=c"] {
            assert!(matches!(path_glob(right), Spelt::Right), "{right}");
        }
        for never in ["/a%zz", "/100%", "/a\\b", "/a/../b*", "/a/%2e%2e/b*", "/%2E", "/%00"] {
            assert!(matches!(path_glob(never), Spelt::Never(_)), "{never}");
        }
    }

    #[test]
    fn paths_that_are_normalised_may_be_spelt_as_one_likes() {
        for path in ["/", "/%7Ea", "/é", "/a b", "/a/../b", "/a/%2e%2e/b", "/%2f"] {
            assert_eq!(unreachable_path(path), "", "{path}");
        }
        for path in ["/a%zz", "/..", "/a/../../b", "/a\\b", "/%00", "/%"] {
            assert_ne!(unreachable_path(path), "", "{path}");
        }
    }

    #[test]
    fn expressions_that_nothing_meets_are_found() {
        let meets = |text: &str, kind| {
            let hir = regex_syntax::parse(text).expect("it parses");
            meets(&hir, kind) && begins_rightly(&hir, kind)
        };
        for right in
            ["^/a", "a", "^/(ä|b)$", "ä?", "^/[äa]", r"^/\S+$", r"%2F", "(?i)%2f", "", "^$", "[^/]", r"^\*$", "%"]
        {
            assert!(meets(right, UriComponent::Path), "{right}");
        }
        for wrong in ["ä", "^/a b", "%7E", "%2f", "^admin", r"\\", "%zz", "[ä]", "^/(ä|ö)"] {
            assert!(!meets(wrong, UriComponent::Path), "{wrong}");
        }
        for right in [r"^b\.x$", r"(?i)^B\.x$", "[A-z]", r"\.shop\.example$", r"^\["] {
            assert!(meets(right, UriComponent::Host), "{right}");
        }
        for wrong in [r"^B\.x$", "/", "ü", "[A-Z]"] {
            assert!(!meets(wrong, UriComponent::Host), "{wrong}");
        }
    }
}
