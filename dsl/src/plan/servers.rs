//! Groups of backend servers.

use std::time::Duration;

use serde::Serialize;

use super::condition::StatusRange;
use super::ids::CaId;

/// `server-group NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ServerGroup {
    /// The name of the group.
    pub name: String,
    /// The protocol that the servers speak.
    pub protocol: GroupProtocol,
    /// The way in which a server is chosen.
    pub balance: Balance,
    /// The servers of the group, in the order written; never empty.
    pub servers: Vec<Server>,
    /// The check of whether the servers work; `None` is off.
    pub health_check: Option<HealthCheck>,
    /// The cookie that keeps a client on its server; `None` is off.
    pub sticky: Option<Sticky>,
    /// Idle connections kept for each server and worker; `None` is off.
    pub keepalive: Option<u32>,
    /// The time over which the share of a server that became healthy grows to its weight; zero gives it at once.
    pub slow_start: Duration,
    /// The time that requests of a server that was removed or stopped may take to finish.
    pub drain: Duration,
    /// The time that opening a connection may take, TLS handshake included.
    pub connect_timeout: Duration,
    /// The authority that must have signed the certificates of the servers; it counts only for [`GroupProtocol::Https`]
    /// and for health checks over TLS.
    pub verify: Verify,
    /// The name that the certificates must have and that the handshake sends; `None` is the server's own host.
    pub server_name: Option<String>,
    /// The retries: when a request is tried again.
    pub retries: Retries,
    /// Connections to one server at once, over all workers; `None` is off.
    pub max_connections: Option<u32>,
}

/// The way in which a server of a group is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// Each server in turn, in proportion to the weights.
    RoundRobin,
    /// The server with the fewest requests in flight for its weight.
    LeastRequests,
    /// The server of a key of the request: a key keeps its server, as far as the servers stay the same.
    Hash(HashKey),
    /// The less busy of two that chance picks.
    RandomTwo,
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
    /// Whether the server takes requests only when no server that is no backup can.
    pub backup: bool,
    /// Whether the server takes no new requests.
    pub stopped: bool,
}

impl Server {
    /// Whether the server may get new requests.
    pub const fn takes_requests(&self) -> bool {
        !self.stopped && self.weight > 0
    }
}

/// `protocol http|https|grpc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupProtocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 in clear text, by prior knowledge.
    Grpc,
}

impl GroupProtocol {
    /// The word of the protocol.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Grpc => "grpc",
        }
    }
}

/// The key that `balance hash` counts by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The address of the client.
    ClientIp,
    /// Path and query as the backend gets them.
    Uri,
    /// The first value of a request header, in lower case.
    Header(String),
    /// The first value of a query parameter.
    Query(String),
    /// The first value of a cookie.
    Cookie(String),
}

/// `health-check KIND { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HealthCheck {
    /// The question to a server, and the answer that is a good one.
    pub probe: Probe,
    /// The port that is asked; `None` is the server's own.
    pub port: Option<u16>,
    /// Time between two checks of a server.
    pub every: Duration,
    /// The time that an answer may take.
    pub timeout: Duration,
    /// Good answers in a row until an unhealthy server is healthy.
    pub healthy: u32,
    /// Bad answers in a row until a healthy server is unhealthy.
    pub unhealthy: u32,
}

/// The question of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A request in clear text, or over TLS.
    Http(HttpProbe),
    /// The opening of a TCP connection.
    Tcp,
    /// `grpc.health.v1.Health/Check`, for the whole server.
    Grpc,
}

/// The request of a health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct HttpProbe {
    /// Whether the question goes over TLS.
    pub tls: bool,
    /// The method.
    pub method: String,
    /// The path that is asked for.
    pub path: String,
    /// The value of `Host`; `None` is the name that the certificate must have, or the server's own address.
    pub host: Option<String>,
    /// Further fields, names in lower case, in the order written.
    pub headers: Vec<(String, String)>,
    /// Statuses of a healthy server.
    pub expect: Vec<StatusRange>,
}

/// `sticky cookie "NAME" [ttl D]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Sticky {
    /// The name of the cookie that the gateway sets.
    pub cookie: String,
    /// The time for which a browser keeps the cookie; `None` is the browser's session.
    pub ttl: Option<Duration>,
}

/// `verify ca NAME|system|off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// The authorities that the machine trusts.
    System,
    /// The certificates of this `ca`.
    Ca(CaId),
    /// Nobody: any certificate is taken.
    Off,
}

/// `retries N on [ … ]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Retries {
    /// Tries after the first; 0 is none.
    pub count: u32,
    /// The failures after which a request is tried again; sorted, without repetition.
    pub on: Vec<RetryOn>,
}

/// A reason to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetryOn {
    /// No connection could be opened: nothing was sent.
    ConnectFailure,
    /// The connection broke before an answer began; only methods that may be repeated are.
    Reset,
    /// No answer began in time; only methods that may be repeated are.
    Timeout,
    /// A status of these; only methods that may be repeated are.
    Status(StatusRange),
}
