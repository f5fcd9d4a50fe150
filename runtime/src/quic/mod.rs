//! QUIC: a UDP socket for each listener and worker, and the way of every packet to the worker that owns its connection.
//!
//! The kernel spreads clients over the sockets by their address and port, and a client whose first packet reached a
//! worker stays with it. Only when the client's address changes (RFC 9000, 9) do its packets reach another worker's
//! socket: their connection id says whose they are, and they are handed over. What HTTP/3 makes of a connection is in
//! [`crate::downstream::h3`].

pub mod config;
pub mod refused;
pub mod shared_endpoint;
pub mod socket;

#[cfg(test)]
mod tests;
