//! What the workers share of a QUIC listener: the keys of its connection ids and tokens, and each worker's inbox.

use std::sync::{Arc, OnceLock, Weak};

use quinn::crypto::ServerConfig as Crypto;
use quinn::{EndpointConfig, ServerConfig, ValidationTokenConfig};
use tidegate_base::limits;
use tidegate_base::secret::{Purpose, Secrets};
use tidegate_dsl::plan::{Listener, Peers};
use tidegate_http3::connection_id::{self, CidKeys, WorkerCids};
use tidegate_http3::tokens::{TokenKeys, UsedTokens};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::quic::config;
use crate::quic::socket::Datagram;

/// A QUIC listener over all workers; lives as long as its sockets.
pub struct SharedEndpoint {
    /// The keys that make and read connection ids.
    pub keys: Arc<CidKeys>,
    /// The inbox of each worker, for packets of its connections that others received.
    pub inboxes: Vec<Sender<Datagram>>,
    /// The key of stateless resets, one for all workers.
    endpoint: EndpointConfig,
    /// The key of the tokens that prove addresses, and which of them were used: one for all workers and reloads.
    server: ServerConfig,
    /// The listener that was at this address before and may still have connections.
    previous: Weak<SharedEndpoint>,
    /// The listener that is at this address now, if this one is closed. The kernel spreads packets over the sockets of
    /// both.
    next: OnceLock<Weak<SharedEndpoint>>,
}

/// The owner of a packet.
pub enum Owner {
    /// The worker that received it.
    Ours,
    /// Another worker, or another listener at this address.
    Other(Arc<SharedEndpoint>, u16),
}

impl SharedEndpoint {
    /// A listener for so many workers, and each one's end of its inbox.
    pub fn new(workers: usize, crypto: Arc<dyn Crypto>, previous: Weak<Self>) -> (Arc<Self>, Vec<Receiver<Datagram>>) {
        let (inboxes, ends) = (0..workers).map(|_| channel(limits::QUIC_HAND_OVER)).unzip();
        let mut endpoint = EndpointConfig::default();
        // Drafts are gone; a client that speaks only those is told so.
        endpoint.supported_versions(vec![1]);
        let mut server = ServerConfig::with_crypto(crypto);
        let mut tokens = ValidationTokenConfig::default();
        tokens.sent(limits::QUIC_TOKENS).lifetime(limits::QUIC_TOKEN_LIFE).log(Arc::new(UsedTokens::default()));
        server.validation_token_config(tokens);
        let (keys, next) = (Arc::default(), OnceLock::new());
        (Arc::new(Self { keys, inboxes, endpoint, server, previous, next }), ends)
    }

    /// Takes over from the listener that was here before.
    pub fn succeed(self: &Arc<Self>) {
        if let Some(previous) = self.previous.upgrade() {
            // It has one successor: a second one comes after the first, whose own successor it is.
            let _ = previous.next.set(Arc::downgrade(self));
        }
    }

    /// The owner of a packet that this worker received.
    pub fn owner(self: &Arc<Self>, packet: &[u8], worker: u16) -> Owner {
        let cid = connection_id::destination(packet);
        let of = |shared: &Arc<Self>| Some((Arc::clone(shared), shared.keys.owner(cid?)?));
        if let Some(owner) = cid.and_then(|cid| self.keys.owner(cid)) {
            return if owner == worker { Owner::Ours } else { Owner::Other(Arc::clone(self), owner) };
        }
        if let Some((shared, owner)) = self.previous.upgrade().as_ref().and_then(of) {
            return Owner::Other(shared, owner);
        }
        // A closed listener has no use for what begins a connection.
        match self.next.get().and_then(Weak::upgrade) {
            Some(next) => {
                let owner = of(&next).map_or(worker, |(_, owner)| owner);
                Owner::Other(next, owner)
            }
            None => Owner::Ours,
        }
    }

    /// The settings of a worker's endpoint.
    pub fn endpoint_config(&self, worker: u16) -> EndpointConfig {
        let mut config = self.endpoint.clone();
        let keys = Arc::clone(&self.keys);
        config.cid_generator(move || Box::new(WorkerCids::new(Arc::clone(&keys), worker)));
        config
    }

    /// The settings of new connections.
    pub fn server_config(&self, listener: &Listener, crypto: Arc<dyn Crypto>, secrets: &Secrets) -> ServerConfig {
        let mut server = self.server.clone();
        if !secrets.is_empty() {
            server.token_key(Arc::new(TokenKeys(secrets.keys(Purpose::Tokens))));
        }
        server.crypto = crypto;
        // Who comes from an allowed address is not to go on from another one.
        server.migration(listener.peers == Peers::default());
        server.transport = Arc::new(config::transport(listener));
        server.max_incoming(limits::QUIC_INCOMING);
        server.incoming_buffer_size(limits::QUIC_INCOMING_BYTES);
        server.incoming_buffer_size_total(limits::QUIC_INCOMING_BYTES_TOTAL);
        server
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quic::tests::{listener, packet};

    /// What begins a connection, with an id of the client's choice.
    const BEGINS: &[u8] = &[0xc0, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];

    /// The listener and the worker that a packet is handed over to; nothing if it stays.
    fn handed_over(at: &Arc<SharedEndpoint>, packet: &[u8], worker: u16) -> Option<(*const SharedEndpoint, u16)> {
        match at.owner(packet, worker) {
            Owner::Ours => None,
            Owner::Other(shared, owner) => Some((Arc::as_ptr(&shared), owner)),
        }
    }

    #[test]
    fn a_packet_goes_to_the_worker_that_owns_its_connection() {
        let (listener, inboxes) = listener(3, None);
        assert_eq!((listener.inboxes.len(), inboxes.len()), (3, 3));
        for (owner, received, to) in [(0, 0, None), (2, 2, None), (2, 0, Some(2)), (0, 2, Some(0))] {
            let to = to.map(|worker| (Arc::as_ptr(&listener), worker));
            assert_eq!(handed_over(&listener, &packet(&listener, owner, &[]), received), to, "{owner} at {received}");
        }
    }

    #[test]
    fn what_is_nobodys_stays_where_it_came() {
        let ((one, _a), (other, _b)) = (listener(3, None), listener(3, None));
        for packet in [BEGINS, &packet(&other, 2, &[]), &[0x40, 1, 2], &[]] {
            assert_eq!(handed_over(&one, packet, 1), None, "{packet:?}");
        }
    }

    #[test]
    fn packets_find_the_listener_that_was_here_before() {
        let (old, _a) = listener(3, None);
        let (new, _b) = listener(3, Some(&old));
        let to_old = packet(&old, 2, &[]);
        // Also if the worker has the same number.
        for received in [0, 2] {
            assert_eq!(handed_over(&new, &to_old, received), Some((Arc::as_ptr(&old), 2)));
        }
        drop(old);
        assert_eq!(handed_over(&new, &to_old, 0), None, "its connections have ended");
    }

    #[test]
    fn packets_find_the_listener_that_is_here_now() {
        let (old, _a) = listener(3, None);
        let (new, _b) = listener(3, Some(&old));
        assert_eq!(handed_over(&old, BEGINS, 1), None, "it serves until the other one does");
        new.succeed();
        assert_eq!(handed_over(&old, BEGINS, 1), Some((Arc::as_ptr(&new), 1)));
        assert_eq!(handed_over(&old, &packet(&new, 2, &[]), 1), Some((Arc::as_ptr(&new), 2)));
        assert_eq!(handed_over(&old, &packet(&old, 1, &[]), 1), None, "its own stay");
        assert_eq!(handed_over(&new, BEGINS, 1), None);
        drop(new);
        assert_eq!(handed_over(&old, BEGINS, 1), None, "nobody is here now");
    }

    #[test]
    fn version_1_is_spoken_and_no_draft() {
        let (listener, _inboxes) = listener(3, None);
        let config = format!("{:?}", listener.endpoint_config(2));
        assert!(config.contains("supported_versions: [1]"), "{config}");
    }
}
