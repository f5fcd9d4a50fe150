//! WebSocket: the one switch of protocols that goes through (RFC 9110, 7.8; RFC 6455; RFC 8441; RFC 9220).
//!
//! Others stay out: an upgrade to `h2c`, passed on blindly, would let requests go by the rules.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use tidegate_base::failure::Failure;

use tidegate_engine::passage::FieldKinds;

use crate::request::client_body::ClientBody;
use crate::request::head::InEarlyData;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// How a client asks for WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// `Upgrade`, which is answered with 101.
    Http1,
    /// An extended `CONNECT`, which is answered with 200 and makes a tunnel of one stream.
    Http2,
}

/// What the client asks for, if it asks. An extended `CONNECT` becomes the `GET` that it is in HTTP/1.1, so that rules
/// see one shape.
///
/// # Errors
/// It asks for a protocol that is not carried.
pub(super) fn wanted(parts: &mut Parts, body: &ClientBody, kinds: FieldKinds) -> Result<Option<Upgrade>, Failure> {
    if parts.version >= Version::HTTP_2 {
        let Some(protocol) = parts.extensions.get::<h2::ext::Protocol>() else { return Ok(None) };
        if protocol.as_str() != "websocket" {
            return Err(Failure::NoUpgrade);
        }
        if parts.headers.contains_key(CONTENT_LENGTH) {
            // What follows is a tunnel, which has no length (RFC 9110, 9.3.6; RFC 8441, 4).
            return Err(Failure::ClientBody);
        }
        not_early(parts)?;
        parts.method = Method::GET;
        return Ok(Some(Upgrade::Http2));
    }
    if !kinds.upgrade {
        return Ok(None);
    }
    let Some(protocols) = parts.headers.get(UPGRADE) else { return Ok(None) };
    let asks = parts.version == Version::HTTP_11
        && parts.method == Method::GET
        && body.is_end_stream()
        && has_token(protocols, "websocket")
        && parts.headers.get_all(CONNECTION).iter().any(|value| has_token(value, "upgrade"));
    if asks {
        not_early(parts)?;
    }
    Ok(asks.then_some(Upgrade::Http1))
}

/// Refuses a WebSocket in early data: what asks for it is a `GET`, and yet not safe, since a replay would open a second one.
fn not_early(parts: &Parts) -> Result<(), Failure> {
    if InEarlyData::is_on(parts) { Err(Failure::TooEarly) } else { Ok(()) }
}

impl Upgrade {
    /// The fields of a request that asks a backend for it. `random` makes the key of a client whose version needs none.
    pub(super) fn ask(self, headers: &mut HeaderMap, random: u128) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, WEBSOCKET);
        if self == Self::Http2
            && let Ok(key) = HeaderValue::from_str(&BASE64_STANDARD.encode(random.to_be_bytes()))
        {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
    }

    /// Whether a backend's answer agrees.
    pub(super) fn is_agreed(status: StatusCode, headers: &HeaderMap) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS
            && headers.get(UPGRADE).is_some_and(|protocol| has_token(protocol, "websocket"))
    }

    /// Whether this status, in an answer that is no switch of protocols, would tell the client that the tunnel is open
    /// (RFC 8441, 5). Over HTTP/1 only 101 does.
    pub(super) fn would_open(self, status: StatusCode) -> bool {
        self == Self::Http2 && status.is_success()
    }

    /// The head of the answer to a client whose wish was granted.
    pub(super) fn grant(self, status: &mut StatusCode, headers: &mut HeaderMap) {
        match self {
            Self::Http1 => {
                headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
                headers.insert(UPGRADE, WEBSOCKET);
            }
            Self::Http2 => {
                *status = StatusCode::OK;
                headers.remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
    }
}

/// Whether a list of tokens has this one, in any case.
fn has_token(value: &HeaderValue, token: &str) -> bool {
    value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_lists() {
        let value = HeaderValue::from_static("keep-alive, Upgrade");
        assert!(has_token(&value, "upgrade"));
        assert!(!has_token(&value, "grade"));
    }
}
