//! The host's functions in the linker of a core module: arguments are read from its memory, and answers put there.

use wasmtime::{Caller, Linker};

use super::answers::unknown_case;
use super::module::misfit;
use crate::base::host_error::HostError;
use crate::functions::define::memory::{Out, Reader};
use crate::functions::define::{Answer, Define, Defined, Function, Scalar, Shared};
use crate::guest::Guest;
use crate::wit;

/// The functions of one interface in a module's linker.
pub(super) struct Functions<'l> {
    pub(super) linker: &'l mut Linker<Guest>,
    /// The interface as the module names it, with its version.
    pub(super) module: &'l str,
    pub(super) interface: &'static str,
}

type Cx<'a> = Caller<'a, Guest>;

/// A reader of all that the guest gives, and the guest's data, for a host function that was called.
fn enter<'a>(caller: &'a mut Cx<'_>) -> Result<(Reader<'a>, &'a mut Guest), HostError> {
    let Some(memory) = caller.data().handles.as_ref().map(|handles| handles.memory) else {
        return Err(HostError::not_allowed("the guest called the host before it was started, or from its allocator"));
    };
    let (memory, guest) = memory.data_and_store_mut(caller);
    Ok((Reader::new(memory), guest))
}

fn text<'m>(memory: &mut Reader<'m>, at: u32, length: u32, function: Function) -> Result<&'m str, HostError> {
    std::str::from_utf8(memory.slice(at, length)?).map_err(|_| function.not_text())
}

/// Puts an answer where the guest wants it.
fn give<R: Answer>(mut caller: Cx<'_>, answer: &R, at: u32) -> wasmtime::Result<()> {
    let handles = caller.data_mut().handles.take().ok_or_else(misfit)?;
    let room = (at as usize).checked_add(R::SIZE as usize);
    if !at.is_multiple_of(R::ALIGN) || room.is_none_or(|end| end > handles.memory.data_size(&caller)) {
        return Err(HostError::outside().into());
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
    fn act(&mut self, name: &'static str, f: impl Fn(&mut Guest) -> Result<(), HostError> + Shared) -> Defined {
        self.put(name, move |mut caller: Cx<'_>| -> wasmtime::Result<()> { Ok(f(enter(&mut caller)?.1)?) })
    }

    fn scalar<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest) -> Result<R, HostError> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>| -> wasmtime::Result<R::Core> { Ok(f(enter(&mut caller)?.1)?.core()) })
    }

    fn answer<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest) -> Result<R, HostError> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, at: u32| -> wasmtime::Result<()> {
            let answer = f(enter(&mut caller)?.1)?;
            give(caller, &answer, at)
        })
    }

    fn act_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<(), HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(&mut memory, a, a_len, function)?)?)
        })
    }

    fn act_perhaps_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, Option<&str>) -> Result<(), HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, some: u32, a: u32, a_len: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            let a = match some {
                0 => None,
                _ => Some(text(&mut memory, a, a_len, function)?),
            };
            Ok(f(guest, a)?)
        })
    }

    fn scalar_text<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32| -> wasmtime::Result<R::Core> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(&mut memory, a, a_len, function)?)?.core())
        })
    }

    fn answer_text<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, at: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            let answer = f(guest, text(&mut memory, a, a_len, function)?)?;
            give(caller, &answer, at)
        })
    }

    fn act_texts(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &str) -> Result<(), HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(&mut memory, a, a_len, function)?, text(&mut memory, b, b_len, function)?)?)
        })
    }

    fn act_text_bytes(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8]) -> Result<(), HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(&mut memory, a, a_len, function)?, memory.slice(b, b_len)?)?)
        })
    }

    fn scalar_text_bytes_u32<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8], u32) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(
            name,
            move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, b_len: u32, c: u32| -> wasmtime::Result<R::Core> {
                let (mut memory, guest) = enter(&mut caller)?;
                Ok(f(guest, text(&mut memory, a, a_len, function)?, memory.slice(b, b_len)?, c)?.core())
            },
        )
    }

    fn answer_text_s64_u32<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, i64, u32) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: i64, c: u32, at: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            let answer = f(guest, text(&mut memory, a, a_len, function)?, b, c)?;
            give(caller, &answer, at)
        })
    }

    fn scalar_text_u32_f64<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, u32, f64) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32, c: f64| -> wasmtime::Result<R::Core> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, text(&mut memory, a, a_len, function)?, b, c)?.core())
        })
    }

    fn scalar_text_kind<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, wit::MetricKind) -> Result<R, HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, a_len: u32, b: u32| -> wasmtime::Result<R::Core> {
            let (mut memory, guest) = enter(&mut caller)?;
            let kind = match b {
                0 => wit::MetricKind::Counter,
                1 => wit::MetricKind::Gauge,
                2 => wit::MetricKind::Histogram,
                _ => return Err(unknown_case("a metric's kind", b).into()),
            };
            Ok(f(guest, text(&mut memory, a, a_len, function)?, kind)?.core())
        })
    }

    fn act_u32_f64(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, u32, f64) -> Result<(), HostError> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32, b: f64| -> wasmtime::Result<()> {
            Ok(f(enter(&mut caller)?.1, a, b)?)
        })
    }

    fn fetch(&mut self, name: &'static str) -> Defined {
        Err(wasmtime::Error::msg(format!("`{name}` waits, which only components can")))
    }

    fn act_u16(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, u16) -> Result<(), HostError> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32| -> wasmtime::Result<()> {
            // The canonical ABI looks at the low bits alone.
            Ok(f(enter(&mut caller)?.1, a as u16)?)
        })
    }

    fn scalar_level<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, wit::Level) -> Result<R, HostError> + Shared,
    ) -> Defined {
        self.put(name, move |mut caller: Cx<'_>, a: u32| -> wasmtime::Result<R::Core> {
            Ok(f(enter(&mut caller)?.1, level(a)?)?.core())
        })
    }

    fn act_level_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, wit::Level, &str) -> Result<(), HostError> + Shared,
    ) -> Defined {
        let function = self.function(name);
        self.put(name, move |mut caller: Cx<'_>, a: u32, b: u32, b_len: u32| -> wasmtime::Result<()> {
            let (mut memory, guest) = enter(&mut caller)?;
            Ok(f(guest, level(a)?, text(&mut memory, b, b_len, function)?)?)
        })
    }
}

fn level(number: u32) -> Result<wit::Level, HostError> {
    match number {
        0 => Ok(wit::Level::Debug),
        1 => Ok(wit::Level::Info),
        2 => Ok(wit::Level::Warn),
        3 => Ok(wit::Level::Error),
        _ => Err(unknown_case("a level", number)),
    }
}
