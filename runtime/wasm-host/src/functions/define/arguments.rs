//! The arguments of host functions: as a component passes them, as a core module does, and as a function sees them.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, WasmList, WasmStr};

use super::flat::Flat;
use super::memory::Reader;
use crate::base::host_error::HostError;
use crate::wit;

/// A function's interface and name, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function {
    pub(crate) interface: &'static str,
    pub(crate) name: &'static str,
}

impl Function {
    /// A string that is not UTF-8 was passed to this function.
    fn not_text(self) -> HostError {
        HostError::not_taken(format_args!("a string that is not UTF-8, to `{}.{}`", self.interface, self.name))
    }
}

/// One argument.
pub(crate) trait Argument {
    /// The argument as a function sees it.
    type Lent<'a>;
    /// The argument as a component's linker passes it.
    type Lifted: ComponentType + Lift + Send + 'static;
    /// The argument taken out of a component's memory: its linker lends either the memory or the guest's data.
    type Owned;
    /// The argument as a tuple of core values, by the canonical ABI.
    type Core: 'static;

    fn own<T>(
        lifted: Self::Lifted,
        store: &StoreContextMut<'_, T>,
        function: Function,
    ) -> Result<Self::Owned, HostError>;
    fn lend(owned: &Self::Owned) -> Self::Lent<'_>;
    fn read<'m>(core: Self::Core, memory: &mut Reader<'m>, function: Function) -> Result<Self::Lent<'m>, HostError>;
}

/// `string`
pub(crate) enum Text {}

/// `list<u8>`
pub(crate) enum ByteList {}

impl Argument for Text {
    type Lent<'a> = &'a str;
    type Lifted = WasmStr;
    type Owned = String;
    type Core = (u32, u32);

    fn own<T>(lifted: WasmStr, store: &StoreContextMut<'_, T>, function: Function) -> Result<String, HostError> {
        lifted.to_str(store).map(std::borrow::Cow::into_owned).map_err(|_| function.not_text())
    }

    fn lend(owned: &String) -> &str {
        owned
    }

    fn read<'m>((at, length): (u32, u32), memory: &mut Reader<'m>, function: Function) -> Result<&'m str, HostError> {
        std::str::from_utf8(memory.slice(at, length)?).map_err(|_| function.not_text())
    }
}

impl Argument for Option<Text> {
    type Lent<'a> = Option<&'a str>;
    type Lifted = Option<WasmStr>;
    type Owned = Option<String>;
    type Core = (u32, u32, u32);

    fn own<T>(
        lifted: Option<WasmStr>,
        store: &StoreContextMut<'_, T>,
        function: Function,
    ) -> Result<Option<String>, HostError> {
        lifted.map(|text| Text::own(text, store, function)).transpose()
    }

    fn lend(owned: &Option<String>) -> Option<&str> {
        owned.as_deref()
    }

    fn read<'m>(
        (some, at, length): (u32, u32, u32),
        memory: &mut Reader<'m>,
        function: Function,
    ) -> Result<Option<&'m str>, HostError> {
        if some == 0 { Ok(None) } else { Text::read((at, length), memory, function).map(Some) }
    }
}

impl Argument for ByteList {
    type Lent<'a> = &'a [u8];
    type Lifted = WasmList<u8>;
    type Owned = Vec<u8>;
    type Core = (u32, u32);

    fn own<T>(lifted: WasmList<u8>, store: &StoreContextMut<'_, T>, _: Function) -> Result<Vec<u8>, HostError> {
        Ok(lifted.as_le_slice(store).to_vec())
    }

    fn lend(owned: &Vec<u8>) -> &[u8] {
        owned
    }

    fn read<'m>((at, length): (u32, u32), memory: &mut Reader<'m>, _: Function) -> Result<&'m [u8], HostError> {
        memory.slice(at, length)
    }
}

/// Arguments that are one core value, which `$read` makes of it.
macro_rules! plain {
    ($($type:ty: $core:ty, $read:expr;)*) => {$(
        impl Argument for $type {
            type Lent<'a> = Self;
            type Lifted = Self;
            type Owned = Self;
            type Core = ($core,);

            fn own<T>(lifted: Self, _: &StoreContextMut<'_, T>, _: Function) -> Result<Self, HostError> {
                Ok(lifted)
            }

            fn lend(owned: &Self) -> Self {
                *owned
            }

            fn read<'m>((core,): ($core,), _: &mut Reader<'m>, _: Function) -> Result<Self, HostError> {
                $read(core)
            }
        }
    )*};
}

plain! {
    // The canonical ABI looks at the low bits alone.
    u16: u32, |core| Ok(core as u16);
    u32: u32, Ok;
    i64: i64, Ok;
    f64: f64, Ok;
    wit::Level: u32, |core| wit::Level::of(core).ok_or_else(|| unknown_case("a level", core));
    wit::MetricKind: u32, |core| wit::MetricKind::of(core).ok_or_else(|| unknown_case("a metric's kind", core));
}

/// A variant or an enum has no such case.
pub(crate) fn unknown_case(of: &str, case: impl std::fmt::Display) -> HostError {
    HostError::not_taken(format_args!("case {case} of {of}"))
}

/// All arguments of a function: a tuple of [`Argument`]s.
pub(crate) trait Arguments: 'static {
    type Lent<'a>;
    type Lifted: ComponentNamedList + Lift + Send + 'static;
    type Owned;
    type Core: Flat;

    fn own<T>(
        lifted: Self::Lifted,
        store: &StoreContextMut<'_, T>,
        function: Function,
    ) -> Result<Self::Owned, HostError>;
    fn lend(owned: &Self::Owned) -> Self::Lent<'_>;
    fn read<'m>(core: Self::Core, memory: &mut Reader<'m>, function: Function) -> Result<Self::Lent<'m>, HostError>;
}

macro_rules! arguments {
    ($($value:ident: $type:ident),*) => {
        #[allow(unused_variables, clippy::unused_unit, reason = "of no arguments, nothing is read")]
        impl<$($type: Argument + 'static),*> Arguments for ($($type,)*)
        where
            ($($type::Core,)*): Flat,
        {
            type Lent<'a> = ($($type::Lent<'a>,)*);
            type Lifted = ($($type::Lifted,)*);
            type Owned = ($($type::Owned,)*);
            type Core = ($($type::Core,)*);

            fn own<T>(
                ($($value,)*): Self::Lifted,
                store: &StoreContextMut<'_, T>,
                function: Function,
            ) -> Result<Self::Owned, HostError> {
                Ok(($($type::own($value, store, function)?,)*))
            }

            fn lend(($($value,)*): &Self::Owned) -> Self::Lent<'_> {
                ($($type::lend($value),)*)
            }

            fn read<'m>(
                ($($value,)*): Self::Core,
                memory: &mut Reader<'m>,
                function: Function,
            ) -> Result<Self::Lent<'m>, HostError> {
                Ok(($($type::read($value, memory, function)?,)*))
            }
        }
    };
}

arguments!();
arguments!(a: A);
arguments!(a: A, b: B);
arguments!(a: A, b: B, c: C);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::base::limits::TRANSFER_BYTES;

    const FUNCTION: Function = Function { interface: "vars", name: "set" };

    fn refused<T>(read: Result<T, HostError>) -> String {
        read.map(drop).unwrap_err().0.message.replace("the guest gave the host what it cannot take: ", "")
    }

    #[test]
    fn arguments_are_read_from_the_bounds_of_the_memory() {
        let mut memory = Reader::new(b"name\xffvalue");
        assert_eq!(
            <(Text, ByteList, u32)>::read(((0, 4), (4, 6), (9,)), &mut memory, FUNCTION).unwrap(),
            ("name", &b"\xffvalue"[..], 9)
        );
        assert_eq!(Option::<Text>::read((0, u32::MAX, 9), &mut memory, FUNCTION).unwrap(), None);
        assert_eq!(Option::<Text>::read((1, 0, 4), &mut memory, FUNCTION).unwrap(), Some("name"));
        assert_eq!(refused(Text::read((0, 5), &mut memory, FUNCTION)), "a string that is not UTF-8, to `vars.set`");
        assert_eq!(refused(ByteList::read((4, 7), &mut memory, FUNCTION)), "an address outside its memory");
        assert_eq!(
            refused(Option::<Text>::read((1, u32::MAX, 1), &mut memory, FUNCTION)),
            "an address outside its memory"
        );
    }

    #[test]
    fn all_arguments_of_a_call_share_one_bound() {
        let bytes = vec![b'a'; TRANSFER_BYTES];
        let half = u32::try_from(TRANSFER_BYTES / 2).unwrap();
        let mut memory = Reader::new(&bytes);
        assert!(<(Text, ByteList)>::read(((0, half), (0, half)), &mut memory, FUNCTION).is_ok());
        let over = <(Text, ByteList)>::read(((0, half), (0, half + 1)), &mut Reader::new(&bytes), FUNCTION);
        assert_eq!(refused(over), HostError::transfer().0.message);
    }

    #[test]
    fn cases_and_small_numbers_are_what_the_canonical_abi_says() {
        let memory = &mut Reader::new(b"");
        assert_eq!(u16::read((0x1_0203,), memory, FUNCTION).unwrap(), 0x0203, "the low bits alone count");
        let levels: Vec<wit::Level> = (0..4).map(|n| wit::Level::read((n,), memory, FUNCTION).unwrap()).collect();
        assert!(levels.iter().enumerate().all(|(n, level)| *level as usize == n));
        assert_eq!(refused(wit::Level::read((4,), memory, FUNCTION)), "case 4 of a level");
        let kinds: Vec<wit::MetricKind> =
            (0..3).map(|n| wit::MetricKind::read((n,), memory, FUNCTION).unwrap()).collect();
        assert!(kinds.iter().enumerate().all(|(n, kind)| *kind as usize == n));
        assert_eq!(refused(wit::MetricKind::read((3,), memory, FUNCTION)), "case 3 of a metric's kind");
        assert_eq!(<(u32, f64)>::read(((7,), (0.5,)), memory, FUNCTION).unwrap(), (7, 0.5));
        <()>::read((), memory, FUNCTION).unwrap();
    }
}
