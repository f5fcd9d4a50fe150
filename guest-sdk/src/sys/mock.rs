//! A mock of the host, for tests: one exchange a thread, and the host's rules about it. What the gateway would stop
//! the call for is a panic here, with the same reason.
#![expect(clippy::panic, reason = "what only a wrong test does ends the test")]

use std::cell::RefCell;

use crate::Tls;
use crate::bounds::LOG_LINES_PER_CALL;
use crate::log::Level;

pub(crate) mod allow;
mod call;
mod fields;
mod metrics;
mod outbound;
mod request;
mod response;
mod services;
mod shared;
mod stop;
mod store;
mod target;

pub(crate) use fields::Headers;
pub(crate) use metrics::*;
pub(crate) use outbound::fetch;
pub(crate) use request::*;
pub(crate) use response::*;
pub(crate) use services::*;
pub(crate) use shared::{Shared, beside, groups, monotonic_ns, now_unix_ns, random_u64};
pub(crate) use stop::{Fault, one_line, stop};
pub(crate) use store::*;
pub(crate) use target::{authority as normal_authority, normal_path};

/// The state that the functions of the host work on.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    /// The hook that runs.
    pub(crate) hook: Hook,
    /// Whether the body passes through, and its head has left.
    pub(crate) streams: bool,
    /// Whether there is a response.
    pub(crate) answered: bool,
    pub(crate) request_body: Vec<Vec<u8>>,
    pub(crate) response_body: Vec<Vec<u8>>,
    pub(crate) request: Request,
    pub(crate) response: Response,
    pub(crate) connection: Connection,
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) log: Vec<(Level, String)>,
}

/// A hook that is about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    Request,
    RequestBody,
    Response,
    ResponseBody,
    Log,
}

impl Hook {
    const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::RequestBody => "request-body",
            Self::Response => "response",
            Self::ResponseBody => "response-body",
            Self::Log => "log",
        }
    }
}

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

/// Takes the exchange away, also if the call panics.
struct Current;

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with(|current| current.borrow_mut().take());
    }
}

/// Runs `call`, as one call of the extension, with this exchange as the current one, and with what outlives it; the exchange is
/// given back.
pub(crate) fn with<R>(exchange: Exchange, shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> (Exchange, R) {
    let _current = Current;
    CURRENT.with(|current| *current.borrow_mut() = Some(exchange));
    let result = beside(shared, call);
    let dropped = call::lines_dropped();
    let Some(mut exchange) = CURRENT.with(|current| current.borrow_mut().take()) else {
        panic!("a `TestHost` was run within a hook")
    };
    if dropped > 0 {
        let text = format!("{dropped} more lines of this call were dropped: a call may write {LOG_LINES_PER_CALL}");
        exchange.log.push((Level::Warn, text));
    }
    (exchange, result)
}

/// The exchange, for `function` of an interface that needs `word`.
fn on<R>((interface, word): (&str, &str), function: &str, work: impl FnOnce(&mut Exchange) -> R) -> R {
    allow::needs(interface, word);
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => work(exchange),
        None => {
            let why = format!("`{interface}.{function}` in `init` or a tick: there is no request");
            stop(Fault::NotAllowed, why)
        }
    })
}
