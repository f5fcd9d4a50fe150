//! The parts that the ABIs of other gateways have in common.
//!
//! Their guests keep a request's state in themselves, from one hook to the next. So the requests that an instance has under
//! way are known to the host ([`Requests`](crate::abi::requests::Requests)), and a pool brings each back to its instance.

pub(super) mod body;
pub(super) mod head;
pub(super) mod inspect;
pub(super) mod start;
pub(super) mod state;
pub(super) mod wasi;
