//! Takes connections from a worker's QUIC endpoint.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use quinn::{Endpoint, Incoming, Runtime, ServerConfig, TokioRuntime};
use tidegate_base::limits;
use tidegate_base::standstill::within;
use tidegate_http3::addresses::Addresses;
use tokio::sync::mpsc::Receiver;
use tracing::warn;

use crate::downstream::h3;
use crate::downstream::open::Counted;
use crate::quic::shared_endpoint::SharedEndpoint;
use crate::quic::socket::{Datagram, WorkerSocket};
use crate::quic::{config, refused};
use crate::request::listener_handle::ListenerHandle;
use crate::request::worker::Worker;
use crate::tls::handshake::RefusedKind;

/// What a worker gets to serve a QUIC listener.
pub struct WorkerEndpoint {
    /// The state that all workers of the listener share.
    pub shared: Arc<SharedEndpoint>,
    /// The socket of this worker.
    pub socket: std::net::UdpSocket,
    /// The end of the inbox from which this worker reads.
    pub inbox: Receiver<Datagram>,
}

/// A QUIC listener on one worker.
pub struct QuicListener {
    endpoint: Endpoint,
    shared: Arc<SharedEndpoint>,
    /// The peers that have shown that they get what is sent to them.
    addresses: Arc<Addresses>,
    /// The generation whose settings new connections get.
    generation: Cell<u64>,
    /// The settings of handshakes that begin now.
    config: RefCell<Option<Arc<ServerConfig>>>,
    /// Handshakes under way.
    handshakes: Cell<u32>,
}

impl QuicListener {
    /// Begins to take connections.
    ///
    /// # Errors
    /// The system's, if the socket cannot be watched.
    pub fn start(own: WorkerEndpoint, handle: &Rc<ListenerHandle>, worker: &Rc<Worker>) -> io::Result<Rc<Self>> {
        let WorkerEndpoint { shared, socket, inbox } = own;
        let runtime = Arc::new(TokioRuntime);
        let udp = runtime.wrap_udp_socket(socket)?;
        let addresses = Arc::<Addresses>::default();
        let socket = WorkerSocket::new(udp, Arc::clone(&shared), worker.index, inbox, Arc::clone(&addresses));
        let endpoint =
            Endpoint::new_with_abstract_socket(shared.endpoint_config(worker.index), None, Arc::new(socket), runtime)?;
        let listener = Rc::new(Self {
            endpoint,
            shared,
            addresses,
            generation: Cell::new(0),
            config: RefCell::new(None),
            handshakes: Cell::new(0),
        });
        listener.adopt(handle, worker);
        tokio::task::spawn_local(run(Rc::clone(&listener), Rc::clone(handle), Rc::clone(worker)));
        Ok(listener)
    }

    /// Gives new connections the settings of the policy in service; those that are open keep theirs.
    pub fn adopt(&self, handle: &ListenerHandle, worker: &Worker) {
        let (view, id) = handle.view(worker);
        let generation = view.snapshot.generation;
        if self.generation.replace(generation) == generation || handle.is_closed() {
            return;
        }
        let crypto = view.snapshot.tls.endpoint(id).and_then(|endpoint| config::crypto(endpoint));
        if let (Some(listener), Some(crypto)) = (view.snapshot.plan().listeners.get(id.0), crypto) {
            let config = self.shared.server_config(listener, crypto, &view.snapshot.tls.certificates.secrets);
            self.endpoint.set_server_config(Some(config.clone()));
            *self.config.borrow_mut() = Some(Arc::new(config));
        }
    }
}

async fn run(listener: Rc<QuicListener>, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    while !handle.is_closed() {
        let incoming = tokio::select! {
            incoming = listener.endpoint.accept() => incoming,
            () = handle.closing.notified() => break,
        };
        let Some(incoming) = incoming else { break };
        admit(incoming, &listener, &handle, &worker);
    }
    // The socket stays open for the connections that are left. Whoever comes meanwhile hears at once that nobody is there.
    loop {
        tokio::select! {
            incoming = listener.endpoint.accept() => match incoming {
                Some(incoming) => incoming.refuse(),
                None => return,
            },
            () = listener.endpoint.wait_idle() => return,
        }
    }
}

/// Decides on a client's first packet, before it costs more than itself.
fn admit(incoming: Incoming, listener: &Rc<QuicListener>, handle: &Rc<ListenerHandle>, worker: &Rc<Worker>) {
    if !handle.takes(worker, incoming.remote_address().ip()) {
        // No answer: whoever has no business here is told nothing, and an address may be forged.
        return incoming.ignore();
    }
    let under_way = listener.handshakes.get();
    let (address, proved) = (incoming.remote_address(), incoming.remote_address_validated());
    let crowded = under_way >= limits::QUIC_RETRY_FROM || !(proved || listener.addresses.knows(address));
    if crowded && incoming.may_retry() {
        // Its address may be forged: it is to show that it gets what is sent there (RFC 9000, 8.1.2). Nothing is kept.
        let _ = incoming.retry();
        return;
    }
    let read = |listener: &tidegate_dsl::plan::Listener, _: &_| {
        (listener.limits.connections, listener.tls.as_ref().is_some_and(|tls| tls.early_data))
    };
    let Some((limit, mut early_data)) = handle.with_listener(worker, read) else { return incoming.refuse() };
    if under_way >= limits::QUIC_HANDSHAKES || !handle.load.admit(limit) {
        if worker.log_throttle.may_write("connections") {
            warn!(bind = ?handle.key.bind, limit, under_way, "a QUIC connection was refused: too many connections or handshakes");
        }
        return incoming.refuse();
    }
    // A first packet from a forged address says nothing but that somebody recorded it: what it asks for waits until the
    // handshake shows that the client is there (RFC 9000, 8.1; RFC 9001, 9.2).
    early_data &= proved;
    if proved {
        listener.addresses.prove(address);
    }
    // Certificates are those of this moment, not of the last reload.
    listener.adopt(handle, worker);
    let Some(config) = listener.config.borrow().clone() else { return incoming.refuse() };
    let counted = Counted(Rc::clone(handle));
    let handshake = Handshake::new(Rc::clone(listener));
    tokio::task::spawn_local(connect(incoming, config, early_data, handshake, counted, Rc::clone(worker)));
}

/// Completes a handshake, and serves the connection.
async fn connect(
    incoming: Incoming,
    config: Arc<ServerConfig>,
    early_data: bool,
    handshake: Handshake,
    counted: Counted,
    worker: Rc<Worker>,
) {
    // Errors here are the client's, who hears of them in the handshake.
    let Ok(connecting) = incoming.accept_with(config) else { return };
    let connection = if early_data {
        let Ok((connection, complete)) = connecting.into_0rtt() else { return };
        let held = connection.clone();
        tokio::task::spawn_local(async move {
            let _handshake = handshake;
            if within(limits::QUIC_HANDSHAKE_TIME, complete).await.is_err() {
                held.close(quinn::VarInt::from_u32(0), b"the handshake took too long");
            }
        });
        connection
    } else {
        let connected = within(limits::QUIC_HANDSHAKE_TIME, connecting).await;
        drop(handshake);
        match connected {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return counted.0.count_refused(&worker, refused::kind(&error)),
            Err(_) => return counted.0.count_refused(&worker, RefusedKind::Timeout),
        }
    };
    h3::serve(connection, Rc::clone(&counted.0), worker).await;
}

/// Counts a handshake while it is under way.
struct Handshake(Rc<QuicListener>);

impl Handshake {
    fn new(listener: Rc<QuicListener>) -> Self {
        listener.handshakes.set(listener.handshakes.get() + 1);
        Self(listener)
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.set(self.0.handshakes.get() - 1);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use quinn::{Connection, ConnectionError};

    use super::*;
    use crate::tests::{Quic, run_with_sockets};

    /// Whether the gateway said that it takes no connection (RFC 9000, 20.1).
    fn is_refused(connected: Result<Connection, ConnectionError>) -> bool {
        match connected {
            Err(ConnectionError::ConnectionClosed(close)) => {
                close.error_code == quinn::TransportErrorCode::CONNECTION_REFUSED
            }
            Err(error) => panic!("{error}"),
            Ok(_) => false,
        }
    }

    /// Whether a client may open two streams at once.
    async fn opens_two(client: &Connection) -> bool {
        let (_one, two) = (client.open_bi().await.unwrap(), client.open_bi());
        tokio::time::timeout(Duration::from_millis(5), two).await.is_ok()
    }

    async fn until(what: impl Fn() -> bool) {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[test]
    fn a_connection_too_many_is_refused_and_one_that_ends_makes_room() {
        run_with_sockets(async {
            let quic = Quic::start("limits { connections 1 }");
            let first = quic.connect().await.unwrap();
            assert!(is_refused(quic.connect().await));
            assert_eq!(quic.house.handle.load.connections(), 1);
            until(|| quic.listener.handshakes.get() == 0).await;
            first.close(0_u32.into(), b"");
            until(|| quic.house.handle.load.connections() == 0).await;
            assert!(quic.connect().await.is_ok());
        });
    }

    #[test]
    fn handshakes_under_way_are_bounded_and_before_that_a_client_shows_its_address() {
        run_with_sockets(async {
            let quic = Quic::start("");
            let mut hellos = Vec::new();
            for under_way in [0, limits::QUIC_RETRY_FROM] {
                quic.listener.handshakes.set(under_way);
                let connection = quic.connect().await.unwrap();
                until(|| quic.listener.handshakes.get() == under_way).await;
                hellos.push(connection.stats().frame_tx.crypto);
            }
            assert!(hellos[1] > hellos[0], "it has said hello twice");
            quic.listener.handshakes.set(limits::QUIC_HANDSHAKES);
            assert!(is_refused(quic.connect().await));
        });
    }

    #[test]
    fn who_may_not_connect_is_told_nothing() {
        run_with_sockets(async {
            let quic = Quic::start("deny-from 127.0.0.1");
            assert!(tokio::time::timeout(Duration::from_millis(30), quic.connect()).await.is_err());
            assert_eq!((quic.house.handle.load.connections(), quic.listener.handshakes.get()), (0, 0));
        });
    }

    #[test]
    fn a_closed_listener_refuses_and_keeps_its_socket_for_those_who_are_left() {
        run_with_sockets(async {
            let quic = Quic::start("");
            let client = quic.connect().await.unwrap();
            quic.house.handle.close();
            assert!(is_refused(quic.connect().await));
            assert!(client.close_reason().is_none());
            assert_eq!(Rc::strong_count(&quic.listener), 2);
            client.close(0_u32.into(), b"");
            until(|| Rc::strong_count(&quic.listener) == 1).await;
        });
    }

    #[test]
    fn a_reload_is_for_connections_that_come_after_it() {
        run_with_sockets(async {
            let quic = Quic::start("");
            let before = quic.connect().await.unwrap();
            quic.certified.reload(&quic.house, "quic", "limits { streams 1 }");
            let after = quic.connect().await.unwrap();
            assert!(opens_two(&before).await && !opens_two(&after).await);
            let config = || quic.listener.config.borrow().clone().unwrap();
            let served = config();
            quic.certified.reload(&quic.house, "quic", "limits { streams 9 }");
            quic.house.handle.close();
            quic.listener.adopt(&quic.house.handle, &quic.house.worker);
            assert!(Arc::ptr_eq(&served, &config()), "nobody comes after the end");
        });
    }
}
