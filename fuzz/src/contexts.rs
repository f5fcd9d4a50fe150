//! What must hold for every context of a trace that a client names.
//!
//! An input is the lines of a head: `name: value`.

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_dsl::plan::Sampling;
use tidegate_engine::trace::{TRACEPARENT, Traced, read};

/// A request is of a trace, whatever it says; and whoever gets the context that is written understands it alike.
pub fn understood(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (line.get(..colon), line.get(colon + 1..));
        if let Some((Ok(name), Ok(value))) =
            name.zip(value).map(|(name, value)| (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)))
        {
            headers.append(name, value);
        }
    }
    for (b3, ignore_parent) in [(false, false), (true, false), (true, true)] {
        let sampling = Sampling { percent: 10, ignore_parent };
        let traced = Traced::begin(&headers, sampling, b3, || 7);
        let context = traced.context;
        assert!(context.trace_id != 0 && context.span_id != 0 && traced.parent != Some(0));
        let _ = traced.state(&headers);
        let mut sent = headers.clone();
        traced.write(9, &mut sent);
        // By `traceparent`, and by `b3` alone.
        let follow = Sampling { percent: 1, ignore_parent: false };
        let next = Traced::begin(&sent, follow, false, || 8);
        assert_eq!((next.context.trace_id, next.parent), (context.trace_id, Some(9)));
        assert_eq!((next.context.sampled, next.context.random), (context.sampled, context.random));
        let shown = sent.get(&TRACEPARENT).and_then(read).map(|shown| shown.trace_id.to_owned());
        assert_eq!(shown, Some(format!("{:032x}", context.trace_id)));
        if b3 {
            sent.remove(&TRACEPARENT);
            let next = Traced::begin(&sent, follow, true, || 8);
            assert_eq!((next.context.trace_id, next.parent), (context.trace_id, Some(9)));
            assert_eq!(next.context.sampled, context.sampled);
        }
    }
}
