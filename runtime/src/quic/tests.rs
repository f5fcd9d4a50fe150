//! What the tests of several files need: listeners, and packets to their connections.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::{Arc, Weak};

use quinn::ConnectionIdGenerator;
use quinn::crypto::rustls::QuicServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::ResolvesServerCertUsingSni;
use rustls::{ServerConfig, version};
use tidegate_http3::connection_id::WorkerCids;
use tokio::sync::mpsc::Receiver;

use crate::quic::shared_endpoint::SharedEndpoint;
use crate::quic::socket::Datagram;

/// A listener for so many workers, after this one.
pub(super) fn listener(
    workers: usize,
    previous: Option<&Arc<SharedEndpoint>>,
) -> (Arc<SharedEndpoint>, Vec<Receiver<Datagram>>) {
    let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let builder = builder.with_protocol_versions(&[&version::TLS13]).unwrap().with_no_client_auth();
    let tls = builder.with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    let crypto = Arc::new(QuicServerConfig::try_from(tls).unwrap());
    SharedEndpoint::new(workers, crypto, previous.map_or_else(Weak::new, Arc::downgrade))
}

/// A packet to a connection of this worker, with these bytes behind its head.
pub(super) fn packet(listener: &SharedEndpoint, worker: u16, bytes: &[u8]) -> Vec<u8> {
    let id = WorkerCids::new(Arc::clone(&listener.keys), worker).generate_cid();
    [&[0x40], &id[..], bytes].concat()
}
