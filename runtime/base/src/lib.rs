//! What every layer of Tidegate's runtime stands on: bounds, failures, time, permits, secrets.
//!
//! Nothing here knows a connection, a request or a policy in service.

pub mod address;
pub mod bounds;
pub mod clock;
pub mod descriptors;
pub mod disk;
pub mod failure;
pub mod flight;
pub mod guard;
pub mod handshake_permits;
pub mod http2;
pub mod limits;
pub mod local_waker;
pub mod log_throttle;
pub mod metrics;
pub mod permits;
pub mod plain;
pub mod proxy_protocol;
pub mod room;
pub mod seal;
pub mod secret;
pub mod standstill;
pub mod timer;
pub mod token;
