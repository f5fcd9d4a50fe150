//! Header fields that end at a proxy.

use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER};
use http::header::{TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// What belongs to one connection (RFC 9110, 7.6.1). `Expect` is answered by whoever reads the body, which is the
/// gateway (RFC 9110, 10.1.1).
const HOP_BY_HOP: [HeaderName; 9] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
];

/// Takes out the fields that belong to one connection, and those that `Connection` names.
pub(super) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let http::header::Entry::Occupied(connection) = headers.entry(CONNECTION) {
        let (_, values) = connection.remove_entry_mult();
        let values: Vec<_> = values.filter(|value| value != "keep-alive" && value != "close").collect();
        for value in values {
            remove_named(headers, &value);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
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
