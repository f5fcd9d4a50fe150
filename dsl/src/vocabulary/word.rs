//! A word of the language: its arguments, its value, and what is said of it.

use std::time::Duration;

use super::place::Place;

/// The role of a word, where a block has words of several kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A declaration, a setting or a value.
    Plain,
    /// `when`, `unless`
    Condition,
    /// A step: it is done to a request or a response.
    Step,
    /// Ends a rule.
    Outcome,
    /// A block that is done on the way back.
    WayBack,
}

/// The value that a word takes, where one value is all it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Arguments of a kind of its own.
    Special,
    /// A time.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
        /// The default if the word is left out.
        default: Option<Duration>,
        /// Whether `off` may stand for a duration; it is the default where there is no other.
        off: bool,
    },
    /// A whole number.
    Count {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// The default if the word is left out.
        default: Option<u64>,
        /// Whether `off` may stand for a number; it is the default where there is no other.
        off: bool,
    },
    /// A number of bytes.
    Size {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
        /// The default if the word is left out.
        default: Option<u64>,
        /// Whether `off` may stand for a size; it is the default where there is no other.
        off: bool,
    },
    /// A share, in percent: `10%`.
    Percent {
        /// The least.
        min: u32,
        /// The greatest.
        max: u32,
        /// The default if the word is left out.
        default: Option<u32>,
    },
    /// `on` or `off`.
    Switch {
        /// The default if the word is left out.
        default: bool,
    },
    /// A word of this place.
    OneOf(Place),
}

/// A word of the language at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word.
    pub name: &'static str,
    /// The arguments behind the word, for people: `RATE [per KEY]`.
    pub arguments: &'static str,
    /// The purpose of the word, in a line.
    pub short: &'static str,
    /// The rest that is to be known of the word, in whole sentences; may be empty.
    pub more: &'static str,
    /// A line of a policy that uses it; empty where the bare word makes one (see [`Place::example`]).
    pub example: &'static str,
    /// The role of the word.
    pub role: Role,
    /// The value of the word, where one value is all it takes.
    pub value: Value,
    /// The default in words, where `value` does not hold it.
    pub default: Option<&'static str>,
    /// Whether the word may stand more than once in its block.
    pub repeats: bool,
}

impl Word {
    pub(super) const fn new(name: &'static str, arguments: &'static str, short: &'static str) -> Self {
        Self {
            name,
            arguments,
            short,
            more: "",
            example: "",
            role: Role::Plain,
            value: Value::Special,
            default: None,
            repeats: false,
        }
    }

    pub(super) const fn more(self, more: &'static str) -> Self {
        Self { more, ..self }
    }

    pub(super) const fn example(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    pub(super) const fn many(self) -> Self {
        Self { repeats: true, ..self }
    }

    pub(super) const fn role(self, role: Role) -> Self {
        Self { role, ..self }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    pub(super) const fn duration(self, min: Duration, max: Duration, default: Option<Duration>) -> Self {
        Self { value: Value::Duration { min, max, default, off: false }, ..self }
    }

    pub(super) const fn duration_or_off(self, min: Duration, max: Duration, default: Option<Duration>) -> Self {
        Self { value: Value::Duration { min, max, default, off: true }, ..self }
    }

    pub(super) const fn count(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Count { min, max, default, off: false }, ..self }
    }

    pub(super) const fn count_or_off(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Count { min, max, default, off: true }, ..self }
    }

    pub(super) const fn size(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Size { min, max, default, off: false }, ..self }
    }

    pub(super) const fn size_or_off(self, min: u64, max: u64, default: Option<u64>) -> Self {
        Self { value: Value::Size { min, max, default, off: true }, ..self }
    }

    pub(super) const fn percent(self, min: u32, max: u32, default: Option<u32>) -> Self {
        Self { value: Value::Percent { min, max, default }, ..self }
    }

    pub(super) const fn switch(self, default: bool) -> Self {
        Self { value: Value::Switch { default }, ..self }
    }

    pub(super) const fn one_of(self, place: Place) -> Self {
        Self { value: Value::OneOf(place), ..self }
    }
}

pub(super) const KIB: u64 = 1024;
pub(super) const MIB: u64 = 1024 * KIB;
pub(super) const GIB: u64 = 1024 * MIB;

pub(super) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}
