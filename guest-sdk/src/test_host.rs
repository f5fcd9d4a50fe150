//! A mock of the gateway, so that plain `cargo test` tests an extension.
#![forbid(unsafe_code)]

use std::fmt::Display;

use crate::groups::Group;
use crate::log::Level;
use crate::outbound::{Answer, Call, Failure};
use crate::sys::mock::{self, Connection, Exchange, Phase};
use crate::verdict::{BodyKind, Kind};
use crate::{BodyMode, BodyVerdict, Filter, Interest, Piece, Request, Response, Tls, Verdict};

/// A gateway with one request: `GET http://example.com/` from 192.0.2.1, answered with an empty 200.
#[derive(Debug, Clone)]
#[must_use]
pub struct TestHost {
    config: String,
    exchange: Exchange,
    groups: Vec<Group>,
    answers: Vec<(String, Result<Answer, Failure>)>,
}

/// What has become of the request.
#[derive(Debug)]
pub struct Outcome {
    /// What the request hook said.
    pub verdict: Verdict,
    /// What the response hook said. It runs if there was a response: the backend's, or one that the request hook gave.
    pub response_verdict: Option<Verdict>,
    exchange: Exchange,
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

impl TestHost {
    /// A gateway with one plain request.
    pub fn new() -> Self {
        Self {
            config: "{}".to_owned(),
            exchange: Exchange {
                phase: Phase::Request,
                request_body: Vec::new(),
                response_body: Vec::new(),
                request: mock::Request {
                    method: "GET".to_owned(),
                    authority: "example.com".to_owned(),
                    path: "/".to_owned(),
                    query: None,
                    version: "1.1".to_owned(),
                    headers: Vec::new(),
                },
                response: mock::Response { status: 200, headers: Vec::new() },
                connection: Connection {
                    peer: "192.0.2.1:50123".to_owned(),
                    client_ip: "192.0.2.1".to_owned(),
                    listener: "test".to_owned(),
                    protocol: "h1".to_owned(),
                    tls: None,
                },
                vars: Vec::new(),
                log: Vec::new(),
                random: 0,
            },
            groups: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// What the next outbound call to this group gets. Answers are given in this order, and the last one of a group again and
    /// again; a group without any is [`Failure::Offline`].
    pub fn outbound(mut self, group: &str, answer: Result<Answer, Failure>) -> Self {
        self.answers.push((group.to_owned(), answer));
        self
    }

    /// The request's body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.exchange.request_body = body.into();
        self
    }

    /// The body of the backend's response.
    pub fn response_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.exchange.response_body = body.into();
        self
    }

    /// A server group of the policy.
    pub fn group(mut self, name: &str, healthy: u32, total: u32) -> Self {
        self.groups.push(Group { name: name.to_owned(), healthy, total });
        self
    }

    /// The configuration, as JSON text.
    pub fn config(mut self, json: impl Display) -> Self {
        self.config = json.to_string();
        self
    }

    /// The request's method.
    pub fn method(mut self, method: &str) -> Self {
        self.exchange.request.method = method.to_owned();
        self
    }

    /// The request's host, and perhaps a port.
    pub fn authority(mut self, authority: &str) -> Self {
        self.exchange.request.authority = authority.to_owned();
        self
    }

    /// The request's path, and perhaps a query: `/shop?id=1`.
    pub fn target(mut self, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        self.exchange.request.path = path.to_owned();
        self.exchange.request.query = query;
        self
    }

    /// Adds a request header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.exchange.request.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// The client's address.
    pub fn client_ip(mut self, address: &str) -> Self {
        self.exchange.connection.client_ip = address.to_owned();
        self
    }

    /// The TCP peer's address and port.
    pub fn peer(mut self, address: &str) -> Self {
        self.exchange.connection.peer = address.to_owned();
        self
    }

    /// The listener's name.
    pub fn listener(mut self, name: &str) -> Self {
        self.exchange.connection.listener = name.to_owned();
        self
    }

    /// The connection's TLS.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.exchange.connection.tls = Some(tls);
        self
    }

    /// The status of the backend's response.
    pub fn status(mut self, status: u16) -> Self {
        self.exchange.response.status = status;
        self
    }

    /// Adds a header to the backend's response.
    pub fn response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.exchange.response.headers.push((name.to_ascii_lowercase(), value.as_ref().to_vec()));
        self
    }

    /// Sets a variable of the request, as a rule would.
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.exchange.vars.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the filter of the configuration, and sends the request through both of its hooks.
    ///
    /// # Panics
    ///
    /// If the configuration is refused, and where the gateway would stop a call: the message says why.
    #[expect(clippy::panic, reason = "a test with a configuration that does not fit has failed")]
    pub fn run<F: Filter>(self) -> Outcome {
        match self.try_run::<F>() {
            Ok(outcome) => outcome,
            Err(error) => panic!("the extension refused its configuration: {error}"),
        }
    }

    /// As [`TestHost::run`], for tests of configurations.
    ///
    /// # Errors
    ///
    /// What [`Filter::init`] said.
    pub fn try_run<F: Filter>(self) -> crate::Result<Outcome> {
        mock::reset(self.groups, self.answers);
        let filter = crate::filter::from_json::<F>(&self.config)?;
        let interest = filter.interest();
        let path = &self.exchange.request.path;
        let wanted = (interest.methods.is_empty() || interest.methods.contains(&self.exchange.request.method))
            && (interest.path_prefixes.is_empty() || interest.path_prefixes.iter().any(|prefix| under(path, prefix)));
        if !wanted {
            return Ok(Outcome { verdict: Verdict::next(), response_verdict: None, exchange: self.exchange });
        }
        Ok(way(&filter, &interest, self.exchange))
    }
}

/// The way of a request through the hooks that the filter is interested in.
fn way<F: Filter>(filter: &F, interest: &Interest, mut exchange: Exchange) -> Outcome {
    let mut verdict = Verdict::next();
    if interest.hooks.request {
        (exchange, verdict) = mock::with(exchange, || filter.on_request(&mut Request::current()));
    }
    if let (Kind::Next | Kind::Forward(_), Some(mode)) = (&verdict.0, interest.request_body)
        && !exchange.request_body.is_empty()
    {
        let body = std::mem::take(&mut exchange.request_body);
        let (back, body, ended) =
            pieces(exchange, mode, &body, |piece| filter.on_request_body(&mut Request::current(), piece));
        exchange = Exchange { request_body: body, ..back };
        verdict = ended.unwrap_or(verdict);
    }
    exchange.phase = Phase::Response;
    if let Kind::Respond(reply) = &verdict.0 {
        exchange.response = mock::Response { status: reply.status, headers: reply.headers.clone() };
        exchange.response_body = reply.body.clone();
    }
    let mut response_verdict = None;
    if verdict.0 != Kind::Close && interest.hooks.response {
        let said;
        (exchange, said) = mock::with(exchange, || filter.on_response(&Request::current(), &mut Response::current()));
        response_verdict = Some(said);
    }
    if let Some(mode) = interest.response_body
        && verdict.0 != Kind::Close
        && !exchange.response_body.is_empty()
    {
        let body = std::mem::take(&mut exchange.response_body);
        let (back, body, ended) = pieces(exchange, mode, &body, |piece| {
            filter.on_response_body(&Request::current(), &mut Response::current(), piece)
        });
        exchange = Exchange { response_body: body, ..back };
        if let Some(Verdict(Kind::Respond(reply))) = &ended {
            exchange.response = mock::Response { status: reply.status, headers: reply.headers.clone() };
            exchange.response_body = reply.body.clone();
        }
        response_verdict = ended.or(response_verdict);
    }
    exchange.phase = Phase::Over;
    if interest.hooks.log {
        (exchange, ()) = mock::with(exchange, || filter.on_log(&Request::current(), &Response::current()));
    }
    Outcome { verdict, response_verdict, exchange }
}

/// A body in pieces, as its mode wants them; the exchange, what goes on, and the verdict that ended it.
#[expect(clippy::panic, reason = "where the gateway would stop a call, a test has failed")]
fn pieces(
    mut exchange: Exchange,
    mode: BodyMode,
    body: &[u8],
    hook: impl Fn(Piece<'_>) -> BodyVerdict,
) -> (Exchange, Vec<u8>, Option<Verdict>) {
    let phase = exchange.phase;
    let chunks: Vec<&[u8]> = match mode {
        BodyMode::Buffer(most) if body.len() > most as usize => {
            panic!("the body is longer than the {most} bytes that the extension asked for")
        }
        BodyMode::Buffer(_) => vec![body],
        BodyMode::Stream(most) => {
            exchange.phase = Phase::Over;
            body.chunks((most as usize).max(1)).collect()
        }
    };
    let mut on = Vec::new();
    for (at, data) in chunks.iter().enumerate() {
        let piece = Piece { data, last: at + 1 == chunks.len() };
        let verdict;
        (exchange, verdict) = mock::with(exchange, || hook(piece));
        match verdict.0 {
            BodyKind::Next => on.extend_from_slice(data),
            BodyKind::Replace(data) => on.extend_from_slice(&data),
            BodyKind::Respond(_) if matches!(mode, BodyMode::Stream(_)) => {
                panic!("the guest said `respond` to a piece of a body: the head has left")
            }
            BodyKind::Respond(reply) => return (exchange, on, Some(Verdict(Kind::Respond(reply)))),
            BodyKind::Close => return (exchange, on, Some(Verdict(Kind::Close))),
        }
    }
    exchange.phase = phase;
    (exchange, on, None)
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Outcome {
    /// The first value of a request header, as the backend would get it.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        first(&self.exchange.request.headers, name)
    }

    /// The first value of a response header, as the client would get it.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        first(&self.exchange.response.headers, name)
    }

    /// The request's path, as the backend would get it.
    pub fn path(&self) -> &str {
        &self.exchange.request.path
    }

    /// The request's query, as the backend would get it.
    pub fn query(&self) -> Option<&str> {
        self.exchange.request.query.as_deref()
    }

    /// The request's host, as the backend would get it.
    pub fn authority(&self) -> &str {
        &self.exchange.request.authority
    }

    /// The response's status, as the client would get it.
    pub fn status(&self) -> u16 {
        self.exchange.response.status
    }

    /// A variable of the request.
    pub fn var(&self, name: &str) -> Option<&str> {
        self.exchange.vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The request's body, as the backend would get it.
    pub fn request_body(&self) -> &[u8] {
        &self.exchange.request_body
    }

    /// The response's body, as the client would get it.
    pub fn response_body(&self) -> &[u8] {
        &self.exchange.response_body
    }

    /// A metric: the value of a counter or gauge, the values of a histogram; nothing, if it never got one.
    pub fn metric(&self, name: &str) -> Vec<f64> {
        let metrics = mock::shared().metrics;
        metrics.into_iter().find(|(known, _, _)| known == name).map(|(_, _, values)| values).unwrap_or_default()
    }

    /// The outbound calls that the hooks made, in order.
    pub fn outbound(&self) -> Vec<Call> {
        mock::shared().calls
    }

    /// The lines that the hooks wrote to the log.
    pub fn log(&self) -> impl Iterator<Item = (Level, &str)> {
        self.exchange.log.iter().map(|(level, line)| (*level, line.as_str()))
    }
}

fn first<'a>(headers: &'a mock::Headers, name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Reply, Result};

    /// Replaces a secret, counts its requests, and allows two of them.
    struct Redact(crate::metrics::Counter);

    impl Filter for Redact {
        type Config = ();

        fn init((): ()) -> Result<Self> {
            Ok(Self(crate::metrics::Counter::new("requests")))
        }

        fn interest(&self) -> Interest {
            Interest::everything().request_body(BodyMode::Buffer(16)).response_body(BodyMode::Stream(4))
        }

        fn on_request_body(&self, request: &mut Request, piece: Piece<'_>) -> BodyVerdict {
            request.set_header("x-length", piece.data.len().to_string());
            self.0.add(1.0);
            match crate::store::take("k", 2, 0.0) {
                crate::store::Taken::Yes => BodyVerdict::next(),
                _ => BodyVerdict::respond(Reply::new(429)),
            }
        }

        fn on_response_body(&self, _: &Request, _: &mut Response, piece: Piece<'_>) -> BodyVerdict {
            if piece.data == b"pass" { BodyVerdict::replace("****") } else { BodyVerdict::next() }
        }
    }

    #[test]
    fn bodies_go_through_in_their_mode() {
        let outcome = TestHost::new().body("hello").response_body("my  pass word").run::<Redact>();
        assert_eq!(outcome.request_body(), b"hello");
        assert_eq!(outcome.request_header("x-length"), Some("5"));
        assert_eq!(outcome.response_body(), b"my  **** word");
        assert_eq!(outcome.metric("requests"), [1.0]);
    }

    #[test]
    #[should_panic(expected = "longer than the 16 bytes")]
    fn a_body_over_the_bound_is_a_fault() {
        let _ = TestHost::new().body("a".repeat(17)).run::<Redact>();
    }

    struct Probe;

    impl Filter for Probe {
        type Config = ();

        fn init((): ()) -> Result<Self> {
            Ok(Self)
        }

        fn interest(&self) -> Interest {
            Interest::everything().methods(["GET", "POST"]).path_prefixes(["/api"])
        }

        fn on_request(&self, request: &mut Request) -> Verdict {
            if request.header("x-stop").is_some() {
                return Verdict::respond(Reply::new(403).text("no"));
            }
            if request.header("x-break").is_some() {
                request.set_header("x-a", "a\r\nb: c");
            }
            request.set_header("X-Seen", request.client_ip().map_or_else(String::new, |ip| ip.to_string()));
            crate::vars::set("seen", "yes");
            Verdict::next()
        }

        fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
            response.set_header("x-path", request.path());
            response.set_header("x-var", crate::vars::get("seen").unwrap_or_default());
            Verdict::next()
        }
    }

    #[test]
    fn both_hooks_see_one_request() {
        let outcome = TestHost::new().client_ip("203.0.113.9").target("/api/x?y").run::<Probe>();
        assert_eq!(outcome.verdict, Verdict::next());
        assert_eq!(outcome.request_header("x-seen"), Some("203.0.113.9"));
        assert_eq!(outcome.response_header("x-path"), Some("/api/x"));
        assert_eq!(outcome.response_header("x-var"), Some("yes"));
    }

    #[test]
    fn interest_is_tested_before_the_call() {
        let outcome = TestHost::new().target("/apix").run::<Probe>();
        assert_eq!(outcome.request_header("x-seen"), None);
        assert_eq!(outcome.response_verdict, None);
        let outcome = TestHost::new().target("/api").method("PUT").run::<Probe>();
        assert_eq!(outcome.request_header("x-seen"), None);
    }

    #[test]
    fn a_reply_becomes_the_response() {
        let outcome = TestHost::new().target("/api").header("x-stop", "1").run::<Probe>();
        assert_eq!(outcome.verdict, Verdict::respond(Reply::new(403).text("no")));
        assert_eq!(outcome.status(), 403);
    }

    #[test]
    #[should_panic(expected = "the value of header `x-a` holds a line break or NUL")]
    fn a_line_break_in_a_value_is_refused() {
        let _ = TestHost::new().target("/api").header("x-break", "1").run::<Probe>();
    }
}
