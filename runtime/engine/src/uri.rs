//! Characters and escapes of URIs (RFC 3986, 2).

use percent_encoding::percent_encode_byte;

/// Whether a byte is unreserved (RFC 3986, 2.3).
pub(crate) const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The value of a hexadecimal digit.
pub(crate) const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Escapes what is not `allowed`, and a `%` that begins no escape.
pub(crate) fn escaped(text: &str, allowed: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        if allowed(byte) && (byte != b'%' || is_escape(text, at)) {
            out.push(char::from(byte));
        } else {
            out.push_str(percent_encode_byte(byte));
        }
    }
    out
}

/// Whether a URI reference may have a character (RFC 3986, 2).
pub(crate) const fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}')
}

/// Whether the `%` at `at` has two hexadecimal digits after it.
pub(crate) fn is_escape(text: &str, at: usize) -> bool {
    matches!(
        text.as_bytes().get(at + 1..at + 3),
        Some([high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()
    )
}
