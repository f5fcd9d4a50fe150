//! Targets and authorities as the gateway takes them, in the one spelling that it gives them (RFC 3986, 6.2.2).

use std::net::Ipv6Addr;

use super::stop::{Fault, shown, stop};

/// The longest target, in bytes.
const TARGET_BYTES: usize = 65_534;

/// The path of a target, checked with its query and normalised as if a client had sent them. The query stays as it is.
pub(crate) fn target(path: &str, query: Option<&str>) -> String {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        let why = "it must begin with `/` and hold no `?` and no `#`";
        stop(Fault::BadValue, format!("`{}` is no path: {why}", shown(path)));
    }
    if query.is_some_and(|query| query.contains('#')) {
        stop(Fault::BadValue, "a query holds no `#`");
    }
    let length = path.len() + query.map_or(0, |query| query.len() + 1);
    if length > TARGET_BYTES || !can_be_path(path) || !query.is_none_or(can_be_query) {
        stop(Fault::BadValue, format!("`{}` holds characters that a target cannot hold", shown(path)));
    }
    let fits = |normal: String| {
        let grown = normal.len() + length - path.len();
        if grown > TARGET_BYTES { Err("the request target is too long") } else { Ok(normal) }
    };
    match normal_path(path).and_then(fits) {
        Ok(path) => path,
        Err(why) => stop(Fault::BadValue, format!("`{}` is no path: {why}", shown(path))),
    }
}

/// Whether a call to another server may have this target.
pub(crate) fn can_be_sent(target: &str) -> bool {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    target.len() <= TARGET_BYTES && path.starts_with('/') && can_be_path(path) && query.is_none_or(can_be_query)
}

/// Whether a target can hold a path at all.
fn can_be_path(path: &str) -> bool {
    path.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_graphic() && !b"<>`".contains(&byte))
}

/// Whether a target can hold a query.
fn can_be_query(query: &str) -> bool {
    query.bytes().all(|byte| !byte.is_ascii() || byte.is_ascii_graphic() && !b"\"<>".contains(&byte))
}

/// The normal form of a path: escaped unreserved characters decoded, what may not stand bare escaped, dot segments
/// removed, runs of slashes one, as where a listener says nothing of `paths`.
pub(crate) fn normal_path(path: &str) -> Result<String, &'static str> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => return Err("the path has a bare `\\`, which is written `%5C`"),
            b'%' => {
                let escape = rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let escape = escape.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
                let byte = escape
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok())
                    .ok_or("the path has a `%` without two hexadecimal digits after it; a bare `%` is written `%25`")?;
                rest = rest.get(2..).unwrap_or_default();
                match byte {
                    0 => return Err("the path contains `%00`"),
                    byte if is_unreserved(byte) => decoded.push(char::from(byte)),
                    byte => decoded.push_str(&format!("%{byte:02X}")),
                }
            }
            byte if is_unreserved(*byte) || b"/:@!$&'()*+,;=".contains(byte) => decoded.push(char::from(*byte)),
            byte => decoded.push_str(&format!("%{byte:02X}")),
        }
    }
    remove_segments(&decoded)
}

/// Removes dot segments (RFC 3986, 5.2.4, but `..` above the root is an error) and empty ones.
fn remove_segments(path: &str) -> Result<String, &'static str> {
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    let cut = out.rfind('/').ok_or("the path goes above its root with `..`")?;
                    out.truncate(cut);
                }
                if segments.peek().is_none() {
                    out.push('/');
                }
            }
            "" if segments.peek().is_some() => {}
            segment if matches!(segment.split_once(';'), Some(("." | "..", _))) => {
                return Err("the path has a segment of dots with parameters (`..;`)");
            }
            segment => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
    Ok(out)
}

/// An authority, normalised: host in lower case, port without leading zeros.
pub(crate) fn authority(raw: &str) -> Result<String, &'static str> {
    const BAD_HOST: &str = "the host has a character that a host name cannot have, or an empty label";
    const BAD_ADDRESS: &str = "what stands in `[…]` is no IPv6 address";
    const BAD_PORT: &str = "the port is no number from 0 to 65535";
    if raw.is_empty() {
        return Err("the host is empty");
    }
    if raw.contains('@') {
        return Err("the host has a user name before an `@`");
    }
    let after = raw.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = raw.get(after..).and_then(|rest| rest.find(':')).map(|colon| after + colon);
    let (host, port) = colon.map_or((raw, ""), |colon| (&raw[..colon], &raw[colon + 1..]));
    let mut whole = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']').ok_or(BAD_ADDRESS)?;
            let address: Ipv6Addr = address.parse().map_err(|_| BAD_ADDRESS)?;
            format!("[{address}]")
        }
        None => {
            let host = host.strip_suffix('.').unwrap_or(host);
            let byte = |byte: u8| is_unreserved(byte) || b"!$&'()*+,;=".contains(&byte);
            if host.is_empty() {
                return Err("the host is empty");
            }
            if !host.bytes().all(byte) || host.starts_with('.') || host.ends_with('.') || host.contains("..") {
                return Err(BAD_HOST);
            }
            host.to_ascii_lowercase()
        }
    };
    if !port.is_empty() {
        let digits = port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = Some(port).filter(|_| digits).and_then(|port| port.parse::<u16>().ok()).ok_or(BAD_PORT)?;
        whole.push_str(&format!(":{port}"));
    }
    Ok(whole)
}

/// Whether a byte is unreserved (RFC 3986, 2.3).
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}
