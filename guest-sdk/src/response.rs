//! The response of the current call.
#![forbid(unsafe_code)]

use crate::sys;
use crate::value::Value;

/// The response of the current call.
///
/// To read needs `read-response` in `allow`, to change `write-response-headers`; fields and values are refused as in [`Request`](crate::Request).
///
/// ```
/// # use tidegate_guest::TestHost;
/// let outcome = TestHost::new().response_header("server", "apache").in_response(|_, response| {
///     response.remove_header("server");
///     response.set_header("x-frame-options", "DENY");
/// });
/// assert_eq!(outcome.response_header("server"), None);
/// ```
#[derive(Debug)]
pub struct Response(());

impl Response {
    #[doc(hidden)]
    pub const fn current() -> Self {
        Self(())
    }

    /// The status.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().status(404).in_response(|_, response| assert_eq!(response.status(), 404));
    /// ```
    pub fn status(&self) -> u16 {
        sys::status()
    }

    /// The first value of a header.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().response_header("x-a", "1").in_response(|_, response| assert_eq!(response.header("X-A").unwrap(), "1"));
    /// ```
    pub fn header(&self, name: &str) -> Option<Value> {
        sys::response_get(name).map(Value::new)
    }

    /// Every value of a header, in order.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().response_header("x-a", "1").in_response(|_, response| assert_eq!(response.header_all("x-a").len(), 1));
    /// ```
    pub fn header_all(&self, name: &str) -> Vec<Value> {
        sys::response_get_all(name).into_iter().map(Value::new).collect()
    }

    /// Every header field; names are in lower case.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().response_header("X-A", "1").in_response(|_, response| assert_eq!(response.headers()[0].0, "x-a"));
    /// ```
    pub fn headers(&self) -> Vec<(String, Value)> {
        sys::response_all().into_iter().map(|(name, value)| (name, Value::new(value))).collect()
    }

    /// Replaces the status with a final one, 200 to 599. It may not cross 204 or 304, which have no body.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().status(500).in_response(|_, response| response.set_status(503)).status(), 503);
    /// ```
    pub fn set_status(&mut self, status: u16) {
        sys::set_status(status);
    }

    /// Replaces every value of a header with this one.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_response(|_, response| response.set_header("x-a", "1"));
    /// assert_eq!(outcome.response_header("x-a"), Some("1"));
    /// ```
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::response_set(name, value.as_ref());
    }

    /// Adds a value to a header.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_response(|_, response| response.add_header("set-cookie", "a=1"));
    /// assert_eq!(outcome.response_header("set-cookie"), Some("a=1"));
    /// ```
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::response_add(name, value.as_ref());
    }

    /// Takes every value of a header out.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let host = TestHost::new().response_header("server", "apache");
    /// assert_eq!(host.in_response(|_, response| response.remove_header("server")).response_header("server"), None);
    /// ```
    pub fn remove_header(&mut self, name: &str) {
        sys::response_remove(name);
    }
}
