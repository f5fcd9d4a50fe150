//! The gateway's log. Needs `log` in `allow`.
#![forbid(unsafe_code)]

pub(crate) mod level;

use crate::sys;

pub use level::Level;

/// Whether lines of this level are kept; if not, there is no need to format them.
///
/// ```
/// # use tidegate_guest::{TestHost, log::{self, Level}};
/// TestHost::new().in_request(|request| {
///     if log::enabled(Level::Debug) {
///         log::write(Level::Debug, &format!("{} headers", request.headers().len()));
///     }
/// });
/// ```
pub fn enabled(level: Level) -> bool {
    sys::log_enabled(level)
}

/// Writes one line. Long lines are cut, and only so many lines of one call are kept.
///
/// ```
/// # use tidegate_guest::{TestHost, log::{self, Level}};
/// let outcome = TestHost::new().in_request(|_| log::write(Level::Warn, "no token"));
/// assert_eq!(outcome.log().next(), Some((Level::Warn, "no token")));
/// ```
pub fn write(level: Level, message: &str) {
    sys::log_write(level, message);
}
