//! What gRPC adds to HTTP/2: a deadline in a header, and errors in trailers.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tidegate_base::failure::Failure;
use tidegate_engine::grpc;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The longest `grpc-message` that is made of an answer's body, in bytes.
const MESSAGE: usize = 256;

/// Whether a request is a gRPC call.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// How long the client waits for the call to end: `grpc-timeout`, at most eight digits and a unit.
pub(super) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let (unit, digits) = headers.get("grpc-timeout")?.as_bytes().split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

/// Makes an error that the gateway answers with into one that a gRPC client understands: 200, with the status in the
/// only block of fields, which counts as trailers.
pub(super) fn translate(status: &mut StatusCode, headers: &mut HeaderMap, body: &mut Bytes, limited: bool) {
    if status.as_u16() < 300 {
        return;
    }
    let code = if limited { RESOURCE_EXHAUSTED } else { code(*status) };
    let message = message(body, *status);
    *status = StatusCode::OK;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(code));
    if let Ok(message) = HeaderValue::from_str(&message) {
        headers.insert(GRPC_MESSAGE, message);
    }
    headers.remove(RETRY_AFTER);
    *body = Bytes::new();
}

/// Marks the response to a gRPC call: if its body fails, the client is told in trailers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ErrorsInTrailers;

/// The trailers of an answer whose body failed on its way.
pub(crate) fn trailers(failure: Failure) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    trailers.insert(GRPC_STATUS, HeaderValue::from(code(failure.status())));
    trailers.insert(GRPC_MESSAGE, HeaderValue::from_static(failure.row().text));
    trailers
}

/// `RESOURCE_EXHAUSTED`: a limit was reached.
const RESOURCE_EXHAUSTED: u16 = 8;

/// The code that says what the status says.
const fn code(status: StatusCode) -> u16 {
    match status.as_u16() {
        // INTERNAL: the request is not what it should be.
        400 => 13,
        // UNAUTHENTICATED, PERMISSION_DENIED
        401 => 16,
        403 => 7,
        // UNIMPLEMENTED
        404 | 405 | 501 => 12,
        // DEADLINE_EXCEEDED
        408 | 504 => 4,
        413 | 414 | 429 | 431 => RESOURCE_EXHAUSTED,
        // INTERNAL
        500 => 13,
        // UNAVAILABLE
        502 | 503 => 14,
        // UNKNOWN
        _ => 2,
    }
}

/// The body's first line as `grpc-message`, percent-encoded; the status in words if there is none.
fn message(body: &Bytes, status: StatusCode) -> String {
    let line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = if line.is_empty() { status.canonical_reason().unwrap_or("error").as_bytes() } else { line };
    grpc::message(line.get(..MESSAGE).unwrap_or(line)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))])
    }

    #[test]
    fn calls_are_known_by_their_content_type() {
        for (value, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            assert_eq!(is_call(&headers("content-type", value)), is, "{value}");
        }
    }

    #[test]
    fn timeouts_have_units() {
        for (value, timeout_) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("2H", Some(Duration::from_secs(7200))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("100000000u", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(&headers("grpc-timeout", value)), timeout_, "{value}");
        }
    }

    #[test]
    fn errors_become_trailers_only() {
        let (mut status, mut fields, mut body) = (
            StatusCode::FORBIDDEN,
            headers("content-type", "text/plain"),
            Bytes::from_static("ümlaut 100%\nmore".as_bytes()),
        );
        translate(&mut status, &mut fields, &mut body, false);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(fields["grpc-status"], "7");
        assert_eq!(fields["grpc-message"], "%C3%BCmlaut 100%25");
        assert_eq!(fields["content-type"], "application/grpc");
        assert!(body.is_empty());
    }
}
