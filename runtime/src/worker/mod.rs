//! The thread of a worker: it accepts, obeys the gateway, and ticks. The state that its requests see is in
//! [`request::worker`](crate::request::worker).

pub mod accept;
pub mod control;
pub mod quic;
