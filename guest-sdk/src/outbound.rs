//! HTTP calls to the policy's server groups; the worker goes on with other requests meanwhile. Needs `outbound` in `allow`.
//!
//! Only [`Filter::on_request`](crate::Filter::on_request) and [`Filter::on_response`](crate::Filter::on_response) may call.
//!
//! ```
//! use tidegate_guest::outbound::{Answer, Call, fetch};
//! use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict};
//!
//! struct Ask;
//!
//! impl Filter for Ask {
//!     type Config = ();
//!
//!     fn init((): ()) -> Result<Self> {
//!         Ok(Self)
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Verdict {
//!         match fetch(&Call::get("authz", "/check").timeout_ms(200)) {
//!             Ok(answer) if answer.status() == 200 => Verdict::next(),
//!             Ok(_) => Verdict::respond(Reply::new(403)),
//!             Err(_) => Verdict::respond(Reply::new(503)),
//!         }
//!     }
//! }
//! # tidegate_guest::export!(Ask: request);
//!
//! let outcome = TestHost::new().outbound("authz", Ok(Answer::new(401))).run::<Ask>();
//! assert_eq!(outcome.status(), 403);
//! assert_eq!(outcome.outbound()[0].target(), "/check");
//! ```
#![forbid(unsafe_code)]

use std::fmt;

use crate::sys;

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

/// Calls a server group and waits for the whole answer. The time until then is not the extension's.
///
/// # Errors
///
/// What went wrong on the way. An answer with a status of 400 or more is an answer.
///
/// ```
/// # use tidegate_guest::{TestHost, outbound::{Answer, Call, fetch}};
/// TestHost::new().outbound("authz", Ok(Answer::new(403))).in_request(|_| {
///     let answer = fetch(&Call::get("authz", "/check")).unwrap();
///     assert_eq!(answer.status(), 403);
/// });
/// ```
pub fn fetch(call: &Call) -> Result<Answer, Failure> {
    sys::fetch(call)
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

fn value<'h>(headers: &'h [(String, Vec<u8>)], name: &str) -> Option<&'h [u8]> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}
