//! How the gateway reaches servers: groups and their balance on a worker, pooled connections, sending a request with retries, health
//! checks, TLS towards servers.
//!
//! Nothing here knows a client's connection, a worker or a policy in service: whoever sends is a [`Caller`]. [`send()`] tries the
//! servers of a [`Group`] in turn; each try takes a connection from the [`Pools`], or opens one, and waits for the head of the
//! response. Its body, an [`UpstreamBody`], holds the connection until it has ended.

mod again;
mod body;
mod caller;
mod cause;
mod content;
mod dial;
mod group;
pub mod health;
mod http1;
mod inbound;
mod io;
mod lease;
mod meter;
mod multiplexed;
mod pool;
mod send;
mod talk;
mod target;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod unacceptable;
mod wire;

pub use body::UpstreamBody;
pub use caller::Caller;
pub use content::Content;
pub use dial::{Address, Refused};
pub use group::Group;
pub use io::ServerIo;
pub use lease::Switched;
pub use meter::{GroupCells, GroupMeter, ServerCells};
pub use pool::Pools;
pub use send::{Outgoing, ServerResponse, send};
