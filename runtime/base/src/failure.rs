//! Everything that can go wrong with a request, whose fault it is, and what the client gets: one table.

use http::StatusCode;

/// The error of a body, of a request or a response: the connection is closed, and the reason is known to whoever made it.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Who caused a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client sent something wrong, was too slow, or left.
    Client,
    /// A backend refused, was too slow, or broke the protocol.
    Upstream,
    /// An extension failed, and its `on-error` denies.
    Hook,
    /// The policy left no way, such as a group without a usable server.
    Policy,
    /// The gateway itself.
    Gateway,
}

impl Side {
    /// The name in logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Hook => "hook",
            Self::Policy => "policy",
            Self::Gateway => "gateway",
        }
    }
}

/// A way in which a request can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A head that is not HTTP (RFC 9112, 2.2).
    BadHead,
    /// A head in HTTP/1 with more bytes than `limits { header-bytes }`, or more fields than `limits { headers }`.
    HeadTooLarge,
    /// No `Host`, several, or one that is no host (RFC 9112, 3.2).
    BadHost,
    /// A request that has passed here before: it goes round in a circle (RFC 5842, 7.2).
    Loop,
    /// A request target that cannot be normalised safely.
    BadTarget,
    /// A method that a gateway does not carry: `TRACE`, `CONNECT`.
    BadMethod,
    /// A request that may be a replay, and whose method is not safe (RFC 8470, 5.2).
    TooEarly,
    /// A transfer coding other than `chunked` (RFC 9112, 6.1): what it does to the body would be passed off as the body.
    BadCoding,
    /// A protocol other than WebSocket in an extended `CONNECT` (RFC 8441), or a server group or a rule that does not carry it.
    NoUpgrade,
    /// The backend neither switched protocols nor refused: its answer to an extended `CONNECT` would say "open" (RFC 8441, 5).
    BadUpgrade,
    /// More header fields than `limits { headers }`.
    TooManyHeaders,
    /// The request target is over `limits { uri-bytes }`.
    UriTooLong,
    /// A test of the policy could not be decided within its bounds: too many values, or too long a text for an expression.
    TooLongToTest,
    /// The body is over `limits { body-bytes }`.
    BodyTooLarge,
    /// The client was silent in the middle of its request.
    ClientTimeout,
    /// The client's body broke off or was malformed.
    ClientBody,
    /// The client left before the answer was complete.
    ClientClosed,
    /// Extensions hold as many bodies whole as there is room for, on this connection or on its worker.
    NoRoom,
    /// The group has no server with a weight above 0.
    NoServer,
    /// No server could be connected to.
    ConnectFailed,
    /// The gateway has no file descriptor, or no memory, for a connection to a server.
    NoDescriptor,
    /// Connecting took longer than `connect-timeout`.
    ConnectTimeout,
    /// A server was reached, but could not prove who it is, or speaks no TLS.
    UpstreamTls,
    /// The backend closed before it had answered.
    UpstreamClosed,
    /// The backend's answer is not HTTP.
    UpstreamInvalid,
    /// An upgraded connection through which nothing moved for `tunnel-timeout`.
    TunnelTimeout,
    /// The backend was silent for longer than `request-timeout`.
    UpstreamTimeout,
    /// The backend broke off in the middle of its body.
    UpstreamBody,
    /// An extension failed, and its `on-error` denies; the status that the client gets is the policy's.
    Extension,
    /// The policy said `close`.
    Closed,
    /// The gateway went down before the request was complete.
    Drained,
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name in logs and counters.
    pub name: &'static str,
    /// Whose fault it is.
    pub side: Side,
    /// What the client gets; 499 is only logged, because nobody is there to read it.
    pub status: u16,
    /// A sentence for the client.
    pub text: &'static str,
}

impl Failure {
    /// Every failure, in the order of the table.
    pub const ALL: [Self; 31] = [
        Self::BadHead,
        Self::HeadTooLarge,
        Self::BadHost,
        Self::Loop,
        Self::BadTarget,
        Self::BadMethod,
        Self::TooEarly,
        Self::BadCoding,
        Self::NoUpgrade,
        Self::BadUpgrade,
        Self::TooManyHeaders,
        Self::UriTooLong,
        Self::TooLongToTest,
        Self::BodyTooLarge,
        Self::ClientTimeout,
        Self::ClientBody,
        Self::ClientClosed,
        Self::NoRoom,
        Self::NoServer,
        Self::ConnectFailed,
        Self::NoDescriptor,
        Self::ConnectTimeout,
        Self::UpstreamTls,
        Self::UpstreamClosed,
        Self::UpstreamInvalid,
        Self::TunnelTimeout,
        Self::UpstreamTimeout,
        Self::UpstreamBody,
        Self::Extension,
        Self::Closed,
        Self::Drained,
    ];

    /// The row of this failure.
    pub const fn row(self) -> Row {
        use Side::{Client, Gateway, Hook, Policy, Upstream};
        let (name, side, status, text) = match self {
            Self::BadHead => ("bad-head", Client, 400, "the request is not valid HTTP"),
            Self::HeadTooLarge => ("head-too-large", Client, 431, "the request's head is too large"),
            Self::BadHost => ("bad-host", Client, 400, "the request needs one valid Host"),
            Self::Loop => ("loop", Policy, 508, "the request has come back to this gateway"),
            Self::BadTarget => ("bad-target", Client, 400, "the request target is not a safe path"),
            Self::BadMethod => ("bad-method", Client, 405, "this method is not carried here"),
            Self::TooEarly => ("too-early", Client, 425, "send this request again after the handshake"),
            Self::BadCoding => ("bad-coding", Client, 501, "this transfer coding is not understood"),
            Self::NoUpgrade => ("no-upgrade", Client, 501, "this protocol is not carried here"),
            Self::BadUpgrade => ("bad-upgrade", Upstream, 502, "the server did not switch protocols"),
            Self::TooManyHeaders => ("too-many-headers", Client, 431, "the request has too many header fields"),
            Self::UriTooLong => ("uri-too-long", Client, 414, "the request target is too long"),
            Self::TooLongToTest => ("too-long-to-test", Client, 400, "the request takes too long to test"),
            Self::BodyTooLarge => ("body-too-large", Client, 413, "the request body is too large"),
            Self::ClientTimeout => ("client-timeout", Client, 408, "the request did not arrive in time"),
            Self::ClientBody => ("client-body", Client, 400, "the request body broke off or is malformed"),
            Self::ClientClosed => ("client-closed", Client, 499, "the client left"),
            Self::NoRoom => ("no-room", Gateway, 503, "there is no room for another body now"),
            Self::NoServer => ("no-server", Policy, 503, "no server takes requests"),
            Self::ConnectFailed => ("connect-failed", Upstream, 502, "no server could be reached"),
            Self::NoDescriptor => {
                ("no-descriptor", Gateway, 503, "the gateway has no room for a connection to a server")
            }
            Self::ConnectTimeout => ("connect-timeout", Upstream, 504, "no server could be reached in time"),
            Self::UpstreamTls => ("upstream-tls", Upstream, 502, "no server could be reached securely"),
            Self::UpstreamClosed => ("upstream-closed", Upstream, 502, "the server closed without an answer"),
            Self::UpstreamInvalid => ("upstream-invalid", Upstream, 502, "the server's answer is not valid HTTP"),
            Self::TunnelTimeout => ("tunnel-timeout", Client, 408, "the connection was silent for too long"),
            Self::UpstreamTimeout => ("upstream-timeout", Upstream, 504, "the server did not answer in time"),
            Self::UpstreamBody => ("upstream-body", Upstream, 502, "the server broke off its answer"),
            Self::Extension => ("extension", Hook, 500, "an extension failed"),
            Self::Closed => ("closed", Policy, 444, "closed by the policy"),
            Self::Drained => ("drained", Gateway, 503, "the gateway is going down"),
        };
        Row { name, side, status, text }
    }

    /// The status that the client gets.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether what arrives next on the connection could be taken for a request, although it belongs to this one.
    pub const fn poisons_connection(self) -> bool {
        matches!(
            self,
            Self::BodyTooLarge
                | Self::NoRoom
                | Self::ClientTimeout
                | Self::ClientBody
                | Self::BadHost
                | Self::BadCoding
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_stands_at_its_number_and_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = Failure::ALL.iter().map(|failure| failure.row().name).collect();
        assert_eq!(names.len(), Failure::ALL.len());
        assert!(Failure::ALL.iter().enumerate().all(|(at, failure)| *failure as usize == at));
        assert_eq!(Failure::ALL.last(), Some(&Failure::Drained), "the last one of the table");
    }

    #[test]
    fn every_status_is_one() {
        for failure in [Failure::BadHost, Failure::ClientClosed, Failure::Closed, Failure::UpstreamTimeout] {
            assert_eq!(failure.status().as_u16(), failure.row().status);
        }
    }
}
