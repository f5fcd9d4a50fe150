//! The request of the current call.
#![forbid(unsafe_code)]

use std::net::IpAddr;

use crate::connection::Connection;
use crate::sys;
use crate::value::Value;

/// The request of the current call.
///
/// To read needs `read-request` in `allow`, to change headers `write-request-headers`, to change path, query or authority
/// `rewrite`. The gateway stops the call if a header name is no token, if a value holds a line break or NUL, and if
/// the field is one of its own: hop-by-hop fields, `content-length`, `host`.
///
/// ```
/// # use tidegate_guest::TestHost;
/// let host = TestHost::new().target("/old/page?x=1");
/// let outcome = host.in_request(|request| {
///     let path = request.path().replace("/old", "/new");
///     request.set_path(&path);
///     request.set_header("x-from", "old");
/// });
/// assert_eq!((outcome.path(), outcome.query()), ("/new/page", Some("x=1")));
/// ```
#[derive(Debug)]
pub struct Request(());

impl Request {
    #[doc(hidden)]
    pub const fn current() -> Self {
        Self(())
    }

    /// The method, as RFC 9110 (9) writes it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().method("PUT").in_request(|request| assert_eq!(request.method(), "PUT"));
    /// ```
    pub fn method(&self) -> String {
        sys::method()
    }

    /// `http` or `https`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.scheme(), "http"));
    /// ```
    pub fn scheme(&self) -> String {
        sys::scheme()
    }

    /// Host in lower case, and perhaps a port: what the backend gets as `Host`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().authority("a.example:81").in_request(|request| assert_eq!(request.authority(), "a.example:81"));
    /// ```
    pub fn authority(&self) -> String {
        sys::authority()
    }

    /// The normalised path as it stands.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().target("/a?b").in_request(|request| assert_eq!(request.path(), "/a"));
    /// ```
    pub fn path(&self) -> String {
        sys::path()
    }

    /// The path as tests of a policy see it: without the parameters of its segments (`;…`). Compare this one with the paths that an
    /// extension guards: many servers route `/admin;x` as `/admin`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().target("/admin;x/a?b").in_request(|request| assert_eq!(request.tested_path(), "/admin/a"));
    /// ```
    pub fn tested_path(&self) -> String {
        crate::path::without_parameters(&sys::path())
    }

    /// The query as it stands, without `?`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().target("/a?b").in_request(|request| assert_eq!(request.query().as_deref(), Some("b")));
    /// ```
    pub fn query(&self) -> Option<String> {
        sys::query()
    }

    /// The version that the client spoke: `1.0`, `1.1`, `2` or `3`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.version(), "1.1"));
    /// ```
    pub fn version(&self) -> String {
        sys::version()
    }

    /// The connection that the request came on.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.connection().protocol(), "h1"));
    /// ```
    pub const fn connection(&self) -> Connection {
        Connection::current()
    }

    /// The client's address as the listener derives it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().client_ip("2001:db8::1").in_request(|request| assert!(request.client_ip().unwrap().is_ipv6()));
    /// ```
    pub fn client_ip(&self) -> Option<IpAddr> {
        sys::client_ip().parse().ok()
    }

    /// The first value of a header.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", "1").header("x-a", "2").in_request(|request| assert_eq!(request.header("X-A").unwrap(), "1"));
    /// ```
    pub fn header(&self, name: &str) -> Option<Value> {
        sys::request_get(name).map(Value::new)
    }

    /// Every value of a header, in order.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("x-a", "1").header("x-a", "2").in_request(|request| assert_eq!(request.header_all("x-a").len(), 2));
    /// ```
    pub fn header_all(&self, name: &str) -> Vec<Value> {
        sys::request_get_all(name).into_iter().map(Value::new).collect()
    }

    /// Every header field; names are in lower case.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("X-A", "1").in_request(|request| assert_eq!(request.headers()[0].0, "x-a"));
    /// ```
    pub fn headers(&self) -> Vec<(String, Value)> {
        sys::request_all().into_iter().map(|(name, value)| (name, Value::new(value))).collect()
    }

    /// The first value of a cookie (RFC 6265, 4.2), as it is written.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().header("cookie", "a=1; b=2").in_request(|request| assert_eq!(request.cookie("b").as_deref(), Some("2")));
    /// ```
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.header_all("cookie").iter().find_map(|line| {
            let pairs = line.to_str()?.split(';');
            pairs
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        })
    }

    /// Replaces every value of a header with this one.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().header("x-a", "1").in_request(|request| request.set_header("x-a", "2"));
    /// assert_eq!(outcome.request_header_all("x-a"), ["2"]);
    /// ```
    pub fn set_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::request_set(name, value.as_ref());
    }

    /// Adds a value to a header.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().header("x-a", "1").in_request(|request| request.add_header("x-a", "2"));
    /// assert_eq!(outcome.request_header_all("x-a"), ["1", "2"]);
    /// ```
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        sys::request_add(name, value.as_ref());
    }

    /// Takes every value of a header out.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().header("x-a", "1").in_request(|request| request.remove_header("x-a"));
    /// assert_eq!(outcome.request_header("x-a"), None);
    /// ```
    pub fn remove_header(&mut self, name: &str) {
        sys::request_remove(name);
    }

    /// Replaces the path; it begins with `/` and holds no `?` and no `#`. The query stays.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().target("/a?b").in_request(|request| request.set_path("/c"));
    /// assert_eq!((outcome.path(), outcome.query()), ("/c", Some("b")));
    /// ```
    pub fn set_path(&mut self, path: &str) {
        sys::set_path(path);
    }

    /// Replaces host and port: what the backend gets as `Host`.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_request(|request| request.set_authority("internal.example"));
    /// assert_eq!(outcome.authority(), "internal.example");
    /// ```
    pub fn set_authority(&mut self, authority: &str) {
        sys::set_authority(authority);
    }

    /// Replaces the query, written without `?`; `None` takes it out. The path stays.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().target("/a").in_request(|request| request.set_query(Some("page=2")));
    /// assert_eq!(outcome.query(), Some("page=2"));
    /// ```
    pub fn set_query(&mut self, query: Option<&str>) {
        sys::set_query(query);
    }
}
