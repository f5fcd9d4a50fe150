//! What the lanes for foreign guests have in common.
//!
//! A guest of another ABI keeps a request's state in itself, from one hook to the next. So the requests that an instance
//! has under way are known here ([`Requests`]), and a pool brings each back to its instance.

pub(crate) mod abi;
pub(crate) mod affinity;
pub(crate) mod head;
mod memory;
mod requests;
pub(crate) mod wasi;

use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Capability, Hook};
use wasmtime::{Engine, ExternType, FuncType, Linker, Module};

pub(crate) use memory::{Cx, bytes, enter, put};
pub(crate) use requests::{Context, Requests};

use crate::fault::Stop;
use crate::guest::Guest;
use crate::interest::BodyMode;
use crate::limits::{BODY_BYTES, FOREIGN_PIECE_BYTES};

/// What a guest needs a word of `allow` for, and does not have.
pub(crate) fn needs(guest: &Guest, function: &str, capability: Capability) -> Result<(), Stop> {
    if guest.allows(capability) {
        return Ok(());
    }
    let word = capability.word();
    Err(Stop::not_allowed(format!(
        "the guest called `{function}` for what `allow` does not list: add `{word}` to allow it"
    )))
}

/// How a foreign guest gets a body. The whole, if it holds the head back for it, or if the head says that it is short:
/// then the guest may still change the head, and answer. Else piece by piece, as it passes.
pub(crate) fn body_mode(hook: Hook, exchange: &Exchange, held: bool) -> BodyMode {
    let headers = match (&exchange.response, hook) {
        (Some(response), Hook::ResponseBody) => &response.headers,
        _ => &exchange.request.headers,
    };
    let is_short = head::length(headers).is_some_and(|length| length <= BODY_BYTES.into());
    if held || is_short { BodyMode::Buffer(BODY_BYTES as usize) } else { BodyMode::Stream(FOREIGN_PIECE_BYTES) }
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
