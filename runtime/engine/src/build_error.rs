//! The error of a plan that cannot be run.

use std::fmt;

/// A plan says something that no engine can do. A compiled policy does not; this is for plans that came another way,
/// and for what only building can tell, such as a regular expression that is too large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildError {
    /// The place in the words of the policy: "rule `api` of rules `shop`".
    pub place: String,
    /// The mistake, and the mend.
    pub message: String,
}

/// The mistake, before it is known where it stands.
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
