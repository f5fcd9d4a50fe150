//! Functions of core values in a core module's linker, whatever their number.

use wasmtime::{Caller, Linker, WasmRet, WasmTy};

/// The result of defining a function.
pub(crate) type Defined = wasmtime::Result<()>;

/// What a host function must be, because all instances share it.
pub(crate) trait Shared: Send + Sync + 'static {}

impl<T: Send + Sync + 'static> Shared for T {}

/// The core values of all arguments, a tuple for each: passed one after the other.
pub(crate) trait Flat: Sized {
    /// Puts a function of these values into a linker.
    fn wrap<T: 'static, R: WasmRet>(
        linker: &mut Linker<T>,
        name: (&str, &str),
        f: impl Fn(Caller<'_, T>, Self) -> R + Shared,
    ) -> Defined;

    /// Puts a function of these values into a linker, which is also told where the guest wants its answer.
    fn wrap_at<T: 'static, R: WasmRet>(
        linker: &mut Linker<T>,
        name: (&str, &str),
        f: impl Fn(Caller<'_, T>, Self, u32) -> R + Shared,
    ) -> Defined;
}

macro_rules! flat {
    ($($($value:ident: $type:ident),+);*) => {
        impl<$($($type: WasmTy),+),*> Flat for ($(($($type,)+),)*) {
            fn wrap<T: 'static, R: WasmRet>(
                linker: &mut Linker<T>,
                (module, name): (&str, &str),
                f: impl Fn(Caller<'_, T>, Self) -> R + Shared,
            ) -> Defined {
                let f = move |caller: Caller<'_, T> $($(, $value: $type)+)*| f(caller, ($(($($value,)+),)*));
                linker.func_wrap(module, name, f).map(drop)
            }

            fn wrap_at<T: 'static, R: WasmRet>(
                linker: &mut Linker<T>,
                (module, name): (&str, &str),
                f: impl Fn(Caller<'_, T>, Self, u32) -> R + Shared,
            ) -> Defined {
                let f = move |caller: Caller<'_, T> $($(, $value: $type)+)*, at: u32| f(caller, ($(($($value,)+),)*), at);
                linker.func_wrap(module, name, f).map(drop)
            }
        }
    };
}

flat!();
flat!(a: A);
flat!(a: A, b: B);
flat!(a: A, b: B, c: C);
flat!(a: A; b: B);
flat!(a: A; b: B, c: C);
flat!(a: A, b: B; c: C);
flat!(a: A, b: B; c: C, d: D);
flat!(a: A, b: B; c: C; d: D);
flat!(a: A, b: B; c: C, d: D; e: E);
