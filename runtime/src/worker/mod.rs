//! A worker: one thread with its own event loop, sockets, upstream connections and Wasm instances.

pub mod accept;
pub mod control;
pub mod quic;
