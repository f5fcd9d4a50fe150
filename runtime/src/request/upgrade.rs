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
#[expect(clippy::unwrap_used, reason = "literals")]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_lists() {
        let value = HeaderValue::from_static("keep-alive, Upgrade");
        assert!(has_token(&value, "upgrade"));
        assert!(!has_token(&value, "grade"));
    }
    /// What is wanted by a request with these fields.
    fn asked(request: http::request::Builder) -> Result<Option<Upgrade>, Failure> {
        let (mut parts, ()) = request.body(()).map(http::Request::into_parts).map_err(|_| Failure::BadHead)?;
        let kinds = FieldKinds::of(&parts.headers);
        wanted(&mut parts, &ClientBody::Empty, kinds)
    }

    fn websocket() -> http::request::Builder {
        http::Request::get("/").header("connection", "keep-alive, Upgrade").header("upgrade", "WebSocket")
    }

    #[test]
    fn a_client_asks_with_a_get_of_http_1_1_that_names_it_twice() {
        assert_eq!(asked(websocket()), Ok(Some(Upgrade::Http1)));
        assert_eq!(asked(websocket().method("POST")), Ok(None));
        assert_eq!(asked(websocket().version(Version::HTTP_10)), Ok(None));
        assert_eq!(asked(http::Request::get("/").header("upgrade", "websocket")), Ok(None), "no `Connection`");
        let other = http::Request::get("/").header("connection", "upgrade").header("upgrade", "h2c");
        assert_eq!(asked(other), Ok(None), "it is served without");
        assert_eq!(asked(http::Request::get("/")), Ok(None));
    }

    #[test]
    fn a_client_of_http_2_asks_with_an_extended_connect() {
        let connect = |protocol: &'static str| {
            let builder = http::Request::builder().method(Method::CONNECT).uri("http://a/").version(Version::HTTP_2);
            builder.extension(h2::ext::Protocol::from_static(protocol))
        };
        assert_eq!(asked(connect("websocket")), Ok(Some(Upgrade::Http2)));
        assert_eq!(asked(connect("connect-udp")), Err(Failure::NoUpgrade));
        assert_eq!(asked(connect("websocket").header("content-length", "3")), Err(Failure::ClientBody));
        assert_eq!(asked(websocket().version(Version::HTTP_2)), Ok(None), "`Upgrade` means nothing there");
        let (mut parts, ()) = connect("websocket").body(()).unwrap().into_parts();
        let kinds = FieldKinds::of(&parts.headers);
        assert!(wanted(&mut parts, &ClientBody::Empty, kinds).is_ok());
        assert_eq!(parts.method, Method::GET, "rules see one shape");
    }

    #[test]
    fn nobody_opens_one_in_early_data() {
        assert_eq!(asked(websocket().extension(InEarlyData)), Err(Failure::TooEarly));
    }

    #[test]
    fn a_server_agrees_with_101_and_the_protocol() {
        let with = |protocol: &'static str| HeaderMap::from_iter([(UPGRADE, HeaderValue::from_static(protocol))]);
        assert!(Upgrade::is_agreed(StatusCode::SWITCHING_PROTOCOLS, &with("WebSocket")));
        assert!(!Upgrade::is_agreed(StatusCode::SWITCHING_PROTOCOLS, &with("h2c")));
        assert!(!Upgrade::is_agreed(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new()));
        assert!(!Upgrade::is_agreed(StatusCode::OK, &with("websocket")));
    }

    #[test]
    fn the_answer_says_yes_in_the_words_of_the_client() {
        let granted = |upgrade: Upgrade| {
            let mut headers = HeaderMap::from_iter([(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("x"))]);
            let mut status = StatusCode::SWITCHING_PROTOCOLS;
            upgrade.grant(&mut status, &mut headers);
            (status.as_u16(), headers.contains_key(UPGRADE), headers.contains_key(SEC_WEBSOCKET_ACCEPT))
        };
        assert_eq!(granted(Upgrade::Http1), (101, true, true));
        assert_eq!(granted(Upgrade::Http2), (200, false, false));
    }

    #[test]
    fn success_would_open_a_tunnel_over_http_2_alone() {
        assert!(Upgrade::Http2.would_open(StatusCode::OK) && Upgrade::Http2.would_open(StatusCode::NO_CONTENT));
        assert!(!Upgrade::Http2.would_open(StatusCode::FORBIDDEN));
        assert!(!Upgrade::Http1.would_open(StatusCode::OK));
    }

    #[test]
    fn a_server_is_asked_with_a_key_of_ours_where_the_client_needs_none() {
        let asks = |upgrade: Upgrade| {
            let mut headers = HeaderMap::new();
            upgrade.ask(&mut headers, 7);
            headers
        };
        assert!(!asks(Upgrade::Http1).contains_key(SEC_WEBSOCKET_KEY));
        let headers = asks(Upgrade::Http2);
        assert_eq!((&headers[CONNECTION], &headers[UPGRADE]), (&HeaderValue::from_static("upgrade"), &WEBSOCKET));
        assert_eq!(headers[SEC_WEBSOCKET_KEY], "AAAAAAAAAAAAAAAAAAAABw==");
    }
}
