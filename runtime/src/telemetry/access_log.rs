//! The access log: one line a request, written when its answer has ended, however it ended.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, StatusCode, Version};
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::{ListenerId, LogFormat};
use tidegate_engine::exchange::{Exchange, Tls};
use tidegate_engine::trace::{self, TRACEPARENT};
use tidegate_engine::vars::Vars;
use tidegate_engine::{Engine, Walk};

use super::log_line::{Labels, Line, VarsOf, protocol};
pub use super::writer::{LogControl, LogSender, LogWriter};
use crate::policy::snapshot::Snapshot;
use crate::request::hooks::warn_of;
use crate::request::state::StreamState;
use crate::request::worker_snapshot::WorkerSnapshot;

/// A worker's lines on their way to the writer.
pub struct AccessLog {
    batch: RefCell<Vec<u8>>,
    sender: LogSender,
}

impl AccessLog {
    /// Sends to this writer.
    pub fn new(sender: LogSender) -> Self {
        Self { batch: RefCell::default(), sender }
    }

    /// Hands the gathered lines on.
    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if !batch.is_empty() {
            self.sender.send(std::mem::take(&mut *batch));
        }
    }

    /// Writes a line; `exchange` is `None` for a request that was refused before it became one.
    fn write(&self, line: &Line<'_>, exchange: Option<&Exchange>, engine: &Engine) {
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(limits::LOG_BATCH + limits::LOG_BATCH / 4);
        }
        // Writing into memory cannot fail, and every field can be written as JSON.
        let _ = match (engine.log_line(), &engine.plan().access_log.format) {
            (Some(layout), _) => line.write_as(layout, exchange, &mut batch),
            (None, LogFormat::Text) => line.write_text(&mut batch),
            (None, _) => line.write_json(&mut batch),
        };
        batch.push(b'\n');
        if batch.len() >= limits::LOG_BATCH {
            self.sender.send(std::mem::take(&mut *batch));
        }
    }
}

/// What is known of a request while it is served.
pub struct Record {
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// The status that the client gets.
    pub status: StatusCode,
    /// What the backend did, if it was asked.
    pub upstream: Option<Upstream>,
    started: Instant,
    view: Rc<WorkerSnapshot>,
    wanted: bool,
    user_agent: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    /// Variables that extensions set for pieces of bodies, once one looks at pieces.
    streamed: Option<Rc<RefCell<Vars>>>,
}

/// What a backend did.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// Its status, if it answered.
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

impl Record {
    /// A request that has just been read.
    pub fn new(started: Instant, view: Rc<WorkerSnapshot>, wanted: bool, exchange: &Exchange) -> Self {
        let shown = |name: &HeaderName| wanted.then(|| exchange.request.headers.get(name).cloned()).flatten();
        Self {
            failure: None,
            status: StatusCode::OK,
            upstream: None,
            started,
            view,
            wanted,
            user_agent: shown(&USER_AGENT),
            traceparent: shown(&TRACEPARENT),
            streamed: None,
        }
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
        self.wanted.then(Instant::now)
    }

    /// Whether somebody wants to know how the request ends.
    pub fn is_wanted(&self, exchange: &Exchange, walk: &Walk) -> bool {
        self.wanted || self.view.wants_log(walk, exchange)
    }

    /// Tells the extensions that want to know how a request ended, and writes its line; `sent` is how much of an answer went out.
    pub fn end(&self, exchange: Box<Exchange>, walk: &Walk, state: &StreamState, sent: u64, failure: Option<Failure>) {
        let exchange = self.tell(exchange, walk, state);
        if self.wanted {
            self.line(&exchange, walk, state, sent, failure);
        }
    }

    /// Tells the extensions that want to know.
    fn tell(&self, mut exchange: Box<Exchange>, walk: &Walk, state: &StreamState) -> Box<Exchange> {
        self.take_streamed(&mut exchange);
        let (exchange, fault) = self.view.log(walk, exchange);
        if let Some((id, fault)) = fault {
            let extension = self.view.snapshot.plan().extensions.get(id.0);
            warn_of(state, extension, &fault, exchange.request_id);
        }
        exchange
    }

    fn line(&self, exchange: &Exchange, walk: &Walk, state: &StreamState, sent: u64, failure: Option<Failure>) {
        let snapshot = &self.view.snapshot;
        let request = &exchange.request;
        let row = failure.map(Failure::row);
        let tls = state.connection.info.tls.as_ref();
        let trace = self.traceparent.as_ref().and_then(trace::read);
        let line = Line {
            time: now(),
            request_id: Some(format!("{:032x}", exchange.request_id)),
            trace_id: trace.map(|trace| trace.trace_id),
            span_id: trace.map(|trace| trace.parent_id),
            listener: &state.connection.info.listener,
            rule: walk.rule_name(&snapshot.engine),
            client_ip: exchange.client_ip,
            peer: state.connection.info.peer,
            method: Some(request.method.as_str()),
            scheme: state.connection.info.scheme(),
            host: Some(Cow::Borrowed(request.original_authority.as_str())),
            uri: Some(request.original_target.as_str()),
            protocol: protocol(request.version),
            status: self.status.as_u16(),
            bytes: sent,
            bytes_in: state.bytes_in(),
            ms: millis(self.started.elapsed()),
            group: exchange.group.as_deref(),
            server: exchange.server.as_deref(),
            upstream_status: self.upstream.and_then(|upstream| upstream.status).map(|status| status.as_u16()),
            upstream_ms: self.upstream.map(|upstream| millis(upstream.time)),
            retries: state.retries(),
            limited: walk.limited(),
            failure: row.map(|row| row.name),
            side: row.map(|row| row.side.name()),
            tls_version: tls.map(|tls| tls.version),
            tls_cipher: tls.and_then(cipher),
            tls_group: tls.and_then(|tls| tls.group),
            sni: tls.and_then(|tls| tls.sni.as_deref()),
            user_agent: self.user_agent.as_ref().map(|value| String::from_utf8_lossy(value.as_bytes())),
            vars: (!exchange.vars.is_empty()).then_some(VarsOf(&exchange.vars)),
            labels: labels(snapshot, walk.listener()),
            generation: snapshot.generation,
        };
        state.worker().access_log.write(&line, Some(exchange), &snapshot.engine);
    }
}

/// Writes the line of a request that was refused before any rule saw it. `head` is what could be read of it.
pub fn write_refused(
    state: &StreamState,
    view: &WorkerSnapshot,
    id: ListenerId,
    head: Option<&Parts>,
    started: Instant,
    failure: Failure,
    bytes: usize,
) {
    let snapshot = &view.snapshot;
    if !snapshot.plan().listeners.get(id.0).is_some_and(|listener| listener.access_log) {
        return;
    }
    let row = failure.row();
    let field = |name: &HeaderName| head.and_then(|head| head.headers.get(name));
    let lossy = |value: &'_ HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let host = head.and_then(|head| head.uri.host()).map(str::to_owned).or_else(|| field(&HOST).map(lossy));
    let trace = field(&TRACEPARENT).and_then(trace::read);
    let info = &state.connection.info;
    let tls = info.tls.as_ref();
    let line = Line {
        time: now(),
        request_id: None,
        trace_id: trace.map(|trace| trace.trace_id),
        span_id: trace.map(|trace| trace.parent_id),
        listener: &info.listener,
        rule: None,
        client_ip: info.peer.ip(),
        peer: info.peer,
        method: head.map(|head| head.method.as_str()),
        scheme: info.scheme(),
        host: host.map(Cow::Owned),
        uri: head.and_then(|head| head.uri.path_and_query()).map(PathAndQuery::as_str),
        protocol: protocol(head.map_or(Version::HTTP_11, |head| head.version)),
        status: row.status,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        bytes_in: 0,
        ms: millis(started.elapsed()),
        group: None,
        server: None,
        upstream_status: None,
        upstream_ms: None,
        retries: 0,
        limited: false,
        failure: Some(row.name),
        side: Some(row.side.name()),
        tls_version: tls.map(|tls| tls.version),
        tls_cipher: tls.and_then(cipher),
        tls_group: tls.and_then(|tls| tls.group),
        sni: tls.and_then(|tls| tls.sni.as_deref()),
        user_agent: field(&USER_AGENT).map(lossy).map(Cow::Owned),
        vars: None,
        labels: labels(snapshot, id),
        generation: snapshot.generation,
    };
    state.worker().access_log.write(&line, None, &snapshot.engine);
}

/// Writes the line of a head that could not be read, or did not arrive, after so long.
pub fn write_unread(state: &StreamState, took: Duration, failure: Failure, bytes: usize) {
    let (view, id) = state.connection.handle.view(state.worker());
    let now = Instant::now();
    write_refused(state, &view, id, None, now.checked_sub(took).unwrap_or(now), failure, bytes);
}

fn cipher(tls: &Tls) -> Option<&str> {
    (!tls.cipher.is_empty()).then_some(tls.cipher.as_str())
}

fn labels(snapshot: &Snapshot, id: ListenerId) -> Labels<'_> {
    Labels(snapshot.plan().listeners.get(id.0).map_or(&[], |listener| &listener.labels))
}

fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(SystemTime::now())
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
