//! The trait that an extension implements, and the types that it speaks in.
#![forbid(unsafe_code)]

use std::fmt;

use serde::de::DeserializeOwned;

use crate::{BodyVerdict, Request, Response, Verdict};

/// An extension. One value of it is made for each instance, and serves one call at a time.
///
/// ```
/// use tidegate_guest::{Error, Filter, Request, Result, TestHost, Verdict};
///
/// #[derive(serde::Deserialize)]
/// #[serde(deny_unknown_fields)]
/// struct Config {
///     percent: u8,
/// }
///
/// struct Sampler(Config);
///
/// impl Filter for Sampler {
///     type Config = Config;
///
///     fn init(config: Config) -> Result<Self> {
///         if config.percent > 100 {
///             return Err(Error::new(format!("percent is {}: write 0 to 100", config.percent)));
///         }
///         Ok(Self(config))
///     }
///
///     fn on_request(&self, request: &mut Request) -> Verdict {
///         if tidegate_guest::random::u64() % 100 < self.0.percent.into() {
///             request.set_header("x-sampled", "yes");
///         }
///         Verdict::next()
///     }
/// }
/// # tidegate_guest::export!(Sampler: request);
///
/// let outcome = TestHost::new().config(r#"{"percent": 100}"#).run::<Sampler>();
/// assert_eq!(outcome.request_header("x-sampled"), Some("yes"));
/// assert!(TestHost::new().config(r#"{"percent": 101}"#).try_run::<Sampler>().is_err());
/// ```
pub trait Filter: Sized + 'static {
    /// The configuration as the policy's `config { … }` writes it; `()` takes none, and
    /// `#[serde(deny_unknown_fields)]` makes a misspelt word an error.
    type Config: DeserializeOwned;

    /// Takes the configuration. An error refuses the policy: say what to change.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the configuration.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, TestHost};
    /// struct Networks(Vec<std::net::IpAddr>);
    ///
    /// impl Filter for Networks {
    ///     type Config = Vec<String>;
    ///
    ///     fn init(config: Vec<String>) -> Result<Self> {
    ///         // `?` turns every error into the sentence that the author of the policy reads.
    ///         Ok(Self(config.iter().map(|text| text.parse()).collect::<std::result::Result<_, _>>()?))
    ///     }
    /// }
    /// # tidegate_guest::export!(Networks: request);
    ///
    /// let error = TestHost::new().config(r#"["10.0.0"]"#).try_run::<Networks>().unwrap_err();
    /// assert_eq!(error.to_string(), "invalid IP address syntax");
    /// ```
    fn init(config: Self::Config) -> Result<Self>;

    /// The requests that the extension wants to be asked about; every request if not written. The gateway tests the
    /// interest before it calls.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Interest, Request, Result, TestHost, Verdict};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn interest(&self) -> Interest {
    ///     Interest::everything().methods(["POST"]).path_prefixes(["/api"])
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: request);
    /// # assert_eq!(TestHost::new().run::<MyFilter>().response_verdict, None);
    /// ```
    fn interest(&self) -> Interest {
        Interest::everything()
    }

    /// The request's head is known, and nothing has left for the backend.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Result, TestHost, Verdict};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn on_request(&self, request: &mut Request) -> Verdict {
    ///     request.set_header("x-client", request.connection().client_ip_text());
    ///     Verdict::next()
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: request);
    /// # assert_eq!(TestHost::new().run::<MyFilter>().request_header("x-client"), Some("192.0.2.1"));
    /// ```
    fn on_request(&self, request: &mut Request) -> Verdict {
        let _ = request;
        Verdict::next()
    }

    /// The response's head is known, and nothing has left for the client. The request has left, so it is read-only.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Response, Result, TestHost, Verdict};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
    ///     if request.tested_path().starts_with("/assets/") {
    ///         response.set_header("cache-control", "max-age=31536000");
    ///     }
    ///     Verdict::next()
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: response);
    /// # let outcome = TestHost::new().target("/assets/a").run::<MyFilter>();
    /// # assert_eq!(outcome.response_header("cache-control"), Some("max-age=31536000"));
    /// ```
    fn on_response(&self, request: &Request, response: &mut Response) -> Verdict {
        let _ = (request, response);
        Verdict::next()
    }

    /// A piece of the request's body is there: the whole in buffer mode, with a request that may still be changed. Needs `body`
    /// in `allow`, and a mode in [`Filter::interest`].
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, BodyVerdict, Filter, Interest, Piece, Reply, Request, Result, TestHost};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn interest(&self) -> Interest {
    ///     Interest::everything().request_body(BodyMode::Buffer(65_536))
    /// }
    ///
    /// fn on_request_body(&self, _: &mut Request, piece: Piece<'_>) -> BodyVerdict {
    ///     match piece.data.starts_with(b"{") {
    ///         true => BodyVerdict::next(),
    ///         false => BodyVerdict::respond(Reply::new(415).text("JSON, please\n")),
    ///     }
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: request_body);
    /// # assert_eq!(TestHost::new().body("a=b").run::<MyFilter>().status(), 415);
    /// ```
    fn on_request_body(&self, request: &mut Request, piece: Piece<'_>) -> BodyVerdict {
        let _ = (request, piece);
        BodyVerdict::next()
    }

    /// A piece of the response's body is there: the whole in buffer mode, with a response that may still be changed.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, BodyVerdict, Filter, Interest, Piece, Request, Response, Result, TestHost};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn interest(&self) -> Interest {
    ///     Interest::everything().response_body(BodyMode::Stream(16_384))
    /// }
    ///
    /// fn on_response_body(&self, _: &Request, _: &mut Response, piece: Piece<'_>) -> BodyVerdict {
    ///     BodyVerdict::replace(piece.data.to_ascii_uppercase())
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: response_body);
    /// # assert_eq!(TestHost::new().response_body("a").run::<MyFilter>().response_body(), b"A");
    /// ```
    fn on_response_body(&self, request: &Request, response: &mut Response, piece: Piece<'_>) -> BodyVerdict {
        let _ = (request, response, piece);
        BodyVerdict::next()
    }

    /// The request is over. Nothing can be changed but variables, which the access log sees. To read the status of a request
    /// that had no response is a fault.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Response, Result, TestHost, vars};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn on_log(&self, request: &Request, response: &Response) {
    ///     if response.status() >= 500 {
    ///         vars::set("failed", &request.path());
    ///     }
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: log);
    /// # assert_eq!(TestHost::new().status(500).run::<MyFilter>().var("failed"), Some("/"));
    /// ```
    fn on_log(&self, request: &Request, response: &Response) {
        let _ = (request, response);
    }

    /// Time has passed; there is no request. Each worker ticks.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Interest, Result, TestHost, log};
    /// # struct MyFilter;
    /// # impl Filter for MyFilter {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> { Ok(Self) }
    /// fn interest(&self) -> Interest {
    ///     Interest::everything().tick_ms(60_000)
    /// }
    ///
    /// fn on_tick(&self) {
    ///     log::write(log::Level::Info, "a minute has passed");
    /// }
    /// # }
    /// # tidegate_guest::export!(MyFilter: tick);
    /// # TestHost::new().start::<MyFilter>().tick();
    /// ```
    fn on_tick(&self) {}
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` is not exported, so the gateway would not call it",
    note = "write `export!({Self}: request, response);` with the hooks that it has"
)]
/// A [`Filter`] that this module exports, with the hooks that it has; [`export!`](macro@crate::export) makes it one.
///
/// ```
/// # use tidegate_guest::{Exported, Filter, Result, export};
/// # struct MyFilter;
/// # impl Filter for MyFilter {
/// #     type Config = ();
/// #     fn init((): ()) -> Result<Self> { Ok(Self) }
/// # }
/// export!(MyFilter: request, log);
///
/// assert!(MyFilter::HOOKS.log && !MyFilter::HOOKS.response);
/// ```
pub trait Exported: Filter {
    /// The hooks that the module has. The gateway calls no other, and neither does the mock.
    const HOOKS: Hooks;
}

/// A piece of a body.
///
/// ```
/// # use tidegate_guest::Piece;
/// let piece = Piece { data: b"the end", last: true };
/// assert!(piece.last && piece.data.ends_with(b"end"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Piece<'p> {
    /// The bytes of the piece; the last piece may have none.
    pub data: &'p [u8],
    /// Whether the piece is the last.
    pub last: bool,
}

/// The way in which an extension wants to see a body.
///
/// ```
/// # use tidegate_guest::{BodyMode, Interest};
/// // Forms as a whole, and responses as they come.
/// let interest = Interest::everything().request_body(BodyMode::Buffer(65_536)).response_body(BodyMode::Stream(16_384));
/// # assert_ne!(interest, Interest::everything());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyMode {
    /// The body comes piece by piece, each of at most so many bytes: 1024 to 1048576.
    Stream(u32),
    /// The whole, of at most so many bytes, up to 1048576. A longer body is a fault of the call.
    Buffer(u32),
}

/// The error of [`Filter::init`]: a sentence for the author of the policy.
///
/// ```
/// # use tidegate_guest::{Error, Result};
/// fn percent(text: &str) -> Result<u8> {
///     match text.parse::<u8>()? {
///         percent @ 0..=100 => Ok(percent),
///         percent => Err(Error::new(format!("percent is {percent}: write 0 to 100"))),
///     }
/// }
/// assert_eq!(percent("101").unwrap_err().to_string(), "percent is 101: write 0 to 100");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

/// A result with that error.
///
/// ```
/// fn positive(number: i64) -> tidegate_guest::Result<i64> {
///     if number > 0 { Ok(number) } else { Err(tidegate_guest::Error::new("write a number above 0")) }
/// }
/// assert!(positive(0).is_err());
/// ```
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that says this.
    ///
    /// ```
    /// # use tidegate_guest::Error;
    /// assert_eq!(Error::new("write a number").to_string(), "write a number");
    /// ```
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
///
/// ```
/// # use tidegate_guest::{Hooks, Interest};
/// let interest = Interest::everything().hooks(Hooks { request: true, ..Hooks::none() });
/// # assert_ne!(interest, Interest::everything());
/// ```
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
    ///
    /// ```
    /// # use tidegate_guest::Hooks;
    /// assert!(!Hooks::none().request);
    /// ```
    pub const fn none() -> Self {
        Self { request: false, response: false, request_body: false, response_body: false, log: false, tick: false }
    }

    /// Every hook.
    ///
    /// ```
    /// # use tidegate_guest::Hooks;
    /// let all_but_responses = Hooks { response: false, ..Hooks::all() };
    /// assert!(all_but_responses.request);
    /// ```
    pub const fn all() -> Self {
        Self { request: true, response: true, request_body: true, response_body: true, log: true, tick: true }
    }
}

/// The requests, hooks and bodies that an extension wants to be asked about.
///
/// ```
/// # use tidegate_guest::Interest;
/// let interest = Interest::everything().methods(["POST", "PUT"]).path_prefixes(["/api"]);
/// # assert_ne!(interest, Interest::everything());
/// ```
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
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything();
    /// # assert_eq!(interest, Interest::everything());
    /// ```
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

    /// Asks to see request bodies in this way.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, Interest};
    /// let interest = Interest::everything().request_body(BodyMode::Buffer(65_536));
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn request_body(mut self, mode: BodyMode) -> Self {
        self.request_body = Some(mode);
        self
    }

    /// Asks to see response bodies in this way.
    ///
    /// ```
    /// # use tidegate_guest::{BodyMode, Interest};
    /// let interest = Interest::everything().response_body(BodyMode::Stream(16_384));
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn response_body(mut self, mode: BodyMode) -> Self {
        self.response_body = Some(mode);
        self
    }

    /// A tick every so many milliseconds, on each worker; the gateway ticks ten times a second at most.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().tick_ms(5_000);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn tick_ms(mut self, ms: u32) -> Self {
        self.tick_ms = ms;
        self
    }

    /// Keeps to these hooks, of those that are exported.
    ///
    /// ```
    /// # use tidegate_guest::{Hooks, Interest};
    /// let interest = Interest::everything().hooks(Hooks { log: true, ..Hooks::none() });
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub const fn hooks(mut self, hooks: Hooks) -> Self {
        self.hooks = hooks;
        self
    }

    /// Keeps to requests with one of these methods.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().methods(["GET"]);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub fn methods<M: Into<String>>(mut self, methods: impl IntoIterator<Item = M>) -> Self {
        self.methods = methods.into_iter().map(Into::into).collect();
        self
    }

    /// Keeps to paths under one of these, by whole segments.
    ///
    /// ```
    /// # use tidegate_guest::Interest;
    /// let interest = Interest::everything().path_prefixes(["/api", "/admin"]);
    /// # assert_ne!(interest, Interest::everything());
    /// ```
    #[must_use]
    pub fn path_prefixes<P: Into<String>>(mut self, prefixes: impl IntoIterator<Item = P>) -> Self {
        self.path_prefixes = prefixes.into_iter().map(Into::into).collect();
        self
    }
}

impl Interest {
    /// The interest within the hooks that the module has: what the gateway is told, and what the mock goes by.
    ///
    /// # Errors
    ///
    /// If the interest asks for bodies or ticks that no hook takes.
    pub(crate) fn within(mut self, exported: Hooks) -> Result<Self> {
        let lacking = [
            (self.request_body.is_some() && !exported.request_body, "request bodies", "request_body"),
            (self.response_body.is_some() && !exported.response_body, "response bodies", "response_body"),
            (self.tick_ms > 0 && !exported.tick, "ticks", "tick"),
        ];
        if let Some((_, what, hook)) = lacking.iter().find(|(lacks, ..)| *lacks) {
            return Err(Error(format!("its interest asks for {what}, but `export!` does not name the hook `{hook}`")));
        }
        self.hooks = Hooks {
            request: self.hooks.request && exported.request,
            response: self.hooks.response && exported.response,
            request_body: self.request_body.is_some(),
            response_body: self.response_body.is_some(),
            log: self.hooks.log && exported.log,
            tick: self.tick_ms > 0,
        };
        Ok(self)
    }
}

/// Makes a filter of its configuration's JSON text. An empty object also stands for "no configuration", so that
/// `type Config = ()` works for a policy that writes none.
///
/// # Errors
///
/// What serde says about the text, or the filter about the configuration.
#[doc(hidden)]
pub fn from_json<F: Filter>(config: &str) -> Result<F> {
    let parsed = match serde_json::from_str(config) {
        Ok(parsed) => parsed,
        Err(error) => {
            let empty = config.trim() == "{}" || config.trim().is_empty();
            match serde_json::from_str("null") {
                Ok(unit) if empty => unit,
                _ => {
                    // The author of the policy wrote no JSON, so its lines and columns say nothing.
                    let error = error.to_string();
                    let what = error.split_once(" at line ").map_or(error.as_str(), |(what, _)| what);
                    return Err(Error::new(format!("the configuration does not fit: {what}")));
                }
            }
        }
    };
    F::init(parsed)
}
