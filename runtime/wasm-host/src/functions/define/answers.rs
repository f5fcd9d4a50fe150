//! The answers of host functions: as a component's linker takes them, and as a core module's does.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use wasmtime::WasmRet;
use wasmtime::component::{ComponentNamedList, ComponentType, Lower};

use super::memory::Out;
use crate::wit;

/// An answer that fits a core value, or nothing.
pub(crate) trait Scalar {
    /// The answer, as a component's linker takes it.
    type Component: ComponentNamedList + Lower + 'static;
    /// The answer, as a core module's linker takes it.
    type Core: WasmRet;
    fn component(self) -> Self::Component;
    fn core(self) -> Self::Core;
}

macro_rules! scalar {
    ($($type:ty: $core:ty, $into:expr;)*) => {$(
        impl Scalar for $type {
            type Component = (Self,);
            type Core = $core;

            fn component(self) -> (Self,) {
                (self,)
            }

            fn core(self) -> $core {
                $into(self)
            }
        }
    )*};
}

scalar! {
    bool: u32, u32::from;
    u16: u32, u32::from;
    u32: u32, std::convert::identity;
    u64: u64, std::convert::identity;
    wit::Taken: u32, |taken| taken as u32;
}

impl Scalar for () {
    type Component = ();
    type Core = ();
    fn component(self) {}
    fn core(self) {}
}

/// An answer in the guest's memory, laid out as the canonical ABI wants it.
pub(crate) trait Answer {
    /// The answer, as a component's linker takes it.
    type Component: ComponentType + Lower + Send + 'static;
    fn component(self) -> Self::Component;

    /// The bytes of the fixed part.
    const SIZE: u32;
    /// The alignment of the fixed part.
    const ALIGN: u32 = 4;
    /// Writes the fixed part at an address that has room for it and is aligned; what it points to goes into memory that
    /// the guest allocates.
    fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()>;
}

/// Answers that are bytes in memory of their own, as a list or a string.
macro_rules! bytes {
    ($($type:ty: $component:ty, $of:expr, $into:expr;)*) => {$(
        impl Answer for $type {
            type Component = $component;
            fn component(self) -> $component {
                $into(self)
            }

            const SIZE: u32 = 8;
            fn store(&self, out: &mut Out<'_, '_>, at: u32) -> wasmtime::Result<()> {
                out.put_bytes(at, $of(self))
            }
        }
    )*};
}

bytes! {
    HeaderValue: Vec<u8>, HeaderValue::as_bytes, |value: Self| value.as_bytes().to_vec();
    Bytes: Vec<u8>, Bytes::as_ref, Vec::from;
    String: Self, String::as_bytes, std::convert::identity;
    &'static str: Self, |text: &Self| text.as_bytes(), std::convert::identity;
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
