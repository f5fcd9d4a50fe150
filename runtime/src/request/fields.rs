//! Header fields that frame a message.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, COOKIE, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Request};
use http_body::{Body, Frame};
use tidegate_engine::exchange::Changed;
use tidegate_engine::passage::{self, FieldKinds};

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

/// Whether an answer can be read in one way alone: in chunks or by its length, and not by both, which is how one answer is passed
/// off as two (RFC 9112, 6.1).
pub(crate) fn is_framed_once(headers: &HeaderMap, kinds: FieldKinds) -> bool {
    !kinds.transfer_encoding || has_known_coding(headers) && !headers.contains_key(CONTENT_LENGTH)
}

/// Says that a body of unknown length comes in chunks, whatever the method is: hyper leaves out that of a `GET` or a `HEAD`
/// otherwise.
pub(super) fn announce_body<B: Body>(request: &mut Request<B>) {
    let body = request.body();
    let unknown = !body.is_end_stream() && body.size_hint().exact().is_none();
    if unknown && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The announced length of a body (RFC 9110, 8.6: digits only).
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(CONTENT_LENGTH)?.as_bytes();
    value.iter().all(u8::is_ascii_digit).then(|| std::str::from_utf8(value).ok()?.parse().ok()).flatten()
}

/// Whether the length of the body is clear: one announcement at most, and that a number. Two could be read in two
/// ways by two servers (RFC 9112, 6.3).
pub(crate) fn has_clear_length(headers: &HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    lengths.next().is_none() || lengths.next().is_none() && content_length(headers).is_some()
}

/// The frame of trailers as it goes on: those that may; nothing if none are left.
pub(super) fn screened_trailers(frame: Frame<Bytes>, decided: &Changed) -> Option<Frame<Bytes>> {
    let mut trailers = frame.into_trailers().ok()?;
    passage::screen_trailers(&mut trailers, decided);
    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
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
    fn an_answer_is_framed_in_one_way() {
        let framed = |headers: &HeaderMap| is_framed_once(headers, FieldKinds::of(headers));
        assert!(framed(&headers(&[("transfer-encoding", "chunked")])));
        assert!(framed(&headers(&[("content-length", "3")])));
        assert!(framed(&headers(&[])));
        assert!(!framed(&headers(&[("content-length", "3"), ("transfer-encoding", "chunked")])));
        assert!(!framed(&headers(&[("transfer-encoding", "gzip")])));
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
