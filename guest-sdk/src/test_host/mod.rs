//! A mock of the gateway, so that plain `cargo test` tests an extension.
#![forbid(unsafe_code)]

mod exchange;
mod interest;
mod outcome;
mod started;

use std::cell::RefCell;
use std::fmt::Display;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bounds::FAULT_MESSAGE_BYTES;
use crate::error::Error;
use crate::filter::Exported;
use crate::groups::Group;
use crate::outbound::{Answer, Failure};
use crate::request::Request;
use crate::response::Response;
use crate::sys::mock::{self, Exchange, Hook, Shared, allow};
use crate::verdict::Verdict;

pub use outcome::Outcome;
pub use started::Started;

/// A gateway with one request: `GET http://example.com/` from 192.0.2.1, answered with an empty 200, at
/// 2026-01-01T00:00:00Z. Its methods change it; [`TestHost::run`] sends it through a [`Filter`](crate::Filter).
///
/// ```
/// # use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict};
/// struct Teapot;
///
/// impl Filter for Teapot {
///     type Config = ();
///     fn init((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///     fn on_request(&self, request: &mut Request) -> Verdict {
///         match request.path().as_str() {
///             "/coffee" => Verdict::respond(Reply::new(418).text("I'm a teapot\n")),
///             _ => Verdict::next(),
///         }
///     }
/// }
/// # tidegate_guest::export!(Teapot: request);
///
/// assert_eq!(TestHost::new().target("/coffee").run::<Teapot>().status(), 418);
/// assert_eq!(TestHost::new().target("/tea").run::<Teapot>().status(), 200);
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct TestHost {
    config: String,
    exchange: Exchange,
    shared: Shared,
}

impl Default for TestHost {
    fn default() -> Self {
        Self::new()
    }
}

/// The gateway: what the policy and the operator bring.
impl TestHost {
    /// A gateway with one plain request.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().in_request(|request| assert_eq!(request.authority(), "example.com"));
    /// ```
    pub fn new() -> Self {
        Self { config: "{}".to_owned(), exchange: exchange::plain(), shared: Shared::default() }
    }

    /// The configuration, as JSON text.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, TestHost};
    /// # struct Greeter(String);
    /// # impl Filter for Greeter {
    /// #     type Config = std::collections::HashMap<String, String>;
    /// #     fn init(mut config: Self::Config) -> Result<Self> {
    /// #         Ok(Self(config.remove("name").ok_or_else(|| tidegate_guest::Error::new("write name"))?))
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Greeter: request);
    /// let host = TestHost::new().config(r#"{"name": "tide"}"#);
    /// assert!(host.try_run::<Greeter>().is_ok());
    /// ```
    pub fn config(mut self, json: impl Display) -> Self {
        self.config = json.to_string();
        self
    }

    /// The words of the policy's `allow`, written as there; without them everything is allowed.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, groups};
    /// let host = TestHost::new().allow("[read-request, route [web]]").group("web", 1, 1).group("admin", 1, 1);
    /// host.in_request(|_| assert_eq!(groups::list().len(), 1));
    /// ```
    ///
    /// # Panics
    ///
    /// If they are no words of `allow`.
    #[expect(clippy::panic, reason = "a test with words that there are not has failed")]
    pub fn allow(mut self, words: &str) -> Self {
        self.shared.allow = allow::Allow::read(words).unwrap_or_else(|why| panic!("{why}"));
        self
    }

    /// A server group of the policy. If there is one, to name another is the fault that it is in the gateway.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, groups};
    /// TestHost::new().group("web", 1, 2).in_request(|_| assert_eq!(groups::list()[0].healthy, 1));
    /// ```
    pub fn group(mut self, name: &str, healthy: u32, total: u32) -> Self {
        self.shared.groups.push(Group { name: name.to_owned(), healthy, total });
        self
    }

    /// Sets what the next outbound call to this group gets. Answers are given in this order, and the last one of a
    /// group again and again; a group without any is [`Failure::Offline`].
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, outbound::{Answer, Call, Failure, fetch}};
    /// let host = TestHost::new().outbound("authz", Err(Failure::Timeout)).outbound("authz", Ok(Answer::new(200)));
    /// host.in_request(|_| {
    ///     assert_eq!(fetch(&Call::get("authz", "/")), Err(Failure::Timeout));
    ///     assert_eq!(fetch(&Call::get("authz", "/")).unwrap().status(), 200);
    /// });
    /// ```
    pub fn outbound(mut self, group: &str, answer: Result<Answer, Failure>) -> Self {
        self.shared.answers.push((group.to_owned(), answer));
        self
    }

    /// A value that is in the store already, for ever.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, store};
    /// TestHost::new().stored("colour", "blue").in_request(|_| {
    ///     assert_eq!(store::get("colour").as_deref(), Some(&b"blue"[..]));
    /// });
    /// ```
    pub fn stored(mut self, key: &str, value: impl AsRef<[u8]>) -> Self {
        self.shared.keep(key, value.as_ref(), 0);
        self
    }

    /// The store takes no new key, as if it had reached its bound.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, store};
    /// TestHost::new().full_store().in_request(|_| assert!(!store::set("colour", "blue", 0)));
    /// ```
    pub fn full_store(mut self) -> Self {
        self.shared.store_full = true;
        self
    }

    /// The time of day.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, clock};
    /// # use std::time::{Duration, UNIX_EPOCH};
    /// let noon = UNIX_EPOCH + Duration::from_secs(12 * 3600);
    /// TestHost::new().now(noon).in_request(|_| assert_eq!(clock::now(), noon));
    /// ```
    pub fn now(mut self, now: SystemTime) -> Self {
        self.shared.now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        self
    }

    /// The listener's name.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// TestHost::new().listener("shop").in_request(|request| assert_eq!(request.connection().listener(), "shop"));
    /// ```
    pub fn listener(mut self, name: &str) -> Self {
        self.exchange.connection.listener = name.to_owned();
        self
    }

    /// Sets a variable of the request, as a rule would.
    ///
    /// ```
    /// # use tidegate_guest::{TestHost, vars};
    /// TestHost::new().var("tenant", "acme").in_request(|_| assert_eq!(vars::get("tenant").as_deref(), Some("acme")));
    /// ```
    pub fn var(mut self, name: &str, value: &str) -> Self {
        self.exchange.vars.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The runs of a filter.
impl TestHost {
    /// Makes the filter of the configuration, and sends the request through its hooks.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Result, TestHost, Verdict};
    /// # struct Marker;
    /// # impl Filter for Marker {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn on_request(&self, request: &mut Request) -> Verdict {
    /// #         request.set_header("x-seen", "yes");
    /// #         Verdict::next()
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Marker: request);
    /// assert_eq!(TestHost::new().run::<Marker>().request_header("x-seen"), Some("yes"));
    /// ```
    ///
    /// # Panics
    ///
    /// If the configuration is refused, and where the gateway would stop a call: the message says why.
    pub fn run<F: Exported>(self) -> Outcome {
        self.start::<F>().send(|host| host)
    }

    /// Runs the filter as [`TestHost::run`] does, for tests of configurations.
    ///
    /// ```
    /// # use tidegate_guest::{Error, Filter, Result, TestHost};
    /// # struct Never;
    /// # impl Filter for Never {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Err(Error::new("not today"))
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Never: request);
    /// assert_eq!(TestHost::new().try_run::<Never>().unwrap_err().to_string(), "not today");
    /// ```
    ///
    /// # Errors
    ///
    /// The error of [`Filter::init`](crate::Filter::init), or an interest in what the filter does not export.
    pub fn try_run<F: Exported>(self) -> crate::error::Result<Outcome> {
        Ok(self.try_start::<F>()?.send(|host| host))
    }

    /// Makes the filter, for tests of many requests, of time and of ticks.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Request, Result, TestHost, Verdict, store};
    /// # struct Count;
    /// # impl Filter for Count {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn on_request(&self, request: &mut Request) -> Verdict {
    /// #         request.set_header("x-count", store::incr("all", 1, 0).unwrap_or(0).to_string());
    /// #         Verdict::next()
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Count: request);
    /// let gateway = TestHost::new().start::<Count>();
    /// assert_eq!(gateway.send(|host| host).request_header("x-count"), Some("1"));
    /// assert_eq!(gateway.send(|host| host.method("POST")).request_header("x-count"), Some("2"));
    /// ```
    ///
    /// # Panics
    ///
    /// If the configuration is refused.
    #[expect(clippy::panic, reason = "a test with a configuration that does not fit has failed")]
    pub fn start<F: Exported>(self) -> Started<F> {
        match self.try_start() {
            Ok(started) => started,
            Err(error) => panic!("the extension refused its configuration: {error}"),
        }
    }

    /// Starts the filter as [`TestHost::start`] does, for tests of configurations.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, TestHost};
    /// # #[derive(Debug)]
    /// # struct Plain;
    /// # impl Filter for Plain {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Plain: request);
    /// assert!(TestHost::new().config(r#"{"colour": "blue"}"#).try_start::<Plain>().is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The error of [`Filter::init`](crate::Filter::init), or an interest in what the filter does not export.
    pub fn try_start<F: Exported>(mut self) -> crate::error::Result<Started<F>> {
        for (has, hook) in [(F::HOOKS.request_body, "on-request-body"), (F::HOOKS.response_body, "on-response-body")] {
            if has && !self.shared.allow.covers("body") {
                return Err(Error::new(allow::refusal(hook, "body")));
            }
        }
        // There are no groups yet where `init` runs.
        let groups = std::mem::take(&mut self.shared.groups);
        let shared = RefCell::new(self.shared.clone());
        let (filter, interest) = mock::beside(&shared, || {
            let filter = crate::filter::from_json::<F>(&self.config).map_err(said)?;
            let interest = filter.interest().within(F::HOOKS).map_err(said)?;
            Ok::<_, Error>((filter, interest))
        })?;
        interest::check(&interest)?;
        shared.borrow_mut().groups = groups;
        Ok(Started::new(filter, interest, self, shared))
    }

    /// Runs a piece of code as a request hook would run it: for tests of a part of an extension.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_request(|request| request.set_header("x-a", "1"));
    /// assert_eq!(outcome.request_header("x-a"), Some("1"));
    /// ```
    pub fn in_request(mut self, hook: impl FnOnce(&mut Request)) -> Outcome {
        self.exchange.hook = Hook::Request;
        let shared = RefCell::new(self.shared);
        let (exchange, ()) = mock::with(self.exchange, &shared, || hook(&mut Request::current()));
        Outcome::new(Verdict::next(), None, exchange, shared.into_inner())
    }

    /// Runs a piece of code as a response hook would run it.
    ///
    /// ```
    /// # use tidegate_guest::TestHost;
    /// let outcome = TestHost::new().in_response(|request, response| response.set_header("x-path", request.path()));
    /// assert_eq!(outcome.response_header("x-path"), Some("/"));
    /// ```
    pub fn in_response(mut self, hook: impl FnOnce(&Request, &mut Response)) -> Outcome {
        (self.exchange.hook, self.exchange.answered) = (Hook::Response, true);
        let shared = RefCell::new(self.shared);
        let (exchange, ()) = mock::with(self.exchange, &shared, || hook(&Request::current(), &mut Response::current()));
        Outcome::new(Verdict::next(), Some(Verdict::next()), exchange, shared.into_inner())
    }
}

/// An error of `init` as the gateway says it: one line, and not without end.
fn said(error: Error) -> Error {
    Error::new(mock::one_line(&error.to_string(), FAULT_MESSAGE_BYTES))
}
