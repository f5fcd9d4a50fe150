//! What every other folder uses: bounds, and the log.

pub mod limits;
pub(crate) mod log;
