//! What the gateway says about its work: the access log, its own log, and numbers.

pub mod access_log;
pub mod carry;
pub mod events;
pub mod failed_request;
mod log_line;
pub mod metrics;
pub mod spans;
pub mod tap;
pub mod writer;
