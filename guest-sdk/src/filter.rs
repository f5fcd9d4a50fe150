//! The trait that an extension implements.
#![forbid(unsafe_code)]

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::interest::{Hooks, Interest};
use crate::request::Request;
use crate::response::Response;
use crate::verdict::{BodyVerdict, Verdict};

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
