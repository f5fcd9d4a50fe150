//! The addresses of listeners and servers, as keys and as text.

use tidegate_dsl::plan::{Bind, Listener, Protocol};

/// The identity of a listener over reloads: an HTTPS and a QUIC listener may share a port, and one that
/// comes to speak another protocol is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerKey {
    /// The address where the listener accepts.
    pub bind: Bind,
    /// The protocol that the listener speaks.
    pub protocol: Protocol,
}

impl ListenerKey {
    /// The key of a listener.
    pub fn of(listener: &Listener) -> Self {
        Self { bind: listener.bind, protocol: listener.protocol }
    }
}

/// An address in the policy's words: `port 8080`, `address 127.0.0.1:8080`.
pub fn words(bind: Bind) -> String {
    match bind {
        Bind::Port(port) => format!("port {port}"),
        Bind::Address(address) => format!("address {address}"),
    }
}

/// `host:port`, with brackets around an IPv6 address.
pub fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
