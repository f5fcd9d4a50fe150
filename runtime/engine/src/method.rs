//! What a method promises (RFC 9110, 9.2): whether a request may be replayed, or sent again.

use http::Method;

/// Asks as `GET` does, with its question in the body (RFC 10008).
const QUERY: &str = "QUERY";

/// Whether a request changes nothing at the server (RFC 9110, 9.2.1).
pub fn is_safe(method: &Method) -> bool {
    method.is_safe() || method.as_str() == QUERY
}

/// Whether a request that is sent twice does what one does (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent() || is_safe(method)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn methods_promise_what_their_standards_say() {
        for (name, safe, idempotent) in [
            ("GET", true, true),
            ("HEAD", true, true),
            ("OPTIONS", true, true),
            ("QUERY", true, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("POST", false, false),
            ("PATCH", false, false),
            // Methods have a case (RFC 9110, 9.1).
            ("query", false, false),
        ] {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!((is_safe(&method), is_idempotent(&method)), (safe, idempotent), "{name}");
        }
    }
}
