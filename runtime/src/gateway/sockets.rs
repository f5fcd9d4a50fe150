//! The listening sockets: one for each listener and worker, kept over reloads as long as something listens there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tidegate_dsl::plan::{Bind, ListenerState, Plan};

use super::WORKER_PATIENCE;
use crate::limits;
use crate::policy::snapshot::Place;
use crate::worker::{Command, ListenerLoad, WorkerHandle};

/// The sockets in service.
#[derive(Default)]
pub struct Sockets {
    open: HashMap<Place, Arc<ListenerLoad>>,
}

/// Sockets that a reload needs and that nobody serves yet. Dropping it closes them.
pub struct Opened {
    new: Vec<(Place, Vec<TcpListener>)>,
    gone: Vec<Place>,
}

impl Sockets {
    /// Opens what the plan needs and is not open: a socket a worker for each.
    ///
    /// # Errors
    /// A sentence that names the listener, if an address cannot be had.
    pub fn prepare(&self, plan: &Plan, workers: usize) -> Result<Opened, String> {
        let running: Vec<_> =
            plan.listeners.iter().filter(|listener| listener.state == ListenerState::Running).collect();
        let gone =
            self.open.keys().filter(|place| !running.iter().any(|listener| Place::of(listener) == **place)).copied();
        let mut new = Vec::new();
        for listener in running.iter().filter(|listener| !self.open.contains_key(&Place::of(listener))) {
            let ours = self.open.keys().any(|place| place.bind.port() == listener.bind.port());
            let sockets = open(listener.bind, workers, ours).map_err(|error| {
                format!("listener `{}` cannot listen on {}: {}", listener.name, words(listener.bind), reason(&error))
            })?;
            new.push((Place::of(listener), sockets));
        }
        Ok(Opened { new, gone: gone.collect() })
    }

    /// Hands new sockets to the workers, and has them close those that are gone.
    pub fn commit(&mut self, opened: Opened, workers: &[WorkerHandle], drain: Duration) {
        let mut heard = Vec::new();
        for place in opened.gone {
            self.open.remove(&place);
            heard.extend(workers.iter().map(|worker| worker.send(Command::Unlisten { place, drain })));
        }
        for (place, sockets) in opened.new {
            let load = Arc::new(ListenerLoad::default());
            self.open.insert(place, Arc::clone(&load));
            let pairs = workers.iter().zip(sockets);
            heard.extend(
                pairs.map(|(worker, socket)| worker.send(Command::Listen { place, socket, load: Arc::clone(&load) })),
            );
        }
        heard.extend(workers.iter().map(|worker| worker.send(Command::Refresh)));
        for done in heard {
            // A worker that is busy does it a little later.
            let _ = done.recv_timeout(WORKER_PATIENCE);
        }
    }
}

/// An address in the policy's words.
pub fn words(bind: Bind) -> String {
    match bind {
        Bind::Port(port) => format!("port {port}"),
        Bind::Address(address) => format!("address {address}"),
    }
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

fn open(bind: Bind, workers: usize, ours: bool) -> std::io::Result<Vec<TcpListener>> {
    match bind {
        Bind::Address(address) => open_at(address, workers, ours),
        Bind::Port(port) => {
            let every = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port);
            match open_at(every, workers, ours) {
                Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => {
                    // No IPv6 here; if the reason was another one, IPv4 has it, too.
                    open_at(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), workers, ours)
                }
                opened => opened,
            }
        }
    }
}

fn open_at(address: SocketAddr, workers: usize, ours: bool) -> std::io::Result<Vec<TcpListener>> {
    if !ours {
        // With SO_REUSEPORT alone, a second gateway on the same port would quietly take half of the connections.
        bound(address, false)?;
    }
    (0..workers)
        .map(|_| {
            let socket = bound(address, true)?;
            socket.listen(limits::ACCEPT_BACKLOG)?;
            Ok(socket.into())
        })
        .collect()
}

fn bound(address: SocketAddr, shared: bool) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
