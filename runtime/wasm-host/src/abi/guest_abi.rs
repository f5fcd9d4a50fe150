//! An ABI as the rest of the host sees it: a module is inspected, compiled, linked and started, and then it runs.
//!
//! Each step is an object of the ABI's own, and nobody else knows what is in it. Another ABI is another folder here, and a
//! line in the table of ABIs.

use std::pin::Pin;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook, HookFault};
use wasmtime::Engine;

use super::requests::Requests;
use crate::guest::Guest;
use crate::guest::callout::CalloutResult;
use crate::guest::interest::BodyMode;
use crate::module::report::{ModuleError, ModuleReport, Spoken};
use crate::module::surface::Surface;
use crate::wit;

/// The result of `init`; the error is what the guest said against the configuration.
pub(crate) type InitResult = Result<wit::Interest, String>;

/// An ABI: how guests that speak it are told apart, read, compiled and called.
pub(crate) trait GuestAbi: Sync {
    fn abi(&self) -> Abi;

    /// The ABI and version that a module says it was built for, if that is this one.
    fn spoken(&self, surface: &Surface) -> Option<Spoken>;

    /// Refuses a file that is half written, or no Wasm at all: the readers that follow expect valid input.
    fn validate(&self, file: &[u8]) -> Result<(), ModuleError>;

    /// Reads what a valid module exports and imports.
    fn inspect(&self, file: &[u8]) -> Result<Inspected, ModuleError>;

    /// Compiles a module; `None` if an export is missing without which none can be run.
    fn compile(
        &self,
        engine: &Engine,
        file: &[u8],
        inspected: &Inspected,
    ) -> wasmtime::Result<Option<Box<dyn Compiled>>>;

    /// Whether a guest with these permissions may wait for other servers.
    fn waits(&self, report: &ModuleReport, allow: &[Capability]) -> bool;

    /// Whether a guest keeps what it knows of a request in itself, from one hook to the next: a pool then brings each request
    /// back to the instance that knows it.
    fn keeps_requests(&self) -> bool;

    /// The mode in which a guest gets a body of which it wants `mode`; `held` says that it holds the head back until then.
    fn body_mode(&self, mode: BodyMode, hook: Hook, exchange: &Exchange, held: bool) -> Option<BodyMode>;
}

/// A module that was read.
pub(crate) struct Inspected {
    pub(crate) report: ModuleReport,
    /// The component that a core module makes, where there must be one.
    pub(crate) component: Option<Vec<u8>>,
}

/// Compiled code, with its exports looked up.
pub(crate) trait Compiled: Send + Sync {
    /// Links every import that needs nothing, or that `allow` covers.
    fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Box<dyn Linked>>;
}

/// Code with its imports.
pub(crate) trait Linked: Send + Sync {
    /// Makes an instance for `guest`, and runs `init`.
    fn start(&self, engine: &Engine, guest: Guest, config: &str) -> Result<(Box<dyn Running>, InitResult), HookFault>;
}

/// A guest that has run `init`, with its memory. A call begins and ends in the guest's data ([`Guest::begin`]); in between one of
/// these hooks runs.
pub(crate) trait Running: Send {
    fn guest(&self) -> &Guest;
    fn guest_mut(&mut self) -> &mut Guest;

    /// The requests that the guest knows, of an ABI whose guests keep them.
    fn requests(&self) -> Option<&Requests>;
    fn requests_mut(&mut self) -> Option<&mut Requests>;

    /// Calls a hook that decides about a head; without one, the verdict is `next`.
    fn run(&mut self, hook: Hook) -> wasmtime::Result<wit::Verdict>;

    /// Calls a hook as [`Running::run`] does, of a guest that waits for other servers.
    fn run_waiting(&mut self, hook: Hook) -> Waiting<'_>;

    /// Gives a piece of a body to a hook; without one, the verdict is `next`.
    fn run_body(&mut self, hook: Hook, data: &[u8], last: bool) -> wasmtime::Result<wit::BodyVerdict>;

    /// Calls a hook that decides nothing.
    fn tell(&mut self, hook: Hook) -> wasmtime::Result<()>;

    /// Tells a guest what became of a callout that it asked for. The verdict is what its hook comes to then.
    fn answer(&mut self, hook: Hook, token: u32, result: CalloutResult) -> wasmtime::Result<wit::Verdict>;
}

/// A hook that is under way. It has an allocation of its own, beside the stack on which such a guest runs.
pub(crate) type Waiting<'a> = Pin<Box<dyn Future<Output = wasmtime::Result<wit::Verdict>> + 'a>>;
