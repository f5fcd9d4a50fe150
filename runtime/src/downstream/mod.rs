//! The client's side: connections, request heads and bodies.

pub mod body;
pub mod connection;
pub mod head;
pub mod io;
pub mod open;
pub mod proxy_protocol;
pub mod state;
