//! Texts with insertions.

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

/// What `${…}` names.
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
}
