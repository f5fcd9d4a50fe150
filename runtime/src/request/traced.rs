//! The trace of the request in flight on a stream: its own span, and those of what happens for it.
//!
//! A request of a listener without `tracing` has none of it. One that is traced and not recorded has a span for others, servers and
//! the log, of which nothing is kept. Only of one that is recorded times are taken, and [spans](crate::telemetry::spans) made.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, Request, StatusCode, Version};
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::{GroupProtocol, Server, ServerGroup};
use tidegate_engine::trace::{SpanContext, Traced};

use crate::telemetry::spans::ring::SpanSender;
use crate::telemetry::spans::span::{HookSpan, Of, RequestSpan, Span, TrySpan, text, value};

/// The trace of the request in flight on a stream.
#[derive(Default)]
pub struct Trace {
    /// The request's place in its trace, if its listener is traced.
    place: Cell<Option<Traced>>,
    /// What is recorded, if it is.
    recorded: RefCell<Option<Box<Recorded>>>,
}

/// A request that is recorded.
struct Recorded {
    state: Option<Box<str>>,
    started: Instant,
    /// The time of `started`: nanoseconds since 1970.
    start_ns: u64,
    /// The span that what happens now belongs to: the request's, or that of a hook that runs.
    current: u64,
    /// The try that is under way.
    open: Option<(SpanContext, u64, Box<TrySpan>)>,
    /// How often the same request was sent before.
    resends: u32,
    /// Spans that were made for the request.
    made: u32,
}

/// A call of a hook that is recorded: its span, and when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called {
    context: SpanContext,
    start_ns: u64,
}

impl Trace {
    /// A request begins that is of no trace.
    pub(super) fn forget(&self) {
        if self.place.take().is_some() {
            self.recorded.take();
        }
    }

    /// A request begins that has this place in a trace; this is its head, which came then.
    pub(super) fn begin(&self, place: Traced, headers: &HeaderMap, started: Instant) {
        self.place.set(Some(place));
        self.recorded.replace(place.context.sampled.then(|| {
            let began = SystemTime::now().checked_sub(started.elapsed()).unwrap_or(UNIX_EPOCH);
            Box::new(Recorded {
                state: place.state(headers).map(value),
                started,
                start_ns: nanos(began.duration_since(UNIX_EPOCH).unwrap_or_default()),
                current: place.context.span_id,
                open: None,
                resends: 0,
                made: 0,
            })
        }));
    }

    /// The request's own span, if its listener is traced.
    pub(super) fn context(&self) -> Option<SpanContext> {
        self.place.get().map(|place| place.context)
    }

    /// Whether spans are made for the request.
    pub(super) fn is_recorded(&self) -> bool {
        self.recorded.borrow().is_some()
    }

    /// A try begins: the server gets its context. `again` says that the same request was sent before, and `random` makes ids.
    pub(super) fn begin_try<B>(
        &self,
        (group, server): (&ServerGroup, &Server),
        again: bool,
        request: &mut Request<B>,
        random: impl FnOnce() -> u64,
    ) {
        let Some(place) = self.place.get() else { return };
        let mut parent = place.context.span_id;
        if let Some(recorded) = &mut *self.recorded.borrow_mut() {
            let context = SpanContext { span_id: random().max(1), ..place.context };
            parent = context.span_id;
            recorded.resends = if again { recorded.resends.saturating_add(1) } else { 0 };
            let is_grpc = group.protocol == GroupProtocol::Grpc;
            let tried = TrySpan {
                group: group.name.as_str().into(),
                server: server.clone(),
                secure: group.protocol == GroupProtocol::Https,
                version: if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 },
                method: request.method().clone(),
                target: text(request.uri().path_and_query().map_or("/", |target| target.as_str())),
                resends: recorded.resends,
                status: None,
                failure: None,
            };
            recorded.open = Some((context, recorded.now(), Box::new(tried)));
        }
        place.write(parent, request.headers_mut());
    }

    /// The try that is under way has ended, with the head of an answer or without one.
    pub(super) fn end_try(&self, came: Result<StatusCode, Failure>, to: &SpanSender) {
        if let Some(recorded) = &mut *self.recorded.borrow_mut() {
            recorded.end_try(came, to);
        }
    }

    /// A hook is called, if that is recorded.
    pub(super) fn begin_hook(&self, random: impl FnOnce() -> u64) -> Option<Called> {
        let place = self.place.get()?;
        let mut recorded = self.recorded.borrow_mut();
        let recorded = recorded.as_mut()?;
        let context = SpanContext { span_id: random().max(1), ..place.context };
        recorded.current = context.span_id;
        Some(Called { context, start_ns: recorded.now() })
    }

    /// The call has ended.
    pub(super) fn end_hook(&self, called: Called, hook: HookSpan, to: &SpanSender) {
        let Some(place) = self.place.get() else { return };
        if let Some(recorded) = &mut *self.recorded.borrow_mut() {
            recorded.current = place.context.span_id;
            recorded.send((called.context, place.context.span_id), called.start_ns, Of::Hook(hook), to);
        }
    }

    /// The request has ended.
    pub(super) fn end(&self, request: impl FnOnce() -> RequestSpan, to: &SpanSender) {
        let (Some(place), Some(mut recorded)) = (self.place.get(), self.recorded.take()) else { return };
        let request = request();
        // The request was given up while a server had it.
        recorded.end_try(Err(request.failure.unwrap_or(Failure::ClientClosed)), to);
        to.send(Span {
            context: place.context,
            parent: place.parent.map(|parent| (parent, true)),
            state: recorded.state.take(),
            start_ns: recorded.start_ns,
            end_ns: recorded.now(),
            of: Of::Request(Box::new(request)),
        });
    }
}

impl Recorded {
    /// Nanoseconds since 1970, by the clock that never goes back.
    fn now(&self) -> u64 {
        self.start_ns.saturating_add(nanos(self.started.elapsed()))
    }

    fn end_try(&mut self, came: Result<StatusCode, Failure>, to: &SpanSender) {
        let Some((context, start_ns, mut tried)) = self.open.take() else { return };
        tried.status = came.ok().map(|status| status.as_u16());
        tried.failure = came.err();
        self.send((context, self.current), start_ns, Of::Try(tried), to);
    }

    fn send(&mut self, (context, parent): (SpanContext, u64), start_ns: u64, of: Of, to: &SpanSender) {
        if self.made >= limits::SPANS_OF_A_REQUEST {
            Bound::Spans.met();
            return;
        }
        self.made += 1;
        let (state, end_ns) = (self.state.clone(), self.now());
        to.send(Span { context, parent: Some((parent, false)), state, start_ns, end_ns, of });
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
