//! Admission of a connection: what let it in, and whether the policy in service would let it in, too.

use std::net::IpAddr;

use tidegate_dsl::plan::ListenerId;
use tidegate_engine::exchange::Connection;

use crate::request::listener_handle::ListenerHandle;
use crate::request::worker::Worker;
use crate::request::worker_snapshot::WorkerSnapshot;
use crate::tls::terms::Terms;

/// The reasons that let a connection in.
#[derive(Debug)]
pub struct Admission {
    /// The TCP or UDP peer.
    peer: IpAddr,
    /// Whether the peer had to say for whom it speaks: a header of the PROXY protocol.
    proxied: bool,
    /// The terms of the handshake, where a policy decides about them.
    terms: Option<Terms>,
}

impl Admission {
    /// The admission of a connection over TCP, whose handshake is still to come, or never does.
    pub const fn tcp(peer: IpAddr, proxied: bool) -> Self {
        Self { peer, proxied, terms: None }
    }

    /// The admission of a connection over QUIC, which has all of TLS 1.3, and asks for no certificate.
    pub const fn quic(peer: IpAddr) -> Self {
        Self { peer, proxied: false, terms: None }
    }

    /// Adds the terms of the handshake.
    pub fn with_terms(self, terms: Terms) -> Self {
        Self { terms: Some(terms), ..self }
    }

    /// Whether the policy in service would let the connection in, too.
    pub fn holds(&self, info: &Connection, handle: &ListenerHandle, worker: &Worker) -> bool {
        let (view, id) = handle.view(worker);
        let engine = &view.snapshot.engine;
        engine.takes(id, info.peer.ip())
            && engine.expects_proxy_header(id, self.peer) == self.proxied
            && self.terms.as_ref().is_none_or(|terms| suits(terms, &view, id))
    }
}

fn suits(terms: &Terms, view: &WorkerSnapshot, id: ListenerId) -> bool {
    view.snapshot.tls.endpoint(id).is_some_and(|endpoint| terms.suit(endpoint))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::tests::{ANSWERS, House, policy};

    /// Whether a connection for 192.0.2.1 that came so is let in after a reload to these words of the listener.
    fn holds(peer: &str, proxied: bool, words: &str) -> bool {
        let house = House::answering("");
        let connection = house.connection();
        house.reload(&policy(words, ANSWERS));
        Admission::tcp(peer.parse().unwrap(), proxied).holds(&connection.info, &house.handle, &house.worker)
    }

    #[test]
    fn what_let_a_connection_in_still_lets_it_in() {
        assert!(holds("192.0.2.1", false, ""));
        assert!(holds("192.0.2.1", false, "allow-from 192.0.2.0/24"));
    }

    #[test]
    fn a_client_that_is_refused_now_is_not_admitted() {
        assert!(!holds("192.0.2.1", false, "deny-from 192.0.2.1"));
        assert!(!holds("192.0.2.1", false, "allow-from 198.51.100.0/24"));
    }

    #[test]
    fn a_peer_that_spoke_for_another_and_may_not_is_not_admitted() {
        assert!(!holds("192.0.2.1", true, ""));
    }

    #[test]
    fn a_connection_over_quic_speaks_for_itself() {
        let house = House::answering("");
        let connection = house.connection();
        assert!(Admission::quic(connection.info.peer.ip()).holds(&connection.info, &house.handle, &house.worker));
    }
}
