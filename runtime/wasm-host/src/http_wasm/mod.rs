//! The lane of guests that speak http-wasm, the ABI of its HTTP handlers.

use tidegate_engine::hook::Hook;

/// The module that handlers import from.
pub(crate) const MODULE: &str = "http_handler";

/// The export that every handler has.
pub(crate) const HANDLE_REQUEST: &str = "handle_request";

/// The exports that are hooks.
pub(crate) const HOOKS: [(&str, Hook); 2] = [(HANDLE_REQUEST, Hook::Request), ("handle_response", Hook::Response)];

/// Whether the host has this function.
pub(crate) fn knows(_module: &str, _name: &str) -> bool {
    false
}
