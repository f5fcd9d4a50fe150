//! The result of asking for a token.
#![forbid(unsafe_code)]

/// The result of asking for a token.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// TestHost::new().in_request(|_| {
///     let may_pass = match store::take("client 192.0.2.1", 5, 1.0) {
///         store::Taken::Yes => true,
///         store::Taken::No => false,
///         store::Taken::Full => true, // no room to count: this one lets it pass
///     };
///     assert!(may_pass);
/// });
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The bucket had a token, which is taken.
    Yes,
    /// The bucket had none.
    No,
    /// The store has no room for the key.
    Full,
}
