//! `test "…" { … }`: a request, and what is expected of it. Data for whoever runs it.

use std::net::IpAddr;

use crate::http_version::HttpVersion;
use crate::plan::{Condition, GroupId, ListenerId};
use crate::source::Span;

/// A test of a policy. Its indices are those of the plan that was compiled with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTest {
    /// The name of the test: what it is to show.
    pub name: String,
    /// The place of the name.
    pub span: Span,
    /// The listener that takes the request.
    pub listener: ListenerId,
    /// The method.
    pub method: String,
    /// The URL: a scheme, an authority, and perhaps path and query.
    pub url: String,
    /// The peer.
    pub from: IpAddr,
    /// The version of HTTP that the client speaks; `None` is what clients of the listener bring.
    pub protocol: Option<HttpVersion>,
    /// Header fields of the request, in the order written.
    pub headers: Vec<(String, String)>,
    /// The certificate that the client shows, where the listener asks for one.
    pub certificate: Option<ShownCertificate>,
    /// The expectations that must come true; never empty.
    pub expectations: Vec<Expectation>,
}

/// The certificate that a client of a test shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The distinguished name of its owner.
    pub subject: String,
    /// The distinguished name of its issuer.
    pub issuer: String,
    /// The SHA-256 of the certificate, in lower-case hexadecimal digits.
    pub fingerprint: String,
}

impl Default for ShownCertificate {
    /// A certificate of a client and an authority that nobody named.
    fn default() -> Self {
        Self { subject: "CN=client".to_owned(), issuer: "CN=authority".to_owned(), fingerprint: "0".repeat(64) }
    }
}

/// An `expect` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The place of the line.
    pub span: Span,
    /// The expectation of the line.
    pub expected: Expected,
}

/// The expectation of an `expect` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// The rule of this name takes the request.
    Rule(String),
    /// The request is forwarded, to one of these groups and to no other.
    Forward(Vec<GroupId>),
    /// The request is redirected with this status to this location.
    Redirect(u16, String),
    /// The connection is closed without an answer.
    Close,
    /// The condition holds of the request that a backend would get, or of the answer.
    Holds(Condition),
}
