//! The ABI proxy-wasm 0.1.0, 0.2.0 or 0.2.1, that of Envoy's filters.
//!
//! An instance has one root context, and a context for each request that it has under way.

mod buffers;
mod calls;
mod hooks;
mod hostcalls;
mod maps;
mod properties;
mod shared;
mod state;
mod status;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmtime::Engine;

use self::hooks::{Hooks, ON_REQUEST_HEADERS};
use super::foreign::{body, inspect, start};
use super::guest_abi::{Compiled, GuestAbi, Inspected};
use crate::guest::interest::BodyMode;
use crate::module::report::{ModuleError, ModuleReport, Spoken};
use crate::module::surface::Surface;

/// The exports that are hooks.
const HOOKS: [(&str, Hook); 8] = [
    (ON_REQUEST_HEADERS, Hook::Request),
    ("proxy_on_response_headers", Hook::Response),
    ("proxy_on_request_body", Hook::RequestBody),
    ("proxy_on_response_body", Hook::ResponseBody),
    ("proxy_on_log", Hook::Log),
    ("proxy_on_done", Hook::Log),
    ("proxy_on_delete", Hook::Log),
    ("proxy_on_tick", Hook::Tick),
];

/// The ABI proxy-wasm.
pub(super) struct ProxyWasm;

impl GuestAbi for ProxyWasm {
    fn abi(&self) -> Abi {
        Abi::ProxyWasm
    }

    fn spoken(&self, surface: &Surface) -> Option<Spoken> {
        const VERSION: &str = "proxy_abi_version_";
        let version = surface.exports.iter().find_map(|name| name.strip_prefix(VERSION))?;
        Some(Spoken { abi: self.abi(), version: Some(version.replace('_', ".")) })
    }

    fn validate(&self, file: &[u8]) -> Result<(), ModuleError> {
        inspect::validate(file)
    }

    fn inspect(&self, file: &[u8]) -> Result<Inspected, ModuleError> {
        inspect::inspect(file, self.abi(), &HOOKS, hostcalls::capability_of)
    }

    fn compile(&self, engine: &Engine, file: &[u8], _: &Inspected) -> wasmtime::Result<Option<Box<dyn Compiled>>> {
        start::compile::<Hooks>(engine, file)
    }

    fn waits(&self, _: &ModuleReport, allow: &[Capability]) -> bool {
        allow.contains(&Capability::Outbound)
    }

    fn keeps_requests(&self) -> bool {
        true
    }

    fn body_mode(&self, _: BodyMode, hook: Hook, exchange: &Exchange, held: bool) -> Option<BodyMode> {
        Some(body::mode(hook, exchange, held))
    }
}
