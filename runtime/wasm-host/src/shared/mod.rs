//! Stores, metrics, the room for instances, and the clock that interrupts them: many instances share each.

pub(crate) mod metrics;
pub(crate) mod room;
pub(crate) mod store;
pub(crate) mod ticker;
