//! Extensions as policies describe them.

use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::hook::{Abi, Capability, Reach};

/// An extension as a policy describes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExtensionSpec {
    /// The extension's name, for logs.
    pub name: String,
    /// The module's file, read: a core module with its component type inside, or a component.
    pub module: Arc<[u8]>,
    /// The ABI that the module speaks.
    pub abi: Abi,
    /// The configuration, as JSON text, or as a foreign guest wants it.
    pub config: String,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// CPU time of one hook call. It is measured in ticks of a millisecond.
    pub time: Duration,
    /// Instances that a worker keeps.
    pub instances: u32,
    /// Whether each call gets an instance of its own.
    pub fresh: bool,
    /// The capabilities of the extension.
    pub allow: Vec<Capability>,
    /// The server groups that the extension may name.
    pub reach: Reach,
}
