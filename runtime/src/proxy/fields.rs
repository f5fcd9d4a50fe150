//! Header fields that end at a proxy.

use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Takes out what belongs to one connection: the well-known fields, and those that `Connection` names (RFC 9110,
/// 7.6.1). `Expect` is answered by whoever reads the body, which is the gateway (RFC 9110, 10.1.1).
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    // Most messages have none: one look at each field is cheaper than one search for each name.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    let named: Vec<_> = headers.get_all(CONNECTION).iter().cloned().collect();
    for value in named {
        remove_named(headers, &value);
    }
    let found: Vec<_> = headers.keys().filter(|name| is_hop_by_hop(name)).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "expect"
            | "proxy-authenticate"
            | "proxy-authorization"
    )
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
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.as_bytes();
    value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
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
    fn chunked_is_the_one_coding() {
        assert!(has_known_coding(&headers(&[])));
        assert!(has_known_coding(&headers(&[("transfer-encoding", "Chunked")])));
        assert!(!has_known_coding(&headers(&[("transfer-encoding", "gzip, chunked")])));
        assert!(!has_known_coding(&headers(&[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")])));
    }

    #[test]
    fn lengths_are_digits() {
        assert_eq!(content_length(&headers(&[("content-length", "12")])), Some(12));
        assert_eq!(content_length(&headers(&[("content-length", "+12")])), None);
        assert_eq!(content_length(&headers(&[])), None);
    }
}
