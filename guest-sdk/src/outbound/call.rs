//! Calls: requests to servers of a group.
#![forbid(unsafe_code)]

use super::field::value;

/// A request to a server of a group.
///
/// ```
/// # use tidegate_guest::outbound::Call;
/// let call = Call::post("authz", "/check", "{}").header("content-type", "application/json").timeout_ms(200);
/// assert_eq!(call.group(), "authz");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Call {
    pub(crate) group: String,
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
    pub(crate) timeout_ms: u32,
}

impl Call {
    /// A call of this method to a server group, with a target such as `/check?id=1`. The host that the server sees is
    /// the group's name.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// let call = Call::new("PUT", "audit", "/events?kind=login");
    /// assert_eq!(call.target(), "/events?kind=login");
    /// ```
    pub fn new(method: &str, group: &str, target: &str) -> Self {
        Self {
            group: group.to_owned(),
            method: method.to_owned(),
            authority: group.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout_ms: 0,
        }
    }

    /// A `GET`.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::get("authz", "/check").target(), "/check");
    /// ```
    pub fn get(group: &str, target: &str) -> Self {
        Self::new("GET", group, target)
    }

    /// A `POST` with this body.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::post("audit", "/events", "login").body_bytes(), b"login");
    /// ```
    pub fn post(group: &str, target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", group, target).body(body)
    }

    /// Host, and perhaps a port: what the server gets as `Host`.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// let call = Call::get("authz", "/check").authority("authz.internal:8443");
    /// # assert_ne!(call, Call::get("authz", "/check"));
    /// ```
    pub fn authority(mut self, authority: &str) -> Self {
        authority.clone_into(&mut self.authority);
        self
    }

    /// Adds a header.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// let call = Call::get("authz", "/check").header("X-User", "ada");
    /// assert_eq!(call.header_value("x-user"), Some(&b"ada"[..]));
    /// ```
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The body.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::new("PUT", "audit", "/").body("x").body_bytes(), b"x");
    /// ```
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the time that the call may take to the end of the answer; 5 seconds unless set, and never more than 30.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// let call = Call::get("authz", "/check").timeout_ms(200);
    /// # assert_ne!(call, Call::get("authz", "/check"));
    /// ```
    pub const fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// The server group, for tests.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::get("authz", "/check").group(), "authz");
    /// ```
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The target, for tests.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::get("authz", "/check").target(), "/check");
    /// ```
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The first value of a header, for tests.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert_eq!(Call::get("authz", "/check").header_value("x-user"), None);
    /// ```
    pub fn header_value(&self, name: &str) -> Option<&[u8]> {
        value(&self.headers, name)
    }

    /// The body, for tests.
    ///
    /// ```
    /// # use tidegate_guest::outbound::Call;
    /// assert!(Call::get("authz", "/check").body_bytes().is_empty());
    /// ```
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }
}
