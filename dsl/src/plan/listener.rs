//! Listeners: where connections come in, what clients may send, who decides.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;

use super::ids::{CaId, CertificateId, ExtensionId, ListenerId, RuleSetId, TlsPolicyId};
use super::networks::NetworkSet;
use super::observed::Sampling;
use super::rules::{ResponseBlock, Target};

/// `listener http|https|quic NAME { … }`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// The name of the listener.
    pub name: String,
    /// The protocol that clients speak.
    pub protocol: Protocol,
    /// The address that the listener is bound to.
    pub bind: Bind,
    /// The TLS of its connections; `None` only for [`Protocol::Http`].
    pub tls: Option<ListenerTls>,
    /// The peers whose connections are taken.
    pub peers: Peers,
    /// The QUIC listener that clients are told of while it accepts.
    pub quic_upgrade: Option<QuicUpgrade>,
    /// The time that a kept-alive connection may stay without a request.
    pub idle_timeout: Duration,
    /// The time that a peer may stay silent within a request: a backend gets 504, a client 408.
    pub request_timeout: Duration,
    /// The time that an upgraded connection may stay silent.
    pub tunnel_timeout: Duration,
    /// The codings that responses may be compressed with, the best first; empty is off.
    pub compression: Vec<Compression>,
    /// The source of the client's address.
    pub client_ip: ClientIp,
    /// The reading of the paths of requests.
    pub paths: Paths,
    /// The forwarding headers that a backend gets.
    pub forwarded: Forwarded,
    /// Which requests are traced; `None` is off.
    pub tracing: Option<Sampling>,
    /// Whether requests of the listener are logged.
    pub access_log: bool,
    /// The limits of what a client may send and hold.
    pub limits: ListenerLimits,
    /// Extensions run before the rules.
    pub run: Vec<ExtensionId>,
    /// Blocks for every response.
    pub on_response: Vec<ResponseBlock>,
    /// Labels, for metrics and people.
    pub labels: Vec<(String, String)>,
    /// Whether the listener holds its socket.
    pub state: ListenerState,
    /// The extensions and rules that decide about a request.
    pub action: ListenerAction,
}

/// The protocol that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// HTTP/1.1 in clear text, and HTTP/2 by prior knowledge.
    Http,
    /// HTTP/1.1 and HTTP/2 over TLS.
    Https,
    /// HTTP/3.
    Quic,
}

impl Protocol {
    /// The word that stands for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Quic => "quic",
        }
    }

    /// The scheme of the URLs that lead to it (RFC 9110, 4.2): `http` or `https`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https | Self::Quic => "https",
        }
    }
}

/// The address that a listener is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bind {
    /// Every interface, IPv6 too where the machine has it.
    Port(u16),
    /// An address and a port.
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

/// `allow-from LIST` and `deny-from LIST`: whose connections are taken, by the address of the peer, or of whom the PROXY
/// protocol names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Peers {
    /// The peers that are taken; `None` is everybody.
    pub allow: Option<NetworkSet>,
    /// The peers that are never taken, even if `allow` names them.
    pub deny: Option<NetworkSet>,
}

/// `quic-upgrade LISTENER [port N] [max-age D]`: what clients are told of HTTP/3 (RFC 7838).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct QuicUpgrade {
    /// The QUIC listener.
    pub listener: ListenerId,
    /// The port that clients see, where it is not the listener's own.
    pub port: Option<u16>,
    /// The time for which a client may remember the offer.
    pub max_age: Duration,
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
    /// The PROXY protocol's header, which these peers must send; others are taken at their own address.
    ProxyProtocol(NetworkSet),
}

/// `paths merge|plain|strict`: how the paths of requests are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Paths {
    /// Runs of slashes are one, and tests see no parameters of segments.
    #[default]
    Merge,
    /// Slashes and parameters stay as they came.
    Plain,
    /// Paths that backends read in two ways are refused.
    Strict,
}

impl Paths {
    /// The word that stands for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Plain => "plain",
            Self::Strict => "strict",
        }
    }
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
    /// `X-Forwarded-Clientcert-*`: subject, issuer, fingerprint and verdict.
    pub client_cert: bool,
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
    /// Requests in flight at once on one connection of HTTP/2 or HTTP/3.
    pub streams: u32,
    /// Requests on one connection; `None` is off.
    pub requests_per_connection: Option<u32>,
}

/// `state running|stopped`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerState {
    /// The listener accepts connections.
    Running,
    /// The listener keeps its place in the file and holds no socket.
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

/// The TLS of a listener that speaks TLS or QUIC.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ListenerTls {
    /// The first is the default, the rest are chosen by their own names; never empty.
    pub certificates: Vec<CertificateId>,
    /// Versions, suites and groups; a QUIC listener has those of TLS 1.3, and `None` here.
    pub policy: Option<TlsPolicyId>,
    /// The certificates that clients are asked for; `None` if they are asked for none.
    pub client_ca: Option<ClientCa>,
    /// Whether HTTP/2 is offered; a QUIC listener has `false` here.
    pub http2: bool,
    /// Whether requests in 0-RTT data are taken (RFC 8470); only safe methods are.
    pub early_data: bool,
}

/// `client-ca NAME required|optional`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct ClientCa {
    /// The authority that signs the certificates of clients.
    pub ca: CaId,
    /// Whether a client without a certificate is refused. A certificate that is not accepted always is.
    pub required: bool,
}

/// An entry of `compression [ … ]`: a content coding (RFC 9110, 8.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Brotli (RFC 7932), for every type of content.
    Br,
    /// gzip (RFC 1952), for text and its kin.
    Gzip,
}
