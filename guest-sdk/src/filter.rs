//! What an extension implements.
#![forbid(unsafe_code)]

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{BodyVerdict, Request, Response, Verdict};

/// An extension. One value of it is made for each instance, and serves one call at a time.
pub trait Filter: Sized + 'static {
    /// The configuration as the policy's `config { … }` writes it; `()` takes none, and
    /// `#[serde(deny_unknown_fields)]` makes a misspelt word an error.
    type Config: DeserializeOwned;

    /// Takes the configuration. An error refuses the policy: say what to change.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the configuration.
    fn init(config: Self::Config) -> Result<Self>;

    /// What it wants to be asked about; every request if not written. The gateway tests it before it calls.
    fn interest(&self) -> Interest {
        Interest::everything()
    }

    /// The request's head is known, and nothing has left for the backend.
    fn on_request(&self, request: &mut Request) -> Verdict {
        let _ = request;
        Verdict::next()
    }

    /// The response's head is known, and nothing has left for the client. The request has left, so it is read-only.
    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        let _ = (request, response);
        Verdict::next()
    }

    /// A piece of the request's body is there: the whole in buffer mode, with a request that may still be changed. Needs `body`
    /// in `allow`, and a mode in [`Filter::interest`].
    fn on_request_body(&self, request: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        let _ = (request, piece);
        BodyVerdict::next()
    }

    /// A piece of the response's body is there: the whole in buffer mode, with a response that may still be changed.
    fn on_response_body(&self, request: &Request, response: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        let _ = (request, response, piece);
        BodyVerdict::next()
    }

    /// The request is over. Nothing can be changed but variables, which the access log sees. To read the status of a request
    /// that had no response is a fault.
    fn on_log(&self, request: &Request, response: &Response) {
        let _ = (request, response);
    }

    /// Time has passed; there is no request. Each worker ticks.
    fn on_tick(&self) {}
}

/// A piece of a body.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'p> {
    /// Its bytes; the last piece may have none.
    pub data: &'p [u8],
    /// Whether it is the last.
    pub last: bool,
}

/// How much of a body an extension wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// Piece by piece as it comes, each of at most so many bytes: 1024 to 1048576.
    Stream(u32),
    /// The whole, of at most so many bytes, up to 1048576. A longer body is a fault of the call.
    Buffer(u32),
}

/// What may go wrong in [`Filter::init`]: a sentence for the author of the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// A result with that error.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that says this.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `Error` is not a `std::error::Error`, so that `?` turns every such error into it.
impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Hooks, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hooks {
    /// [`Filter::on_request`].
    pub request: bool,
    /// [`Filter::on_response`].
    pub response: bool,
    /// [`Filter::on_request_body`].
    pub request_body: bool,
    /// [`Filter::on_response_body`].
    pub response_body: bool,
    /// [`Filter::on_log`].
    pub log: bool,
    /// [`Filter::on_tick`].
    pub tick: bool,
}

impl Hooks {
    /// No hook.
    pub const fn none() -> Self {
        Self { request: false, response: false, request_body: false, response_body: false, log: false, tick: false }
    }

    /// Every hook.
    pub const fn all() -> Self {
        Self { request: true, response: true, request_body: true, response_body: true, log: true, tick: true }
    }
}

/// What an extension wants to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    pub(crate) hooks: Hooks,
    pub(crate) methods: Vec<String>,
    pub(crate) path_prefixes: Vec<String>,
    pub(crate) request_body: Option<BodyMode>,
    pub(crate) response_body: Option<BodyMode>,
    pub(crate) tick_ms: u32,
}

impl Interest {
    /// Every hook that is exported, every method, every path; but no bodies and no ticks.
    pub const fn everything() -> Self {
        Self {
            hooks: Hooks::all(),
            methods: Vec::new(),
            path_prefixes: Vec::new(),
            request_body: None,
            response_body: None,
            tick_ms: 0,
        }
    }

    /// So much of request bodies.
    #[must_use]
    pub const fn request_body(mut self, mode: BodyMode) -> Self {
        self.request_body = Some(mode);
        self
    }

    /// So much of response bodies.
    #[must_use]
    pub const fn response_body(mut self, mode: BodyMode) -> Self {
        self.response_body = Some(mode);
        self
    }

    /// A tick every so many milliseconds, on each worker; the gateway ticks ten times a second at most.
    #[must_use]
    pub const fn tick_ms(mut self, ms: u32) -> Self {
        self.tick_ms = ms;
        self
    }

    /// Only these hooks, of those that are exported.
    #[must_use]
    pub const fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Only requests with one of these methods.
    #[must_use]
    pub fn methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Only paths under one of these, by whole segments.
    #[must_use]
    pub fn path_prefixes<P: Into<String>>(mut self, prefixes: impl IntoIterator<Item = P>) -> Self {
        self.path_prefixes = prefixes.into_iter().map(Into::into).collect();
        self
    }
}

/// Makes a filter of its configuration's JSON text. An empty object also stands for "no configuration", so that
/// `type Config = ()` works for a policy that writes none.
///
/// # Errors
///
/// What serde says about the text, or the filter about the configuration.
pub fn from_json<F: Filter>(config: &str) -> Result<F> {
    let parsed = match serde_json::from_str(config) {
        Ok(parsed) => parsed,
        Err(error) => {
            let empty = config.trim() == "{}" || config.trim().is_empty();
            match serde_json::from_str("null") {
                Ok(unit) if empty => unit,
                _ => {
                    return Err(Error::new(format!("the configuration does not fit: {error}")));
                }
            }
        }
    };
    F::init(parsed)
}
