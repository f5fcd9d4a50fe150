//! The message of a gRPC status, as the field `grpc-message` carries it.

use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};

/// The characters that are encoded: all but printable ASCII, and `%` (gRPC over HTTP/2, "Percent-Encoded").
const ENCODED: &AsciiSet = &CONTROLS.add(b'%');

/// The bytes of a message, percent-encoded: each that is no printable ASCII, and each `%`.
pub fn message(text: &[u8]) -> impl fmt::Display {
    percent_encode(text, ENCODED)
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn printable_ascii_stays() {
        for (text, encoded) in [
            (&b"no server: ~ok~"[..], "no server: ~ok~"),
            (b"50 %", "50 %25"),
            (b"a\nb\x7f", "a%0Ab%7F"),
            ("\u{fc}".as_bytes(), "%C3%BC"),
            (b"\xff", "%FF"),
        ] {
            assert_eq!(message(text).to_string(), encoded);
        }
    }
}
