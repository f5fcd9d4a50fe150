//! HTTP/3 around the `h3` and `quinn` crates: what they leave open, and nothing of who serves a request.
//!
//! `h3` speaks the protocol over streams that its user brings. The streams here see what it does not: they bound frames
//! ([`frames`]) and check field sections ([`field_section`]) before it gets them ([`streams`], [`transport`]). Beside them
//! stands what a server of QUIC decides from packets alone: whose a packet is ([`connection_id`]), what a client of an older
//! QUIC is told ([`gquic`]), and how much an address may get that has proved nothing ([`addresses`], [`tokens`]).
//!
//! Nothing here knows a socket, a worker, a policy in service or the state of a request.

pub mod addresses;
pub mod body;
pub mod connection_id;
pub mod field_section;
pub mod frames;
pub mod gquic;
pub mod io;
pub mod quiet;
pub mod streams;
#[cfg(test)]
mod testing;
pub mod tokens;
pub mod transport;
