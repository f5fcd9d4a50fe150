//! The gateway's own ABI: components, and core modules with a component's type inside.

mod answers;
pub(crate) mod component;
mod functions;
pub(crate) mod module;
