//! The record of a request for the access log: what is known of it while it is served, and the line at its end.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Version};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{GroupId, ListenerId};
use tidegate_engine::Walk;
use tidegate_engine::exchange::{Exchange, Tls};
use tidegate_engine::trace::{self, SpanContext, TRACEPARENT, TraceContext};
use tidegate_engine::vars::Vars;

use crate::policy::snapshot::Snapshot;
use crate::request::request_span;
use crate::request::state::StreamState;
use crate::request::worker_snapshot::WorkerSnapshot;
use crate::telemetry::access_log::{Labels, Line, VarsOf};
use crate::telemetry::tap::Chosen;

/// What is known of a request while it is served.
pub struct LogRecord {
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// The status that the client gets.
    pub status: StatusCode,
    /// What the backend did, if it was asked.
    pub upstream: Option<Upstream>,
    /// The group that the request went to, or was to go to.
    pub group: Option<GroupId>,
    /// The time when the request's head was there.
    pub(super) started: Instant,
    pub(super) view: Rc<WorkerSnapshot>,
    /// The log wants the line.
    logged: bool,
    /// Those who watch the request.
    chosen: Chosen,
    /// Whether a span is made of the request.
    recorded: bool,
    pub(super) user_agent: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    /// Variables that extensions set for pieces of bodies, once one looks at pieces.
    streamed: Option<Rc<RefCell<Vars>>>,
}

/// The end of a request.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The time from the request's head to its end.
    pub took: Duration,
    /// How much of an answer's body went out.
    pub sent: u64,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
}

/// What a backend did.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// The status of the server, if it answered.
    pub status: Option<StatusCode>,
    /// From the choice of a server to the head of the answer, or to the failure.
    pub time: Duration,
}

impl Upstream {
    /// What has become of a request that was sent at this time; nothing if nobody took the time.
    pub fn since(asked: Option<Instant>, status: Option<StatusCode>) -> Option<Self> {
        asked.map(|asked| Self { status, time: asked.elapsed() })
    }
}

impl LogRecord {
    /// A request that has just been read; its line is logged, or not, and shown to those who watch it.
    pub fn new(
        started: Instant,
        view: Rc<WorkerSnapshot>,
        (logged, chosen): (bool, Chosen),
        exchange: &Exchange,
    ) -> Self {
        let recorded = exchange.trace.is_some_and(|trace| trace.sampled);
        let kept = recorded || logged || !chosen.is_nobody();
        let shown = |name: &HeaderName| kept.then(|| exchange.request.headers.get(name).cloned()).flatten();
        Self {
            failure: None,
            status: StatusCode::OK,
            upstream: None,
            group: None,
            started,
            view,
            logged,
            chosen,
            recorded,
            user_agent: shown(&USER_AGENT),
            traceparent: shown(&TRACEPARENT),
            streamed: None,
        }
    }

    /// Whether somebody wants the line: the log, or one who watches.
    const fn wants_line(&self) -> bool {
        self.logged || !self.chosen.is_nobody()
    }

    /// The variables of an extension that looks at pieces of a body: it leaves there what it sets.
    pub fn streamed(&mut self) -> Rc<RefCell<Vars>> {
        Rc::clone(self.streamed.get_or_insert_default())
    }

    /// Gives a request the variables that were set for pieces of bodies since this was done last.
    pub fn take_streamed(&self, exchange: &mut Exchange) {
        if let Some(streamed) = &self.streamed {
            exchange.vars.adopt(&mut streamed.borrow_mut());
        }
    }

    /// The time, if it will be logged.
    pub fn clock(&self) -> Option<Instant> {
        self.wants_line().then(Instant::now)
    }

    /// Whether somebody wants to know how the request ends.
    pub fn is_wanted(&self, exchange: &Exchange, walk: &Walk) -> bool {
        self.wants_line() || self.recorded || self.failure.is_some() || self.view.wants_log(walk, exchange)
    }

    /// Tells the extensions that want to know how a request ended, and writes its line.
    pub fn end(&self, exchange: &mut Box<Exchange>, walk: &Walk, state: &StreamState, end: End) {
        self.tell(exchange, walk, state);
        if self.recorded {
            state.trace.end(|| request_span::of(self, exchange, walk, state, &end), &state.worker().spans);
        }
        if self.wants_line() || end.failure.is_some() {
            self.line(exchange, walk, state, end);
        }
    }

    /// Tells the extensions that want to know.
    fn tell(&self, exchange: &mut Box<Exchange>, walk: &Walk, state: &StreamState) {
        self.take_streamed(exchange);
        if let Some((id, fault)) = self.view.log(walk, exchange) {
            let extension = self.view.snapshot.plan().extensions.get(id.0);
            state.worker().warn_of_fault(extension, &fault, Some(exchange.request_id));
        }
    }

    fn line(&self, exchange: &Exchange, walk: &Walk, state: &StreamState, end: End) {
        let snapshot = &self.view.snapshot;
        let request = &exchange.request;
        let own = exchange.trace.map(Ids::of);
        let trace = own.as_ref().map(Ids::shown).or_else(|| self.traceparent.as_ref().and_then(trace::read));
        let line = Line {
            request_id: Some(format!("{:032x}", exchange.request_id)),
            rule: walk.rule_name(&snapshot.engine),
            client_ip: exchange.client_ip,
            method: Some(request.method.as_str()),
            host: Some(Cow::Borrowed(request.original_authority.as_str())),
            uri: Some(request.original_target.as_str()),
            version: request.version,
            status: self.status.as_u16(),
            bytes: end.sent,
            bytes_in: state.bytes_in(),
            group: exchange.group.as_deref(),
            server: exchange.server.as_deref(),
            upstream_status: self.upstream.and_then(|upstream| upstream.status).map(|status| status.as_u16()),
            upstream_ms: self.upstream.map(|upstream| millis(upstream.time)),
            retries: state.retries(),
            limited: walk.limited(),
            user_agent: self.user_agent.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes())),
            vars: (!exchange.vars.is_empty()).then_some(VarsOf(&exchange.vars)),
            ..blank(state, snapshot, walk.listener(), trace, (end.took, end.failure))
        };
        show(&line, Some(exchange), state, snapshot, (self.logged, self.chosen));
    }
}

/// Writes a line where it is wanted: in the log, to those who watch, among the last that failed.
fn show(
    line: &Line<'_>,
    exchange: Option<&Exchange>,
    state: &StreamState,
    snapshot: &Snapshot,
    (logged, chosen): (bool, Chosen),
) {
    let worker = state.worker();
    if logged {
        worker.access_log.write(line, exchange, &snapshot.engine);
    }
    if line.failure.is_some() {
        worker.shared.tap.failed(|| line.failed());
    }
    if !chosen.is_nobody() {
        let mut json = Vec::new();
        // Writing into memory cannot fail, and every field can be written as JSON.
        let _ = line.write_json(&mut json);
        worker.shared.tap.line(chosen, &json);
    }
}

/// Counts a request that was refused before any rule saw it, and writes its line. `head` is what could be read of it.
pub fn end_refused(
    state: &StreamState,
    view: &WorkerSnapshot,
    id: ListenerId,
    head: Option<&Parts>,
    took: Duration,
    failure: Failure,
    bytes: usize,
) {
    if let Some(meter) = view.meter(id) {
        meter.refused(failure, took);
    }
    let snapshot = &view.snapshot;
    let logged = snapshot.plan().listeners.get(id.0).is_some_and(|listener| listener.access_log);
    let field = |name: &HeaderName| head.and_then(|head| head.headers.get(name));
    let lossy = |value: &'_ HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let named = || field(&HOST).map(|host| request_span::without_user(&lossy(host)).to_owned());
    let host = head.and_then(|head| head.uri.host()).map(str::to_owned).or_else(named);
    let own = head.and_then(|_| state.trace.context()).map(Ids::of);
    let trace = own.as_ref().map(Ids::shown).or_else(|| field(&TRACEPARENT).and_then(trace::read));
    let line = Line {
        method: head.map(|head| head.method.as_str()),
        host: host.map(Cow::Owned),
        uri: head.and_then(|head| head.uri.path_and_query()).map(PathAndQuery::as_str),
        version: head.map_or(Version::HTTP_11, |head| head.version),
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        user_agent: field(&USER_AGENT).map(lossy).map(Cow::Owned),
        ..blank(state, snapshot, id, trace, (took, Some(failure)))
    };
    show(&line, None, state, snapshot, (logged, state.worker().shared.tap.chosen_refused()));
}

/// The ids of a request's own span, as a line shows them.
struct Ids([u8; 32], [u8; 16]);

impl Ids {
    fn of(context: SpanContext) -> Self {
        Self(context.trace_digits(), context.span_digits())
    }

    fn shown(&self) -> TraceContext<'_> {
        let text = |digits| std::str::from_utf8(digits).unwrap_or_default();
        TraceContext { trace_id: text(&self.0), parent_id: text(&self.1) }
    }
}

/// A line with what is known of every request, read or not.
fn blank<'l>(
    state: &'l StreamState,
    snapshot: &'l Snapshot,
    listener: ListenerId,
    trace: Option<TraceContext<'l>>,
    (took, failure): (Duration, Option<Failure>),
) -> Line<'l> {
    let row = failure.map(Failure::row);
    let info = &state.connection.info;
    let tls = info.tls.as_ref();
    Line {
        time: humantime::format_rfc3339_millis(SystemTime::now()),
        request_id: None,
        trace_id: trace.map(|trace| trace.trace_id),
        span_id: trace.map(|trace| trace.parent_id),
        listener: &info.listener,
        rule: None,
        client_ip: info.peer.ip(),
        peer: info.peer,
        method: None,
        scheme: info.scheme(),
        host: None,
        uri: None,
        version: Version::HTTP_11,
        status: row.map_or(0, |row| row.status),
        bytes: 0,
        bytes_in: 0,
        ms: millis(took),
        group: None,
        server: None,
        upstream_status: None,
        upstream_ms: None,
        retries: 0,
        limited: false,
        failure: row.map(|row| row.name),
        side: row.map(|row| row.side.name()),
        tls_version: tls.map(|tls| tls.version),
        tls_cipher: tls.and_then(cipher),
        tls_group: tls.and_then(|tls| tls.group),
        sni: tls.and_then(|tls| tls.sni.as_deref()),
        user_agent: None,
        vars: None,
        labels: labels(snapshot, listener),
        generation: snapshot.generation,
    }
}

/// Counts a head that could not be read, or did not arrive, after so long, and writes its line.
pub fn end_unread(state: &StreamState, took: Duration, failure: Failure, bytes: usize) {
    let (view, id) = state.connection.handle.view(state.worker());
    end_refused(state, &view, id, None, took, failure, bytes);
}

fn cipher(tls: &Tls) -> Option<&str> {
    (!tls.cipher.is_empty()).then_some(tls.cipher.as_str())
}

fn labels(snapshot: &Snapshot, id: ListenerId) -> Labels<'_> {
    Labels(snapshot.plan().listeners.get(id.0).map_or(&[], |listener| &listener.labels))
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;
    use tidegate_engine::exchange::Connection;

    use super::*;
    use crate::request::admission::Admission;
    use crate::request::connection_state::ConnectionState;
    use crate::request::tests::guest::Act::{self, Set, Trap};
    use crate::request::tests::{context, guarded};
    use crate::tests::{House, run};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// The line of a head that was refused, of which this could be read.
    fn refused(house: &House, head: Option<http::request::Builder>) -> Value {
        let (stream, view) = (house.stream(), house.worker.view());
        let head = head.map(|head| head.body(()).unwrap().into_parts().0);
        end_refused(&stream, &view, ListenerId(0), head.as_ref(), Duration::ZERO, Failure::BadTarget, 7);
        house.line()
    }

    #[test]
    fn a_head_that_was_refused_is_told_as_far_as_it_was_read() {
        let head = http::Request::post("/a?b").version(Version::HTTP_2).header("host", "a.example");
        let line = refused(&House::answering(""), Some(head.header("traceparent", TRACE).header("user-agent", "t/1")));
        for (name, value) in [
            ("method", "POST"),
            ("uri", "/a?b"),
            ("host", "a.example"),
            ("protocol", "h2"),
            ("user_agent", "t/1"),
            ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
            ("failure", "bad-target"),
            ("side", "client"),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!((&line["status"], &line["bytes"]), (&400.into(), &7.into()));
        assert!(line["request_id"].is_null() && line["rule"].is_null(), "it became no request: {line}");
    }

    #[test]
    fn bytes_that_are_no_text_do_not_spoil_the_line() {
        let odd = HeaderValue::from_bytes(b"a\xff\"b").unwrap();
        let line = refused(
            &House::answering(""),
            Some(http::Request::get("/").header("host", &odd).header("user-agent", odd)),
        );
        assert_eq!((&line["host"], &line["user_agent"]), (&"a\u{fffd}\"b".into(), &"a\u{fffd}\"b".into()));
    }

    #[test]
    fn the_host_of_an_absolute_target_is_that_of_the_line() {
        let head = http::Request::get("http://a.example:81/x").header("host", "b.example");
        assert_eq!(refused(&House::answering(""), Some(head))["host"], "a.example");
    }

    #[test]
    fn a_head_that_did_not_arrive_is_a_line_with_its_time() {
        let house = House::answering("label team \"shop\"");
        end_unread(&house.stream(), Duration::from_millis(1500), Failure::ClientTimeout, 3);
        let line = house.line();
        assert!(line["ms"].as_f64().is_some_and(|ms| (1500.0..9000.0).contains(&ms)), "{line}");
        assert_eq!((&line["failure"], &line["labels"]["team"]), (&"client-timeout".into(), &"shop".into()));
        assert!(line["method"].is_null() && line["host"].is_null() && line["uri"].is_null(), "{line}");
    }

    #[test]
    fn a_line_tells_of_the_handshake_what_there_is() {
        for (cipher, group) in [("TLS_AES_128_GCM_SHA256", Some("x25519")), ("", None)] {
            let house = House::answering("");
            let plain = house.connection();
            let tls = Tls {
                sni: Some("a.example".into()),
                version: "tls1.3",
                cipher: cipher.to_owned(),
                group,
                client_cert: None,
            };
            let info = Connection { tls: Some(tls), ..(*plain.info).clone() };
            let admission = Admission::tcp(info.peer.ip(), false);
            let connection =
                ConnectionState::new(Arc::new(info), admission, Rc::clone(&plain.handle), Rc::clone(&plain.worker));
            context(&StreamState::enter(&Rc::new(connection)), true).end(0, None);
            let line = house.line();
            assert_eq!(
                (&line["tls_version"], &line["sni"], &line["scheme"]),
                (&"tls1.3".into(), &"a.example".into(), &"https".into())
            );
            assert_eq!(line["tls_cipher"].as_str(), Some(cipher).filter(|cipher| !cipher.is_empty()));
            assert_eq!(line["tls_group"].as_str(), group);
        }
    }

    #[test]
    fn times_are_in_milliseconds_to_the_microsecond() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)).to_string(), "1.235");
        assert_eq!(millis(Duration::from_secs(2)).to_string(), "2000");
    }

    /// The line of a request that this guest hears the end of.
    fn told(acts: &[Act]) -> Value {
        run(async {
            let callbacks: &[(&str, &[Act])] = &[("proxy_on_request_headers", &[]), ("proxy_on_log", acts)];
            let house = guarded("on-error deny 503", &[callbacks], "respond 200 \"hello\"");
            let mut client = house.client();
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
            house.line()
        })
    }

    #[test]
    fn whoever_hears_of_the_end_comes_before_the_line_and_cannot_fail_the_request() {
        assert_eq!(told(&[Set("end", "heard")])["vars"]["end"], "heard");
        let line = told(&[Trap]);
        assert!(line["failure"].is_null() && line["status"] == 200, "{line}");
    }
}
