//! Findings that only the whole policy can be held against: the checks leave them here on their way.

use crate::certificate_facts::CertificateFacts;
use crate::http_version::HttpVersion;
use crate::plan::{ListenerId, RuleSetId, TlsVersion};
use crate::source::Span;

/// Findings that the checks gather on their way for the end.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// The facts about each certificate, in the order declared.
    pub(crate) certificates: Vec<Option<CertificateFacts>>,
    /// The places of the words of each listener, in the order declared.
    pub(crate) spots: Vec<ListenerSpots>,
    /// Tests that some listeners can never meet.
    pub(crate) asked: Vec<ConnectionTest>,
    /// Steps that change a header which a listener may write itself.
    pub(crate) own_headers: Vec<OwnHeader>,
    /// Steps of `on-response` that change `Alt-Svc`.
    pub(crate) alt_svc: Vec<(Span, Option<Owner>)>,
    /// Whether there is a `tracing` declaration.
    pub(crate) tracing_declared: bool,
}

/// A test that depends on what a listener speaks.
#[derive(Debug)]
pub(crate) struct ConnectionTest {
    /// The property of a connection that the test asks for.
    pub(crate) what: Wanted,
    /// The place of the test.
    pub(crate) span: Span,
    /// The declaration that the test belongs to; none while it is read.
    pub(crate) owner: Option<Owner>,
}

/// The property of a connection that a test asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A certificate of the client.
    ClientCertificate,
    /// A TLS handshake.
    Handshake,
    /// A connection with this version of TLS.
    Version(TlsVersion),
    /// A connection with this version of HTTP.
    Http(HttpVersion),
    /// A path with `//`.
    EmptySegment,
    /// A path with `;`.
    Parameters,
}

/// The declaration that a test stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    Rules(RuleSetId),
    Listener(ListenerId),
}

/// The places of the words of a listener that the whole policy is held against.
#[derive(Debug, Default)]
pub(crate) struct ListenerSpots {
    pub(crate) name: Span,
    pub(crate) certificates: Vec<Span>,
    pub(crate) policy: Option<Span>,
    pub(crate) http2: Option<Span>,
    pub(crate) early_data: Option<Span>,
    pub(crate) upgrade: Option<Span>,
    pub(crate) client_ca: Option<Span>,
}

/// A step of a rule that changes a forwarding header.
#[derive(Debug)]
pub(crate) struct OwnHeader {
    /// The rules that the step stands in, by their place in the order declared.
    pub(super) rules: usize,
    /// The word of the step.
    pub(super) step: &'static str,
    /// The name of the header, in lower case.
    pub(super) name: String,
    pub(super) span: Span,
}
