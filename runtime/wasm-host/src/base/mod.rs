//! What every other folder uses: bounds, and the log.

pub(crate) mod host_error;
pub mod limits;
pub(crate) mod log;
