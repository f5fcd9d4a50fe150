//! The host's functions, one set for each side: the real host in Wasm, a mock of it elsewhere.
#![forbid(unsafe_code)]

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod mock;
#[cfg(target_arch = "wasm32")]
mod wasm;

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use mock::*;
#[cfg(target_arch = "wasm32")]
pub(crate) use wasm::*;
