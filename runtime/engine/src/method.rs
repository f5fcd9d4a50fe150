//! Methods and their promises (RFC 9110, 9.2): whether a request may be replayed, or sent again; and which methods are
//! not carried.

use http::Method;

/// The method that asks as `GET` does, with its question in the body (RFC 10008).
const QUERY: &str = "QUERY";

/// Whether a request changes nothing at the server (RFC 9110, 9.2.1).
pub fn is_safe(method: &Method) -> bool {
    method.is_safe() || method.as_str() == QUERY
}

/// Whether a request that is sent twice does what one does (RFC 9110, 9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    method.is_idempotent() || is_safe(method)
}

/// Whether a request with this method may go on: not `CONNECT`, which makes a tunnel; not `TRACE`, whose answer would show
/// fields that were written here (RFC 9110, 9.3.8); not `PRI`, which only begins HTTP/2 (RFC 9113, 11.6).
pub fn is_carried(method: &Method) -> bool {
    !matches!(method.as_str(), "CONNECT" | "TRACE" | "PRI")
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

    #[test]
    fn three_are_not_carried() {
        for (method, carried) in
            [("GET", true), ("BREW", true), ("pri", true), ("CONNECT", false), ("TRACE", false), ("PRI", false)]
        {
            assert_eq!(is_carried(&Method::from_bytes(method.as_bytes()).unwrap()), carried, "{method}");
        }
    }
}
