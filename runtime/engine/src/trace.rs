//! The trace that a request belongs to: the context that it came with, and the one that servers get.
//!
//! A context travels as W3C Trace Context, and as B3 where a policy says so. One that is malformed costs nothing but itself: the
//! request begins a trace, as if it had come with none.

mod b3;
mod sampling;
mod w3c;

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_dsl::plan::Sampling;

pub use sampling::is_chosen;

/// The name of the field that carries a context (W3C Trace Context, 3.2).
pub static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The name of the field with what systems keep of a trace for themselves (W3C Trace Context, 3.3).
pub static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The ids in a `traceparent`, in lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'v> {
    /// The trace: 32 digits.
    pub trace_id: &'v str,
    /// The span of the client, which is the parent of what happens here: 16 digits.
    pub parent_id: &'v str,
}

/// Reads a `traceparent` (W3C Trace Context, 3.2.2); `None` if it is not well-formed. A later version may have more behind
/// the four fields of the first.
pub fn read(value: &HeaderValue) -> Option<TraceContext<'_>> {
    w3c::parse(value.as_bytes())?;
    let value = value.to_str().ok()?;
    Some(TraceContext { trace_id: value.get(3..35)?, parent_id: value.get(36..52)? })
}

/// What names a span to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanContext {
    /// The trace; never 0.
    pub trace_id: u128,
    /// The span; never 0.
    pub span_id: u64,
    /// Whether the span is recorded.
    pub sampled: bool,
    /// Whether the trace's id was made by chance (W3C Trace Context 2, 2.3.2.3).
    pub random: bool,
}

impl SpanContext {
    /// The trace's id in hexadecimal digits.
    pub fn trace_digits(&self) -> [u8; 32] {
        w3c::digits(self.trace_id)
    }

    /// The span's id in hexadecimal digits.
    pub fn span_digits(&self) -> [u8; 16] {
        w3c::digits(u128::from(self.span_id))
    }
}

/// What a request says of the trace that it belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Incoming {
    /// The trace, and the span of the client.
    ids: Option<(u128, u64)>,
    /// Whether the client's span is recorded; nothing if the client leaves it open.
    sampled: Option<bool>,
    random: bool,
    /// Whether the ids are those of a `traceparent`, to which a `tracestate` belongs.
    w3c: bool,
}

impl Incoming {
    fn of(headers: &HeaderMap, b3: bool) -> Self {
        match w3c::incoming(headers) {
            Some(incoming) => incoming,
            None if b3 => b3::incoming(headers),
            None => Self::default(),
        }
    }
}

/// A request's place in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traced {
    /// The span of the request.
    pub context: SpanContext,
    /// The span that asked for it, which is another's.
    pub parent: Option<u64>,
    /// Whether the context is written as B3, too.
    pub b3: bool,
    /// Whether the request's `tracestate` belongs to the trace.
    pub has_state: bool,
}

impl Traced {
    /// The place of a request with this head. The trace goes on that the head names, or one begins; `random` makes ids.
    pub fn begin(headers: &HeaderMap, sampling: Sampling, b3: bool, mut random: impl FnMut() -> u64) -> Self {
        let incoming = Incoming::of(headers, b3);
        // 0 is no id. No generator gives it twice.
        let mut id = || random().max(1);
        let (trace_id, parent) = match incoming.ids {
            Some((trace, parent)) => (trace, Some(parent)),
            None => (u128::from(id()) << 64 | u128::from(id()), None),
        };
        let sampled = incoming.sampled.filter(|_| !sampling.ignore_parent);
        let context = SpanContext {
            trace_id,
            span_id: id(),
            sampled: sampled.unwrap_or_else(|| is_chosen(trace_id, sampling.percent)),
            random: incoming.random || parent.is_none(),
        };
        Self { context, parent, b3, has_state: incoming.w3c }
    }

    /// Writes into a request to a server that this span is its parent.
    pub fn write(&self, parent: u64, headers: &mut HeaderMap) {
        let context = SpanContext { span_id: parent, ..self.context };
        w3c::write(&context, headers);
        if !self.has_state {
            headers.remove(&TRACESTATE);
        }
        if self.b3 {
            b3::write(&context, headers);
        }
    }

    /// The `tracestate` of a request, if it belongs to the trace, is one text and no longer than anybody has to take (W3C Trace
    /// Context, 3.3.1.5).
    pub fn state<'h>(&self, headers: &'h HeaderMap) -> Option<&'h HeaderValue> {
        let mut values = headers.get_all(&TRACESTATE).iter();
        let state = values.next().filter(|_| self.has_state)?;
        let fits = !state.is_empty() && state.len() <= w3c::STATE_BYTES && state.to_str().is_ok();
        (fits && values.next().is_none()).then_some(state)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests;
