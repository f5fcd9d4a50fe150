//! Free ports, each handed out once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use crate::eventually;

/// Below the range from which the kernel takes the ports of outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..31_000;

/// A port that nobody uses and that no other test gets, in this process or another: the last one that was handed out
/// stands in a file, under a lock.
///
/// # Panics
/// There is no free port, or no place for the file.
pub fn free_port() -> u16 {
    let mut file = open();
    file.lock().expect("a lock on the port registry");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("the port registry");
    let last = text.trim().parse().unwrap_or(PORTS.end);
    let after = (last.saturating_add(1)..PORTS.end).chain(PORTS);
    let port = after.into_iter().find(|port| PORTS.contains(port) && is_free(*port)).expect("a free port");
    file.seek(SeekFrom::Start(0)).and_then(|_| file.set_len(0)).expect("the port registry");
    write!(file, "{port}").expect("the port registry");
    // Closing the file gives the lock back.
    port
}

fn open() -> File {
    let path = std::env::temp_dir().join("tidegate-tests.ports");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).expect("the port registry")
}

/// Whether a socket can be bound to the port on every address. None of these sockets listens: a program that another
/// test starts at this moment holds a copy of each until it runs, and a copy that listened would keep the port taken
/// from whom it is for.
fn is_free(port: u16) -> bool {
    let bind = |domain, address: SocketAddr| {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    };
    let v6 = bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into());
    !v6.is_err_and(|error| is_taken(&error)) && bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into()).is_ok()
}

fn is_taken(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::AddrInUse
}

/// Listens on a port of the loopback address. A listener that was there before is waited for: a program that was being
/// started when it closed holds its copy until it runs.
///
/// # Panics
/// The port stays taken.
pub fn listen_on(port: u16) -> TcpListener {
    let bound = eventually(&format!("port {port}"), || match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Err(error) if is_taken(&error) => Err(error),
        bound => Ok(bound),
    });
    bound.unwrap_or_else(|error| panic!("port {port}: {error}"))
}

/// Listens on a free port of the loopback address.
///
/// # Panics
/// There is no free port.
pub fn listen() -> TcpListener {
    listen_on(free_port())
}
