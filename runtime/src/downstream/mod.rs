//! The client's side: connections, one file a version of HTTP, and what comes before it.

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
