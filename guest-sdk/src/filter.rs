//! What an extension implements.
#![forbid(unsafe_code)]

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{Request, Response, Verdict};

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
}

/// What an extension wants to be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interest {
    pub(crate) hooks: Hooks,
    pub(crate) methods: Vec<String>,
    pub(crate) path_prefixes: Vec<String>,
}

impl Interest {
    /// Every hook that is exported, every method, every path.
    pub const fn everything() -> Self {
        Self { hooks: Hooks { request: true, response: true }, methods: Vec::new(), path_prefixes: Vec::new() }
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
