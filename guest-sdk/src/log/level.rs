//! Levels of log lines.
#![forbid(unsafe_code)]

/// The weight of a line.
///
/// ```
/// # use tidegate_guest::log::Level;
/// assert!(Level::Error > Level::Warn);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A line for those who debug the extension; the gateway drops such lines.
    Debug,
    /// A line that is worth knowing.
    Info,
    /// Something is odd, and the gateway goes on.
    Warn,
    /// Something failed.
    Error,
}
