//! The access log: one line a request, written when its answer has ended, however it ended.

use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};
use serde::Serialize;
use tidegate_dsl::plan::LogFormat;
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::vars::Vars;

pub use super::writer::{LogSender, LogWriter};
use crate::downstream::state::StreamState;
use crate::failure::Failure;
use crate::limits;
use crate::proxy::hooks::warn_of;
use crate::worker::View;

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

    fn write(&self, line: &Line<'_>, format: LogFormat) {
        let mut batch = self.batch.borrow_mut();
        if batch.capacity() == 0 {
            batch.reserve(limits::LOG_BATCH + limits::LOG_BATCH / 4);
        }
        // Writing into memory cannot fail, and every field can be written as JSON.
        let _ = match format {
            LogFormat::Json => serde_json::to_writer(&mut *batch, line).map_err(std::io::Error::other),
            LogFormat::Text => line.write_text(&mut batch),
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
    view: Rc<View>,
    wanted: bool,
    user_agent: Option<HeaderValue>,
    exchange: Option<(Box<Exchange>, Walk)>,
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
    pub fn new(started: Instant, view: Rc<View>, wanted: bool, exchange: &Exchange) -> Self {
        let user_agent = wanted.then(|| exchange.request.headers.get(USER_AGENT).cloned()).flatten();
        Self {
            failure: None,
            status: StatusCode::OK,
            upstream: None,
            started,
            view,
            wanted,
            user_agent,
            exchange: None,
        }
    }

    /// The time, if it will be logged.
    pub fn clock(&self) -> Option<Instant> {
        self.wanted.then(Instant::now)
    }

    /// The record for the body to write at its end; nothing if the listener's requests are not logged.
    pub fn keep(mut self, exchange: Box<Exchange>, walk: Walk) -> Option<Box<Self>> {
        (self.wanted || self.view.wants_log(&walk, &exchange)).then(|| {
            self.exchange = Some((exchange, walk));
            Box::new(self)
        })
    }

    /// Writes the line of a request that gets no answer.
    pub fn close(mut self, exchange: Box<Exchange>, walk: &Walk, state: &StreamState, failure: Failure) {
        self.status = failure.status();
        let exchange = self.tell(exchange, walk, state);
        if self.wanted {
            self.line(&exchange, walk, state, 0, Some(failure));
        }
    }

    /// Writes the line of an answer that has ended; `failure` is how its body failed, if it did.
    pub fn write(mut self, state: &StreamState, sent: u64, failure: Option<Failure>) {
        let Some((exchange, walk)) = self.exchange.take() else { return };
        let exchange = self.tell(exchange, &walk, state);
        if self.wanted {
            self.line(&exchange, &walk, state, sent, self.failure.or(failure));
        }
    }

    /// Tells the extensions that want to know.
    fn tell(&self, exchange: Box<Exchange>, walk: &Walk, state: &StreamState) -> Box<Exchange> {
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
        let line = Line {
            time: now(),
            request_id: Some(format!("{:032x}", exchange.request_id)),
            listener: &state.connection.info.listener,
            rule: walk.rule_name(&snapshot.engine),
            client_ip: exchange.client_ip,
            peer: state.connection.info.peer,
            method: request.method.as_str(),
            scheme: state.connection.info.scheme(),
            host: Some(request.original_authority.as_str()),
            uri: request.original_target.as_str(),
            protocol: protocol(request.version),
            status: self.status.as_u16(),
            bytes: sent,
            ms: millis(self.started.elapsed()),
            group: exchange.group.as_deref(),
            server: exchange.server.as_deref(),
            upstream_status: self.upstream.and_then(|upstream| upstream.status).map(|status| status.as_u16()),
            upstream_ms: self.upstream.map(|upstream| millis(upstream.time)),
            limited: walk.limited(),
            failure: row.map(|row| row.name),
            side: row.map(|row| row.side.name()),
            user_agent: self.user_agent.as_ref().and_then(|value| value.to_str().ok()),
            vars: (!exchange.vars.is_empty()).then_some(VarsLine(&exchange.vars)),
            generation: snapshot.generation,
        };
        state.worker().access_log.write(&line, snapshot.plan().access_log.format);
    }
}

/// Writes the line of a request that was refused before any rule saw it.
pub fn write_refused(state: &StreamState, view: &View, head: &Parts, started: Instant, failure: Failure, bytes: usize) {
    let row = failure.row();
    let host = head.uri.host().or_else(|| head.headers.get(HOST)?.to_str().ok());
    let line = Line {
        time: now(),
        request_id: None,
        listener: &state.connection.info.listener,
        rule: None,
        client_ip: state.connection.info.peer.ip(),
        peer: state.connection.info.peer,
        method: head.method.as_str(),
        scheme: state.connection.info.scheme(),
        host,
        uri: head.uri.path_and_query().map_or("", |target| target.as_str()),
        protocol: protocol(head.version),
        status: row.status,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        ms: millis(started.elapsed()),
        group: None,
        server: None,
        upstream_status: None,
        upstream_ms: None,
        limited: false,
        failure: Some(row.name),
        side: Some(row.side.name()),
        user_agent: head.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
        vars: None,
        generation: view.snapshot.generation,
    };
    state.worker().access_log.write(&line, view.snapshot.plan().access_log.format);
}

/// The fields of a line, in their order.
#[derive(Serialize)]
struct Line<'l> {
    /// RFC 3339, UTC, milliseconds.
    #[serde(serialize_with = "as_text")]
    time: humantime::Rfc3339Timestamp,
    request_id: Option<String>,
    listener: &'l str,
    rule: Option<&'l str>,
    client_ip: std::net::IpAddr,
    peer: std::net::SocketAddr,
    method: &'l str,
    scheme: &'l str,
    host: Option<&'l str>,
    /// As it came in.
    uri: &'l str,
    protocol: &'l str,
    status: u16,
    /// Of the body, as sent to the client.
    bytes: u64,
    /// Milliseconds from the head's arrival to the end of the answer.
    ms: f64,
    group: Option<&'l str>,
    server: Option<&'l str>,
    upstream_status: Option<u16>,
    /// Milliseconds from the choice of a server to the head of its answer.
    upstream_ms: Option<f64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    user_agent: Option<&'l str>,
    /// What rules and extensions noted about the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    vars: Option<VarsLine<'l>>,
    /// Which policy served it.
    generation: u64,
}

/// Variables as a JSON object.
struct VarsLine<'l>(&'l Vars);

impl Serialize for VarsLine<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter())
    }
}

impl Line<'_> {
    fn write_text(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let dash = |text: Option<&str>| text.unwrap_or("-").escape_debug().to_string();
        write!(
            out,
            "{} {} {} {} {} {} {} {} {} {}ms rule={} server={} upstream={}",
            self.time,
            self.client_ip,
            self.listener,
            self.method,
            dash(self.host),
            self.uri.escape_debug(),
            self.protocol,
            self.status,
            self.bytes,
            self.ms,
            dash(self.rule),
            dash(self.server),
            self.upstream_status.map_or_else(|| "-".to_owned(), |status| status.to_string()),
        )?;
        match (self.failure, self.side) {
            (Some(failure), Some(side)) => write!(out, " failure={failure} side={side}"),
            _ => Ok(()),
        }
    }
}

fn now() -> humantime::Rfc3339Timestamp {
    humantime::format_rfc3339_millis(SystemTime::now())
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "http/0.9",
        Version::HTTP_10 => "http/1.0",
        Version::HTTP_2 => "h2",
        Version::HTTP_3 => "h3",
        _ => "http/1.1",
    }
}

fn as_text<S: serde::Serializer>(time: &humantime::Rfc3339Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(time)
}
