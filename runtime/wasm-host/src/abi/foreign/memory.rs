//! A foreign guest's memory, from within a host function.

use wasmtime::{Caller, Extern, Memory};

use crate::base::host_error::HostError;
use crate::functions::define::memory::{Reader, write};
use crate::guest::Guest;

pub(crate) type Cx<'a> = Caller<'a, Guest>;

fn memory(caller: &mut Cx<'_>) -> Result<Memory, HostError> {
    match caller.data().memory_of {
        Some(memory) => Ok(memory),
        // Only while the module starts.
        None => caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .ok_or_else(|| HostError::bad_value("the module exports no `memory`")),
    }
}

/// The guest's memory and its data.
pub(crate) fn enter<'a>(caller: &'a mut Cx<'_>) -> Result<(&'a mut [u8], &'a mut Guest), HostError> {
    let memory = memory(caller)?;
    Ok(memory.data_and_store_mut(caller))
}

/// Bytes that the guest names.
pub(crate) fn bytes(memory: &[u8], at: u32, length: u32) -> Result<&[u8], HostError> {
    Reader::new(memory).slice(at, length)
}

/// Writes bytes to an address.
pub(crate) fn put(caller: &mut Cx<'_>, at: u32, bytes: &[u8]) -> Result<(), HostError> {
    write(enter(caller)?.0, at, bytes)
}
