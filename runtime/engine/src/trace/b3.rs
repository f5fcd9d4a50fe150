//! B3, the form of Zipkin: one field, `b3`, or several, `x-b3-…`. It is read in both forms, and written as one field.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::w3c::number;
use super::{Incoming, SpanContext};

static B3: HeaderName = HeaderName::from_static("b3");
static TRACE_ID: HeaderName = HeaderName::from_static("x-b3-traceid");
static SPAN_ID: HeaderName = HeaderName::from_static("x-b3-spanid");
static PARENT_ID: HeaderName = HeaderName::from_static("x-b3-parentspanid");
static SAMPLED: HeaderName = HeaderName::from_static("x-b3-sampled");
static FLAGS: HeaderName = HeaderName::from_static("x-b3-flags");

/// What a head says; what is malformed says nothing. The one field counts for more than the others.
pub(super) fn incoming(headers: &HeaderMap) -> Incoming {
    match headers.get(&B3) {
        Some(value) => single(value.as_bytes()).unwrap_or_default(),
        None => several(headers).unwrap_or_default(),
    }
}

/// `TRACE-SPAN`, `TRACE-SPAN-SAMPLED`, `TRACE-SPAN-SAMPLED-PARENT` or `SAMPLED`.
fn single(value: &[u8]) -> Option<Incoming> {
    let mut fields = value.split(|byte| *byte == b'-');
    let (first, Some(span)) = (fields.next()?, fields.next()) else {
        return Some(Incoming { sampled: Some(sampling(value)?), ..Incoming::default() });
    };
    let ids = Some((trace(first)?, id(span)?));
    let sampled = match fields.next() {
        Some(field) => Some(sampling(field)?),
        None => None,
    };
    if let Some(parent) = fields.next() {
        id(parent)?;
    }
    fields.next().is_none().then_some(Incoming { ids, sampled, ..Incoming::default() })
}

fn several(headers: &HeaderMap) -> Option<Incoming> {
    let get = |name| headers.get(name).map(HeaderValue::as_bytes);
    let ids = match (get(&TRACE_ID), get(&SPAN_ID)) {
        (Some(first), Some(span)) => Some((trace(first)?, id(span)?)),
        _ => None,
    };
    let sampled = match (get(&FLAGS), get(&SAMPLED)) {
        // Debug: whoever asks wants to see it in any case.
        (Some(b"1"), _) => Some(true),
        (_, Some(value)) => Some(sampling(value)?),
        _ => None,
    };
    Some(Incoming { ids, sampled, ..Incoming::default() })
}

/// Whether a span is recorded; `d` is that it has to be.
fn sampling(value: &[u8]) -> Option<bool> {
    match value {
        b"1" | b"d" | b"true" => Some(true),
        b"0" | b"false" => Some(false),
        _ => None,
    }
}

/// A trace's id has 32 digits, or 16.
fn trace(digits: &[u8]) -> Option<u128> {
    matches!(digits.len(), 16 | 32).then(|| number(digits)).flatten().filter(|id| *id != 0)
}

fn id(digits: &[u8]) -> Option<u64> {
    let number = (digits.len() == 16).then(|| number(digits)).flatten()?;
    u64::try_from(number).ok().filter(|id| *id != 0)
}

/// Writes the `b3` of those whose parent this span is. The fields of the other form go: they would say something else.
pub(super) fn write(context: &SpanContext, headers: &mut HeaderMap) {
    let mut text = [b'-'; 51];
    text[..32].copy_from_slice(&context.trace_digits());
    text[33..49].copy_from_slice(&context.span_digits());
    text[50] = if context.sampled { b'1' } else { b'0' };
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.insert(&B3, value);
    }
    for name in [&TRACE_ID, &SPAN_ID, &PARENT_ID, &SAMPLED, &FLAGS] {
        headers.remove(name);
    }
}
