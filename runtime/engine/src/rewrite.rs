//! `rewrite path|host|query`: template texts made into valid parts of a URI.

use percent_encoding::percent_encode_byte;
use tidegate_dsl::plan::UriPart;

use crate::exchange::Request;
use crate::normalise;
use crate::target::Target;
use crate::uri;

/// Replaces a part of what the backend is asked for.
///
/// The text is made safe: what may not stand in that part is escaped, and a path is normalised again. If that does not
/// help (a path above its root, a host that is none), the request keeps what it had.
///
/// Returns whether the request was changed.
pub(crate) fn rewrite(request: &mut Request, part: UriPart, text: &str) -> bool {
    match part {
        UriPart::Host => match normalise::authority(text.as_bytes()) {
            Ok(authority) => {
                request.set_authority(authority);
                true
            }
            Err(_) => false,
        },
        UriPart::Path => match with_path(text, &request.target) {
            Some(target) => set(&mut request.target, target),
            None => false,
        },
        UriPart::Query => match with_query(text, &request.target) {
            Some(target) => set(&mut request.target, target),
            None => false,
        },
    }
}

fn set<T>(place: &mut T, value: T) -> bool {
    *place = value;
    true
}

fn with_path(text: &str, target: &Target) -> Option<Target> {
    let slash = if text.starts_with('/') { "" } else { "/" };
    let mut raw = String::with_capacity(text.len() + 1);
    raw.push_str(slash);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'%' if uri::is_escape(text, at) => raw.push('%'),
            b'%' | b'?' | b'#' | b'\\' => raw.push_str(percent_encode_byte(byte)),
            byte if byte.is_ascii() => raw.push(char::from(byte)),
            byte => raw.push_str(percent_encode_byte(byte)),
        }
    }
    target.with_path(&raw).ok()
}

fn with_query(text: &str, target: &Target) -> Option<Target> {
    let query = uri::escaped(text, |byte| uri::is_uri_byte(byte) && byte != b'#');
    let query = Some(query.as_str()).filter(|query| !query.is_empty());
    target.with_query(query).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    fn rewritten(part: UriPart, text: &str) -> String {
        let mut exchange = testing::exchange("GET", "shop.example:81", "/a?q=1");
        let changed = rewrite(&mut exchange.request, part, text);
        let request = &exchange.request;
        let after = format!("{}{}", request.authority, *request.target);
        assert!(changed || after == "shop.example:81/a?q=1");
        after
    }

    #[test]
    fn paths() {
        for (text, expected) in [
            ("/b", "/b?q=1"),
            ("b", "/b?q=1"),
            ("", "/?q=1"),
            ("/b/../c/%7e", "/c/~?q=1"),
            ("/b?x=1#y", "/b%3Fx=1%23y?q=1"),
            ("/100%", "/100%25?q=1"),
            ("/a b\r\n", "/a%20b%0D%0A?q=1"),
            ("/a\\b", "/a%5Cb?q=1"),
            ("/caf\u{e9}%2f", "/caf%C3%A9%2F?q=1"),
            // These keep what there was.
            ("/../b", "/a?q=1"),
            ("/%00", "/a?q=1"),
            ("/a\0", "/a?q=1"),
        ] {
            assert_eq!(rewritten(UriPart::Path, text), format!("shop.example:81{expected}"), "{text}");
        }
    }

    #[test]
    fn queries_and_hosts() {
        for (text, expected) in
            [("", "/a"), ("x=1&y=%20", "/a?x=1&y=%20"), ("x=a b#c", "/a?x=a%20b%23c"), ("x=100%\n", "/a?x=100%25%0A")]
        {
            assert_eq!(rewritten(UriPart::Query, text), format!("shop.example:81{expected}"), "{text}");
        }
        assert_eq!(rewritten(UriPart::Host, "API.example"), "api.example/a?q=1");
        assert_eq!(rewritten(UriPart::Host, "a b"), "shop.example:81/a?q=1");
        assert_eq!(rewritten(UriPart::Host, ""), "shop.example:81/a?q=1");
    }

    proptest! {
        #[test]
        fn any_text_leaves_a_valid_request(text in "([a-z/.%?#\\\\]|%[0-9a-f]{2}|\\PC|[\\x00-\\x20]){0,24}") {
            for part in [UriPart::Path, UriPart::Host, UriPart::Query] {
                let mut exchange = testing::exchange("GET", "shop.example", "/a?q=1");
                rewrite(&mut exchange.request, part, &text);
                let target = &exchange.request.target;
                prop_assert!(target.as_str().starts_with('/'));
                prop_assert_eq!(&target.replaced(target), &Ok(target.clone()));
                prop_assert!(http::HeaderValue::from_str(exchange.request.authority.as_str()).is_ok());
            }
        }
    }
}
