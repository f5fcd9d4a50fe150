//! What the lanes for foreign guests have in common.
//!
//! A guest of another ABI keeps a request's state in itself, from one hook to the next. So the requests that an instance
//! has under way are known here ([`Requests`]), and a pool brings each back to its instance.

pub(crate) mod abi;
pub(crate) mod head;
mod memory;
mod requests;
pub(crate) mod wasi;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Abi, Capability, Hook};
use wasmtime::{Engine, ExternType, FuncType, Instance, Linker, Module, Store, TypedFunc, WasmParams, WasmResults};

pub(crate) use memory::{Cx, bytes, enter, put};
pub(crate) use requests::{Context, Parked, Requests};

use crate::base::host_error::{Exit, HostError};
use crate::base::limits::{BODY_BYTES, FOREIGN_PIECE_BYTES};
use crate::extension::interest::BodyMode;
use crate::guest::Guest;

/// What a guest needs a word of `allow` for, and does not have.
pub(crate) fn needs(guest: &Guest, function: &str, capability: Capability) -> Result<(), HostError> {
    if guest.allows(capability) {
        return Ok(());
    }
    let word = capability.word();
    Err(HostError::not_allowed(format!(
        "the guest called `{function}` for what `allow` does not list: add `{word}` to allow it"
    )))
}

/// How a foreign guest gets a body. The whole, if it holds the head back for it, or if the head says that it is short:
/// then the guest may still change the head, and answer. Else piece by piece, as it passes. An http-wasm guest sees no body
/// but one that it waits for.
pub(crate) fn body_mode(abi: Abi, hook: Hook, exchange: &Exchange, held: bool) -> Option<BodyMode> {
    if abi == Abi::HttpWasm && !held {
        return None;
    }
    let headers = match (&exchange.response, hook) {
        (Some(response), Hook::ResponseBody) => &response.headers,
        _ => &exchange.request.headers,
    };
    let is_short = head::length(headers).is_some_and(|length| length <= BODY_BYTES.into());
    let whole = held || is_short;
    Some(if whole { BodyMode::Buffer(BODY_BYTES as usize) } else { BodyMode::Stream(FOREIGN_PIECE_BYTES) })
}

/// A linker with the functions that a module imports from `module`, put in by `define`, and those of WASI.
pub(crate) fn linker(
    engine: &Engine,
    guest: &Module,
    define: impl Fn(&mut Linker<Guest>, &str, &str, FuncType) -> wasmtime::Result<()>,
) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    // Some compilers import a function twice.
    linker.allow_shadowing(true);
    for import in guest.imports() {
        match import.ty() {
            ExternType::Func(of) if wasi::is_wasi(import.module()) => {
                wasi::define(&mut linker, import.module(), import.name(), of)?;
            }
            ExternType::Func(of) => define(&mut linker, import.module(), import.name(), of)?,
            _ => {}
        }
    }
    Ok(linker)
}

/// Runs `_initialize`, or `_start` of a module that is a command; one that ends itself without an error has started.
pub(crate) fn start_runtime(instance: &Instance, store: &mut Store<Guest>) -> wasmtime::Result<()> {
    for name in ["_initialize", "_start"] {
        let start: Option<TypedFunc<(), ()>> = export(instance, store, name)?;
        if let Some(start) = start {
            return match start.call(&mut *store, ()) {
                Err(error) if error.downcast_ref().is_some_and(|Exit(code)| *code == 0) => Ok(()),
                other => other,
            };
        }
    }
    Ok(())
}

/// A function of an instance; an error if it is of another type.
pub(crate) fn export<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Guest>,
    name: &str,
) -> wasmtime::Result<Option<TypedFunc<P, R>>> {
    let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
    function.typed(&*store).map(Some).map_err(|_| misfit(name))
}

/// An export that the ABI asks for is not what it asks for.
pub(crate) fn misfit(name: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!("the export `{name}` is missing, or of another type than the ABI says"))
}
