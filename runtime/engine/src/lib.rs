//! Decides what happens to a request: which rule takes it, what its steps change, where it goes, and what is done to the
//! response. Also says why ([`explain()`]), by the same walk.
//!
//! Everything here is a function of its arguments: there are no sockets, files, clocks or tasks, and no input makes it
//! panic. Time and chance come in as a [`Moment`]. Where a policy runs an extension, the walk stops, says which
//! ([`Progress::Run`]), and is resumed with the verdict, so that whoever drives it also runs the guest.

pub mod affinity;
pub mod balance;
pub mod bounds;
pub mod escape;
pub mod exchange;
pub mod grpc;
pub mod hash;
pub mod hook;
pub mod method;
pub mod normalise;
pub mod parsed;
pub mod passage;
pub mod protocol;
pub mod servers;
pub mod status;
pub mod target;
pub mod trace;
pub mod vars;

mod blame;
mod build_error;
mod client_cert;
mod client_ip;
mod condition;
mod cors;
mod decision;
mod distinguished_name;
mod effects;
mod engine;
mod explain;
mod explanation;
mod fields;
mod filter;
mod forwarded;
mod header_name;
mod header_step;
mod header_text;
mod index;
mod keys;
mod limit_step;
mod limiter;
mod location;
mod log_line;
mod networks;
mod observer;
mod outcome;
mod peers;
mod predicate;
mod radix;
mod response;
mod rewrite;
mod rule;
mod selection;
mod stack_text;
mod steps;
mod subject;
mod template;
mod uri;
mod walk;
mod words;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use build_error::BuildError;
pub use decision::{Decision, Moment, Progress, ResponseDecision};
pub use engine::Engine;
pub use explain::explain;
pub use explanation::{Ending, Explanation, Line};
pub use log_line::{LogLine, LogSource};
pub use observer::{Layer, Observer, Silent, StepResult};
pub use selection::Selection;
pub use tidegate_dsl::field_names;
pub use walk::Walk;
