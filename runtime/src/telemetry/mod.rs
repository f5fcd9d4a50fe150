//! What the gateway says about its work: the access log, its own log, and numbers.

pub mod access_log;
pub mod carry;
pub mod events;
mod log_line;
#[allow(dead_code, unused_imports, reason = "whoever serves a scrape asks for it")]
pub mod metrics;
pub mod writer;
