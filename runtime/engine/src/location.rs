//! The `Location` of a redirect (RFC 9110, 10.2.2): it goes where the policy's own text says, whatever is inserted.
//!
//! Browsers read more than RFC 3986 has (<https://url.spec.whatwg.org/#url-parsing>): they take `\` for `/`, drop tabs and line ends
//! wherever they stand, and spaces and controls in front, and take what follows two slashes for a host. What may not stand in a
//! URI is escaped here, so that none of that is left but what the text begins with.

use std::ops::Range;

use crate::uri;
use percent_encoding::percent_encode_byte;

/// A part of a text that was put together.
#[derive(Debug, Clone)]
pub(crate) struct LocationPart {
    /// The place of the part in the text.
    pub(crate) range: Range<usize>,
    /// Whether the part is said by the policy, and by no client.
    pub(crate) own: bool,
}

/// The reason that there is no location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The inserted text makes a scheme, and the policy names no host.
    Scheme,
    /// The text that was inserted as the host is empty.
    NoHost,
}

impl Refused {
    /// The reason in the user's words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Scheme => "what is inserted would name another scheme, and the location names no host",
            Self::NoHost => "what is inserted leaves the location without a host",
        }
    }
}

/// A location without insertions: where it goes is the policy's own word.
pub(crate) fn fixed(text: &str) -> String {
    escaped(text)
}

/// A location with insertions. Without `scheme://` at the beginning of the policy's own text it stays on the host that was
/// asked; with it, on the host that follows.
pub(crate) fn made(text: &str, parts: &[LocationPart]) -> Result<String, Refused> {
    let lead = parts.iter().take_while(|part| part.own).last().map_or(0, |part| part.range.end);
    match authority_start(text.get(..lead).unwrap_or_default()) {
        Some(start) => elsewhere(text, start, parts),
        None => here(text),
    }
}

/// The place where the authority begins: behind `scheme://`.
fn authority_start(lead: &str) -> Option<usize> {
    let scheme = lead.find("://")?;
    let name = lead.get(..scheme)?.as_bytes();
    let letters = name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    (letters && name.first()?.is_ascii_alphabetic()).then_some(scheme + "://".len())
}

/// A location on the host that was asked: it begins with one slash, or has no scheme.
fn here(text: &str) -> Result<String, Refused> {
    let text = text.trim_start_matches(|c: char| c <= ' ');
    if text.starts_with(is_slash) {
        let rest = text.trim_start_matches(|c| is_slash(c) || matches!(c, '\t' | '\n' | '\r'));
        return Ok(["/", &escaped(rest)].concat());
    }
    // No relative reference has a colon in its first segment (RFC 3986, 4.2).
    match text.find([':', '/', '\\', '?', '#']) {
        Some(at) if text.get(at..).is_some_and(|rest| rest.starts_with(':')) => Err(Refused::Scheme),
        _ => Ok(escaped(text)),
    }
}

/// A location on the host that follows `scheme://`: what is inserted there is no more than a piece of a host, and what
/// is inserted behind it begins a path.
fn elsewhere(text: &str, start: usize, parts: &[LocationPart]) -> Result<String, Refused> {
    let slice = |range: Range<usize>| text.get(range).unwrap_or_default();
    let mut out = slice(0..start).to_owned();
    for (at, part) in parts.iter().enumerate() {
        let piece = slice(part.range.start.max(start)..part.range.end.max(start));
        let rest = || escaped(slice(part.range.start.max(start)..text.len()));
        let empty = out.len() == start;
        match piece.find(['/', '?', '#']) {
            Some(end) if part.own || end == 0 => {
                return if empty && end == 0 { Err(Refused::NoHost) } else { Ok(out + &rest()) };
            }
            _ if part.own => out.push_str(&escaped(piece)),
            _ if piece.is_empty() => {}
            _ if goes_on(text, parts.get(at + 1..).unwrap_or_default()) => push_host(&mut out, piece, b"-._~"),
            _ if out.ends_with(ends_host) => return Ok(out + "/" + &rest()),
            _ => push_host(&mut out, piece, b"-._~:[]"),
        }
    }
    if out.len() == start { Err(Refused::NoHost) } else { Ok(out) }
}

/// Whether the policy's own text goes on with the host behind an insertion.
fn goes_on(text: &str, parts: &[LocationPart]) -> bool {
    let own = parts.iter().filter(|part| part.own && !part.range.is_empty());
    let next = own.filter_map(|part| text.get(part.range.clone())).next();
    next.is_some_and(|next| !next.starts_with(['/', '?', '#']))
}

/// Whether a host may end with this character.
const fn ends_host(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ']'
}

const fn is_slash(c: char) -> bool {
    matches!(c, '/' | '\\')
}

/// A piece of a host: what has neither letters, digits nor one of these is escaped. A port ends a host, an address is a whole one.
fn push_host(out: &mut String, piece: &str, marks: &[u8]) {
    for byte in piece.bytes() {
        if byte.is_ascii_alphanumeric() || marks.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encode_byte(byte));
        }
    }
}

/// The text with every character that a URI reference may have (RFC 3986, 2), the others escaped, and a `%` that begins
/// no escape.
fn escaped(text: &str) -> String {
    uri::escaped(text, uri::is_uri_byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A location of pieces, of which those in `<…>` are inserted.
    fn location(pieces: &[&str]) -> Result<String, Refused> {
        let mut text = String::new();
        let parts: Vec<LocationPart> = pieces
            .iter()
            .map(|piece| {
                let inserted = piece.strip_prefix('<').and_then(|piece| piece.strip_suffix('>'));
                let start = text.len();
                text.push_str(inserted.unwrap_or(piece));
                LocationPart { range: start..text.len(), own: inserted.is_none() }
            })
            .collect();
        made(&text, &parts)
    }

    #[test]
    fn without_a_host_it_stays_here() {
        for (pieces, expected) in [
            (&["/", "</evil.example/>"][..], Ok("/evil.example/")),
            (&["/", "<//evil.example/>"], Ok("/evil.example/")),
            (&["//", "<evil.example/>"], Ok("/evil.example/")),
            (&["/", "<\\evil.example/>"], Ok("/evil.example/")),
            (&["/", "<\t/evil.example/>"], Ok("/evil.example/")),
            (&["<\t>", "/", "<\r\n\\\t/evil.example/>"], Ok("/evil.example/")),
            (&["< \u{1}//evil.example/>"], Ok("/evil.example/")),
            (&["/", "<%2Fevil.example/>"], Ok("/%2Fevil.example/")),
            (&["/", "<%09/evil.example/>"], Ok("/%09/evil.example/")),
            (&["/", "<.//evil.example>"], Ok("/.//evil.example")),
            (&["</a>", "?to=", "<https://x/>"], Ok("/a?to=https://x/")),
            (&["<a//b>"], Ok("a//b")),
            (&["<a?b:c>"], Ok("a?b:c")),
            (&["<>"], Ok("")),
            (&["/a/", "<b:c>"], Ok("/a/b:c")),
            (&["</a\r\nset-cookie: x>"], Ok("/a%0D%0Aset-cookie:%20x")),
            (&["<https://evil.example/>"], Err(Refused::Scheme)),
            (&["<https:evil.example>"], Err(Refused::Scheme)),
            (&["< javascript:alert(1)>"], Err(Refused::Scheme)),
            (&["<java\tscript:alert(1)>"], Err(Refused::Scheme)),
            (&["<https>", "://", "<evil.example>"], Err(Refused::Scheme)),
            (&["https:", "<//evil.example>"], Err(Refused::Scheme)),
            (&["https:/", "</evil.example>"], Err(Refused::Scheme)),
        ] {
            assert_eq!(location(pieces), expected.map(str::to_owned), "{pieces:?}");
        }
    }

    #[test]
    fn with_a_host_it_stays_there() {
        for (pieces, expected) in [
            (&["https://", "shop.example", "</a?b=1>"][..], Ok("https://shop.example/a?b=1")),
            (&["https://shop.example/", "<//evil.example>"], Ok("https://shop.example///evil.example")),
            (&["https://shop.example", "<.evil.example/>"], Ok("https://shop.example/.evil.example/")),
            (&["https://shop.example", "<@evil.example/>"], Ok("https://shop.example/@evil.example/")),
            (&["https://shop.example", "<:80@evil.example/>", "/x"], Ok("https://shop.example/:80@evil.example//x")),
            (&["https://shop.example", "<\\evil>"], Ok("https://shop.example/%5Cevil")),
            (&["https://shop.example", "<>", "</a>"], Ok("https://shop.example/a")),
            (&["https://shop.example", "<>"], Ok("https://shop.example")),
            (&["https://shop.example?to=", "</a b>"], Ok("https://shop.example?to=/a%20b")),
            (&["https://shop.example:8443", "<0/a>"], Ok("https://shop.example:8443/0/a")),
            (&["https://", "<a>", ".shop.example/x"], Ok("https://a.shop.example/x")),
            (&["https://", "<evil.example/>", ".shop.example/x"], Ok("https://evil.example%2F.shop.example/x")),
            (&["https://", "<evil.example#>", ".shop.example"], Ok("https://evil.example%23.shop.example")),
            (&["https://shop.", "<de/../x>", "/"], Ok("https://shop.de%2F..%2Fx/")),
            (&["https://", "<other.example:81>", "/x"], Ok("https://other.example:81/x")),
            (&["https://", "<evil.example:80>", ".shop.example/x"], Ok("https://evil.example%3A80.shop.example/x")),
            (&["https://", "<>", "/x"], Err(Refused::NoHost)),
            (&["https://", "</evil.example>"], Err(Refused::NoHost)),
            (&["https://", "<>"], Err(Refused::NoHost)),
            (&["https:///", "<evil.example>"], Err(Refused::NoHost)),
        ] {
            assert_eq!(location(pieces), expected.map(str::to_owned), "{pieces:?}");
        }
    }

    /// The host that a browser would go to from `https://here.example/a/b`, as the URL standard reads a reference.
    fn host_for_browsers(reference: &str) -> String {
        let dropped: String = reference.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
        let text = dropped.trim_matches(|c: char| c <= ' ').replace('\\', "/");
        let is_scheme = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        };
        let (scheme, rest) = match text.split_once(':') {
            Some((name, rest)) if is_scheme(name) => (Some(name.to_ascii_lowercase()), rest),
            _ => (None, text.as_str()),
        };
        let named = match scheme.as_deref() {
            None => rest.starts_with("//"),
            // Of its own scheme, a browser takes a reference without two slashes as relative.
            Some("https") => rest.starts_with("//"),
            Some(_) => true,
        };
        if !named {
            return "here.example".to_owned();
        }
        let authority = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        host.split(':').next().unwrap_or_default().to_ascii_lowercase()
    }

    #[test]
    fn the_model_of_a_browser_sees_the_tricks() {
        for trick in [
            "//evil.example/",
            "/\\evil.example",
            "/\t/evil.example",
            " //evil.example",
            "https:/\\/evil.example",
            "http:evil.example",
        ] {
            assert_eq!(host_for_browsers(trick), "evil.example", "{trick:?}");
        }
        assert_eq!(host_for_browsers("/a//evil.example"), "here.example");
    }

    proptest! {
        /// Whatever is inserted: the location is a URI reference, and leads to the host of the policy's own text.
        #[test]
        fn nothing_inserted_leads_away(
            inserted in "([a-z/\\\\.:@?#%]|//|evil\\.example|https?:|javascript:|%09|%2f|[\\x00-\\x20]|\\PC){0,12}",
            second in "[/\\\\a-z:.@\t ]{0,4}",
        ) {
            let (one, two) = (format!("<{inserted}>"), format!("<{second}>"));
            for (lead, middle, host) in [
                ("", "", "here.example"),
                ("/", "", "here.example"),
                ("//", "/", "here.example"),
                ("/old", "?x=", "here.example"),
                ("https://shop.example/", "", "shop.example"),
                ("https://shop.example", "", "shop.example"),
                ("https://shop.example:81", "/", "shop.example"),
                ("http://shop.example?x=", "&", "shop.example"),
            ] {
                let Ok(location) = location(&[lead, &one, middle, &two]) else { continue };
                prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic()), "{location:?}");
                prop_assert_eq!(host_for_browsers(&location), host, "{}", location);
            }
            if let Ok(location) = location(&["https://", &one, ".shop.example/", &two]) {
                prop_assert!(host_for_browsers(&location).ends_with(".shop.example"), "{}", location);
            }
        }
    }
}
