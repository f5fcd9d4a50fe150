//! Query parameters and cookies: every value of a name.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;

/// The values of a query parameter, decoded as forms are written (`%xx`, and `+` for a space).
///
/// A parameter without `=` has the empty value. What is no UTF-8 after decoding is replaced by U+FFFD.
pub(crate) fn query<'q>(query: &'q str, name: &str) -> impl Iterator<Item = Cow<'q, str>> {
    query.split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let same = if needs_decoding(key) { form_decoded(key) == name } else { key == name };
        // `&&` is no parameter without a name.
        (same && !pair.is_empty()).then(|| form_decoded(value))
    })
}

/// All query parameters as [`query`] reads them, in the order they came.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (form_decoded(key), form_decoded(value))
    })
}

fn needs_decoding(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'%' | b'+'))
}

fn form_decoded(text: &str) -> Cow<'_, str> {
    if !needs_decoding(text) {
        return Cow::Borrowed(text);
    }
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

/// The values of a cookie (RFC 6265, 5.4), over all `Cookie` fields.
///
/// As servers do, this takes more than the grammar: spaces around names and values, missing ones after `;`, and quotes
/// around a value, which do not belong to it. A cookie without `=` has the empty value.
pub(crate) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = Cow<'h, str>> {
    cookie_pairs(headers).filter(move |(key, _)| *key == name.as_bytes()).map(|(_, value)| cookie_value(value))
}

/// All cookies as [`cookie`] reads them, in the order they came. Names that are no UTF-8 are none that a policy can ask for.
pub(crate) fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
    cookie_pairs(headers).filter_map(|(key, value)| Some((std::str::from_utf8(key).ok()?, cookie_value(value))))
}

/// Names of cookies, which are not empty, and what stands from the `=` on.
fn cookie_pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::COOKIE).into_iter().flat_map(|line| {
        line.as_bytes().split(|byte| *byte == b';').filter_map(|pair| {
            let (key, value) = pair.split_at(pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len()));
            let key = key.trim_ascii();
            (!key.is_empty()).then_some((key, value))
        })
    })
}

fn cookie_value(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(unquoted(value.strip_prefix(b"=").unwrap_or(value).trim_ascii()))
}

const fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        value => value,
    }
}

/// The values of a header field, in the order they came. What is no UTF-8 is replaced by U+FFFD.
pub(crate) fn header<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = Cow<'h, str>> {
    headers.get_all(name).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parameters(text: &str, name: &str) -> Vec<String> {
        query(text, name).map(Cow::into_owned).collect()
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameters("a=1&b=2&a=3", "a"), ["1", "3"]);
        assert_eq!(parameters("a=x%20y+z", "a"), ["x y z"]);
        assert_eq!(parameters("a=%2B", "a"), ["+"]);
        assert_eq!(parameters("%61=1&a+b=2", "a"), ["1"]);
        assert_eq!(parameters("%61=1&a+b=2", "a b"), ["2"]);
        assert_eq!(parameters("beta", "beta"), [""]);
        assert_eq!(parameters("beta=&x", "beta"), [""]);
        assert_eq!(parameters("a=b=c", "a"), ["b=c"]);
        assert_eq!(parameters("a=%zz&b=%ff", "a"), ["%zz"]);
        assert_eq!(parameters("a=%zz&b=%ff", "b"), ["\u{fffd}"]);
        assert!(parameters("", "").is_empty());
        assert!(parameters("&&", "").is_empty());
        assert!(parameters("ab=1", "a").is_empty());
    }

    fn cookies(lines: &[&'static str], name: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_static(line));
        }
        cookie(&headers, name).map(Cow::into_owned).collect()
    }

    #[test]
    fn cookies_are_read_leniently() {
        assert_eq!(cookies(&["plan=pro; id=7"], "plan"), ["pro"]);
        assert_eq!(cookies(&["plan=pro;id=7"], "id"), ["7"]);
        assert_eq!(cookies(&["a=1", "b=2; a=3"], "a"), ["1", "3"]);
        assert_eq!(cookies(&["a=\"x y\"; b=\""], "a"), ["x y"]);
        assert_eq!(cookies(&["a=\"x y\"; b=\""], "b"), ["\""]);
        assert_eq!(cookies(&[" a = 1 ;; flag"], "a"), ["1"]);
        assert_eq!(cookies(&[" a = 1 ;; flag"], "flag"), [""]);
        assert_eq!(cookies(&["a=b=c"], "a"), ["b=c"]);
        assert!(cookies(&["Plan=pro; xplan=1"], "plan").is_empty());
        assert!(cookies(&[";;="], "").is_empty());
    }

    proptest! {
        #[test]
        fn any_query_is_taken(text in "([a=&%+]|%[0-9a-f]{2}|\\PC){0,24}", name in "[a%+]{0,3}") {
            for value in query(&text, &name) {
                prop_assert!(value.len() <= text.len() * 3);
            }
        }

        #[test]
        fn any_cookie_is_taken(line in proptest::collection::vec(0x20_u8.., 0..40), name in "[a-c]{0,2}") {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
                prop_assert!(cookie(&headers, &name).count() <= 40);
            }
        }
    }
}
