//! Free ports, each handed out once.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

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

fn is_free(port: u16) -> bool {
    let v6 = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port));
    let taken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    !v6.is_err_and(|error| taken(&error)) && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}
