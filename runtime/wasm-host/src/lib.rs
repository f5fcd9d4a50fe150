//! Runs Wasm extensions: one engine, pooled instances, limits, and only what a policy allows.
//!
//! - [`inspect`](fn@inspect) reads what a module is, without compiling it.
//! - [`Host`] loads modules; compiling blocks, so it is done off the workers.
//! - [`Extension`] is a loaded module with its configuration and limits, shared by all workers.
//! - [`Pool`] is one worker's instances of it: [`Pool::call`] runs a hook.
//!
//! A guest that traps, loops or asks for too much costs its own call and its instance, and nothing else.
//!
//! # Layers
//!
//! Each folder uses those below it in this table, and none above it. No two files need each other.
//!
//! | folder | what it holds |
//! | --- | --- |
//! | `host` | the host of a process: all that is loaded, the engine's settings, compiling with a deadline |
//! | `pool` | one worker's instances: calls, verdicts held against what a guest may, the breaker |
//! | `extension` | a loaded extension: its spec, its code, its instances, and why it is not loaded |
//! | `abi` | the ABIs that guests speak, behind the trait `GuestAbi`: a folder and a line in the table for each |
//! | `functions` | the host's functions, each written once; `define` puts them into linkers |
//! | `guest` | one instance's guest: its exchange, its limits, its interest, its callouts, its faults |
//! | `module` | a file before it is compiled: counted, and read |
//! | `shared` | what many instances share: stores, metrics, room, the ticker |
//! | `wit` | types and interfaces of the gateway's own ABI, in which the host speaks of every ABI |
//! | `base` | bounds, the error of host functions, the log |
#![forbid(unsafe_code)]

mod abi;
mod base;
mod extension;
mod functions;
mod guest;
mod host;
mod module;
mod pool;
mod shared;
#[cfg(test)]
mod testing;
mod wit;

pub use base::limits;
pub use base::log::{LogLevel, LogRecord, LogSink};
pub use extension::Extension;
pub use extension::load_error::LoadError;
pub use extension::spec::ExtensionSpec;
pub use guest::callout::{Callout, CalloutFailure, CalloutOutcome, CalloutResponse, CalloutResult};
pub use guest::interest::{BodyMode, Interest};
pub use host::{Host, HostOptions, StartError};
pub use module::census::Bound;
pub use module::report::{ModuleError, ModuleReport, Need, Spoken};
pub use pool::suspended_call::SuspendedCall;
pub use pool::{Pool, Step};
pub use shared::metrics::{GroupSource, GroupState, Groups, MetricKind, Sample};
pub use tidegate_engine::hook::{Reach, Reached};

use tidegate_engine::hook::Abi;

/// Reads what a module that speaks `abi` exports and imports, without compiling it.
///
/// # Errors
///
/// If the file is no extension, holds more than may be, or speaks another ABI.
pub fn inspect(module: &[u8], abi: Abi) -> Result<ModuleReport, ModuleError> {
    module::report::count(module)?;
    abi::inspect(module, abi).map(|inspected| inspected.report)
}
