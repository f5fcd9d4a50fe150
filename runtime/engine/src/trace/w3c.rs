//! W3C Trace Context: `traceparent`.

use http::{HeaderMap, HeaderValue};

use super::{Incoming, SpanContext, TRACEPARENT};

/// Bytes of a `tracestate` that everybody has to take (W3C Trace Context, 3.3.1.5).
pub(super) const STATE_BYTES: usize = 512;

/// Bytes of a `traceparent` of the version that is written here.
const LENGTH: usize = 55;

/// The bit of the flags that says that the span is recorded.
const SAMPLED: u8 = 1;
/// The bit of the flags that says that the trace's id was made by chance.
const RANDOM: u8 = 2;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The lowest digits of a number, in lower case.
pub(super) fn digits<const N: usize>(mut number: u128) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(number & 15) as usize];
        number >>= 4;
    }
    digits
}

/// The number of these hexadecimal digits, no more than 32, in lower case.
pub(super) fn number(digits: &[u8]) -> Option<u128> {
    let mut number = 0;
    for digit in digits {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        number = number << 4 | u128::from(value);
    }
    Some(number)
}

/// The trace, the span and the flags of a `traceparent` (W3C Trace Context, 3.2.2); `None` if it is not well-formed. A later
/// version may have more behind the four fields of the first.
pub(super) fn parse(value: &[u8]) -> Option<(u128, u64, u8)> {
    let field = |from: usize, to: usize| number(value.get(from..to)?);
    let version = field(0, 2)?;
    let ends = match value.get(LENGTH) {
        None => value.len() == LENGTH,
        Some(next) => version > 0 && *next == b'-',
    };
    let parted = [2, 35, 52].into_iter().all(|at| value.get(at) == Some(&b'-'));
    if !ends || !parted || version == 0xff {
        return None;
    }
    let (trace, span, flags) = (field(3, 35)?, field(36, 52)?, field(53, LENGTH)?);
    let (span, flags) = (u64::try_from(span).ok()?, u8::try_from(flags).ok()?);
    (trace != 0 && span != 0).then_some((trace, span, flags))
}

/// What the `traceparent` of a head says; nothing if there are two, or it is malformed.
pub(super) fn incoming(headers: &HeaderMap) -> Option<Incoming> {
    let mut values = headers.get_all(&TRACEPARENT).iter();
    let (trace, span, flags) = parse(values.next()?.as_bytes())?;
    let (sampled, random) = (Some(flags & SAMPLED != 0), flags & RANDOM != 0);
    values.next().is_none().then_some(Incoming { ids: Some((trace, span)), sampled, random, w3c: true })
}

/// Writes the `traceparent` of those whose parent this span is.
pub(super) fn write(context: &SpanContext, headers: &mut HeaderMap) {
    let mut text = [b'-'; LENGTH];
    text[..2].copy_from_slice(b"00");
    text[3..35].copy_from_slice(&context.trace_digits());
    text[36..52].copy_from_slice(&context.span_digits());
    let flags = if context.sampled { SAMPLED } else { 0 } | if context.random { RANDOM } else { 0 };
    text[53..].copy_from_slice(&digits::<2>(u128::from(flags)));
    if let Ok(value) = HeaderValue::from_bytes(&text) {
        headers.insert(&TRACEPARENT, value);
    }
}
