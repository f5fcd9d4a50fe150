//! Why a plan cannot be run.

use std::fmt;

/// A plan says something that no engine can do. A compiled policy does not; this is for plans that came another way,
/// and for what only building can tell, such as a regular expression that is too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// Where, in the words of the policy: "rule `api` of rules `shop`".
    pub place: String,
    /// What is wrong, and the mend.
    pub message: String,
}

/// What is wrong, before it is known where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) String);

impl Invalid {
    /// Says where.
    pub(crate) fn at(self, place: &str) -> BuildError {
        BuildError { place: place.to_owned(), message: self.0 }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for BuildError {}
