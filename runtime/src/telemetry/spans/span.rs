//! What is recorded of a span until it is encoded: plain values, made where the request is served.
//!
//! Texts of a peer are copied, and cut: a slice would keep the whole head of a request in memory.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{Method, Version};
use tidegate_base::failure::Failure;
use tidegate_base::limits::SPAN_TEXT;
use tidegate_dsl::plan::Server;
use tidegate_engine::exchange::Connection;
use tidegate_engine::hook::Hook;
use tidegate_engine::trace::SpanContext;

/// A span that has ended.
#[derive(Debug)]
pub struct Span {
    /// The span's own name for others.
    pub context: SpanContext,
    /// The span that it belongs to, and whether that is another process's.
    pub parent: Option<(u64, bool)>,
    /// The `tracestate` that came with the trace.
    pub state: Option<Box<str>>,
    /// When it began: nanoseconds since 1970.
    pub start_ns: u64,
    /// When it ended: nanoseconds since 1970.
    pub end_ns: u64,
    /// What happened in it.
    pub of: Of,
}

/// What happened in a span.
#[derive(Debug)]
pub enum Of {
    /// A request was served.
    Request(Box<RequestSpan>),
    /// A request was sent to a server: one try.
    Try(Box<TrySpan>),
    /// An extension was called.
    Hook(HookSpan),
}

/// A request that was served.
#[derive(Debug)]
pub struct RequestSpan {
    /// The client's connection, with the name of the listener.
    pub connection: Arc<Connection>,
    /// The request's id in logs.
    pub request_id: Option<u128>,
    /// The method.
    pub method: Method,
    /// The version of HTTP that the client spoke.
    pub version: Version,
    /// The host that the client asked for, and perhaps a port.
    pub authority: Option<Box<str>>,
    /// The path as it came.
    pub path: Option<Box<str>>,
    /// The query as it came.
    pub query: Option<Box<str>>,
    /// The client's address as the listener derives it.
    pub client: std::net::IpAddr,
    /// `User-Agent`.
    pub user_agent: Option<Box<str>>,
    /// The rule that held.
    pub rule: Option<Box<str>>,
    /// The server group that the request went to.
    pub group: Option<Arc<str>>,
    /// The server that answered last.
    pub server: Option<Arc<str>>,
    /// The status that the client got.
    pub status: u16,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// Bytes of the request's body that came.
    pub received: u64,
    /// Bytes of the response's body that left.
    pub sent: u64,
}

/// One try of a request at a server.
#[derive(Debug)]
pub struct TrySpan {
    /// The server group.
    pub group: Box<str>,
    /// The server.
    pub server: Server,
    /// Whether the connection is secured.
    pub secure: bool,
    /// The version of HTTP.
    pub version: Version,
    /// The method.
    pub method: Method,
    /// The path and query that the server got.
    pub target: Box<str>,
    /// How often the same request had been sent before.
    pub resends: u32,
    /// The status of the server's answer.
    pub status: Option<u16>,
    /// The reason why there is no answer.
    pub failure: Option<Failure>,
}

/// One call of an extension.
#[derive(Debug)]
pub struct HookSpan {
    /// The extension.
    pub extension: Box<str>,
    /// The hook.
    pub hook: Hook,
    /// The kind of fault, and what is said of it, if the call failed.
    pub fault: Option<(&'static str, Box<str>)>,
}

/// A copy of a text for a span, cut to what a span may have.
pub fn text(text: &str) -> Box<str> {
    text.get(..text.floor_char_boundary(SPAN_TEXT)).unwrap_or_default().into()
}

/// A copy of a field's value; bytes that are no UTF-8 are replaced.
pub fn value(value: &http::HeaderValue) -> Box<str> {
    text(&String::from_utf8_lossy(value.as_bytes().get(..SPAN_TEXT).unwrap_or(value.as_bytes())))
}

/// The address and port of a peer that is one.
pub(super) fn address(peer: SocketAddr) -> (String, i64) {
    (peer.ip().to_canonical().to_string(), i64::from(peer.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (length, kept) in
            [(0, 0), (SPAN_TEXT - 1, SPAN_TEXT - 1), (SPAN_TEXT, SPAN_TEXT), (SPAN_TEXT + 1, SPAN_TEXT)]
        {
            assert_eq!(text(&"x".repeat(length)).len(), kept);
        }
        assert_eq!(text(&"\u{20ac}".repeat(SPAN_TEXT)).chars().count(), SPAN_TEXT / 3);
        let odd = http::HeaderValue::from_bytes(&[0xff; SPAN_TEXT + 9]);
        assert!(odd.is_ok_and(|odd| value(&odd).len() <= SPAN_TEXT && value(&odd).starts_with('\u{fffd}')));
    }
}
