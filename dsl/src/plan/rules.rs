//! Rules: conditions, steps, outcomes, the way back.

use std::time::Duration;

use serde::Serialize;

use super::condition::Condition;
use super::ids::{ExtensionId, GroupId};
use super::template::Template;

/// `rules NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RuleSet {
    /// The name of the rules.
    pub name: String,
    /// The rules in the order written; the last one is `otherwise`, which has no conditions.
    pub rules: Vec<Rule>,
}

/// The name of the rule that `otherwise` makes.
pub const OTHERWISE: &str = "otherwise";

/// `rule NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Rule {
    /// The name of the rule; [`OTHERWISE`] for the last one.
    pub name: String,
    /// The rule is taken if all of them hold.
    pub conditions: Vec<Condition>,
    /// The steps that change the request, in the order written.
    pub steps: Vec<Step>,
    /// The outcome of the rule.
    pub outcome: Outcome,
    /// Blocks for the response.
    pub on_response: Vec<ResponseBlock>,
}

/// A step of a rule: a change of a request before its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Refuse what is over a rate.
    Limit(Limit),
    /// Change headers.
    Header(HeaderStep),
    /// Change a part of what the backend is asked for.
    Rewrite(UriPart, Template),
    /// Set a variable of the request.
    SetVar(String, Template),
    /// Run an extension.
    Run(ExtensionId),
    /// Send a copy of the request, and forget the answer.
    Mirror(Mirror),
    /// Answer preflight requests, and mark the responses to other origins.
    Cors(Cors),
    /// Replace the listener's request timeout.
    Timeout(Duration),
    /// Write a line to the gateway's log.
    Log(Template),
}

/// A change to one header; names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderStep {
    /// Replace every value.
    Set(String, Template),
    /// Add a value.
    Add(String, Template),
    /// Remove every value.
    Remove(String),
}

impl HeaderStep {
    /// The name of the header, in lower case.
    pub fn name(&self) -> &str {
        match self {
            Self::Set(name, _) | Self::Add(name, _) | Self::Remove(name) => name,
        }
    }
}

/// A part of the request target that `rewrite` replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UriPart {
    /// The path.
    Path,
    /// The `Host` that the backend sees.
    Host,
    /// The query, without `?`; empty removes it.
    Query,
}

/// `limit RATE [per KEY] [burst N] [status N]`: a token bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Limit {
    /// The number of requests that pass in each `interval`.
    pub requests: u32,
    /// The time that `requests` counts for.
    pub interval: Duration,
    /// The key of the buckets: one bucket for all, or one for each value of a key.
    pub per: LimitKey,
    /// Requests that may come at once.
    pub burst: u32,
    /// Status of a refusal.
    pub status: u16,
}

/// The key that a `limit` counts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKey {
    /// A single bucket for the rule.
    All,
    /// A bucket for each client: an IPv4 address, or an IPv6 network with a prefix of this length.
    ClientIp(u8),
    /// A bucket for each first value of a header.
    Header(String),
    /// A bucket for each first value of a cookie.
    Cookie(String),
    /// A bucket for each host.
    Host,
}

impl LimitKey {
    /// The prefix of [`LimitKey::ClientIp`] where none is written: what one household or one machine has (RFC 6177).
    pub const CLIENT_PREFIX: u8 = 64;
}

/// The outcome of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The request goes to one of these groups.
    Forward(Forward),
    /// A redirection (RFC 9110, 15.4) with this `Location`.
    Redirect(u16, Template),
    /// An answer of our own.
    Respond(Respond),
    /// The connection is closed without an answer.
    Close,
}

/// A group of a `forward`, and its share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Target {
    /// The group.
    pub group: GroupId,
    /// The weight of the target among all; at least one target's is above 0.
    pub weight: u32,
}

/// `respond STATUS ["body"] [type "…"]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Respond {
    /// The status.
    pub status: u16,
    /// The body; empty if none was written.
    pub body: Template,
    /// The media type.
    pub content_type: String,
}

/// `on-response { … }`: what is done to a response that meets the conditions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ResponseBlock {
    /// The block is taken if all of them hold.
    pub conditions: Vec<Condition>,
    /// The steps that change the response, in the order written.
    pub steps: Vec<ResponseStep>,
}

/// A step of `on-response`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseStep {
    /// Change the response's headers.
    Header(HeaderStep),
    /// Set a variable, for the access log.
    SetVar(String, Template),
    /// Write a line to the gateway's log.
    Log(Template),
}

/// `forward A weight N, B weight N [sticky D]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Forward {
    /// The groups of which one is chosen by weight; never empty.
    pub targets: Vec<Target>,
    /// The time for which a client keeps the group that was chosen for it; `None` is a choice for each request.
    pub sticky: Option<Duration>,
}

/// `mirror GROUP [P%]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Mirror {
    /// The group that gets the copies.
    pub group: GroupId,
    /// The share of the requests that is copied, in percent.
    pub percent: u32,
}

/// `cors { … }` (Fetch standard, HTTP-CORS protocol).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Cors {
    /// The origins that may ask.
    pub origins: CorsOrigins,
    /// Methods that they may use.
    pub methods: Vec<String>,
    /// Request headers that they may send, in lower case.
    pub headers: CorsHeaders,
    /// Response headers that they may read, in lower case.
    pub expose: Vec<String>,
    /// Whether these origins may send cookies.
    pub credentials: bool,
    /// The time for which a browser may remember the answer to a preflight request.
    pub max_age: Duration,
}

/// `origins [ … ]` of `cors`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorsOrigins {
    /// `"*"`: every origin.
    Any,
    /// The origins of this list; `*` in one of them is any run of characters.
    Only(Vec<String>),
}

/// `headers [ … ]` of `cors`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CorsHeaders {
    /// `"*"`: whatever the browser asks for.
    Any,
    /// The fields of this list, in lower case.
    Only(Vec<String>),
}
