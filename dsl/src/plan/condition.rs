//! Conditions: what `when` and `unless` ask.

use serde::Serialize;

use super::networks::NetworkSet;

/// A `when` or `unless` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Condition {
    /// True for `unless`: the line holds if the test does not.
    pub unless: bool,
    /// The test.
    pub test: Test,
}

/// The test of a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Test {
    /// Every one of them holds.
    All(Vec<Test>),
    /// At least one of them holds.
    Any(Vec<Test>),
    /// A value of the subject meets the predicate.
    Is(Subject, Predicate),
}

/// The part of a request or response that a test looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// The host without port, in lower case.
    Host,
    /// The normalised path.
    Path,
    /// The method.
    Method,
    /// `http` or `https`.
    Scheme,
    /// Every value of a request header; the name is in lower case.
    Header(String),
    /// Every value of a query parameter.
    Query(String),
    /// Every value of a cookie.
    Cookie(String),
    /// The client's address as the listener derives it.
    ClientIp,
    /// The TCP peer's address.
    PeerIp,
    /// `h1`, `h2` or `h3`.
    Protocol,
    /// The protocol that the client wants to go on with: `websocket`, asked for by `Upgrade` or by an extended `CONNECT`.
    Upgrade,
    /// The server name of the TLS handshake (RFC 6066, 3), in lower case.
    Sni,
    /// `tls1.2` or `tls1.3`.
    TlsVersion,
    /// The group of the key exchange, as `groups` of a TLS policy writes it.
    TlsGroup,
    /// A field of the client's certificate; without a value if the client showed none that was accepted.
    ClientCert(ClientCertField),
    /// Every value of an attribute of the subject's or the issuer's name, by its name in RFC 4514.
    ClientCertAttribute(ClientCertField, String),
    /// A variable of the request.
    Var(String),
    /// The response's status; in `on-response` only.
    Status,
    /// Every value of a response header, in lower case; in `on-response` only.
    ResponseHeader(String),
}

/// The predicate that a value must meet. Values in a list are alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// The value is exactly one of these; hosts are in lower case.
    Is(Vec<String>),
    /// `*` is any run of characters, `?` is one character.
    Like(Vec<String>),
    /// The path itself or something below it, by whole segments.
    Under(Vec<String>),
    /// A regular expression finds something.
    Matches(Vec<String>),
    /// The address is in one of these networks.
    In(NetworkSet),
    /// The status is in one of these ranges.
    Status(Vec<StatusRange>),
    /// The subject has a value, perhaps an empty one.
    Present,
    /// The subject has no value.
    Absent,
}

/// Statuses from `first` to `last`, both included: `404`, `5xx`, `200..299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// A part of the client's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertField {
    /// The distinguished name of its owner, as RFC 4514 writes it.
    Subject,
    /// The distinguished name of its issuer, as RFC 4514 writes it.
    Issuer,
    /// The SHA-256 of the certificate's DER form, in lower-case hexadecimal digits.
    Fingerprint,
}

impl ClientCertField {
    /// The word that stands for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Issuer => "issuer",
            Self::Fingerprint => "fingerprint",
        }
    }
}
