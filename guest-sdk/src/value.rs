//! The value of a header field.
#![forbid(unsafe_code)]

use std::borrow::Cow;

/// The value of a header field: bytes, which are most often text (RFC 9110, 5.5).
///
/// ```
/// # use tidegate_guest::TestHost;
/// let host = TestHost::new().header("x-name", "tide");
/// host.in_request(|request| {
///     let name = request.header("x-name").unwrap();
///     assert_eq!(name, "tide");
///     assert_eq!(name.to_text().to_uppercase(), "TIDE");
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Value(Vec<u8>);

impl Value {
    pub(crate) const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes as they came.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", "b").in_request(|request| assert_eq!(request.header("x-a").unwrap().as_bytes(), b"b"));
    /// ```
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value as text, if it is UTF-8.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", [0xff]).in_request(|request| assert_eq!(request.header("x-a").unwrap().to_str(), None));
    /// ```
    pub fn to_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The value as text; what is not UTF-8 becomes U+FFFD.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", [0xff]).in_request(|request| assert_eq!(request.header("x-a").unwrap().to_text(), "\u{fffd}"));
    /// ```
    pub fn to_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The bytes, given away.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", "b").in_request(|request| assert_eq!(request.header("x-a").unwrap().into_bytes(), b"b"));
    /// ```
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl AsRef<[u8]> for Value {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for Value {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Value {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}
