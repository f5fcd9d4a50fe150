//! A filter that has its configuration, and the way of requests through it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::bounds::TICK_MS;
use crate::filter::{Filter, Piece};
use crate::interest::{BodyMode, Hooks, Interest};
use crate::request::Request;
use crate::response::Response;
use crate::sys::mock::{self, Exchange, Fault, Hook, Shared, stop};
use crate::test_host::TestHost;
use crate::test_host::outcome::Outcome;
use crate::verdict::{BodyKind, BodyVerdict, Kind, Reply, Verdict};

/// A filter in service: requests, ticks and time come one after the other, and share a store. [`TestHost::start`] makes it.
///
/// ```
/// # use std::time::Duration;
/// # use tidegate_guest::{Filter, Reply, Request, Result, TestHost, Verdict, store};
/// struct OneAMinute;
///
/// impl Filter for OneAMinute {
///     type Config = ();
///     fn init((): ()) -> Result<Self> {
///         Ok(Self)
///     }
///     fn on_request(&self, _: &mut Request) -> Verdict {
///         match store::take("all", 1, 1.0 / 60.0) {
///             store::Taken::Yes => Verdict::next(),
///             _ => Verdict::respond(Reply::new(429)),
///         }
///     }
/// }
/// # tidegate_guest::export!(OneAMinute: request);
///
/// let gateway = TestHost::new().start::<OneAMinute>();
/// assert_eq!(gateway.send(|host| host).status(), 200);
/// assert_eq!(gateway.send(|host| host).status(), 429);
/// gateway.advance(Duration::from_secs(60));
/// assert_eq!(gateway.send(|host| host).status(), 200);
/// ```
#[derive(Debug)]
pub struct Started<F> {
    filter: F,
    interest: Interest,
    template: TestHost,
    shared: RefCell<Shared>,
    /// The time of the next tick.
    tick: Cell<Duration>,
}

/// The time between two looks of the gateway whether a tick is due.
const LOOK: Duration = Duration::from_millis(100);

impl<F: Filter> Started<F> {
    pub(super) const fn new(filter: F, interest: Interest, template: TestHost, shared: RefCell<Shared>) -> Self {
        Self { filter, interest, template, shared, tick: Cell::new(LOOK) }
    }

    /// Sends the request of the [`TestHost`], changed by `edit`. What it says of the store, the groups and the time holds
    /// from the start and is not looked at again.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Interest, Request, Result, TestHost, Verdict};
    /// # struct Api;
    /// # impl Filter for Api {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn interest(&self) -> Interest {
    /// #         Interest::everything().path_prefixes(["/api"])
    /// #     }
    /// #     fn on_request(&self, request: &mut Request) -> Verdict {
    /// #         request.set_header("x-api", "yes");
    /// #         Verdict::next()
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Api: request);
    /// let gateway = TestHost::new().start::<Api>();
    /// assert_eq!(gateway.send(|host| host.target("/api/a")).request_header("x-api"), Some("yes"));
    /// assert_eq!(gateway.send(|host| host.target("/b")).request_header("x-api"), None);
    /// ```
    pub fn send(&self, edit: impl FnOnce(TestHost) -> TestHost) -> Outcome {
        let exchange = edit(self.template.clone()).exchange;
        Way { filter: &self.filter, shared: &self.shared, interest: &self.interest, exchange }.go()
    }

    /// Ticks, if the filter asks for ticks.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Interest, Result, TestHost, store};
    /// # struct Beat;
    /// # impl Filter for Beat {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn interest(&self) -> Interest {
    /// #         Interest::everything().tick_ms(1000)
    /// #     }
    /// #     fn on_tick(&self) {
    /// #         store::incr("beats", 1, 0);
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Beat: tick);
    /// let gateway = TestHost::new().start::<Beat>();
    /// gateway.tick();
    /// assert_eq!(gateway.stored("beats").as_deref(), Some(&b"1"[..]));
    /// ```
    pub fn tick(&self) {
        if self.interest.hooks.tick {
            mock::beside(&self.shared, || self.filter.on_tick());
        }
    }

    /// Lets time pass, and ticks as often as it is due: the first time 100 ms after the start, when a worker first looks.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tidegate_guest::{Filter, Interest, Result, TestHost, store};
    /// # struct Beat;
    /// # impl Filter for Beat {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// #     fn interest(&self) -> Interest {
    /// #         Interest::everything().tick_ms(1000)
    /// #     }
    /// #     fn on_tick(&self) {
    /// #         store::incr("beats", 1, 0);
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Beat: tick);
    /// let gateway = TestHost::new().start::<Beat>();
    /// gateway.advance(Duration::from_secs(3));
    /// assert_eq!(gateway.stored("beats").as_deref(), Some(&b"3"[..]));
    /// ```
    pub fn advance(&self, time: Duration) {
        let end = self.shared.borrow().passed + time;
        let every = Duration::from_millis(self.interest.tick_ms.max(TICK_MS).into());
        while self.interest.hooks.tick && self.tick.get() <= end {
            let due = self.tick.get();
            self.shared.borrow_mut().passed = due;
            self.tick();
            let looks = (due + every).as_nanos().div_ceil(LOOK.as_nanos());
            self.tick.set(LOOK * u32::try_from(looks).unwrap_or(u32::MAX));
        }
        self.shared.borrow_mut().passed = end;
    }

    /// The value that the store has for a key.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, TestHost};
    /// # struct Plain;
    /// # impl Filter for Plain {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Ok(Self)
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Plain: request);
    /// let gateway = TestHost::new().stored("a", "1").start::<Plain>();
    /// assert_eq!(gateway.stored("a").as_deref(), Some(&b"1"[..]));
    /// ```
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        self.shared.borrow().stored(key)
    }

    /// A metric: the value of a counter or gauge, the values of a histogram; nothing, if it never got one.
    ///
    /// ```
    /// # use tidegate_guest::{Filter, Result, TestHost, metrics::Gauge};
    /// # struct Plain;
    /// # impl Filter for Plain {
    /// #     type Config = ();
    /// #     fn init((): ()) -> Result<Self> {
    /// #         Gauge::new("answer").set(42.0);
    /// #         Ok(Self)
    /// #     }
    /// # }
    /// # tidegate_guest::export!(Plain: request);
    /// assert_eq!(TestHost::new().start::<Plain>().metric("answer"), [42.0]);
    /// ```
    pub fn metric(&self, name: &str) -> Vec<f64> {
        self.shared.borrow().metric(name)
    }
}

/// Whether `path` is `prefix` or below it, by whole segments.
fn under(path: &str, prefix: &str) -> bool {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The way of one request through the hooks that the filter is interested in.
struct Way<'f, F> {
    filter: &'f F,
    shared: &'f RefCell<Shared>,
    interest: &'f Interest,
    exchange: Exchange,
}

impl<F: Filter> Way<'_, F> {
    fn go(mut self) -> Outcome {
        let filter = self.filter;
        let mut verdict = Verdict::next();
        if self.wants(|hooks| hooks.request) {
            verdict = self.head(Hook::Request, || filter.on_request(&mut Request::current()));
        }
        if let (Kind::Next | Kind::Forward(_), Some(mode)) = (&verdict.0, self.interest.request_body)
            && self.wants(|hooks| hooks.request_body)
        {
            let body = std::mem::take(&mut self.exchange.request_body);
            let hook = |piece: Piece<'_>| filter.on_request_body(&mut Request::current(), piece);
            let (on, ended) = self.pieces(Hook::RequestBody, mode, body, hook);
            self.exchange.request_body = on;
            verdict = ended.unwrap_or(verdict);
        }
        let closed = verdict.0 == Kind::Close;
        self.exchange.answered = !closed;
        if let Kind::Respond(reply) = &verdict.0 {
            self.reply(reply);
        }
        let response_verdict = if closed { None } else { self.back() };
        if self.wants(|hooks| hooks.log) {
            self.call(Hook::Log, || filter.on_log(&Request::current(), &Response::current()));
        }
        Outcome::new(verdict, response_verdict, self.exchange, self.shared.borrow().clone())
    }

    fn back(&mut self) -> Option<Verdict> {
        let filter = self.filter;
        let mut verdict = None;
        if self.wants(|hooks| hooks.response) {
            let said = self.head(Hook::Response, || filter.on_response(&Request::current(), &mut Response::current()));
            match &said.0 {
                Kind::Respond(reply) => self.reply(reply),
                Kind::Close => return Some(said),
                Kind::Next | Kind::Forward(_) => {}
            }
            verdict = Some(said);
        }
        if let Some(mode) = self.interest.response_body
            && self.wants(|hooks| hooks.response_body)
        {
            let body = std::mem::take(&mut self.exchange.response_body);
            let hook = |piece: Piece<'_>| filter.on_response_body(&Request::current(), &mut Response::current(), piece);
            let (on, ended) = self.pieces(Hook::ResponseBody, mode, body, hook);
            self.exchange.response_body = on;
            if let Some(Verdict(Kind::Respond(reply))) = &ended {
                self.reply(reply);
            }
            verdict = ended.or(verdict);
        }
        verdict
    }

    /// Whether the filter is interested in the request as it stands, in this hook.
    fn wants(&self, hook: impl Fn(&Hooks) -> bool) -> bool {
        let Interest { hooks, methods, path_prefixes, .. } = self.interest;
        let request = &self.exchange.request;
        hook(hooks)
            && (methods.is_empty() || methods.contains(&request.method))
            && (path_prefixes.is_empty() || {
                let path = crate::path::without_parameters(&request.path);
                path_prefixes.iter().any(|prefix| under(&path, prefix))
            })
    }

    fn reply(&mut self, reply: &Reply) {
        self.exchange.response = mock::Response { status: reply.status, headers: reply.headers.clone() };
        self.exchange.response_body = if reply.body.is_empty() { Vec::new() } else { vec![reply.body.clone()] };
    }

    /// Calls a hook that decides about a head.
    fn head(&mut self, of: Hook, hook: impl FnOnce() -> Verdict) -> Verdict {
        self.call(of, || Verdict(mock::checked_verdict(hook().0, of)))
    }

    fn call<R>(&mut self, of: Hook, hook: impl FnOnce() -> R) -> R {
        let exchange = Exchange { hook: of, ..self.exchange.clone() };
        let (exchange, result) = mock::with(exchange, self.shared, hook);
        self.exchange = exchange;
        result
    }

    /// A body in pieces, as its mode wants them: what goes on, and the verdict that ended it.
    fn pieces(
        &mut self,
        of: Hook,
        mode: BodyMode,
        body: Vec<Vec<u8>>,
        hook: impl Fn(Piece<'_>) -> BodyVerdict,
    ) -> (Vec<Vec<u8>>, Option<Verdict>) {
        if body.is_empty() {
            return (body, None);
        }
        let streams = matches!(mode, BodyMode::Stream(_));
        let body = cut(mode, &body);
        let mut on = Vec::new();
        let mut ended = None;
        self.exchange.streams = streams;
        for (at, data) in body.iter().enumerate() {
            let piece = Piece { data, last: at + 1 == body.len() };
            match self.call(of, || mock::checked_body_verdict(hook(piece).0, streams)) {
                BodyKind::Next => on.push(data.clone()),
                BodyKind::Replace(data) => on.push(data),
                BodyKind::Respond(reply) => ended = Some(Verdict(Kind::Respond(reply))),
                BodyKind::Close => ended = Some(Verdict(Kind::Close)),
            }
            if ended.is_some() {
                break;
            }
        }
        self.exchange.streams = false;
        (on, ended)
    }
}

/// The pieces that a hook sees of a body that came in these. In stream mode that there is no more is known after the last of them,
/// so that the last call has no data.
fn cut(mode: BodyMode, body: &[Vec<u8>]) -> Vec<Vec<u8>> {
    match mode {
        BodyMode::Buffer(most) => {
            let whole = body.concat();
            if whole.len() > most as usize {
                let why = format!("the body is longer than the {most} bytes that the guest asked for");
                stop(Fault::BodyTooLong, why);
            }
            vec![whole]
        }
        BodyMode::Stream(most) => {
            let pieces = body.iter().flat_map(|piece| piece.chunks(most as usize).map(<[u8]>::to_vec));
            pieces.chain([Vec::new()]).collect()
        }
    }
}
