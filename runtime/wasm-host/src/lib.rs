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
