//! The outcome of a request in a test.

use crate::log::Level;
use crate::outbound::Call;
use crate::sys::mock::{Exchange, Headers, Shared};
use crate::verdict::{Kind, Reply, Verdict};

/// The outcome of a request: the verdicts, and the messages as server and client would get them.
///
/// ```
/// # use tidegate_guest::{TestHost, Verdict, log::{self, Level}};
/// let outcome = TestHost::new().in_request(|request| {
///     request.set_header("x-a", "1");
///     log::write(Level::Info, "seen");
/// });
/// assert_eq!(outcome.verdict, Verdict::next());
/// assert_eq!(outcome.request_header("x-a"), Some("1"));
/// assert_eq!(outcome.log().next(), Some((Level::Info, "seen")));
/// ```
#[derive(Debug)]
pub struct Outcome {
    /// The verdict of the request hook, or of that for its body.
    pub verdict: Verdict,
    /// The verdict of the response hook, or of that for its body. A response hook runs if there was a response: the
    /// server's, or one that the request hook gave.
    pub response_verdict: Option<Verdict>,
    exchange: Exchange,
    request_body: Vec<u8>,
    response_body: Vec<u8>,
    shared: Shared,
}

impl Outcome {
    pub(super) fn new(verdict: Verdict, response_verdict: Option<Verdict>, exchange: Exchange, shared: Shared) -> Self {
        let (request_body, response_body) = (exchange.request_body.concat(), exchange.response_body.concat());
        Self { verdict, response_verdict, exchange, request_body, response_body, shared }
    }

    /// The first value of a request header, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().header("x-a", "1").in_request(|request| request.remove_header("x-a"));
    /// assert_eq!(outcome.request_header("x-a"), None);
    /// ```
    pub fn request_header(&self, name: &str) -> Option<&str> {
        self.request_header_all(name).first().copied()
    }

    /// Every value of a request header that is text, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().header("x-a", "1").in_request(|request| request.add_header("x-a", "2"));
    /// assert_eq!(outcome.request_header_all("x-a"), ["1", "2"]);
    /// ```
    pub fn request_header_all(&self, name: &str) -> Vec<&str> {
        all(&self.exchange.request.headers, name)
    }

    /// Every request header, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_request(|request| request.set_header("x-a", "1"));
    /// assert!(outcome.request_headers().eq([("x-a", &b"1"[..])]));
    /// ```
    pub fn request_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The first value of a response header, as the client would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_response(|_, response| response.set_header("x-a", "1"));
    /// assert_eq!(outcome.response_header("x-a"), Some("1"));
    /// ```
    pub fn response_header(&self, name: &str) -> Option<&str> {
        self.response_header_all(name).first().copied()
    }

    /// Every value of a response header that is text, as the client would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let host = TestHost::new().response_header("set-cookie", "a=1");
    /// let outcome = host.in_response(|_, response| response.add_header("set-cookie", "b=2"));
    /// assert_eq!(outcome.response_header_all("set-cookie"), ["a=1", "b=2"]);
    /// ```
    pub fn response_header_all(&self, name: &str) -> Vec<&str> {
        all(&self.exchange.response.headers, name)
    }

    /// Every response header, as the client would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_response(|_, response| response.set_header("x-a", "1"));
    /// assert!(outcome.response_headers().eq([("x-a", &b"1"[..])]));
    /// ```
    pub fn response_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.exchange.response.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// The request's path, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().in_request(|request| request.set_path("/b")).path(), "/b");
    /// ```
    pub fn path(&self) -> &str {
        &self.exchange.request.path
    }

    /// The request's query, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().target("/?a").in_request(|request| request.set_query(None)).query(), None);
    /// ```
    pub fn query(&self) -> Option<&str> {
        self.exchange.request.query.as_deref()
    }

    /// The request's host, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().in_request(|request| request.set_authority("b.example")).authority(), "b.example");
    /// ```
    pub fn authority(&self) -> &str {
        &self.exchange.request.authority
    }

    /// The response's status, as the client would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().in_response(|_, response| response.set_status(404)).status(), 404);
    /// ```
    pub fn status(&self) -> u16 {
        self.exchange.response.status
    }

    /// The server group that the extension chose.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Result, TestHost, Verdict};
    /// # struct Beta;
    /// # impl Filter for Beta {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn on_request(&self, _: &mut Request) -> Verdict {
    /// #         Verdict::forward("beta")
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Beta: request);
    /// assert_eq!(TestHost::new().run::<Beta>().group(), Some("beta"));
    /// ```
    pub fn group(&self) -> Option<&str> {
        match &self.verdict.0 {
            Kind::Forward(group) => Some(group),
            _ => None,
        }
    }

    /// The answer that the extension gave in place of a server.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict};
    /// # struct No;
    /// # impl Filter for No {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn on_request(&self, _: &mut Request) -> Verdict {
    /// #         Verdict::respond(Reply::new(403))
    /// #     }
    /// # }
    /// # tidegate_guest::export!(No: request);
    /// assert_eq!(TestHost::new().run::<No>().reply(), Some(&Reply::new(403)));
    /// ```
    pub fn reply(&self) -> Option<&Reply> {
        match (&self.verdict.0, self.response_verdict.as_ref().map(|verdict| &verdict.0)) {
            (_, Some(Kind::Respond(reply))) | (Kind::Respond(reply), _) => Some(reply),
            _ => None,
        }
    }

    /// A variable of the request.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, vars};
    /// assert_eq!(TestHost::new().in_request(|_| vars::set("a", "1")).var("a"), Some("1"));
    /// ```
    pub fn var(&self, name: &str) -> Option<&str> {
        self.exchange.vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Every variable of the request, in the order in which they were first set.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, vars};
    /// assert!(TestHost::new().in_request(|_| vars::set("a", "1")).vars().eq([("a", "1")]));
    /// ```
    pub fn vars(&self) -> impl Iterator<Item = (&str, &str)> {
        self.exchange.vars.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The request's body, as the server would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().body("a").in_request(|_| ()).request_body(), b"a");
    /// ```
    pub fn request_body(&self) -> &[u8] {
        &self.request_body
    }

    /// The response's body, as the client would get it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// assert_eq!(TestHost::new().response_body("a").in_response(|_, _| ()).response_body(), b"a");
    /// ```
    pub fn response_body(&self) -> &[u8] {
        &self.response_body
    }

    /// A metric: the value of a counter or gauge, the values of a histogram; nothing, if it never got one.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, metrics::Counter};
    /// assert_eq!(TestHost::new().in_request(|_| Counter::new("requests").add(1.0)).metric("requests"), [1.0]);
    /// ```
    pub fn metric(&self, name: &str) -> Vec<f64> {
        self.shared.metric(name)
    }

    /// The value that the store has for a key.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, store};
    /// let outcome = TestHost::new().in_request(|_| assert!(store::set("a", "1", 0)));
    /// assert_eq!(outcome.stored("a").as_deref(), Some(&b"1"[..]));
    /// ```
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.stored(key)
    }

    /// The outbound calls that were made since the filter was started, in order.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, outbound::{Call, fetch}};
    /// let outcome = TestHost::new().in_request(|_| assert!(fetch(&Call::get("authz", "/check")).is_err()));
    /// assert_eq!(outcome.outbound()[0].target(), "/check");
    /// ```
    pub fn outbound(&self) -> &[Call] {
        &self.shared.calls
    }

    /// The lines that the hooks wrote to the log.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, log::{self, Level}};
    /// let outcome = TestHost::new().in_request(|_| log::write(Level::Warn, "odd"));
    /// assert!(outcome.log().eq([(Level::Warn, "odd")]));
    /// ```
    pub fn log(&self) -> impl Iterator<Item = (Level, &str)> {
        self.exchange.log.iter().map(|(level, line)| (*level, line.as_str()))
    }
}

fn all<'a>(headers: &'a Headers, name: &str) -> Vec<&'a str> {
    let values = headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
    values.filter_map(|(_, value)| std::str::from_utf8(value).ok()).collect()
}
