//! A mock of the host, for tests: one exchange a thread, and the host's rules about it. What the gateway would stop
//! the call for is a panic here, with the same reason.
#![expect(clippy::panic, reason = "a refused call ends the test, as it ends the call in the gateway")]

use std::cell::RefCell;

use crate::Tls;
use crate::log::Level;
use crate::outbound::{Answer, Call, Failure};

mod shared;

pub(crate) use shared::*;

/// What the functions below work on.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) phase: Phase,
    /// Whether the hook is one for bodies.
    pub(crate) in_body: bool,
    pub(crate) request_body: Vec<Vec<u8>>,
    pub(crate) response_body: Vec<Vec<u8>>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) connection: Connection,
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) log: Vec<(Level, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has left.
    Request,
    /// The request has left, or was dropped, and there is no response.
    Sent,
    /// There is a response, and it has not left.
    Response,
    /// Both have left.
    Over,
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
    static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

/// Runs `call` with this exchange as the current one, and with what outlives it; the exchange is given back.
pub(crate) fn with<R>(exchange: Exchange, shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> (Exchange, R) {
    CURRENT.with(|current| *current.borrow_mut() = Some(exchange));
    let result = beside(shared, call);
    match CURRENT.with(|current| current.borrow_mut().take()) {
        Some(exchange) => (exchange, result),
        None => panic!("a `TestHost` was run within a hook"),
    }
}

fn on<R>(work: impl FnOnce(&mut Exchange) -> R) -> R {
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => work(exchange),
        None => {
            panic!("there is no request here: `init` and `on_tick` cannot look at one, and tests need `TestHost`")
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

// === outbound ===

pub(crate) fn fetch(call: &Call) -> Result<Answer, Failure> {
    if on(|x| x.in_body || x.phase == Phase::Over) {
        panic!("`outbound.fetch`: only request and response hooks may call");
    }
    if matches!(call.method.as_str(), "CONNECT" | "TRACE" | "") {
        panic!("`outbound.fetch`: the method `{}` cannot be sent", call.method);
    }
    if !call.target.starts_with('/') {
        panic!("`outbound.fetch`: `{}` is no target: it must begin with `/`", call.target);
    }
    call.headers.iter().for_each(|(name, value)| add(&mut Headers::new(), name, value));
    answer(call)
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
        Phase::Sent | Phase::Over => panic!("`{function}`: the request has left"),
    });
}

// === read-response, write-response-headers ===

pub(crate) fn status() -> u16 {
    read_response("read-response.status", |response| response.status)
}

pub(crate) fn response_get(name: &str) -> Option<Vec<u8>> {
    read_response("read-response.get", |response| get(&response.headers, name))
}

pub(crate) fn response_get_all(name: &str) -> Vec<Vec<u8>> {
    read_response("read-response.get-all", |response| get_all(&response.headers, name))
}

pub(crate) fn response_all() -> Headers {
    read_response("read-response.all", |response| response.headers.clone())
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
        Phase::Request | Phase::Sent => no_response(function),
    })
}

fn read_response<R>(function: &str, work: impl FnOnce(&Response) -> R) -> R {
    on(|x| match x.phase {
        Phase::Response | Phase::Over => work(&x.response),
        Phase::Request | Phase::Sent => no_response(function),
    })
}

fn no_response(function: &str) -> ! {
    panic!("`{function}`: there is no response yet")
}

// === vars, log, verdicts ===

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

/// The table of field names that hosts go by.
const FIELDS: &str = include_str!("../../wit/fields.txt");

/// Whether a field belongs to the host: what concerns a connection or a hop, framing, and `host`.
fn is_hosts(name: &str) -> bool {
    let rows = FIELDS.lines().filter_map(|line| line.split_once(' '));
    let mut hosts = rows.filter(|(_, class)| matches!(class.trim(), "connection" | "hop" | "frame"));
    hosts.any(|(field, _)| name.eq_ignore_ascii_case(field))
}

fn check_name(name: &str) {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(token) {
        panic!("`{name}` is no header name");
    }
    if is_hosts(name) {
        panic!("header `{name}` belongs to the gateway");
    }
}
