//! The backends' side: groups, pooled connections, sending a request.

pub mod connect;
pub mod group;
pub mod pool;
pub mod send;
