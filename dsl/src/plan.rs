//! The execution plan: what a policy means, with every default filled in and every reference an index.
//!
//! Plain data, comparable and hashable, so that two plans can be told apart piece by piece. Nothing here
//! knows about text, spans or files: those stay with the compiler.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;

/// A whole policy, ready for the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Plan {
    /// Process-wide settings.
    pub gateway: Gateway,
    /// Where and how requests are logged.
    pub access_log: AccessLog,
    /// Named networks, in the order declared.
    pub lists: Vec<List>,
    /// Wasm extensions, in the order declared.
    pub extensions: Vec<Extension>,
    /// Groups of backend servers, in the order declared.
    pub groups: Vec<ServerGroup>,
    /// Named rule lists, in the order declared.
    pub rule_sets: Vec<RuleSet>,
    /// Listeners, in the order declared.
    pub listeners: Vec<Listener>,
}

/// Index into [`Plan::lists`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ListId(pub usize);

/// Index into [`Plan::extensions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ExtensionId(pub usize);

/// Index into [`Plan::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct GroupId(pub usize);

/// Index into [`Plan::rule_sets`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RuleSetId(pub usize);

/// Index into [`Plan::listeners`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ListenerId(pub usize);

/// `gateway { … }`: settings of the process.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Gateway {
    /// Worker threads; `None` is one for each core.
    pub workers: Option<u32>,
    /// How long requests in flight may take to finish when the gateway or a listener ends.
    pub drain: Duration,
}

/// `access-log { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct AccessLog {
    /// Where the lines go.
    pub to: LogTarget,
    /// How a line is written.
    pub format: LogFormat,
}

/// Where access-log lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file, appended to; the path is already relative to the process, not to the policy.
    File(String),
}

/// The layout of an access-log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One line of words for people.
    Text,
}

/// `list NAME [ … ]`: named networks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct List {
    /// Its name.
    pub name: String,
    /// Its networks; a single address is a network of full length.
    pub networks: Vec<IpNet>,
}

/// Networks as a test or a trust setting names them: lists, and addresses written in place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct NetworkSet {
    /// Named lists.
    pub lists: Vec<ListId>,
    /// Networks written in place.
    pub networks: Vec<IpNet>,
}

/// `extension NAME { … }`: a Wasm guest and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// The module's file; the path is already relative to the process, not to the policy.
    pub module: String,
    /// The configuration as one JSON text, given to the guest's `init`.
    pub config: String,
    /// What one instance may use.
    pub limits: ExtensionLimits,
    /// Whether an instance serves many requests or one.
    pub instance: InstanceMode,
    /// What a request gets when the guest fails.
    pub on_error: OnError,
    /// What the guest may do; sorted, without repetition.
    pub allow: Vec<Capability>,
}

/// `limits { memory …; time …; instances … }` of an extension.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ExtensionLimits {
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// CPU time of one hook call.
    pub time: Duration,
    /// Instances a worker keeps.
    pub instances: u32,
}

/// `instance reused|fresh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceMode {
    /// An instance serves one call after another.
    Reused,
    /// Each hook call gets an instance of its own.
    Fresh,
}

/// `on-error deny [STATUS]|skip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// Answer with this status (500 unless written).
    Deny(u16),
    /// Go on as if the hook had said `next`.
    Skip,
}

/// A word of `allow [ … ]`: one thing that a guest may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Read the request and its connection.
    ReadRequest,
    /// Set, add and remove request headers.
    WriteRequestHeaders,
    /// Change path, authority and query.
    Rewrite,
    /// Read the response.
    ReadResponse,
    /// Set the status, set, add and remove response headers.
    WriteResponseHeaders,
    /// Choose the server group (verdict `forward`).
    Route,
    /// Answer in place of a backend (verdict `respond`), or close.
    Respond,
    /// Read and change bodies.
    Body,
    /// Read and write the request's variables.
    Vars,
    /// Write to the gateway's log.
    Log,
    /// Read clocks.
    Clock,
    /// Read random numbers.
    Random,
    /// Define and change metrics.
    Metrics,
    /// Use the store that workers share.
    Store,
    /// Call server groups.
    Outbound,
}

impl Capability {
    /// Every capability, in the order of the reference.
    pub const ALL: [Self; 15] = [
        Self::ReadRequest,
        Self::WriteRequestHeaders,
        Self::Rewrite,
        Self::ReadResponse,
        Self::WriteResponseHeaders,
        Self::Route,
        Self::Respond,
        Self::Body,
        Self::Vars,
        Self::Log,
        Self::Clock,
        Self::Random,
        Self::Metrics,
        Self::Store,
        Self::Outbound,
    ];

    /// The word that stands for it in `allow`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadRequest => "read-request",
            Self::WriteRequestHeaders => "write-request-headers",
            Self::Rewrite => "rewrite",
            Self::ReadResponse => "read-response",
            Self::WriteResponseHeaders => "write-response-headers",
            Self::Route => "route",
            Self::Respond => "respond",
            Self::Body => "body",
            Self::Vars => "vars",
            Self::Log => "log",
            Self::Clock => "clock",
            Self::Random => "random",
            Self::Metrics => "metrics",
            Self::Store => "store",
            Self::Outbound => "outbound",
        }
    }
}

/// `server-group NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ServerGroup {
    /// Its name.
    pub name: String,
    /// How a server is chosen.
    pub balance: Balance,
    /// Its servers, in the order written; never empty.
    pub servers: Vec<Server>,
    /// Idle connections kept for each server and worker; `None` is off.
    pub keepalive: Option<u32>,
    /// How long opening a connection may take.
    pub connect_timeout: Duration,
}

/// How a server of a group is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// In turn, in proportion to the weights.
    RoundRobin,
}

/// `server ADDRESS [weight N]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Server {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Share of the traffic; 0 takes none.
    pub weight: u32,
}

/// `listener http|https|quic NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub bind: Bind,
    /// How long a kept-alive connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long a peer may stay silent within a request: a backend gets 504, a client 408.
    pub request_timeout: Duration,
    /// Where the client's address comes from.
    pub client_ip: ClientIp,
    /// The forwarding headers that a backend gets.
    pub forwarded: Forwarded,
    /// Whether its requests are logged.
    pub access_log: bool,
    /// What a client may send and hold.
    pub limits: ListenerLimits,
    /// Extensions run before the rules.
    pub run: Vec<ExtensionId>,
    /// Blocks for every response.
    pub on_response: Vec<ResponseBlock>,
    /// Labels, for metrics and people.
    pub labels: Vec<(String, String)>,
    /// Whether it holds its socket.
    pub state: ListenerState,
    /// What decides about a request.
    pub action: ListenerAction,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Clear-text HTTP.
    Http,
}

/// Where a listener listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// Every interface, IPv6 too where the machine has it.
    Port(u16),
    /// One address.
    Address(SocketAddr),
}

impl Bind {
    /// The port, however it was written.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Port(port) => *port,
            Self::Address(address) => address.port(),
        }
    }
}

/// `client-ip …`: where the client's address comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientIp {
    /// The TCP peer.
    Peer,
    /// `X-Forwarded-For`, scanned from the right; the first address that is not trusted.
    XForwardedFor(NetworkSet),
    /// The leftmost entry of `X-Forwarded-For`, whoever sent it.
    XForwardedForLeftmost,
}

/// `forwarded [ … ]` and `forwarded-for …`: what a backend is told about the client.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "one switch for each header")]
pub struct Forwarded {
    /// `X-Forwarded-For`, and how; `None` passes the client's own through unchanged.
    pub forwarded_for: Option<ForwardedFor>,
    /// `X-Forwarded-Proto`: the scheme.
    pub proto: bool,
    /// `X-Forwarded-Port`: the listener's port.
    pub port: bool,
    /// `X-Forwarded-Client-Srcport`: the peer's port.
    pub client_port: bool,
    /// `X-Forwarded-Host`: the host that the client asked for.
    pub host: bool,
    /// `X-Forwarded-Listener`: the listener's name.
    pub listener_id: bool,
}

/// `forwarded-for append|replace|remove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedFor {
    /// The peer's address is added to what came.
    Append,
    /// The peer's address replaces what came.
    Replace,
    /// The header is taken out.
    Remove,
}

/// `limits { … }` of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ListenerLimits {
    /// Request line and header section together, in bytes.
    pub header_bytes: u64,
    /// Header fields in a request.
    pub headers: u32,
    /// The request target, in bytes.
    pub uri_bytes: u64,
    /// The request body, in bytes; `None` is off.
    pub body_bytes: Option<u64>,
    /// Connections at once, over all workers.
    pub connections: u32,
    /// Requests on one connection; `None` is off.
    pub requests_per_connection: Option<u32>,
}

/// `state running|stopped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerState {
    /// It accepts connections.
    Running,
    /// It keeps its place in the file and holds no socket.
    Stopped,
}

/// `rules NAME` or `forward …` of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerAction {
    /// The rules decide.
    Rules(RuleSetId),
    /// Everything goes to these groups.
    Forward(Vec<Target>),
}

/// `rules NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct RuleSet {
    /// Its name.
    pub name: String,
    /// The rules in the order written; the last one is `otherwise`, which has no conditions.
    pub rules: Vec<Rule>,
}

/// The name of the rule that `otherwise` makes.
pub const OTHERWISE: &str = "otherwise";

/// `rule NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Rule {
    /// Its name; [`OTHERWISE`] for the last one.
    pub name: String,
    /// The rule is taken if all of them hold.
    pub conditions: Vec<Condition>,
    /// What is done to the request, in the order written.
    pub steps: Vec<Step>,
    /// How it ends.
    pub outcome: Outcome,
    /// Blocks for the response.
    pub on_response: Vec<ResponseBlock>,
}

/// A `when` or `unless` line.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Condition {
    /// True for `unless`: the line holds if the test does not.
    pub unless: bool,
    /// The test.
    pub test: Test,
}

/// What a condition asks.
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

/// What a test looks at.
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
    /// A variable of the request.
    Var(String),
    /// The response's status; in `on-response` only.
    Status,
    /// Every value of a response header, in lower case; in `on-response` only.
    ResponseHeader(String),
}

/// What a value must meet. Values in a list are alternatives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Predicate {
    /// Exactly one of these; hosts are in lower case.
    Is(Vec<String>),
    /// `*` is any run of characters, `?` is one character.
    Like(Vec<String>),
    /// The path itself or something below it, by whole segments.
    Under(Vec<String>),
    /// A regular expression finds something.
    Matches(Vec<String>),
    /// One of these networks holds the address.
    In(NetworkSet),
    /// One of these ranges holds the status.
    Status(Vec<StatusRange>),
    /// There is a value, perhaps an empty one.
    Present,
    /// There is none.
    Absent,
}

/// Statuses from `first` to `last`, both included: `404`, `5xx`, `200..299`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct StatusRange {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

/// What a rule does to a request before it ends.
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
    /// Requests …
    pub requests: u32,
    /// … in this time.
    pub interval: Duration,
    /// One bucket for all, or one for each value of a key.
    pub per: LimitKey,
    /// Requests that may come at once.
    pub burst: u32,
    /// Status of a refusal.
    pub status: u16,
}

/// What a `limit` counts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKey {
    /// One bucket for the rule.
    All,
    /// One bucket a client address.
    ClientIp,
    /// One bucket for each first value of a header.
    Header(String),
    /// One bucket for each first value of a cookie.
    Cookie(String),
    /// One bucket a host.
    Host,
}

/// How a rule ends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// To one of these groups, chosen by weight.
    Forward(Vec<Target>),
    /// A redirection (RFC 9110, 15.4) with this `Location`.
    Redirect(u16, Template),
    /// An answer of our own.
    Respond(Respond),
    /// The connection is closed without an answer.
    Close,
}

/// A group of a `forward`, and its share.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Target {
    /// The group.
    pub group: GroupId,
    /// Its share of the requests; at least one target's is above 0.
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
    /// What is done, in the order written.
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
