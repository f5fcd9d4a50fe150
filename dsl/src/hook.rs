//! Hooks: the places in the life of a request where an extension may be called.

/// A place in a request's life where an extension may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// The request's head is known, and nothing has left for the backend.
    Request,
    /// The response's head is known, and nothing has left for the client.
    Response,
    /// A piece of the request's body is there.
    RequestBody,
    /// A piece of the response's body is there.
    ResponseBody,
    /// The request is over.
    Log,
    /// Time has passed; there is no request.
    Tick,
}

impl Hook {
    /// The name of the hook for people: `request`, `response-body` …
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
            Self::RequestBody => "request-body",
            Self::ResponseBody => "response-body",
            Self::Log => "log",
            Self::Tick => "tick",
        }
    }
}
