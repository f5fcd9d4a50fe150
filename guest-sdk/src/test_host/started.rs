//! A filter that has its configuration, and the way of requests through it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::sys::mock::{self, Exchange, Phase, Shared};
use crate::test_host::{Outcome, TestHost};
use crate::verdict::{BodyKind, Kind};
use crate::{BodyMode, BodyVerdict, Filter, Interest, Piece, Reply, Request, Response, Verdict};

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
    ticks: Cell<u32>,
}

/// The least time between two ticks, in milliseconds, as in the gateway.
const TICK_MS: u32 = 100;

impl<F: Filter> Started<F> {
    pub(super) const fn new(filter: F, interest: Interest, template: TestHost, shared: RefCell<Shared>) -> Self {
        Self { filter, interest, template, shared, ticks: Cell::new(0) }
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
        let interest = self.interest.clone();
        let path = &exchange.request.path;
        let wanted = (interest.methods.is_empty() || interest.methods.contains(&exchange.request.method))
            && (interest.path_prefixes.is_empty() || interest.path_prefixes.iter().any(|prefix| under(path, prefix)));
        if !wanted {
            return Outcome::new(Verdict::next(), None, exchange, self.shared.borrow().clone());
        }
        Way { filter: &self.filter, shared: &self.shared, interest, exchange }.go()
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
            self.ticks.set(self.ticks.get() + 1);
            mock::beside(&self.shared, || self.filter.on_tick());
        }
    }

    /// Lets time pass, and ticks as often as it is due.
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
        if self.interest.hooks.tick {
            loop {
                let due = every * (self.ticks.get() + 1);
                if due > end {
                    break;
                }
                self.shared.borrow_mut().passed = due;
                self.tick();
            }
        }
        self.shared.borrow_mut().passed = end;
    }

    /// What the store has for a key.
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
    interest: Interest,
    exchange: Exchange,
}

impl<F: Filter> Way<'_, F> {
    fn go(mut self) -> Outcome {
        let filter = self.filter;
        let mut verdict = Verdict::next();
        if self.interest.hooks.request {
            verdict = self.call(|| filter.on_request(&mut Request::current()));
        }
        if let (Kind::Next | Kind::Forward(_), Some(mode)) = (&verdict.0, self.interest.request_body) {
            let body = std::mem::take(&mut self.exchange.request_body);
            let (on, ended) = self.pieces(mode, body, |piece| filter.on_request_body(&mut Request::current(), piece));
            self.exchange.request_body = on;
            verdict = ended.unwrap_or(verdict);
        }
        self.exchange.phase = Phase::Response;
        if let Kind::Respond(reply) = &verdict.0 {
            self.reply(reply);
        }
        let closed = verdict.0 == Kind::Close;
        let response_verdict = if closed { None } else { self.back() };
        self.exchange.phase = if closed { Phase::Sent } else { Phase::Over };
        if self.interest.hooks.log {
            self.call(|| filter.on_log(&Request::current(), &Response::current()));
        }
        Outcome::new(verdict, response_verdict, self.exchange, self.shared.borrow().clone())
    }

    fn back(&mut self) -> Option<Verdict> {
        let filter = self.filter;
        let mut verdict = None;
        if self.interest.hooks.response {
            let said = self.call(|| filter.on_response(&Request::current(), &mut Response::current()));
            match &said.0 {
                Kind::Respond(reply) => self.reply(reply),
                Kind::Close => return Some(said),
                Kind::Next => {}
                Kind::Forward(_) => refused("the guest said `forward` in a response hook: the request has left"),
            }
            verdict = Some(said);
        }
        if let Some(mode) = self.interest.response_body {
            let body = std::mem::take(&mut self.exchange.response_body);
            let (on, ended) = self.pieces(mode, body, |piece| {
                filter.on_response_body(&Request::current(), &mut Response::current(), piece)
            });
            self.exchange.response_body = on;
            if let Some(Verdict(Kind::Respond(reply))) = &ended {
                self.reply(reply);
            }
            verdict = ended.or(verdict);
        }
        verdict
    }

    fn reply(&mut self, reply: &Reply) {
        self.exchange.response = mock::Response { status: reply.status, headers: reply.headers.clone() };
        self.exchange.response_body = if reply.body.is_empty() { Vec::new() } else { vec![reply.body.clone()] };
    }

    fn call<R>(&mut self, hook: impl FnOnce() -> R) -> R {
        let exchange = self.exchange.clone();
        let (exchange, result) = mock::with(exchange, self.shared, hook);
        self.exchange = exchange;
        result
    }

    /// A body in pieces, as its mode wants them: what goes on, and the verdict that ended it.
    fn pieces(
        &mut self,
        mode: BodyMode,
        body: Vec<Vec<u8>>,
        hook: impl Fn(Piece<'_>) -> BodyVerdict,
    ) -> (Vec<Vec<u8>>, Option<Verdict>) {
        let phase = self.exchange.phase;
        if body.is_empty() {
            return (body, None);
        }
        let body: Vec<Vec<u8>> = match mode {
            BodyMode::Buffer(most) => {
                let whole = body.concat();
                if whole.len() > most as usize {
                    refused(&format!("the body is longer than the {most} bytes that the extension asked for"));
                }
                vec![whole]
            }
            BodyMode::Stream(most) => {
                self.exchange.phase = if phase == Phase::Request { Phase::Sent } else { Phase::Over };
                body.iter().flat_map(|piece| split(piece, most)).collect()
            }
        };
        let mut on = Vec::new();
        let mut ended = None;
        self.exchange.in_body = true;
        for (at, data) in body.iter().enumerate() {
            let piece = Piece { data, last: at + 1 == body.len() };
            match self.call(|| hook(piece)).0 {
                BodyKind::Next => on.push(data.clone()),
                BodyKind::Replace(data) => on.push(data),
                BodyKind::Respond(_) if matches!(mode, BodyMode::Stream(_)) => {
                    refused("the guest said `respond` to a piece of a body: the head has left")
                }
                BodyKind::Respond(reply) => ended = Some(Verdict(Kind::Respond(reply))),
                BodyKind::Close => ended = Some(Verdict(Kind::Close)),
            }
            if ended.is_some() {
                break;
            }
        }
        (self.exchange.phase, self.exchange.in_body) = (phase, false);
        (on, ended)
    }
}

/// A piece that came, in pieces that the extension takes.
fn split(piece: &[u8], most: u32) -> Vec<Vec<u8>> {
    if piece.is_empty() {
        return vec![Vec::new()];
    }
    piece.chunks((most as usize).max(1)).map(<[u8]>::to_vec).collect()
}

#[expect(clippy::panic, reason = "where the gateway would stop a call, a test has failed")]
fn refused(why: &str) -> ! {
    panic!("{why}")
}
