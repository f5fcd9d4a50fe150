//! The life of a request, whatever version of HTTP its client speaks.
//!
//! [`serve`] reads as its steps; each is a file. Connections ([`crate::downstream`]) call it, and give it what they know of
//! themselves as a [`state`]; what a worker keeps for all its requests is [`worker`].

pub mod admission;
pub mod beginning;
pub mod body_filter;
pub mod body_hooks;
mod caller;
pub mod callout;
pub mod client_body;
pub mod compression;
pub mod connection_state;
pub mod context;
pub mod encoder;
pub mod explain;
pub mod extension_meter;
pub mod faults;
pub mod fields;
pub mod forward;
pub mod gathered;
pub mod grpc;
pub mod handler;
pub mod head;
pub mod hook_filter;
mod hook_spans;
pub mod hooks;
mod lend;
pub mod listener_handle;
pub mod listener_load;
pub mod log_record;
pub mod meter;
pub mod reply;
pub mod request_body;
mod request_span;
pub mod response_body;
pub mod response_phase;
pub mod rest;
#[allow(dead_code, reason = "whoever serves it asks for it")]
pub mod scrape;
pub mod serve;
pub mod state;
#[cfg(test)]
mod tests;
pub mod traced;
pub mod trial;
pub mod tunnel;
pub mod upgrade;
pub mod worker;
pub mod worker_snapshot;
