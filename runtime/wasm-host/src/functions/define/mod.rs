//! The way in which a host function is written: once, for components and for core modules.
//!
//! A function names its arguments ([`Arguments`]); its answer is a [`Scalar`], which fits a core value, or an [`Answer`],
//! which is put into the guest's memory.

mod answers;
mod arguments;
mod flat;
pub(crate) mod memory;

pub(crate) use answers::{Answer, Scalar};
pub(crate) use arguments::{Arguments, ByteList, Function, Text, unknown_case};
pub(crate) use flat::{Defined, Flat, Shared};

use crate::base::host_error::HostError;
use crate::guest::Guest;

/// The functions of one interface, as they are put into a linker.
pub(crate) trait Define {
    /// Puts in a function whose answer fits a core value, or that answers nothing.
    fn scalar<A: Arguments, R: Scalar>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined;

    /// Puts in a function whose answer is laid out in the guest's memory.
    fn answer<A: Arguments, R: Answer>(
        &mut self,
        name: &'static str,
        f: impl for<'a> Fn(&mut Guest, A::Lent<'a>) -> Result<R, HostError> + Shared,
    ) -> Defined;

    /// Puts in `func(call) -> result<answer, failure>`, which waits. Only components have it: in a core module's linker, a host
    /// function that waits would take the guest's allocator with it.
    fn fetch(&mut self, name: &'static str) -> Defined;
}
