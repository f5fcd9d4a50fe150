//! The end of a call that the gateway stops: the mock panics, and says so in the gateway's words.

use std::fmt::Display;

/// The reason why a call is stopped, by its name in the gateway's log and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotAllowed,
    BadValue,
    TooMuch,
    UnknownGroup,
    BodyTooLong,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::NotAllowed => "not-allowed",
            Self::BadValue => "bad-value",
            Self::TooMuch => "too-much",
            Self::UnknownGroup => "unknown-group",
            Self::BodyTooLong => "body-too-long",
        }
    }
}

/// Stops the call.
#[expect(clippy::panic, reason = "a stopped call ends the test, as it ends the call in the gateway")]
pub(crate) fn stop(fault: Fault, why: impl Display) -> ! {
    panic!("the gateway stops this call ({}): {why}", fault.name())
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
