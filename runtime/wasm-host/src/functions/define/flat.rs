//! Functions of core values in a core module's linker, whatever their number.

use wasmtime::{Caller, Linker, WasmRet, WasmTy};

/// The result of defining a function.
pub(crate) type Defined = wasmtime::Result<()>;

/// The bounds on a host function, because all instances share it.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use wasmtime::{Engine, Func, Store};

    use super::*;

    fn defined(define: impl FnOnce(&mut Linker<String>) -> Defined) -> (Store<String>, Func) {
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        define(&mut linker).unwrap();
        let mut store = Store::new(&engine, String::new());
        let function = linker.get(&mut store, "m", "f").unwrap().into_func().unwrap();
        (store, function)
    }

    #[test]
    fn values_come_in_their_order_and_the_address_last() {
        let (mut store, function) = defined(|linker| {
            Flat::wrap_at(linker, ("m", "f"), |mut caller, ((a, b), (c,)): ((u32, u32), (f64,)), at| {
                *caller.data_mut() = format!("{a} {b} {c} {at}");
            })
        });
        function.typed::<(u32, u32, f64, u32), ()>(&store).unwrap().call(&mut store, (1, 2, 3.5, 4)).unwrap();
        assert_eq!(store.data(), "1 2 3.5 4");
    }

    #[test]
    fn what_a_function_answers_comes_back() {
        let (mut store, function) = defined(|linker| {
            Flat::wrap(linker, ("m", "f"), |_, ((a,), (b, c)): ((u32,), (u32, u32))| a * 100 + b * 10 + c)
        });
        assert_eq!(function.typed::<(u32, u32, u32), u32>(&store).unwrap().call(&mut store, (1, 2, 3)).unwrap(), 123);
        let (mut store, function) = defined(|linker| Flat::wrap(linker, ("m", "f"), |_, ()| 7_u64));
        assert_eq!(function.typed::<(), u64>(&store).unwrap().call(&mut store, ()).unwrap(), 7);
    }
}
