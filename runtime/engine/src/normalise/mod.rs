//! Request targets and authorities in one spelling, so that a test cannot be passed by another one.

mod authority;
mod target;

pub use authority::{AuthorityError, authority};
pub use target::TargetError;
pub(crate) use target::{has_one_reading, join, path, target};
