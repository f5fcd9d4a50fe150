//! Runs Wasm extensions: one engine, pooled instances, limits, and only what a policy allows.
//!
//! - [`inspect`](fn@inspect) reads what a module is, without compiling it.
//! - [`Host`] loads modules; compiling blocks, so it is done off the workers.
//! - [`Extension`] is a loaded module with its configuration and limits, shared by all workers.
//! - [`Pool`] is one worker's instances of it: [`Pool::call`] runs a hook.
//!
//! A guest that traps, loops or asks for too much costs its own call and its instance, and nothing else.
#![forbid(unsafe_code)]

mod abi;
mod breaker;
mod census;
mod compile;
mod compiler;
mod define;
mod extension;
mod fault;
mod fields;
mod foreign;
mod guest;
mod host;
mod http_wasm;
mod imports;
mod inspect;
mod instance;
mod interest;
mod interfaces;
mod lane;
pub mod limits;
mod log;
mod metrics;
mod outbound;
mod pool;
mod proxy_wasm;
mod room;
mod store;
mod ticker;
mod verdict;

pub use census::Bound;
pub use extension::{Extension, ExtensionSpec, LoadError};
pub use foreign::abi::Spoken;
pub use host::{Host, HostError, HostOptions};
pub use inspect::{ModuleError, ModuleReport, Need, inspect};
pub use interest::{BodyMode, Interest};
pub use log::{LogLevel, LogRecord, LogSink};
pub use metrics::{GroupSource, GroupState, Groups, MetricKind, Sample};
pub use outbound::{OutboundAnswer, OutboundAnswered, OutboundCall, OutboundFailure, OutboundResult};
pub use pool::{Pool, Step, Turn};
pub use tidegate_engine::hook::{Reach, Reached};
