//! Answers to calls, and why there are none.
#![forbid(unsafe_code)]

use std::fmt;

use super::field::value;

/// A server's answer to a call.
///
/// ```
/// # use tidegate_guest::outbound::Answer;
/// let answer = Answer::new(200).with_header("x-user", "ada");
/// assert_eq!(answer.header("X-User"), Some(&b"ada"[..]));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

/// The reason why there is no answer.
///
/// ```
/// # use tidegate_guest::outbound::Failure;
/// assert_eq!(Failure::Timeout.to_string(), "there was no answer in time");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No server of the group could be connected to.
    Unreachable,
    /// The time was up.
    Timeout,
    /// The connection ended early, or what came was no HTTP.
    Broken,
    /// The answer's body is larger than the gateway takes.
    TooLarge,
    /// Too many calls are under way on this worker.
    Busy,
    /// The gateway has no network here: a policy is being explained or tested, or [`TestHost`](crate::TestHost) has no
    /// answer.
    Offline,
}

impl Answer {
    /// An answer for a test.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(204).status(), 204);
    /// ```
    pub const fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header, for a test.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(200).with_header("x-a", "1").header("x-a"), Some(&b"1"[..]));
    /// ```
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Sets the body, for a test.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(200).with_body("ok").body(), b"ok");
    /// ```
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The status.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(403).status(), 403);
    /// ```
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The first value of a header.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(200).header("x-user"), None);
    /// ```
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        value(&self.headers, name)
    }

    /// Every header field, in order.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert_eq!(Answer::new(200).headers().count(), 0);
    /// ```
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The body, whole.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Answer;
    /// assert!(Answer::new(200).body().is_empty());
    /// ```
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "no server could be connected to",
            Self::Timeout => "there was no answer in time",
            Self::Broken => "the connection ended early, or what came was no HTTP",
            Self::TooLarge => "the answer is too large",
            Self::Busy => "too many calls are under way",
            Self::Offline => "there is no network here",
        })
    }
}

impl std::error::Error for Failure {}
