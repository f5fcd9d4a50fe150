//! How a gateway is watched: traces, metrics, and the admin API.

use std::net::SocketAddr;

use serde::Serialize;

use super::process::Secret;

/// `tracing otlp { … }`: where spans go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Tracing {
    /// The collector's URL.
    pub endpoint: String,
    /// The protocol that spans are sent by.
    pub protocol: OtlpProtocol,
    /// `service.name` of the spans.
    pub service: String,
    /// Fields of each request to the collector: name and value.
    pub headers: Vec<(String, String)>,
    /// The forms of a trace's context that are read and written, without repetition and in order; W3C's is always one.
    pub propagate: Vec<Propagator>,
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

/// A form in which the context of a trace travels in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagator {
    /// `traceparent` and `tracestate` (W3C Trace Context).
    W3c,
    /// `b3`, or `x-b3-traceid` and its kin (Zipkin).
    B3,
}

/// `tracing P%` of a listener: which of its requests are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Sampling {
    /// The share of requests that are traced, in percent, 1 to 100.
    pub percent: u32,
    /// Whether what a request's own context says of sampling counts for nothing.
    pub ignore_parent: bool,
}

/// `admin { … }`: where a running gateway answers questions, and takes orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Admin {
    /// The addresses of the admin API.
    pub at: Endpoints,
    /// The token that is asked for over TCP before anything is shown.
    pub read_token: Option<Secret>,
    /// The token that is asked for over TCP before anything is changed; without one nothing is.
    pub operate_token: Option<Secret>,
}

/// `metrics { … }`: where metrics are read, and nothing else but whether the gateway lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Metrics {
    /// The addresses of the metrics.
    pub at: Endpoints,
}

/// The addresses that people and programs who watch a gateway connect to; at least one is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Endpoints {
    /// A TCP address.
    pub listen: Option<SocketAddr>,
    /// A Unix socket; the path is already relative to the process, not to the policy.
    pub unix: Option<String>,
}
