//! Tests that no request meets: paths and hosts in a spelling that no request has once it was normalised.
//!
//! Requests come to rules with their path and host in one spelling: what is here says which characters that has. What is
//! proved is proved for every text that a test could meet, so that nothing which might hold is refused.

use std::net::Ipv6Addr;

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use super::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::Subject;
use crate::source::Span;

/// Which texts a subject has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Path,
    Host,
    /// Host and port.
    Authority,
}

impl Kind {
    fn of(subject: &Subject) -> Option<Self> {
        match subject {
            Subject::Path => Some(Self::Path),
            Subject::Host | Subject::Sni => Some(Self::Host),
            Subject::Header(name) if name == "host" => Some(Self::Authority),
            _ => None,
        }
    }

    /// Whether a text of this kind can have the character.
    fn has(self, c: char) -> bool {
        match self {
            Self::Path => c == '%' || c == '/' || is_path_char(c),
            Self::Host | Self::Authority => is_host_char(c) || matches!(c, '[' | ']' | ':'),
        }
    }
}

/// RFC 3986, 2.3.
fn is_unreserved(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~')
}

/// What stands bare in a segment of a path (RFC 3986, 3.3).
fn is_path_char(c: char) -> bool {
    is_unreserved(c) || ":@!$&'()*+,;=".contains(c)
}

/// What a host name has, in lower case (RFC 3986, 3.2.2, without escapes).
fn is_host_char(c: char) -> bool {
    !c.is_ascii_uppercase() && (is_unreserved(c) || "!$&'()*+,;=".contains(c))
}

impl Checker<'_, '_> {
    /// A path of `is` or `under`. Escapes in it are put into their one spelling by whoever compares.
    pub(super) fn check_path_reached(&mut self, path: &str, span: Span, word: &str, test: Option<Span>) -> Option<()> {
        if path.contains('*') {
            let prefix = path.strip_suffix("/*").or_else(|| path.strip_suffix('*')).unwrap_or_default();
            let whole = if prefix.is_empty() { "/" } else { prefix };
            let report = Diagnostic::new(
                codes::BAD_TEXT,
                span,
                format!("`{word}` compares exactly, and a `*` is only a `*` there: {}", quoted(path)),
            );
            let (mend, shown) = if prefix.contains('*') || !path.ends_with('*') {
                (None, "write `like` in its place".to_owned())
            } else {
                let text = format!("\"{whole}\"");
                (Some(text.clone()), format!("write `under {text}`, or `like`"))
            };
            let report = report.help(shown);
            self.report(match (test, mend) {
                (Some(test), Some(mend)) => report.edit(test, "under").edit(span, mend),
                (Some(test), None) if word == "is" => report.edit(test, "like"),
                _ => report,
            });
            return None;
        }
        let why = unreachable_path(path);
        if why.is_empty() {
            return Some(());
        }
        self.report(Diagnostic::new(codes::NEVER_MET, span, why).help("write the path as requests have it"));
        None
    }

    /// A host of `is`, without a final dot and in ASCII.
    pub(super) fn check_host_reached(&mut self, host: &str, span: Span) -> Option<()> {
        let bare = host.strip_prefix('[').map_or(host, |rest| rest.strip_suffix(']').unwrap_or(rest));
        if let Ok(address) = bare.parse::<Ipv6Addr>() {
            let spelt = format!("[{address}]");
            if host.eq_ignore_ascii_case(&spelt) || host.eq_ignore_ascii_case(&address.to_string()) {
                return Some(());
            }
            let report =
                Diagnostic::new(codes::NEVER_MET, span, "addresses of IPv6 are compared in one spelling (RFC 5952)");
            self.report(report.write(&format!("\"{spelt}\"")));
            return None;
        }
        let lower = host.to_ascii_lowercase();
        let odd = lower.chars().find(|c| !is_host_char(*c));
        let why = match odd {
            Some(c) => format!("no host has the character {}", quoted(&c.to_string())),
            None if lower.split('.').any(str::is_empty) => "no host has an empty label".to_owned(),
            None => return Some(()),
        };
        self.report(Diagnostic::new(codes::NEVER_MET, span, why).help("write a host, as `\"shop.example\"`"));
        None
    }

    /// A glob of `like`; of `header "host"`, also a text of `is`.
    pub(super) fn check_glob(&mut self, subject: &Subject, glob: &str, span: Span) -> Option<()> {
        let Some(kind) = Kind::of(subject) else { return Some(()) };
        let report = match kind {
            Kind::Path => match path_glob(glob) {
                Spelt::Right => {
                    self.doubt_path_glob(glob, span);
                    return Some(());
                }
                Spelt::Other(mend) => Diagnostic::new(
                    codes::NEVER_MET,
                    span,
                    "paths are compared as they stand in requests, with their escapes",
                )
                .write(&format!("\"{mend}\"")),
                Spelt::Never(why) => {
                    Diagnostic::new(codes::NEVER_MET, span, why).help("write the path as requests have it")
                }
            },
            Kind::Host | Kind::Authority => host_glob(kind, glob, span),
        };
        if report.message.is_empty() {
            return Some(());
        }
        self.report(report);
        None
    }

    /// An expression of `matches` that was read.
    pub(super) fn check_regex_meets(&mut self, subject: &Subject, text: &str, span: Span) -> Option<()> {
        let Some(kind) = Kind::of(subject) else { return Some(()) };
        let Ok(hir) = regex_syntax::parse(text) else { return Some(()) };
        if meets(&hir, kind) && begins_rightly(&hir, kind) {
            return Some(());
        }
        let mend = mended(text, kind)
            .filter(|mend| regex_syntax::parse(mend).is_ok_and(|hir| meets(&hir, kind) && begins_rightly(&hir, kind)));
        let (message, help) = match kind {
            Kind::Path => (
                "no path meets this expression: it asks for what paths have escaped, or not at all",
                "write the path as requests have it: `%20` for a space, `%C3%A4` for `ä`, and `/` at its beginning",
            ),
            Kind::Host | Kind::Authority => (
                "no host meets this expression: hosts are compared in lower case, and in ASCII",
                "write the host as it is compared, in lower case; letters beyond ASCII as DNS has them, with `xn--`",
            ),
        };
        let report = Diagnostic::new(codes::NEVER_MET, span, message);
        self.report(match mend {
            Some(mend) => {
                let mend = format!("\"{mend}\"");
                report.help(format!("write {}", quoted(&mend))).edit(span, mend)
            }
            None => report.help(help),
        });
        None
    }

    /// Warns of a `*` in a text that is compared exactly.
    pub(super) fn doubt_exact_glob(&mut self, text: &str, span: Span, test: Option<Span>) {
        // A media type is a text with `*` of its own.
        let glob = text.len() > 1 && (text.starts_with('*') || text.ends_with('*'));
        if !glob || text.contains("*/") || text.contains("/*") {
            return;
        }
        let report =
            Diagnostic::new(codes::EXACT_GLOB, span, format!("`is` compares exactly: {} holds a `*`", quoted(text)))
                .help("write `like` in place of `is`, if any run of characters is meant");
        self.report(match test {
            Some(test) => report.edit(test, "like"),
            None => report,
        });
    }
}

/// What is wrong with a glob of hosts; an empty message if nothing is.
fn host_glob(kind: Kind, glob: &str, span: Span) -> Diagnostic {
    let never = |why: &str| Diagnostic::new(codes::NEVER_MET, span, why);
    let lower = glob.to_ascii_lowercase();
    let odd = lower.chars().find(|c| !kind.has(*c) && !matches!(c, '*' | '?'));
    let (host, port) = glob.rsplit_once(':').unwrap_or((glob, ""));
    let has_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':');
    if let Some(rest) = glob.split_once("://").map(|(_, rest)| rest) {
        never("a host stands without its scheme").write(&format!("\"{rest}\""))
    } else if let Some(c) = odd {
        let why = format!("no host has the character {}", quoted(&c.to_string()));
        let help =
            if c.is_ascii() { "a host stands without path and query" } else { "write it as DNS has it, with `xn--`" };
        never(&why).help(help)
    } else if kind == Kind::Host && has_port {
        never("a host stands without its port").write(&format!("\"{host}\""))
    } else if let Some(without) = glob.strip_suffix('.') {
        never("hosts are compared without their final dot").write(&format!("\"{without}\""))
    } else if kind == Kind::Authority && lower != glob {
        never("hosts are compared in lower case").write(&format!("\"{lower}\""))
    } else {
        never("")
    }
}

/// A text of a test beside the spelling of requests.
enum Spelt {
    /// Requests may have it.
    Right,
    /// Requests have it in this spelling.
    Other(String),
    /// No request has it, and why.
    Never(&'static str),
}

/// Why no request has a path that `is` and `under` name; empty if one may. Such a path is normalised before it is compared.
fn unreachable_path(path: &str) -> &'static str {
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
    match path_glob(&format!("/{segment}")) {
        Spelt::Other(other) => other.get(1..).unwrap_or_default().to_owned(),
        _ => segment.to_owned(),
    }
}

fn escapes_are_whole(path: &str) -> bool {
    path.match_indices('%').all(|(at, _)| {
        path.as_bytes().get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// The spelling that requests have for a glob of paths.
fn path_glob(glob: &str) -> Spelt {
    if glob.contains('\\') {
        return Spelt::Never("no path has a bare `\\`, which is written `%5C`");
    }
    if glob.split('/').skip(1).any(|segment| matches!(segment, "." | "..")) {
        return Spelt::Never("no path has a segment `.` or `..`: they are taken out");
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
                Escape::Byte(0) => return Spelt::Never("no path has a NUL"),
                Escape::Byte(byte) => {
                    out.push_str(&format!("%{byte:02X}"));
                    used = 3;
                }
                // A wildcard stands for digits.
                Escape::Wild => out.push('%'),
                Escape::Broken => {
                    return Spelt::Never(
                        "no path has a `%` without two hexadecimal digits behind it; a `%` itself is written `%25`",
                    );
                }
            },
            '*' | '?' | '/' => out.push(c),
            c if is_path_char(c) => out.push(c),
            c => {
                let mut bytes = [0; 4];
                c.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
            }
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    if !out.starts_with(['/', '*', '?']) && !out.is_empty() {
        out.insert(0, '/');
    }
    if out == glob { Spelt::Right } else { Spelt::Other(out) }
}

/// What a `%` begins.
enum Escape {
    Byte(u8),
    /// A wildcard of a glob stands in it, or the text ends.
    Wild,
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
fn meets(hir: &Hir, kind: Kind) -> bool {
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
fn escapes_fit(text: &str, kind: Kind) -> bool {
    kind != Kind::Path
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
fn begins_rightly(hir: &Hir, kind: Kind) -> bool {
    let HirKind::Concat(parts) = hir.kind() else { return true };
    match parts.as_slice() {
        [start, next, ..] if kind == Kind::Path && matches!(start.kind(), HirKind::Look(Look::Start)) => {
            match next.kind() {
                HirKind::Literal(literal) => matches!(literal.0.first(), Some(b'/' | b'*')),
                _ => true,
            }
        }
        _ => true,
    }
}

/// An expression with what no text has put right, where that needs no thought.
fn mended(text: &str, kind: Kind) -> Option<String> {
    if kind != Kind::Path {
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
            let mut bytes = [0; 4];
            c.encode_utf8(&mut bytes).bytes().for_each(|byte| out.push_str(&format!("%{byte:02X}")));
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
        for never in ["/a%zz", "/100%", "/a\\b", "/a/../b*", "/%00"] {
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
            assert!(meets(right, Kind::Path), "{right}");
        }
        for wrong in ["ä", "^/a b", "%7E", "%2f", "^admin", r"\\", "%zz", "[ä]", "^/(ä|ö)"] {
            assert!(!meets(wrong, Kind::Path), "{wrong}");
        }
        for right in [r"^b\.x$", r"(?i)^B\.x$", "[A-z]", r"\.shop\.example$", r"^\["] {
            assert!(meets(right, Kind::Host), "{right}");
        }
        for wrong in [r"^B\.x$", "/", "ü", "[A-Z]"] {
            assert!(!meets(wrong, Kind::Host), "{wrong}");
        }
    }
}
