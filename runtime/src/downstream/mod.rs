//! The client's side: connections, request heads and bodies.

pub mod admission;
pub mod body;
pub mod client_body;
pub mod connection;
pub mod h3;
pub mod h3_body;
pub mod h3_io;
mod h3_quiet;
pub mod h3_stream;
pub mod head;
pub mod http1;
pub mod http2;
pub mod io;
mod linger;
pub mod open;
pub mod pieces;
pub mod proxy_protocol;
pub mod requests;
pub mod resets;
pub mod rest;
pub mod state;
pub mod stream_io;
pub mod tunnel;
