//! Bounds, errors and the log, which every other folder uses.

pub(crate) mod host_error;
pub mod limits;
pub(crate) mod log;
