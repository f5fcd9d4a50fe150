//! The exchange that a hook of the mock works on.

use super::fields::Headers;
use crate::log::level::Level;
use crate::tls::Tls;

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
    pub(super) const fn name(self) -> &'static str {
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
