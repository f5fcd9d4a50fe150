//! The state of a foreign guest, and its memory from within a host function.

use wasmtime::{Caller, Extern, Memory};

use crate::abi::requests::Requests;
use crate::abi::running::State;
use crate::base::host_error::HostError;
use crate::functions::define::memory::{Reader, write};
use crate::guest::Data;

/// The state of an instance of a foreign ABI, of which `S` is particular to that ABI.
pub(crate) struct Foreign<S> {
    /// The memory, once the module has started.
    pub(super) memory: Option<Memory>,
    /// The requests that the guest has under way.
    pub(crate) requests: Requests,
    /// The state that is particular to the ABI, once the module is there to be started.
    pub(super) own: Option<S>,
}

impl<S> Foreign<S> {
    pub(crate) fn new() -> Self {
        Self { memory: None, requests: Requests::default(), own: None }
    }

    /// The state that is particular to the ABI.
    pub(crate) fn own(&mut self) -> Result<&mut S, HostError> {
        let own = self.own.as_mut();
        own.ok_or_else(|| HostError::not_allowed("the guest called the host before it was started"))
    }
}

impl<S: Send + 'static> State for Foreign<S> {
    fn requests(&self) -> Option<&Requests> {
        Some(&self.requests)
    }

    fn requests_mut(&mut self) -> Option<&mut Requests> {
        Some(&mut self.requests)
    }
}

/// The data of a foreign guest's store.
pub(crate) type ForeignData<S> = Data<Foreign<S>>;

/// The caller of a host function.
pub(crate) type Cx<'a, S> = Caller<'a, ForeignData<S>>;

fn memory<S>(caller: &mut Cx<'_, S>) -> Result<Memory, HostError> {
    match caller.data().state.memory {
        Some(memory) => Ok(memory),
        // Only while the module starts.
        None => caller
            .get_export("memory")
            .and_then(Extern::into_memory)
            .ok_or_else(|| HostError::bad_value("the module exports no `memory`")),
    }
}

/// The guest's memory and its data.
pub(crate) fn enter<'a, S>(caller: &'a mut Cx<'_, S>) -> Result<(&'a mut [u8], &'a mut ForeignData<S>), HostError> {
    let memory = memory(caller)?;
    Ok(memory.data_and_store_mut(caller))
}

/// Bytes that the guest names.
pub(crate) fn bytes(memory: &[u8], at: u32, length: u32) -> Result<&[u8], HostError> {
    Reader::new(memory).slice(at, length)
}

/// Writes bytes to an address.
pub(crate) fn put<S>(caller: &mut Cx<'_, S>, at: u32, bytes: &[u8]) -> Result<(), HostError> {
    write(enter(caller)?.0, at, bytes)
}
