//! The ABI http-wasm: handlers with one function before a request goes on, and one after it was
//! answered.
//!
//! A handler that buffers bodies is called when the body is whole. Until then nothing leaves.

mod functions;
mod hooks;
mod state;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmtime::Engine;

use self::hooks::{HANDLE_REQUEST, Hooks};
use super::foreign::{body, inspect, start};
use super::guest_abi::{Compiled, GuestAbi, Inspected};
use crate::guest::interest::BodyMode;
use crate::module::report::{ModuleError, ModuleReport, Spoken};
use crate::module::surface::Surface;

/// The exports that are hooks. What `handle_request` writes to the response of a request that goes on is put there when
/// the response comes. A handler is not told when a request is over; the host forgets the request then.
const HOOKS: [(&str, Hook); 5] = [
    (HANDLE_REQUEST, Hook::Request),
    (HANDLE_REQUEST, Hook::RequestBody),
    (HANDLE_REQUEST, Hook::Response),
    (HANDLE_REQUEST, Hook::ResponseBody),
    (HANDLE_REQUEST, Hook::Log),
];

/// The ABI http-wasm.
pub(super) struct HttpWasm;

impl GuestAbi for HttpWasm {
    fn abi(&self) -> Abi {
        Abi::HttpWasm
    }

    fn spoken(&self, surface: &Surface) -> Option<Spoken> {
        let is = surface.imports.iter().any(|(module, _)| functions::is_of_abi(module))
            || surface.exports.iter().any(|name| name == HANDLE_REQUEST);
        is.then_some(Spoken { abi: self.abi(), version: None })
    }

    fn validate(&self, file: &[u8]) -> Result<(), ModuleError> {
        inspect::validate(file)
    }

    fn inspect(&self, file: &[u8]) -> Result<Inspected, ModuleError> {
        inspect::inspect(file, self.abi(), &HOOKS, functions::capability_of)
    }

    fn compile(&self, engine: &Engine, file: &[u8], _: &Inspected) -> wasmtime::Result<Option<Box<dyn Compiled>>> {
        start::compile::<Hooks>(engine, file)
    }

    fn waits(&self, _: &ModuleReport, _: &[Capability]) -> bool {
        false
    }

    fn keeps_requests(&self) -> bool {
        true
    }

    /// A handler sees no body but one that it waits for.
    fn body_mode(&self, _: BodyMode, hook: Hook, exchange: &Exchange, held: bool) -> Option<BodyMode> {
        held.then(|| body::mode(hook, exchange, held))
    }
}
