//! Texts with insertions.

use std::fmt;

use serde::Serialize;

/// A text with insertions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Template(pub Vec<Piece>);

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Piece {
    /// Literal text; two of them never stand side by side.
    Text(String),
    /// `${…}`.
    Insert(Insert),
}

impl Piece {
    /// Whether the policy or the gateway says the piece: written text, and insertions that can hold nothing but names,
    /// numbers and the host that was asked, which has only the characters of hosts.
    pub fn is_own(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Insert(Insert::Header(name)) => name == "host",
            Self::Insert(insert) => matches!(
                insert,
                Insert::Host
                    | Insert::Port
                    | Insert::Scheme
                    | Insert::Listener
                    | Insert::Rule
                    | Insert::Group
                    | Insert::Server
                    | Insert::RequestId
            ),
        }
    }
}

/// The value that `${…}` names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Insert {
    /// The host without port.
    Host,
    /// The port that the client asked for.
    Port,
    /// The path as it stands.
    Path,
    /// The query as it stands, without `?`.
    Query,
    /// Path and query as they stand.
    Uri,
    /// Path and query as they came in.
    OriginalUri,
    /// `http` or `https`.
    Scheme,
    /// The method.
    Method,
    /// The client's address.
    ClientIp,
    /// The TCP peer's address.
    PeerIp,
    /// The listener's name.
    Listener,
    /// The rule's name.
    Rule,
    /// The chosen group's name; empty before the choice.
    Group,
    /// The chosen server's address; empty before the choice.
    Server,
    /// The request's id.
    RequestId,
    /// The trace's id.
    TraceId,
    /// `tls1.2` or `tls1.3`; empty without TLS.
    TlsVersion,
    /// The cipher suite by its IANA name; empty without TLS.
    TlsCipher,
    /// The group of the key exchange; empty without TLS.
    TlsGroup,
    /// The server name of the TLS handshake (RFC 6066, 3); empty without one.
    Sni,
    /// `h1`, `h2` or `h3`.
    Protocol,
    /// The port of the TCP or QUIC peer.
    ClientPort,
    /// A part of the client's certificate; empty without one.
    ClientCert(ClientCertPart),
    /// Every value of a request header, joined by `, `; the name is in lower case.
    Header(String),
    /// The first value of a query parameter.
    QueryParam(String),
    /// The first value of a cookie.
    Cookie(String),
    /// A variable of the request.
    Var(String),
    /// A numbered group of the rule's `matches`; 0 is the whole match.
    MatchIndex(usize),
    /// A named group of the rule's `matches`.
    MatchName(String),
    /// The response's status; in `on-response` only.
    Status,
    /// Every value of a response header, joined by `, `; in `on-response` only.
    ResponseHeader(String),
    /// A field that only a line of the access log has.
    Log(LogField),
}

impl fmt::Display for Insert {
    /// The text between `${` and `}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "host",
            Self::Port => "port",
            Self::Path => "path",
            Self::Query => "query",
            Self::Uri => "uri",
            Self::OriginalUri => "original-uri",
            Self::Scheme => "scheme",
            Self::Method => "method",
            Self::ClientIp => "client-ip",
            Self::PeerIp => "peer-ip",
            Self::Listener => "listener",
            Self::Rule => "rule",
            Self::Group => "group",
            Self::Server => "server",
            Self::RequestId => "request-id",
            Self::TraceId => "trace-id",
            Self::TlsVersion => "tls-version",
            Self::TlsCipher => "tls-cipher",
            Self::TlsGroup => "tls-group",
            Self::Sni => "sni",
            Self::Protocol => "protocol",
            Self::ClientPort => "client-port",
            Self::Status => "status",
            Self::Log(field) => field.word(),
            Self::ClientCert(part) => return write!(f, "client-cert.{}", part.word()),
            Self::Header(name) => return write!(f, "header.{name}"),
            Self::QueryParam(name) => return write!(f, "query.{name}"),
            Self::Cookie(name) => return write!(f, "cookie.{name}"),
            Self::Var(name) => return write!(f, "var.{name}"),
            Self::MatchIndex(index) => return write!(f, "match.{index}"),
            Self::MatchName(name) => return write!(f, "match.{name}"),
            Self::ResponseHeader(name) => return write!(f, "response-header.{name}"),
        })
    }
}

macro_rules! worded {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one, in the order of the reference.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word that stands for it.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// The value that a word stands for.
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.word() == word)
            }
        }
    };
}

worded! {
    /// A part of the client's certificate that can be inserted.
    ClientCertPart {
        /// The distinguished name of its owner, as RFC 4514 writes it.
        Subject "subject",
        /// The distinguished name of its issuer, as RFC 4514 writes it.
        Issuer "issuer",
        /// The serial number, in lower-case hexadecimal digits (RFC 5280, 4.1.2.2).
        Serial "serial",
        /// The SHA-256 of the certificate's DER form, in lower-case hexadecimal digits.
        Fingerprint "fingerprint",
        /// `SUCCESS` where a certificate was accepted, `NONE` where none was shown.
        Verify "verify",
        /// The whole of it as PEM (RFC 7468), percent-encoded to fit on one line.
        Pem "pem",
    }
}

worded! {
    /// A field of an access-log line that a request does not have while it is served.
    LogField {
        /// The time at which the line was written: RFC 3339, UTC, milliseconds.
        Time "time",
        /// The status that the client got.
        Status "status",
        /// Bytes of the response's body that were sent.
        Bytes "bytes",
        /// Bytes of the request's body that came.
        BytesIn "bytes-in",
        /// Milliseconds from the head's arrival to the end of the response.
        Ms "ms",
        /// The way in which the request failed.
        Failure "failure",
        /// The side whose fault the failure is.
        Side "side",
        /// The address and the port of the peer.
        Peer "peer",
        /// The `User-Agent` of the request.
        UserAgent "user-agent",
        /// The span that the line belongs to.
        SpanId "span-id",
        /// The status of the server's answer.
        UpstreamStatus "upstream-status",
        /// Milliseconds from the choice of a server to the head of its answer.
        UpstreamMs "upstream-ms",
        /// Tries beyond the first.
        Retries "retries",
        /// Whether a `limit` refused the request.
        Limited "limited",
        /// The request's variables, as JSON.
        Vars "vars",
        /// The labels of the listener, as JSON.
        Labels "labels",
        /// The policy that served the request.
        Generation "generation",
    }
}
