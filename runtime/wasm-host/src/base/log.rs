//! Log lines of guests.

use std::sync::Arc;

/// Takes log lines of guests. It runs within a hook, so it must not block.
pub type LogSink = Arc<dyn Fn(LogRecord<'_>) + Send + Sync>;

/// A line of the log.
#[derive(Debug, Clone, Copy)]
pub struct LogRecord<'a> {
    /// The extension's name in the policy.
    pub extension: &'a str,
    /// The level of the line.
    pub level: LogLevel,
    /// The line, without control characters.
    pub message: &'a str,
}

/// The gravity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For those who debug the extension.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is odd, and the gateway goes on.
    Warn,
    /// Something failed.
    Error,
}

/// A guest's text as one line of at most `max` bytes: control characters become spaces, and what is over is cut.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let kept = text.get(..text.floor_char_boundary(max)).unwrap_or(text);
    let mut line: String = kept.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if kept.len() < text.len() {
        line.push('…');
    }
    line
}

/// A guest's text, fit for a message.
pub(crate) fn shown(text: &str) -> String {
    one_line(text, 64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_lines() {
        assert_eq!(one_line("a\r\nb\u{1b}[31m", 100), "a  b [31m");
        assert_eq!(one_line("äöü", 3), "ä…");
        assert_eq!(one_line("äöü", 6), "äöü");
    }
}
