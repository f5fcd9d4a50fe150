//! The host's functions. A guest's linker holds those that its policy allows, and no others.

pub(crate) mod define;
mod headers;
pub(crate) mod outbound;
pub(crate) mod request;
pub(crate) mod response;
mod services;
mod shared;

use crate::functions::define::{Define, Defined};

/// Defines the functions of one interface.
pub(crate) fn define(interface: &str, functions: &mut impl Define) -> Defined {
    match interface {
        "types" => Ok(()),
        "read-request" => request::read(functions),
        "conn" => request::conn(functions),
        "write-request-headers" => headers::write(functions, &request::HEADERS),
        "rewrite" => request::rewrite(functions),
        "read-response" => response::read(functions),
        "write-response-headers" => response::write(functions),
        "route" => functions.scalar::<(), _>("may-forward", |_, ()| Ok(())),
        "respond" => functions.scalar::<(), _>("may-respond", |_, ()| Ok(())),
        "vars" => services::vars(functions),
        "log" => services::log(functions),
        "clock" => services::clock(functions),
        "random" => services::random(functions),
        "metrics" => shared::metrics(functions),
        "store" => shared::store(functions),
        "groups" => shared::groups(functions),
        "outbound" => outbound::outbound(functions),
        "fault" => services::fault(functions),
        other => Err(wasmtime::Error::msg(format!("the interface `{other}` has no functions here"))),
    }
}
