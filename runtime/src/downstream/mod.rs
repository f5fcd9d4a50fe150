//! The client's side: connections, request heads and bodies.

pub mod connection;
pub mod h3;
pub mod h3_stream;
pub mod http1;
pub mod http2;
pub mod io;
mod linger;
pub mod open;
pub mod proxy_protocol;
pub mod requests;
pub mod resets;
mod response_head;
pub mod stream_io;
