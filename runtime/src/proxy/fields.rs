//! Header fields that end at a proxy.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE};
use http::header::{COOKIE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The fields that belong to one connection (RFC 9110, 7.6.1). `Trailer` is none of them: what it announces is passed
/// on. `Expect` is answered by whoever reads the body, which is
/// the gateway (RFC 9110, 10.1.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// Takes out the fields that belong to one connection, and those that `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // A message has few of them: one look at each field is cheaper than one search for each name.
    let found = headers.keys().filter_map(place).fold(0_u16, |found, place| found | 1 << place);
    if found & 1 != 0 {
        let more: Vec<_> = headers.get_all(CONNECTION).iter().filter(|value| !is_plain(value)).cloned().collect();
        for value in more {
            remove_named(headers, &value);
        }
    }
    for (place, name) in HOP_BY_HOP.iter().enumerate() {
        if found & 1 << place != 0 {
            headers.remove(name);
        }
    }
}

/// Where a name stands in [`HOP_BY_HOP`].
fn place(name: &HeaderName) -> Option<u16> {
    Some(match name.as_str() {
        "connection" => 0,
        "keep-alive" => 1,
        "proxy-connection" => 2,
        "te" => 3,
        "transfer-encoding" => 4,
        "upgrade" => 5,
        "expect" => 6,
        "proxy-authenticate" => 7,
        "proxy-authorization" => 8,
        _ => return None,
    })
}

/// A `Connection` that names no field.
fn is_plain(value: &HeaderValue) -> bool {
    value.as_bytes().eq_ignore_ascii_case(b"keep-alive") || value.as_bytes().eq_ignore_ascii_case(b"close")
}

fn remove_named(headers: &mut HeaderMap, connection: &HeaderValue) {
    let Ok(names) = connection.to_str() else { return };
    for name in names.split(',').map(str::trim) {
        if name.eq_ignore_ascii_case("keep-alive") || name.eq_ignore_ascii_case("close") {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            headers.remove(name);
        }
    }
}

/// Joins the `Cookie` fields into which HTTP/2 may split one (RFC 9113, 8.2.3).
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let crumbs: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, cookie);
    }
}

/// Whether the body comes as it is, or in chunks: the one transfer coding that is understood here (RFC 9112, 7).
pub(crate) fn has_known_coding(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// The announced length of a body (RFC 9110, 8.6: digits only).
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.as_bytes();
    value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Whether it is clear how long the body is to be: one announcement at most, and that a number. Two could be read in two
/// ways by two servers (RFC 9112, 6.3).
pub(crate) fn has_clear_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    lengths.next().is_none() || lengths.next().is_none() && content_length(headers).is_some()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "literals")]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn what_connection_names_goes_too_on_every_line() {
        let mut map = headers(&[
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
        ]);
        remove_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("x-three", "3")]));
    }

    #[test]
    fn a_cookie_is_one_field() {
        let mut map = headers(&[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2; c=3")]);
        join_cookies(&mut map);
        assert_eq!(map, headers(&[("cookie", "a=1; b=2; c=3"), ("x", "y")]));
        let mut map = headers(&[("cookie", "a=1")]);
        join_cookies(&mut map);
        assert_eq!(map, headers(&[("cookie", "a=1")]));
    }

    #[test]
    fn chunked_is_the_one_coding() {
        assert!(has_known_coding(&headers(&[])));
        assert!(has_known_coding(&headers(&[("transfer-encoding", "Chunked")])));
        assert!(!has_known_coding(&headers(&[("transfer-encoding", "gzip, chunked")])));
        assert!(!has_known_coding(&headers(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")])));
    }

    #[test]
    fn every_name_is_found_in_its_place() {
        for (at, name) in HOP_BY_HOP.iter().enumerate() {
            assert_eq!(place(name).map(usize::from), Some(at));
        }
    }

    #[test]
    fn lengths_are_digits() {
        assert_eq!(content_length(&headers(&[("content-length", "12")])), Some(12));
        assert_eq!(content_length(&headers(&[("content-length", "+12")])), None);
        assert_eq!(content_length(&headers(&[("content-length", "")])), None);
        assert_eq!(content_length(&headers(&[])), None);
        assert!(has_clear_length(&headers(&[])));
        assert!(has_clear_length(&headers(&[("content-length", "12")])));
        assert!(!has_clear_length(&headers(&[("content-length", "12, 12")])));
        assert!(!has_clear_length(&headers(&[("content-length", "12"), ("content-length", "12")])));
    }
}
