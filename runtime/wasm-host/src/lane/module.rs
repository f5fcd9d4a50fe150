//! Guests that are core modules, called without a component around them: the host does what the canonical ABI asks of it.
//! It is the same ABI, and about half the cost of a call.

use wasmtime::{Caller, Engine, Instance, InstancePre, Linker, Memory, Module, ModuleExport, Store, TypedFunc};

use super::Asked;
use super::memory::{Handles, Out, Reader, Realloc, field, write};
use crate::abi;
use crate::define::{Answer, Define, Defined, Function, Scalar, Shared};
use crate::fault::Stop;
use crate::guest::Guest;
use crate::imports;
use crate::interfaces::{HOOKS, IMPORTS, LIFECYCLE, interface_of};
use tidegate_engine::hook::{Capability, Hook};

const MEMORY: &str = "memory";
const REALLOC: &str = "cabi_realloc";
const INITIALIZE: &str = "_initialize";

/// A compiled module, and where its hooks are.
pub(crate) struct Form {
    module: Module,
    exports: Exports,
}

#[derive(Clone, Copy)]
struct Exports {
    memory: ModuleExport,
    realloc: ModuleExport,
    initialize: Option<ModuleExport>,
    init: Export,
    on_request: Option<Export>,
    on_response: Option<Export>,
    on_request_body: Option<Export>,
    on_response_body: Option<Export>,
    on_log: Option<Export>,
    on_tick: Option<Export>,
}

/// A function, and the one that frees what it answered.
#[derive(Clone, Copy)]
struct Export {
    run: ModuleExport,
    free: Option<ModuleExport>,
}

/// A linked module.
pub(crate) struct Linked {
    pre: InstancePre<Guest>,
    exports: Exports,
}

/// The hooks of an instance.
pub(crate) struct Hooks {
    memory: Memory,
    on_request: Option<Run<()>>,
    on_response: Option<Run<()>>,
    on_request_body: Option<Run<(u32, u32, u32)>>,
    on_response_body: Option<Run<(u32, u32, u32)>>,
    on_log: Option<TypedFunc<(), ()>>,
    on_tick: Option<TypedFunc<(), ()>>,
}

struct Run<P> {
    run: TypedFunc<P, u32>,
    free: Option<TypedFunc<u32, ()>>,
}

impl Form {
    /// Compiles a core module; `None` if it can only be run as a component, because it imports or exports something
    /// that is not of this ABI.
    pub(crate) fn compile(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Option<Self>> {
        let module = Module::from_binary(engine, bytes)?;
        if module.imports().any(|import| interface_of(import.module()).is_none()) {
            return Ok(None);
        }
        Ok(Exports::of(&module).map(|exports| Self { module, exports }))
    }

    /// Links every import that needs nothing, or that `allow` covers.
    pub(crate) fn link(&self, engine: &Engine, allow: &[Capability]) -> wasmtime::Result<Linked> {
        let mut linker = Linker::new(engine);
        // A module may have been built against an older patch version, whose names it uses.
        let mut names: Vec<&str> = self.module.imports().map(|import| import.module()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let known = IMPORTS.iter().find(|(interface, _)| interface_of(name) == Some(*interface));
            if let Some((interface, capability)) = known
                && capability.is_none_or(|capability| allow.contains(&capability))
            {
                imports::define(interface, &mut Functions { linker: &mut linker, module: name, interface })?;
            }
        }
        Ok(Linked { pre: linker.instantiate_pre(&self.module)?, exports: self.exports })
    }
}

impl Exports {
    fn of(module: &Module) -> Option<Self> {
        let function = |interface: &str, function: &str| {
            let name = module.exports().map(|export| export.name()).find(|name| {
                name.split_once('#').is_some_and(|(of, name)| interface_of(of) == Some(interface) && name == function)
            })?;
            let free = module.get_export_index(&format!("cabi_post_{name}"));
            Some(Export { run: module.get_export_index(name)?, free })
        };
        let hook = |hook: Hook| {
            let (interface, _) = HOOKS.iter().find(|(_, known)| *known == hook)?;
            function(interface, "run")
        };
        Some(Self {
            memory: module.get_export_index(MEMORY)?,
            realloc: module.get_export_index(REALLOC)?,
            initialize: module.get_export_index(INITIALIZE),
            init: function(LIFECYCLE, "init")?,
            on_request: hook(Hook::Request),
            on_response: hook(Hook::Response),
            on_request_body: hook(Hook::RequestBody),
            on_response_body: hook(Hook::ResponseBody),
            on_log: hook(Hook::Log),
            on_tick: hook(Hook::Tick),
        })
    }
}

/// An export of another type than the ABI says.
fn misfit() -> wasmtime::Error {
    wasmtime::Error::msg("an export of the module has another type than the ABI says")
}

impl Linked {
    pub(crate) fn start(&self, store: &mut Store<Guest>, config: &str) -> wasmtime::Result<(Hooks, Asked)> {
        let instance = self.pre.instantiate(&mut *store)?;
        let exports = &self.exports;
        let memory = instance.get_module_export(&mut *store, &exports.memory).and_then(wasmtime::Extern::into_memory);
        let realloc: Realloc = function(&instance, store, &exports.realloc)?;
        let memory = memory.ok_or_else(misfit)?;
        store.data_mut().handles = Some(Box::new(Handles { memory, realloc }));
        if let Some(initialize) = &exports.initialize {
            function::<(), ()>(&instance, store, initialize)?.call(&mut *store, ())?;
        }
        let hooks = Hooks {
            memory,
            on_request: hook(&instance, store, exports.on_request.as_ref())?,
            on_response: hook(&instance, store, exports.on_response.as_ref())?,
            on_request_body: hook(&instance, store, exports.on_request_body.as_ref())?,
            on_response_body: hook(&instance, store, exports.on_response_body.as_ref())?,
            on_log: exports.on_log.as_ref().map(|export| function(&instance, store, &export.run)).transpose()?,
            on_tick: exports.on_tick.as_ref().map(|export| function(&instance, store, &export.run)).transpose()?,
        };
        let asked = init(&instance, store, memory, &exports.init, config)?;
        Ok((hooks, asked))
    }
}

fn function<P: wasmtime::WasmParams, R: wasmtime::WasmResults>(
    instance: &Instance,
    store: &mut Store<Guest>,
    export: &ModuleExport,
) -> wasmtime::Result<TypedFunc<P, R>> {
    let export = instance.get_module_export(&mut *store, export).and_then(wasmtime::Extern::into_func);
    export.ok_or_else(misfit)?.typed(store)
}

fn hook<P: wasmtime::WasmParams>(
    instance: &Instance,
    store: &mut Store<Guest>,
    export: Option<&Export>,
) -> wasmtime::Result<Option<Run<P>>> {
    let Some(Export { run, free }) = export else { return Ok(None) };
    let run = function(instance, store, run)?;
    let free = free.as_ref().map(|free| function(instance, store, free)).transpose()?;
    Ok(Some(Run { run, free }))
}

fn init(
    instance: &Instance,
    store: &mut Store<Guest>,
    memory: Memory,
    export: &Export,
    config: &str,
) -> wasmtime::Result<Asked> {
    let run: TypedFunc<(u32, u32), u32> = function(instance, store, &export.run)?;
    let (at, length) = put(store, config.as_bytes())?;
    let answer = run.call(&mut *store, (at, length))?;
    let asked = asked(&mut Reader::new(memory.data(&*store)), answer)?;
    if let Some(free) = &export.free {
        let free: TypedFunc<u32, ()> = function(instance, store, free)?;
        call_free(store, &free, answer)?;
    }
    Ok(asked)
}

/// Copies an argument into memory that the guest allocates.
fn put(store: &mut Store<Guest>, bytes: &[u8]) -> wasmtime::Result<(u32, u32)> {
    let length = u32::try_from(bytes.len())?;
    let handles = store.data_mut().handles.take().ok_or_else(misfit)?;
    let at = handles.realloc.call(&mut *store, (0, 0, 1, length))?;
    write(handles.memory.data_mut(&mut *store), at, bytes)?;
    store.data_mut().handles = Some(handles);
    Ok((at, length))
}

/// Lets the guest free what it answered.
fn call_free(store: &mut Store<Guest>, free: &TypedFunc<u32, ()>, answer: u32) -> wasmtime::Result<()> {
    let handles = store.data_mut().handles.take();
    free.call(&mut *store, answer)?;
    store.data_mut().handles = handles;
    Ok(())
}

impl Hooks {
    pub(crate) fn run(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<abi::Verdict> {
        let run = match hook {
            Hook::Request => &self.on_request,
            Hook::Response => &self.on_response,
            _ => &None,
        };
        match run {
            Some(run) => run.call(store, self.memory, (), verdict),
            None => Ok(abi::Verdict::Next),
        }
    }

    pub(crate) fn run_body(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        data: &[u8],
        last: bool,
    ) -> wasmtime::Result<abi::BodyVerdict> {
        let run = match hook {
            Hook::RequestBody => &self.on_request_body,
            Hook::ResponseBody => &self.on_response_body,
            _ => &None,
        };
        let Some(run) = run else { return Ok(abi::BodyVerdict::Next) };
        let (at, length) = put(store, data)?;
        run.call(store, self.memory, (at, length, last.into()), body_verdict)
    }

    pub(crate) fn tell(&self, store: &mut Store<Guest>, hook: Hook) -> wasmtime::Result<()> {
        let tell = match hook {
            Hook::Log => &self.on_log,
            Hook::Tick => &self.on_tick,
            _ => &None,
        };
        tell.as_ref().map_or(Ok(()), |tell| tell.call(store, ()))
    }
}

impl<P: wasmtime::WasmParams> Run<P> {
    fn call<T>(
        &self,
        store: &mut Store<Guest>,
        memory: Memory,
        arguments: P,
        read: fn(&mut Reader<'_>, u32) -> Result<T, Stop>,
    ) -> wasmtime::Result<T> {
        let answer = self.run.call(&mut *store, arguments)?;
        let value = read(&mut Reader::new(memory.data(&*store)), answer)?;
        if let Some(free) = &self.free {
            call_free(store, free, answer)?;
        }
        Ok(value)
    }
}

// What the exports answer, as the canonical ABI lays it out: a variant's case stands before its payload, and every
// field at a multiple of its alignment.

fn unknown_case(of: &str, case: impl std::fmt::Display) -> Stop {
    Stop::bad_value(format!("the guest gave the host what it cannot take: case {case} of {of}"))
}

fn aligned(at: u32) -> Result<(), Stop> {
    if at.is_multiple_of(4) { Ok(()) } else { Err(super::memory::outside()) }
}

fn verdict(memory: &mut Reader<'_>, at: u32) -> Result<abi::Verdict, Stop> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => Ok(abi::Verdict::Next),
        1 => reply(memory, payload).map(abi::Verdict::Respond),
        2 => Ok(abi::Verdict::Forward(memory.text(payload)?.to_owned())),
        3 => Ok(abi::Verdict::Close),
        case => Err(unknown_case("a verdict", case)),
    }
}

fn body_verdict(memory: &mut Reader<'_>, at: u32) -> Result<abi::BodyVerdict, Stop> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => Ok(abi::BodyVerdict::Next),
        1 => Ok(abi::BodyVerdict::Replace(memory.bytes(payload)?.to_vec())),
        2 => reply(memory, payload).map(abi::BodyVerdict::Respond),
        3 => Ok(abi::BodyVerdict::Close),
        case => Err(unknown_case("a body verdict", case)),
    }
}

fn reply(memory: &mut Reader<'_>, at: u32) -> Result<abi::Reply, Stop> {
    let header = |memory: &mut Reader<'_>, at| {
        let name = memory.text(at)?.to_owned();
        Ok(abi::Header { name, value: memory.bytes(field(at, 8)?)?.to_vec() })
    };
    Ok(abi::Reply {
        status: memory.u16(at)?,
        headers: memory.list(field(at, 4)?, 16, header)?,
        body: memory.bytes(field(at, 12)?)?.to_vec(),
    })
}

fn asked(memory: &mut Reader<'_>, at: u32) -> Result<Asked, Stop> {
    aligned(at)?;
    let payload = field(at, 4)?;
    match memory.u8(at)? {
        0 => interest(memory, payload).map(Ok),
        1 => Ok(Err(memory.text(payload)?.to_owned())),
        case => Err(unknown_case("a result", case)),
    }
}

fn interest(memory: &mut Reader<'_>, at: u32) -> Result<abi::Interest, Stop> {
    let text = |memory: &mut Reader<'_>, at| memory.text(at).map(str::to_owned);
    let mut hooks = abi::Hooks::default();
    let bits = memory.u8(at)?;
    for (bit, hook) in abi::HOOKS.into_iter().enumerate() {
        if bits & (1 << bit) != 0 {
            hooks |= hook;
        }
    }
    Ok(abi::Interest {
        hooks,
        methods: memory.list(field(at, 4)?, 8, text)?,
        path_prefixes: memory.list(field(at, 12)?, 8, text)?,
        request_body: body_mode(memory, field(at, 20)?)?,
        response_body: body_mode(memory, field(at, 28)?)?,
        tick_ms: memory.u32(field(at, 36)?)?,
    })
}

fn body_mode(memory: &Reader<'_>, at: u32) -> Result<abi::BodyMode, Stop> {
    let bytes = memory.u32(field(at, 4)?)?;
    match memory.u8(at)? {
        0 => Ok(abi::BodyMode::None),
        1 => Ok(abi::BodyMode::Stream(bytes)),
        2 => Ok(abi::BodyMode::Buffer(bytes)),
        case => Err(unknown_case("a body mode", case)),
    }
}

/// The functions of one interface in a module's linker.
struct Functions<'l> {
    linker: &'l mut Linker<Guest>,
    /// The interface as the module names it, with its version.
    module: &'l str,
    interface: &'static str,
}

type Cx<'a> = Caller<'a, Guest>;

/// The guest's memory and its data, for a host function that was called.
fn enter<'a>(caller: &'a mut Cx<'_>) -> Result<(&'a [u8], &'a mut Guest), Stop> {
    let Some(memory) = caller.data().handles.as_ref().map(|handles| handles.memory) else {
        return Err(Stop::not_allowed("the guest called the host before it was started, or from its allocator"));
    };
    let (memory, guest) = memory.data_and_store_mut(caller);
    Ok((memory, guest))
}

fn slice(memory: &[u8], at: u32, length: u32) -> Result<&[u8], Stop> {
    Reader::new(memory).slice(at, length)
}

fn text(memory: &[u8], at: u32, length: u32, function: Function) -> Result<&str, Stop> {
    std::str::from_utf8(slice(memory, at, length)?).map_err(|_| function.not_text())
}

/// Puts an answer where the guest wants it.
fn give<R: Answer>(mut caller: Cx<'_>, answer: &R, at: u32) -> wasmtime::Result<()> {
    let handles = caller.data_mut().handles.take().ok_or_else(misfit)?;
    let room = (at as usize).checked_add(R::SIZE as usize);
    if !at.is_multiple_of(R::ALIGN) || room.is_none_or(|end| end > handles.memory.data_size(&caller)) {
        return Err(super::memory::outside().into());
    }
    answer.store(&mut Out::new(&mut caller, &handles), at)?;
    caller.data_mut().handles = Some(handles);
    Ok(())
}

impl Functions<'_> {
    fn put<P, A>(&mut self, name: &str, f: impl wasmtime::IntoFunc<Guest, P, A>) -> Defined {
        self.linker.func_wrap(self.module, name, f).map(drop)
    }

    const fn function(&self, name: &'static str) -> Function {
        Function { interface: self.interface, name }
    }
}

impl Define for Functions<'_> {
    fn act(&mut self, name: &'static str, f: impl Fn(&mut Guest) -> Result<(), Stop> + Shared) -> Defined {
        self.put(name, move |mut caller: Cx<'_>| -> wasmtime::Result<()> { Ok(f(enter(&mut caller)?.1)?) })
    }

    fn scalar<R: Scalar>(&mut self, name: &'static str, f: impl Fn(&mut Guest) -> Result<R, Stop> + Shared) -> Defined {
        self.put(name, move |mut caller: Cx<'_>| -> wasmtime::Result<R::Core> { Ok(f(enter(&mut caller)?.1)?.core()) })
    }

    fn answer<R: Answer>(&mut self, name: &'static str, f: impl Fn(&mut Guest) -> Result<R, Stop> + Shared) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, at: u32| -> wasmtime::Result<()> {
            let answer = f(enter(&mut caller)?.1)?;
            give(caller, &answer, at)
        })
    }

    fn act_text(&mut self, name: &'static str, f: impl Fn(&mut Guest, &str) -> Result<(), Stop> + Shared) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(memory, a, a_len, function)?)?)
        })
    }

    fn act_perhaps_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, Option<&str>) -> Result<(), Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, some: u32, a: u32, a_len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            let a = match some {
                0 => None,
                _ => Some(text(memory, a, a_len, function)?),
            };
            Ok(f(guest, a)?)
        })
    }

    fn scalar_text<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32| -> wasmtime::Result<R::Core> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(memory, a, a_len, function)?)?.core())
        })
    }

    fn answer_text<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, at: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            let answer = f(guest, text(memory, a, a_len, function)?)?;
            give(caller, &answer, at)
        })
    }

    fn act_texts(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &str) -> Result<(), Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(memory, a, a_len, function)?, text(memory, b, b_len, function)?)?)
        })
    }

    fn act_text_bytes(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8]) -> Result<(), Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(memory, a, a_len, function)?, slice(memory, b, b_len)?)?)
        })
    }

    fn scalar_text_bytes_u32<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8], u32) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(
            name,
            move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32, c: u32| -> wasmtime::Result<R::Core> {
                let (memory, guest) = enter(&mut caller)?;
                Ok(f(guest, text(memory, a, a_len, function)?, slice(memory, b, b_len)?, c)?.core())
            },
        )
    }

    fn answer_text_s64_u32<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, i64, u32) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: i64, c: u32, at: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            let answer = f(guest, text(memory, a, a_len, function)?, b, c)?;
            give(caller, &answer, at)
        })
    }

    fn scalar_text_u32_f64<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, u32, f64) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, c: f64| -> wasmtime::Result<R::Core> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(memory, a, a_len, function)?, b, c)?.core())
        })
    }

    fn scalar_text_kind<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, abi::MetricKind) -> Result<R, Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32| -> wasmtime::Result<R::Core> {
            let (memory, guest) = enter(&mut caller)?;
            let kind = match b {
                0 => abi::MetricKind::Counter,
                1 => abi::MetricKind::Gauge,
                2 => abi::MetricKind::Histogram,
                _ => return Err(unknown_case("a metric's kind", b).into()),
            };
            Ok(f(guest, text(memory, a, a_len, function)?, kind)?.core())
        })
    }

    fn act_u32_f64(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, u32, f64) -> Result<(), Stop> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32, b: f64| -> wasmtime::Result<()> {
            Ok(f(enter(&mut caller)?.1, a, b)?)
        })
    }

    fn fetch(&mut self, name: &'static str) -> Defined {
        Err(wasmtime::Error::msg(format!("`{name}` waits, which only components can")))
    }

    fn act_u16(&mut self, name: &'static str, f: impl Fn(&mut Guest, u16) -> Result<(), Stop> + Shared) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32| -> wasmtime::Result<()> {
            // The canonical ABI looks at the low bits alone.
            Ok(f(enter(&mut caller)?.1, a as u16)?)
        })
    }

    fn scalar_level<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, abi::Level) -> Result<R, Stop> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32| -> wasmtime::Result<R::Core> {
            Ok(f(enter(&mut caller)?.1, level(a)?)?.core())
        })
    }

    fn act_level_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, abi::Level, &str) -> Result<(), Stop> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (memory, guest) = enter(&mut caller)?;
            Ok(f(guest, level(a)?, text(memory, b, b_len, function)?)?)
        })
    }
}

fn level(number: u32) -> Result<abi::Level, Stop> {
    match number {
        0 => Ok(abi::Level::Debug),
        1 => Ok(abi::Level::Info),
        2 => Ok(abi::Level::Warn),
        3 => Ok(abi::Level::Error),
        _ => Err(unknown_case("a level", number)),
    }
}
