//! How the gateway reaches servers: groups and their balance on a worker, pooled connections, sending a request with retries, health
//! checks, TLS towards servers.
//!
//! Nothing here knows a client's connection, a worker or a policy in service: whoever sends is a [`caller::Caller`].

pub mod body;
pub mod caller;
pub mod connect;
pub mod group;
pub mod h2;
pub mod health;
pub mod inbound;
pub mod io;
pub mod pool;
pub mod send;
pub mod talk;
pub mod tls;
pub mod unacceptable;
pub mod wire;
