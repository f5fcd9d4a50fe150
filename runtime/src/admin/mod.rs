//! Watching and changing a running gateway: the server of `admin` and `metrics`, and what it knows.
//!
//! Nothing here is on a request's way. The server runs on a thread of its own, reads what workers and the thread `policy` leave
//! for it, and sends orders to the latter ([`orders`]).

pub mod access;
pub mod answer;
pub mod console;
pub mod context;
pub mod facts;
pub mod lifecycle;
pub mod orders;
pub mod routes;
pub mod server;
pub mod sockets;
pub mod stream;
pub mod views;
