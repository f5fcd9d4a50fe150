//! What the gateway says about its work: the access log, and its own log.

pub mod access_log;
pub mod carry;
pub mod events;
mod log_line;
pub mod writer;
