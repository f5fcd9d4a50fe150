//! How a host function is written: once, for components and for core modules.
//!
//! [`Define`] has a method for each shape of arguments. What a function answers is a [`Scalar`], which fits a core value, or
//! an [`Answer`], which is put into the guest's memory.

pub(crate) mod memory;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use wasmtime::WasmTy;
use wasmtime::component::{ComponentType, Lower};

use crate::base::host_error::HostError;
use crate::functions::define::memory::Out;
use crate::guest::Guest;
use crate::wit;

/// A function's interface and name, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) interface: &'static str,
    pub(crate) name: &'static str,
}

impl Function {
    /// The guest passed a string that is not UTF-8.
    pub(crate) fn not_text(self) -> HostError {
        HostError::not_taken(format_args!("a string that is not UTF-8, to `{}.{}`", self.interface, self.name))
    }
}

/// Where the functions of one interface are put.
pub(crate) trait Define {
    /// `func()`
    fn act(&mut self, name: &'static str, f: impl Fn(&mut Guest) -> Result<(), HostError> + Shared) -> Defined;
    /// `func() -> scalar`
    fn scalar<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func() -> answer`
    fn answer<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string)`
    fn act_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<(), HostError> + Shared,
    ) -> Defined;
    /// `func(option<string>)`
    fn act_perhaps_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, Option<&str>) -> Result<(), HostError> + Shared,
    ) -> Defined;
    /// `func(string) -> scalar`
    fn scalar_text<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string) -> answer`
    fn answer_text<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string, string)`
    fn act_texts(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &str) -> Result<(), HostError> + Shared,
    ) -> Defined;
    /// `func(string, list<u8>)`
    fn act_text_bytes(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8]) -> Result<(), HostError> + Shared,
    ) -> Defined;
    /// `func(string, list<u8>, u32) -> scalar`
    fn scalar_text_bytes_u32<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, &[u8], u32) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string, s64, u32) -> answer`
    fn answer_text_s64_u32<R: Answer>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, i64, u32) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string, u32, f64) -> scalar`
    fn scalar_text_u32_f64<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, u32, f64) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(string, kind) -> scalar`
    fn scalar_text_kind<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, &str, wit::MetricKind) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(u32, f64)`
    fn act_u32_f64(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, u32, f64) -> Result<(), HostError> + Shared,
    ) -> Defined;
    /// `func(u16)`
    fn act_u16(&mut self, name: &'static str, f: impl Fn(&mut Guest, u16) -> Result<(), HostError> + Shared)
    -> Defined;
    /// `func(level) -> scalar`
    fn scalar_level<R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, wit::Level) -> Result<R, HostError> + Shared,
    ) -> Defined;
    /// `func(call) -> result<answer, failure>`, which waits. Only components have it: in a core module's linker, a host function
    /// that waits would take the guest's allocator with it.
    fn fetch(&mut self, name: &'static str) -> Defined;
    /// `func(level, string)`
    fn act_level_text(
        &mut self,
        name: &'static str,
        f: impl Fn(&mut Guest, wit::Level, &str) -> Result<(), HostError> + Shared,
    ) -> Defined;
}

/// What defining says.
pub(crate) type Defined = wasmtime::Result<()>;

/// What a host function must be, because all instances share it.
pub(crate) trait Shared: Send + Sync + 'static {}

impl<T: Send + Sync + 'static> Shared for T {}

/// An answer that fits a core value.
pub(crate) trait Scalar: ComponentType + Lower + Send + 'static {
    type Core: WasmTy;
    fn core(self) -> Self::Core;
}

impl Scalar for bool {
    type Core = u32;
    fn core(self) -> u32 {
        self.into()
    }
}

impl Scalar for u16 {
    type Core = u32;
    fn core(self) -> u32 {
        self.into()
    }
}

impl Scalar for u64 {
    type Core = Self;
    fn core(self) -> Self {
        self
    }
}

impl Scalar for u32 {
    type Core = Self;
    fn core(self) -> Self {
        self
    }
}

impl Scalar for wit::Taken {
    type Core = u32;
    fn core(self) -> u32 {
        self as u32
    }
}

/// An answer in the guest's memory, laid out as the canonical ABI wants it.
pub(crate) trait Answer {
    /// The same for the component's linker.
    type Component: ComponentType + Lower + Send + 'static;
    fn component(self) -> Self::Component;

    /// Bytes of its fixed part.
    const SIZE: u32;
    /// The alignment of its fixed part.
    const ALIGN: u32 = 4;
    /// Writes the fixed part at an address that has room for it and is aligned; what it points to goes into memory that
    /// the guest allocates.
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()>;
}

impl Answer for HeaderValue {
    type Component = Vec<u8>;
    fn component(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    const SIZE: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self.as_bytes())
    }
}

impl Answer for Bytes {
    type Component = Vec<u8>;
    fn component(self) -> Vec<u8> {
        self.into()
    }

    const SIZE: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self)
    }
}

impl Answer for String {
    type Component = Self;
    fn component(self) -> Self {
        self
    }

    const SIZE: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self.as_bytes())
    }
}

impl Answer for &'static str {
    type Component = Self;
    fn component(self) -> Self {
        self
    }

    const SIZE: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self.as_bytes())
    }
}

impl<T: Answer> Answer for Option<T> {
    type Component = Option<T::Component>;
    fn component(self) -> Option<T::Component> {
        self.map(T::component)
    }

    const SIZE: u32 = T::SIZE + T::ALIGN;
    const ALIGN: u32 = T::ALIGN;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put(at, &[self.is_some().into()])?;
        match self {
            Some(value) => value.store(out, at + T::ALIGN),
            None => Ok(()),
        }
    }
}

impl<T: Answer> Answer for Vec<T> {
    type Component = Vec<T::Component>;
    fn component(self) -> Vec<T::Component> {
        self.into_iter().map(T::component).collect()
    }

    const SIZE: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        let (start, length) = out.allocate_list(self.len(), T::SIZE, T::ALIGN)?;
        let mut item_at = start;
        for item in self {
            item.store(out, item_at)?;
            item_at += T::SIZE;
        }
        out.put(at, &start.to_le_bytes())?;
        out.put(at + 4, &length.to_le_bytes())
    }
}

impl Answer for (HeaderName, HeaderValue) {
    type Component = wit::Header;
    fn component(self) -> wit::Header {
        wit::Header { name: self.0.as_str().to_owned(), value: self.1.as_bytes().to_vec() }
    }

    const SIZE: u32 = 16;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self.0.as_str().as_bytes())?;
        out.put_bytes(at + 8, self.1.as_bytes())
    }
}

impl Answer for wit::TlsInfo {
    type Component = Self;
    fn component(self) -> Self {
        self
    }

    const SIZE: u32 = 28;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        self.sni.store(out, at)?;
        self.version.store(out, at + 12)?;
        self.cipher.store(out, at + 20)
    }
}

impl Answer for i64 {
    type Component = Self;
    fn component(self) -> Self {
        self
    }

    const SIZE: u32 = 8;
    const ALIGN: u32 = 8;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put(at, &self.to_le_bytes())
    }
}

impl Answer for wit::Group {
    type Component = Self;
    fn component(self) -> Self {
        self
    }

    const SIZE: u32 = 16;
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
        out.put_bytes(at, self.name.as_bytes())?;
        out.put(at + 8, &self.healthy.to_le_bytes())?;
        out.put(at + 12, &self.total.to_le_bytes())
    }
}
