//! The host's functions. A guest's linker holds those that its policy allows, and no others.

mod headers;
mod request;
pub(crate) mod response;
mod services;

use tidegate_engine::hook::Capability;
use wasmtime::component::{Linker, LinkerInstance};

use crate::guest::Guest;
use crate::interfaces::{IMPORTS, full_name};

/// Defines every import that needs nothing, or that `allow` covers.
pub(crate) fn link(linker: &mut Linker<Guest>, allow: &[Capability]) -> wasmtime::Result<()> {
    for (interface, capability) in IMPORTS {
        if capability.is_none_or(|capability| allow.contains(&capability)) {
            define(interface, &mut linker.instance(&full_name(interface))?)?;
        }
    }
    Ok(())
}

fn define(interface: &str, linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    match interface {
        "types" => Ok(()),
        "read-request" => request::read(linker),
        "conn" => request::conn(linker),
        "write-request-headers" => headers::write(linker, &request::HEADERS),
        "rewrite" => request::rewrite(linker),
        "read-response" => response::read(linker),
        "write-response-headers" => response::write(linker),
        "route" => linker.func_wrap("may-forward", |_, (): ()| Ok(())),
        "respond" => linker.func_wrap("may-respond", |_, (): ()| Ok(())),
        "vars" => services::vars(linker),
        "log" => services::log(linker),
        "clock" => services::clock(linker),
        "random" => services::random(linker),
        "fault" => services::fault(linker),
        other => Err(wasmtime::Error::msg(format!("the interface `{other}` has no functions here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::unwrap_used, reason = "a test")]
    fn every_interface_of_the_table_has_its_functions() {
        let engine = wasmtime::Engine::default();
        link(&mut Linker::new(&engine), &Capability::ALL).unwrap();
    }
}
