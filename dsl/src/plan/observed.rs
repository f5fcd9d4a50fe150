//! How a gateway is watched: traces, and the admin API.

use std::net::SocketAddr;

use serde::Serialize;

/// `tracing otlp { … }`: where spans go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Tracing {
    /// The collector's URL.
    pub endpoint: String,
    /// The protocol that spans are sent by.
    pub protocol: OtlpProtocol,
    /// `service.name` of the spans.
    pub service: String,
}

/// The transport of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtlpProtocol {
    /// gRPC, over HTTP/2.
    Grpc,
    /// Protobuf in HTTP POST.
    Http,
}

/// `admin { listen … }`: where a running gateway answers questions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Admin {
    /// The address that the admin API listens on.
    pub listen: AdminListen,
}

/// The address that the admin API listens on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminListen {
    /// A TCP address.
    Address(SocketAddr),
    /// A Unix socket; the path is already relative to the process, not to the policy.
    Unix(String),
}
