//! The error of an extension that cannot be started.
#![forbid(unsafe_code)]

use std::fmt;

/// The error of [`Filter::init`](crate::Filter::init): a sentence for the author of the policy.
///
/// ```
/// # use tidegate_guest::{Error, Result};
/// fn percent(text: &str) -> Result<u8> {
///     match text.parse::<u8>()? {
///         percent @ 0..=100 => Ok(percent),
///         percent => Err(Error::new(format!("percent is {percent}: write 0 to 100"))),
///     }
/// }
/// assert_eq!(percent("101").unwrap_err().to_string(), "percent is 101: write 0 to 100");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// A result with that error.
///
/// ```
/// fn positive(number: i64) -> tidegate_guest::Result<i64> {
///     if number > 0 { Ok(number) } else { Err(tidegate_guest::Error::new("write a number above 0")) }
/// }
/// assert!(positive(0).is_err());
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that says this.
    ///
    /// ```
    /// # use tidegate_guest::Error;
    /// assert_eq!(Error::new("write a number").to_string(), "write a number");
    /// ```
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `Error` is not a `std::error::Error`, so that `?` turns every such error into it.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
