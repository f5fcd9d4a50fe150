//! What many instances share: stores, metrics, the room for instances, and the clock that interrupts them.

pub(crate) mod metrics;
pub(crate) mod room;
pub(crate) mod store;
pub(crate) mod ticker;
