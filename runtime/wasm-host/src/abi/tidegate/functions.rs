//! The host's functions in the linker of a core module: arguments are read from its memory, and answers put there.

use wasmtime::{Caller, Linker};

use crate::base::host_error::HostError;
use crate::functions::define::memory::{ModuleData, Out, Reader};
use crate::functions::define::{Answer, Arguments, Define, Defined, Flat, Function, Scalar, Shared};
use crate::guest::Guest;

/// The functions of one interface in a module's linker.
pub(super) struct Functions<'l> {
    pub(super) linker: &'l mut Linker<ModuleData>,
    /// The interface as the module names it, with its version.
    pub(super) module: &'l str,
    pub(super) interface: &'static str,
}

type Cx<'a> = Caller<'a, ModuleData>;

/// An export of another type than the ABI says.
pub(super) fn misfit() -> wasmtime::Error {
    wasmtime::Error::msg("an export of the module has another type than the ABI says")
}

/// A reader of all that the guest gives, and the guest's data, for a host function that was called.
fn enter<'a>(caller: &'a mut Cx<'_>) -> Result<(Reader<'a>, &'a mut Guest), HostError> {
    let Some(memory) = caller.data().state.as_ref().map(|handles| handles.memory) else {
        return Err(HostError::not_allowed("the guest called the host before it was started, or from its allocator"));
    };
    let (memory, data) = memory.data_and_store_mut(caller);
    Ok((Reader::new(memory), &mut data.guest))
}

/// Puts an answer where the guest wants it.
fn give<R: Answer>(mut caller: Cx<'_>, answer: &R, at: u32) -> wasmtime::Result<()> {
    let handles = caller.data_mut().state.take().ok_or_else(misfit)?;
    let room = (at as usize).checked_add(R::SIZE as usize);
    if !at.is_multiple_of(R::ALIGN) || room.is_none_or(|end| end > handles.memory.data_size(&caller)) {
        return Err(HostError::outside().into());
    }
    answer.store(&mut Out::new(&mut caller, &handles), at)?;
    caller.data_mut().state = Some(handles);
    Ok(())
}

impl Define for Functions<'_> {
    fn scalar<A: Arguments, R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = Function { interface: self.interface, name };
        let f = move |mut caller: Cx<'_>, core: A::Core| -> wasmtime::Result<R::Core> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, A::read(core, &mut memory, function)?)?.core())
        };
        A::Core::wrap(self.linker, (self.module, name), f)
    }

    fn answer<A: Arguments, R: Answer>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = Function { interface: self.interface, name };
        let f = move |mut caller: Cx<'_>, core: A::Core, at: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            let answer = f(guest, A::read(core, &mut memory, function)?)?;
            give(caller, &answer, at)
        };
        A::Core::wrap_at(self.linker, (self.module, name), f)
    }

    fn fetch(&mut self, name: &'static str) -> Defined {
        Err(wasmtime::Error::msg(format!("`{name}` waits, which only components can")))
    }
}
