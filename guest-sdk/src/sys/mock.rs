//! A mock of the host, for tests: one exchange a thread, and the host's rules about it. What the gateway would stop
//! the call for is a panic here, with the same reason.
#![expect(clippy::panic, reason = "a refused call ends the test, as it ends the call in the gateway")]

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::Tls;
use crate::groups::Group;
use crate::log::Level;
use crate::metrics::Kind;
use crate::outbound::{Answer, Call, Failure};
use crate::store::Taken;

/// What the functions below work on.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) phase: Phase,
    pub(crate) request_body: Vec<u8>,
    pub(crate) response_body: Vec<u8>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) connection: Connection,
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) log: Vec<(Level, String)>,
    pub(crate) random: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Request,
    Response,
    /// Heads are read-only.
    Over,
}

/// What goes beyond one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    store: HashMap<String, Vec<u8>>,
    pub(crate) metrics: Vec<(String, Kind, Vec<f64>)>,
    pub(crate) groups: Vec<Group>,
    /// What each call to a group gets, in order; the last one stays.
    pub(crate) answers: Vec<(String, Result<Answer, Failure>)>,
    /// The calls that were made.
    pub(crate) calls: Vec<Call>,
}

pub(crate) type Headers = Vec<(String, Vec<u8>)>;

#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) version: String,
    pub(crate) headers: Headers,
}

#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
}

#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: String,
    pub(crate) client_ip: String,
    pub(crate) listener: String,
    pub(crate) protocol: String,
    pub(crate) tls: Option<Tls>,
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

/// Runs `call` with this exchange as the current one, and gives it back.
pub(crate) fn with<R>(exchange: Exchange, call: impl FnOnce() -> R) -> (Exchange, R) {
    CURRENT.with(|current| *current.borrow_mut() = Some(exchange));
    let result = call();
    match CURRENT.with(|current| current.borrow_mut().take()) {
        Some(exchange) => (exchange, result),
        None => panic!("`TestHost::run` was called within a hook"),
    }
}

fn on<R>(work: impl FnOnce(&mut Exchange) -> R) -> R {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => work(exchange),
        None => {
            panic!("there is no request here: `init` cannot look at one, and tests need `TestHost`")
        }
    })
}

// === read-request, conn ===

pub(crate) fn method() -> String {
    on(|x| x.request.method.clone())
}

pub(crate) fn scheme() -> String {
    on(|x| if x.connection.tls.is_some() { "https".to_owned() } else { "http".to_owned() })
}

pub(crate) fn authority() -> String {
    on(|x| x.request.authority.clone())
}

pub(crate) fn path() -> String {
    on(|x| x.request.path.clone())
}

pub(crate) fn query() -> Option<String> {
    on(|x| x.request.query.clone())
}

pub(crate) fn version() -> String {
    on(|x| x.request.version.clone())
}

pub(crate) fn request_get(name: &str) -> Option<Vec<u8>> {
    on(|x| get(&x.request.headers, name))
}

pub(crate) fn request_get_all(name: &str) -> Vec<Vec<u8>> {
    on(|x| get_all(&x.request.headers, name))
}

pub(crate) fn request_all() -> Headers {
    on(|x| x.request.headers.clone())
}

pub(crate) fn peer() -> String {
    on(|x| x.connection.peer.clone())
}

pub(crate) fn client_ip() -> String {
    on(|x| x.connection.client_ip.clone())
}

pub(crate) fn listener() -> String {
    on(|x| x.connection.listener.clone())
}

pub(crate) fn protocol() -> String {
    on(|x| x.connection.protocol.clone())
}

pub(crate) fn tls() -> Option<Tls> {
    on(|x| x.connection.tls.clone())
}

// === metrics, store, groups ===

/// Begins a test with an empty store.
pub(crate) fn reset(groups: Vec<Group>, answers: Vec<(String, Result<Answer, Failure>)>) {
    SHARED.with(|shared| *shared.borrow_mut() = Shared { groups, answers, ..Shared::default() });
}

/// What the test left in the store and the metrics.
pub(crate) fn shared() -> Shared {
    SHARED.with(|shared| shared.borrow().clone())
}

fn shared_mut<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    SHARED.with(|shared| work(&mut shared.borrow_mut()))
}

pub(crate) fn metric_define(name: &str, kind: Kind) -> u32 {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if !first || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        panic!("`{name}` is no name of a metric");
    }
    shared_mut(|shared| {
        let known = shared.metrics.iter().position(|(known, _, _)| known == name);
        let at = known.unwrap_or_else(|| {
            shared.metrics.push((name.to_owned(), kind, Vec::new()));
            shared.metrics.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    })
}

pub(crate) fn metric_add(metric: u32, by: f64) {
    shared_mut(|shared| match shared.metrics.get_mut(metric as usize) {
        Some((_, Kind::Counter, _)) if by < 0.0 => panic!("a counter cannot take {by}"),
        Some((_, Kind::Histogram, _)) | None => panic!("there is no counter or gauge {metric}"),
        Some((_, _, values)) => {
            let sum = values.first().copied().unwrap_or_default() + by;
            *values = vec![sum];
        }
    });
}

pub(crate) fn metric_record(metric: u32, value: f64) {
    shared_mut(|shared| match shared.metrics.get_mut(metric as usize) {
        Some((_, Kind::Histogram, values)) => values.push(value),
        Some((_, Kind::Gauge, values)) => *values = vec![value],
        _ => panic!("there is no gauge or histogram {metric}"),
    });
}

// A test is over before any time to live is.

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    shared_mut(|shared| shared.store.get(key).cloned())
}

pub(crate) fn store_set(key: &str, value: &[u8], _ttl_ms: u32) -> bool {
    shared_mut(|shared| shared.store.insert(key.to_owned(), value.to_vec()));
    true
}

pub(crate) fn store_delete(key: &str) -> bool {
    shared_mut(|shared| shared.store.remove(key).is_some())
}

pub(crate) fn store_incr(key: &str, by: i64, _ttl_ms: u32) -> Option<i64> {
    shared_mut(|shared| {
        let number = match shared.store.get(key) {
            Some(value) => std::str::from_utf8(value).ok()?.parse::<i64>().ok()?,
            None => 0,
        };
        let sum = number.saturating_add(by);
        shared.store.insert(key.to_owned(), sum.to_string().into_bytes());
        Some(sum)
    })
}

pub(crate) fn store_take(key: &str, burst: u32, _per_second: f64) -> Taken {
    match store_incr(&format!("bucket {key}"), 1, 0) {
        Some(taken) if taken <= i64::from(burst) => Taken::Yes,
        _ => Taken::No,
    }
}

pub(crate) fn groups() -> Vec<Group> {
    shared_mut(|shared| shared.groups.clone())
}

pub(crate) fn fetch(call: &Call) -> Result<Answer, Failure> {
    if on(|x| x.phase == Phase::Over) {
        panic!("`outbound.fetch`: only request and response hooks may call");
    }
    if matches!(call.method.as_str(), "CONNECT" | "TRACE" | "") {
        panic!("`outbound.fetch`: the method `{}` cannot be sent", call.method);
    }
    if !call.target.starts_with('/') {
        panic!("`outbound.fetch`: `{}` is no target: it must begin with `/`", call.target);
    }
    call.headers.iter().for_each(|(name, value)| add(&mut Headers::new(), name, value));
    shared_mut(|shared| {
        shared.calls.push(call.clone());
        let mut answers = shared.answers.iter().enumerate().filter(|(_, (group, _))| *group == call.group);
        let Some((first, (_, answer))) = answers.next() else { return Err(Failure::Offline) };
        let (answer, more) = (answer.clone(), answers.next().is_some());
        if more {
            drop(shared.answers.remove(first));
        }
        answer
    })
}

// === write-request-headers, rewrite ===

pub(crate) fn request_set(name: &str, value: &[u8]) {
    edit_request("write-request-headers.set", |request| set(&mut request.headers, name, value));
}

pub(crate) fn request_add(name: &str, value: &[u8]) {
    edit_request("write-request-headers.add", |request| add(&mut request.headers, name, value));
}

pub(crate) fn request_remove(name: &str) {
    edit_request("write-request-headers.remove", |request| remove(&mut request.headers, name));
}

pub(crate) fn set_path(path: &str) {
    if !path.starts_with('/') || path.contains(['?', '#']) {
        panic!("`{path}` is no path: it must begin with `/` and hold no `?` and no `#`");
    }
    edit_request("rewrite.set-path", |request| request.path = path.to_owned());
}

pub(crate) fn set_authority(authority: &str) {
    edit_request("rewrite.set-authority", |request| request.authority = authority.to_ascii_lowercase());
}

pub(crate) fn set_query(query: Option<&str>) {
    edit_request("rewrite.set-query", |request| request.query = query.map(str::to_owned));
}

fn edit_request(function: &str, work: impl FnOnce(&mut Request)) {
    on(|x| match x.phase {
        Phase::Request => work(&mut x.request),
        Phase::Response => panic!("`{function}` in a response hook: the request has left"),
        Phase::Over => panic!("`{function}`: the request has left"),
    });
}

// === read-response, write-response-headers ===

pub(crate) fn status() -> u16 {
    response("read-response.status", |response| response.status)
}

pub(crate) fn response_get(name: &str) -> Option<Vec<u8>> {
    response("read-response.get", |response| get(&response.headers, name))
}

pub(crate) fn response_get_all(name: &str) -> Vec<Vec<u8>> {
    response("read-response.get-all", |response| get_all(&response.headers, name))
}

pub(crate) fn response_all() -> Headers {
    response("read-response.all", |response| response.headers.clone())
}

pub(crate) fn set_status(status: u16) {
    if !(200..=599).contains(&status) {
        panic!("{status} is no final status: use 200 to 599");
    }
    response("write-response-headers.set-status", |response| response.status = status);
}

pub(crate) fn response_set(name: &str, value: &[u8]) {
    response("write-response-headers.set", |response| set(&mut response.headers, name, value));
}

pub(crate) fn response_add(name: &str, value: &[u8]) {
    response("write-response-headers.add", |response| add(&mut response.headers, name, value));
}

pub(crate) fn response_remove(name: &str) {
    response("write-response-headers.remove", |response| remove(&mut response.headers, name));
}

fn response<R>(function: &str, work: impl FnOnce(&mut Response) -> R) -> R {
    on(|x| match x.phase {
        Phase::Response => work(&mut x.response),
        Phase::Over => panic!("`{function}`: the response has left"),
        Phase::Request => panic!("`{function}` in a request hook: there is no response yet"),
    })
}

// === vars, log, clock, random, verdicts ===

pub(crate) fn var_get(name: &str) -> Option<String> {
    on(|x| x.vars.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()))
}

pub(crate) fn var_set(name: &str, value: &str) {
    on(|x| {
        x.vars.retain(|(key, _)| key != name);
        x.vars.push((name.to_owned(), value.to_owned()));
    });
}

pub(crate) fn log_enabled(_level: Level) -> bool {
    true
}

/// Lines of `init`, before there is an exchange, go to standard error: tests show it where they fail.
pub(crate) fn log_write(level: Level, message: &str) {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => exchange.log.push((level, message.to_owned())),
        None => eprintln!("{level:?}: {message}"),
    });
}

pub(crate) fn now_unix_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn monotonic_ns() -> u64 {
    thread_local!(static START: Instant = Instant::now());
    u64::try_from(START.with(Instant::elapsed).as_nanos()).unwrap_or(u64::MAX)
}

/// `SplitMix64`: the same numbers in each run, so that a failing test fails again.
pub(crate) fn random_u64() -> u64 {
    on(|x| {
        x.random = x.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = x.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

pub(crate) const fn may_forward() {}

pub(crate) const fn may_respond() {}

// === header fields ===

pub(crate) fn get(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
}

fn get_all(headers: &Headers, name: &str) -> Vec<Vec<u8>> {
    headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect()
}

fn set(headers: &mut Headers, name: &str, value: &[u8]) {
    remove(headers, name);
    add(headers, name, value);
}

fn add(headers: &mut Headers, name: &str, value: &[u8]) {
    check_name(name);
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        panic!("the value of header `{name}` holds a line break or NUL");
    }
    headers.push((name.to_ascii_lowercase(), value.to_vec()));
}

fn remove(headers: &mut Headers, name: &str) {
    check_name(name);
    headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
}

/// Fields that belong to the host: hop-by-hop fields (RFC 9110, 7.6.1), framing, and `host`.
const HOST_FIELDS: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

fn check_name(name: &str) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        panic!("`{name}` is no header name");
    }
    if HOST_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        panic!("header `{name}` belongs to the gateway");
    }
}
