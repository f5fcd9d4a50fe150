//! Sending, against servers that follow a script, over streams in memory, and in a time that passes only when nothing else can happen.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod death;
mod http1;
mod http2;
mod in_flight;
mod pool;
mod retries;
pub(crate) mod world;
