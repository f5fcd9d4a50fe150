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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::HeaderValue;
    use wasm_encoder::{
        CodeSection, ConstExpr, DataSection, EntityType, ExportKind, ExportSection, FunctionSection, GlobalSection,
        GlobalType, ImportSection, Instruction, MemorySection, MemoryType, TypeSection, ValType,
    };
    use wasmtime::{Engine, Module, Store};

    use super::*;
    use crate::functions::define::memory::Handles;
    use crate::functions::define::{ByteList, Text};
    use crate::guest::Data;
    use crate::testing::guest;

    /// A module whose `run` calls the host's `f` with three or five numbers, the last of which is 512, and whose memory holds
    /// `name` and `value` from address 16 on. Its allocator gives one piece of memory after the other, from 1024 on.
    fn module(numbers: &[i32]) -> Vec<u8> {
        let mut types = TypeSection::new();
        types.ty().function(vec![ValType::I32; numbers.len()], []);
        types.ty().function([], []);
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        let mut imports = ImportSection::new();
        imports.import("test", "f", EntityType::Function(0));
        let mut functions = FunctionSection::new();
        functions.function(1).function(2);
        let mut memories = MemorySection::new();
        let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
        memories.memory(memory);
        let mut globals = GlobalSection::new();
        let heap = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(heap, &ConstExpr::i32_const(1024));
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 1).export("realloc", ExportKind::Func, 2);
        exports.export("memory", ExportKind::Memory, 0);
        let mut code = CodeSection::new();
        let mut run = wasm_encoder::Function::new([]);
        for number in numbers {
            run.instruction(&Instruction::I32Const(*number));
        }
        code.function(run.instruction(&Instruction::Call(0)).instruction(&Instruction::End));
        let mut realloc = wasm_encoder::Function::new([]);
        realloc.instruction(&Instruction::GlobalGet(0)).instruction(&Instruction::GlobalGet(0));
        realloc.instruction(&Instruction::LocalGet(3)).instruction(&Instruction::I32Add);
        code.function(realloc.instruction(&Instruction::GlobalSet(0)).instruction(&Instruction::End));
        let mut data = DataSection::new();
        data.active(0, &ConstExpr::i32_const(16), *b"namevalue\xff");
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&imports).section(&functions).section(&memories).section(&globals);
        module.section(&exports).section(&code).section(&data);
        module.finish()
    }

    /// Calls `run` once; the store and its memory then, or why the call ended.
    fn run(
        numbers: &[i32],
        started: bool,
        define: impl FnOnce(&mut Functions<'_>) -> Defined,
    ) -> Result<(Store<ModuleData>, Vec<u8>), String> {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        define(&mut Functions { linker: &mut linker, module: "test", interface: "test" }).unwrap();
        let mut store = Store::new(&engine, Data { guest: guest(Vec::new()), state: None });
        let module = Module::from_binary(&engine, &module(numbers)).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let realloc = instance.get_typed_func(&mut store, "realloc").unwrap();
        if started {
            store.data_mut().state = Some(Box::new(Handles { memory, realloc }));
        }
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        match run.call(&mut store, ()) {
            Ok(()) => {
                let memory = memory.data(&store).to_vec();
                Ok((store, memory))
            }
            Err(error) => Err(error.downcast::<HostError>().unwrap().0.message),
        }
    }

    fn number(memory: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(memory[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn an_answer_is_laid_out_in_memory_that_the_guest_allocates() {
        let (store, memory) = run(&[16, 4, 512], true, |functions| {
            functions.answer::<(Text,), _>("f", |_, (name,)| {
                Ok(vec![HeaderValue::from_str(name).unwrap(), HeaderValue::from_static("second")])
            })
        })
        .unwrap();
        let (list, length) = (number(&memory, 512) as usize, number(&memory, 516));
        assert_eq!((list, length), (1024, 2));
        let text = |at: usize| {
            let (start, length) = (number(&memory, at) as usize, number(&memory, at + 4) as usize);
            &memory[start..start + length]
        };
        assert_eq!((text(list), text(list + 8)), (&b"name"[..], &b"second"[..]));
        assert!(store.data().state.is_some(), "the guest may call the host again");
    }

    #[test]
    fn an_answer_that_has_no_room_is_refused() {
        for at in [513, 65_532, -4] {
            let refused = run(&[16, 4, at], true, |functions| {
                functions.answer::<(Text,), _>("f", |_, (name,)| Ok(name.to_owned()))
            });
            assert_eq!(refused.map(drop), Err(HostError::outside().0.message), "{at}");
        }
    }

    #[test]
    fn a_function_sees_what_the_guest_passes_and_the_guest_itself() {
        let (store, _) = run(&[16, 4, 20, 6, 512], true, |functions| {
            functions.scalar::<(Text, ByteList, u32), ()>("f", |guest, (name, value, number)| {
                guest.last_words = Some(format!("{name}={} {number}", value.escape_ascii()));
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(store.data().guest.last_words.as_deref(), Some("name=value\\xff 512"));
        let refused = run(&[16, 10, 512], true, |functions| functions.scalar::<(Text, u32), ()>("f", |_, _| Ok(())));
        let message = "the guest gave the host what it cannot take: a string that is not UTF-8, to `test.f`";
        assert_eq!(refused.map(drop), Err(message.to_owned()));
    }

    #[test]
    fn nobody_calls_the_host_from_the_allocator_or_before_the_start() {
        let refused = run(&[16, 4, 512], false, |functions| functions.scalar::<(Text, u32), ()>("f", |_, _| Ok(())));
        let message = "the guest called the host before it was started, or from its allocator";
        assert_eq!(refused.map(drop), Err(message.to_owned()));
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        assert!(Functions { linker: &mut linker, module: "test", interface: "test" }.fetch("fetch").is_err());
    }
}
