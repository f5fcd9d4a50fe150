//! The listening sockets: one for each listener and worker, kept over reloads as long as something listens there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tidegate_base::address::{ListenerKey, words};
use tidegate_base::limits;
use tidegate_dsl::plan::{Bind, Listener, ListenerId, ListenerState, Plan, Protocol};

use crate::policy::snapshot::Snapshot;
use crate::quic::config::crypto;
use crate::quic::shared_endpoint::SharedEndpoint;
use crate::request::listener_load::ListenerLoad;
use crate::worker::control::{Command, ListenerSocket, WorkerHandle};
use crate::worker::quic::WorkerEndpoint;

/// How long a command may take to reach every worker; only a worker that hangs takes longer.
const WORKER_PATIENCE: Duration = Duration::from_secs(5);

/// The sockets in service.
#[derive(Default)]
pub struct Sockets {
    /// The sockets in service; a QUIC listener with what its workers share.
    open: HashMap<ListenerKey, Option<Arc<SharedEndpoint>>>,
    /// The load of each.
    loads: HashMap<ListenerKey, Arc<ListenerLoad>>,
    /// QUIC listeners that are gone and may still have connections, which live on their sockets.
    draining: HashMap<ListenerKey, Weak<SharedEndpoint>>,
}

/// Sockets that a reload needs and that nobody serves yet. Dropping it closes them.
pub struct Opened {
    new: Vec<New>,
    gone: Vec<ListenerKey>,
}

/// A listener that nobody serves yet.
struct New {
    key: ListenerKey,
    sockets: Vec<ListenerSocket>,
    shared: Option<Arc<SharedEndpoint>>,
}

impl Sockets {
    /// Opens what the policy needs and is not open: a socket a worker for each listener.
    ///
    /// # Errors
    /// A sentence that names the listener, if an address cannot be had.
    pub fn prepare(&self, snapshot: &Snapshot, workers: usize) -> Result<Opened, String> {
        let running: Vec<_> = running(snapshot.plan()).collect();
        let gone =
            self.open.keys().filter(|key| !running.iter().any(|(_, listener)| ListenerKey::of(listener) == **key));
        let gone = gone.copied().collect();
        let mut new = Vec::new();
        for (id, listener) in running {
            let key = ListenerKey::of(listener);
            if self.open.contains_key(&key) {
                continue;
            }
            let opened = self.open(snapshot, id, key, workers);
            let (sockets, shared) = opened.map_err(|error| {
                format!("listener `{}` cannot listen on {}: {}", listener.name, words(key.bind), reason(&error))
            })?;
            new.push(New { key, sockets, shared });
        }
        Ok(Opened { new, gone })
    }

    /// Opens a listener's sockets.
    fn open(
        &self,
        snapshot: &Snapshot,
        id: ListenerId,
        key: ListenerKey,
        workers: usize,
    ) -> std::io::Result<(Vec<ListenerSocket>, Option<Arc<SharedEndpoint>>)> {
        let kind = kind(key);
        let same = |other: &&ListenerKey| kind == self::kind(**other) && other.bind.port() == key.bind.port();
        let ours = self.open.keys().chain(self.draining_now()).any(|other| same(&other));
        let sockets = open(key.bind, kind, workers, ours)?;
        if kind != Type::DGRAM {
            return Ok((sockets.into_iter().map(|socket| ListenerSocket::Tcp(socket.into())).collect(), None));
        }
        let crypto = snapshot
            .tls
            .endpoint(id)
            .and_then(|endpoint| crypto(endpoint))
            .ok_or_else(|| std::io::Error::other("it has no certificate"))?;
        let previous = self.draining.get(&key).cloned().unwrap_or_default();
        let (shared, inboxes) = SharedEndpoint::new(workers, crypto, previous);
        let endpoint = |(socket, inbox): (Socket, _)| {
            ListenerSocket::Quic(WorkerEndpoint { shared: Arc::clone(&shared), socket: socket.into(), inbox })
        };
        Ok((sockets.into_iter().zip(inboxes).map(endpoint).collect(), Some(shared)))
    }

    /// The loads of the listeners in service.
    pub const fn loads(&self) -> &HashMap<ListenerKey, Arc<ListenerLoad>> {
        &self.loads
    }

    fn draining_now(&self) -> impl Iterator<Item = &ListenerKey> {
        self.draining.iter().filter(|(_, shared)| shared.strong_count() > 0).map(|(key, _)| key)
    }

    /// Hands new sockets to the workers, and has them close those that are gone.
    pub fn commit(&mut self, opened: Opened, workers: &[WorkerHandle], drain: Duration) {
        let mut heard = Vec::new();
        for key in opened.gone {
            self.loads.remove(&key);
            if let Some(Some(shared)) = self.open.remove(&key) {
                self.draining.insert(key, Arc::downgrade(&shared));
            }
            heard.extend(workers.iter().map(|worker| worker.send(Command::Unlisten { key, drain })));
        }
        for New { key, sockets, shared } in opened.new {
            if let Some(shared) = &shared {
                shared.succeed();
            }
            let load = Arc::new(ListenerLoad::default());
            self.open.insert(key, shared);
            self.loads.insert(key, Arc::clone(&load));
            let pairs = workers.iter().zip(sockets);
            heard.extend(
                pairs.map(|(worker, socket)| worker.send(Command::Listen { key, socket, load: Arc::clone(&load) })),
            );
        }
        self.draining.retain(|_, shared| shared.strong_count() > 0);
        heard.extend(workers.iter().map(|worker| worker.send(Command::Refresh)));
        for done in heard {
            // A worker that is busy does it a little later.
            let _ = done.recv_timeout(WORKER_PATIENCE);
        }
    }
}

/// The listeners that hold a socket.
fn running(plan: &Plan) -> impl Iterator<Item = (ListenerId, &Listener)> {
    let listeners = plan.listeners.iter().enumerate().map(|(at, listener)| (ListenerId(at), listener));
    listeners.filter(|(_, listener)| listener.state == ListenerState::Running)
}

/// TCP or UDP.
fn kind(key: ListenerKey) -> Type {
    if key.protocol == Protocol::Quic { Type::DGRAM } else { Type::STREAM }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "this user may not (ports below 1024 need CAP_NET_BIND_SERVICE)".to_owned()
        }
        std::io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        _ => error.to_string(),
    }
}

fn open(bind: Bind, kind: Type, workers: usize, ours: bool) -> std::io::Result<Vec<Socket>> {
    match bind {
        Bind::Address(address) => open_at(address, kind, workers, ours),
        Bind::Port(port) => {
            let every = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
            match open_at(every, kind, workers, ours) {
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                    // No IPv6 here; if the reason was another one, IPv4 has it, too.
                    open_at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), kind, workers, ours)
                }
                opened => opened,
            }
        }
    }
}

fn open_at(address: SocketAddr, kind: Type, workers: usize, ours: bool) -> std::io::Result<Vec<Socket>> {
    if !ours {
        // With SO_REUSEPORT alone, a second gateway on the same port would quietly take half of the connections.
        bound(address, kind, false)?;
    }
    (0..workers)
        .map(|_| {
            let socket = bound(address, kind, true)?;
            if kind == Type::STREAM {
                socket.listen(limits::ACCEPT_BACKLOG)?;
            }
            Ok(socket)
        })
        .collect()
}

fn bound(address: SocketAddr, kind: Type, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    } else {
        // With SO_REUSEADDR, every UDP socket could share the port. The kernel may grant less than is asked for here.
        let _ = socket.set_recv_buffer_size(limits::QUIC_SOCKET_BUFFER);
        let _ = socket.set_send_buffer_size(limits::QUIC_SOCKET_BUFFER);
    }
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
pub(super) mod tests {
    use std::net::{TcpListener, UdpSocket};

    use crate::tests::snapshot;

    use super::*;

    /// An address of this machine that nobody listens on.
    pub(in crate::gateway) fn free() -> SocketAddr {
        // A part of the loopback network that nothing else is likely to use.
        TcpListener::bind("127.53.7.1:0").unwrap().local_addr().unwrap()
    }

    /// A policy with these listeners, each with its words.
    fn policy(listeners: &[(&str, &str)]) -> Snapshot {
        let listeners: String =
            listeners.iter().map(|(name, words)| format!("listener http {name} {{ {words}; rules site }}\n")).collect();
        snapshot(&format!("tidegate 1\n{listeners}rules site {{ otherwise {{ close }} }}\n"), None)
    }

    fn key(address: SocketAddr) -> ListenerKey {
        ListenerKey { bind: Bind::Address(address), protocol: Protocol::Http }
    }

    fn at(address: SocketAddr) -> String {
        format!("address {address}")
    }

    #[test]
    fn what_is_open_is_kept_and_only_what_is_new_is_opened() {
        let (one, other, third) = (free(), free(), free());
        let mut sockets = Sockets::default();
        let opened = sockets.prepare(&policy(&[("one", &at(one)), ("other", &at(other))]), 3).unwrap();
        let counts: Vec<_> = opened.new.iter().map(|new| (new.key, new.sockets.len())).collect();
        assert_eq!(counts, [(key(one), 3), (key(other), 3)], "a socket for each worker");
        sockets.commit(opened, &[], Duration::ZERO);
        // Another name and another order, one that stops, and one that comes.
        let next = policy(&[("c", &at(third)), ("b", &format!("{}; state stopped", at(other))), ("a", &at(one))]);
        let opened = sockets.prepare(&next, 1).unwrap();
        assert_eq!(opened.new.iter().map(|new| new.key).collect::<Vec<_>>(), [key(third)]);
        assert_eq!(opened.gone, [key(other)]);
        // A policy that is not put in service after all changes nothing.
        drop(opened);
        assert!(TcpListener::bind(third).is_ok());
        let opened = sockets.prepare(&next, 1).unwrap();
        sockets.commit(opened, &[], Duration::ZERO);
        let opened = sockets.prepare(&next, 1).unwrap();
        assert!(opened.new.is_empty() && opened.gone.is_empty());
    }

    #[test]
    fn an_address_that_cannot_be_had_is_named_and_nothing_stays_open() {
        let (own, taken) = (free(), TcpListener::bind("127.53.7.1:0").unwrap());
        let taken = (taken.local_addr().unwrap(), taken);
        for (address, why) in [
            (taken.0, "another process listens there"),
            // Of a network for documents alone (RFC 5737).
            ("203.0.113.7:8080".parse().unwrap(), "this machine does not have the address"),
        ] {
            let wanted = policy(&[("own", &at(own)), ("other", &at(address))]);
            let Err(said) = Sockets::default().prepare(&wanted, 2) else { panic!("{address} was had") };
            assert_eq!(said, format!("listener `other` cannot listen on address {address}: {why}"));
            assert!(TcpListener::bind(own).is_ok(), "the one before it is closed again");
        }
        let denied = reason(&std::io::ErrorKind::PermissionDenied.into());
        assert!(denied.contains("CAP_NET_BIND_SERVICE"), "{denied}");
        assert_eq!(words(Bind::Port(80)), "port 80");
    }

    #[test]
    fn workers_share_an_address_and_gateways_do_not() {
        for kind in [Type::STREAM, Type::DGRAM] {
            let address = free();
            let held = open(Bind::Address(address), kind, 2, false).unwrap();
            assert_eq!(held.len(), 2);
            let again = open(Bind::Address(address), kind, 1, false);
            assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse, "{kind:?}: another gateway");
            assert!(open(Bind::Address(address), kind, 1, true).is_ok(), "{kind:?}: the same gateway, over a reload");
            drop(held);
            let foreign: Box<dyn std::any::Any> = match kind {
                Type::STREAM => Box::new(TcpListener::bind(address).unwrap()),
                _ => Box::new(UdpSocket::bind(address).unwrap()),
            };
            for ours in [false, true] {
                assert!(open(Bind::Address(address), kind, 1, ours).is_err(), "{kind:?}: the process of another");
            }
            drop(foreign);
        }
    }
}
