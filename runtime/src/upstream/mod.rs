//! The backends' side: groups, pooled connections, sending a request.

pub mod body;
pub mod caller;
pub mod connect;
pub mod group;
pub mod h2;
pub mod inbound;
pub mod io;
pub mod pool;
pub mod send;
pub mod talk;
pub mod wire;
