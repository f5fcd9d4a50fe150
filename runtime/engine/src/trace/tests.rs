use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;
use tidegate_dsl::plan::Sampling;

use super::*;

const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ALL: Sampling = Sampling { percent: 100, ignore_parent: false };
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const SPAN: u64 = 0xb7ad_6b71_6920_3331;

/// A head of these fields, each `name: value`.
fn head(fields: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for field in fields {
        let (name, value) = field.split_once(": ").unwrap();
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// The place of a request with these fields, where ids are 1, 2, …
fn begun(fields: &[&str], sampling: Sampling, b3: bool) -> Traced {
    let mut last = 0;
    Traced::begin(&head(fields), sampling, b3, || {
        last += 1;
        last
    })
}

/// The trace, the parent and whether it is recorded.
fn of(fields: &[&str], b3: bool) -> (u128, Option<u64>, bool) {
    let Traced { context, parent, .. } = begun(fields, Sampling { percent: 1, ignore_parent: false }, b3);
    (context.trace_id, parent, context.sampled)
}

/// What a request is that came with nothing: it begins the trace 1 … 2, which is among the first 1 %.
const NEW: (u128, Option<u64>, bool) = (1 << 64 | 2, None, true);

#[test]
fn only_what_is_well_formed_counts() {
    let value = HeaderValue::from_static(GOOD);
    let context = read(&value).map(|context| (context.trace_id, context.parent_id));
    assert_eq!(context, Some(("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")));
    assert!(read(&HeaderValue::from_static("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more")).is_some());
    for bad in [
        "",
        "00-0af7651916cd43dd8448eb211c80319c",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01.more",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    ] {
        assert_eq!(read(&HeaderValue::from_static(bad)), None, "{bad}");
        assert_eq!(of(&[&format!("traceparent: {bad}")], true), NEW, "{bad}");
    }
    let twice = format!("traceparent: {GOOD}");
    assert_eq!(of(&[&twice, &twice], false), NEW);
}

#[test]
fn a_parent_is_obeyed_unless_the_policy_says_otherwise() {
    // The trace is not among the first 1 %, but among the first 99.
    let unsampled = GOOD.replace("-01", "-00");
    for (parent, percent, ignore_parent, expected) in
        [(GOOD, 1, false, true), (&unsampled, 100, false, false), (GOOD, 1, true, false), (&unsampled, 99, true, true)]
    {
        let traced = begun(&[&format!("traceparent: {parent}")], Sampling { percent, ignore_parent }, false);
        assert_eq!((traced.context.trace_id, traced.parent), (TRACE, Some(SPAN)), "the trace goes on");
        assert_eq!(traced.context.sampled, expected, "{parent} at {percent} %");
        assert_eq!(traced.context.span_id, 1, "the span is the request's own");
    }
}

#[test]
fn b3_is_read_in_both_forms_where_it_is_wanted() {
    let (long, short) = ("0af7651916cd43dd8448eb211c80319c", "8448eb211c80319c");
    let low = u128::from(0x8448_eb21_1c80_319c_u64);
    for (fields, expected) in [
        (vec![format!("b3: {long}-b7ad6b7169203331-1")], (TRACE, Some(SPAN), true)),
        (vec![format!("b3: {long}-b7ad6b7169203331-d-b7ad6b7169203331")], (TRACE, Some(SPAN), true)),
        (vec![format!("b3: {long}-b7ad6b7169203331-0")], (TRACE, Some(SPAN), false)),
        (vec![format!("b3: {short}-b7ad6b7169203331")], (low, Some(SPAN), is_chosen(low, 1))),
        (vec!["b3: 0".to_owned()], (NEW.0, None, false)),
        (vec![format!("b3: {long}-b7ad6b7169203331-x")], NEW),
        (vec![format!("b3: {long}-b7ad6b7169203331-1-1")], NEW),
        (vec![format!("b3: {long}-b7ad6b7169203331-1-b7ad6b7169203331-1")], NEW),
        (vec!["b3: 00000000000000000000000000000000-b7ad6b7169203331-1".to_owned()], NEW),
        (vec![format!("b3: {short}0-b7ad6b7169203331-1")], NEW),
        (vec!["b3: ".to_owned()], NEW),
        (
            vec![
                format!("x-b3-traceid: {long}"),
                "x-b3-spanid: b7ad6b7169203331".to_owned(),
                "x-b3-sampled: 1".to_owned(),
            ],
            (TRACE, Some(SPAN), true),
        ),
        (
            vec![
                format!("x-b3-traceid: {long}"),
                "x-b3-spanid: b7ad6b7169203331".to_owned(),
                "x-b3-flags: 1".to_owned(),
            ],
            (TRACE, Some(SPAN), true),
        ),
        (vec!["x-b3-sampled: 0".to_owned()], (NEW.0, None, false)),
        (vec![format!("x-b3-traceid: {long}"), "x-b3-sampled: false".to_owned()], (NEW.0, None, false)),
        (vec!["b3: x".to_owned(), "x-b3-sampled: 0".to_owned()], NEW),
    ] {
        let fields: Vec<_> = fields.iter().map(String::as_str).collect();
        assert_eq!(of(&fields, true), expected, "{fields:?}");
        assert_eq!(of(&fields, false), NEW, "{fields:?}: nobody asked for it");
    }
    let both = [&*format!("traceparent: {GOOD}"), "b3: 0"];
    assert_eq!(of(&both, true), (TRACE, Some(SPAN), true), "W3C counts for more");
}

#[test]
fn servers_get_the_span_that_asks_them() {
    let traced = begun(&[&format!("traceparent: {GOOD}")], ALL, true);
    let mut headers = head(&["traceparent: x", "tracestate: a=1", "x-b3-traceid: 1", "x-b3-flags: 1", "b3: 0", "x: y"]);
    traced.write(0x2a, &mut headers);
    let expected = head(&[
        "traceparent: 00-0af7651916cd43dd8448eb211c80319c-000000000000002a-01",
        "tracestate: a=1",
        "b3: 0af7651916cd43dd8448eb211c80319c-000000000000002a-1",
        "x: y",
    ]);
    assert_eq!(headers, expected);
    let mut alone = head(&["tracestate: a=1", "b3: 0"]);
    begun(&["tracestate: a=1"], ALL, false).write(3, &mut alone);
    let expected = head(&["traceparent: 00-00000000000000010000000000000002-0000000000000003-03", "b3: 0"]);
    assert_eq!(alone, expected, "the state was that of another trace");
}

#[test]
fn a_state_is_kept_that_is_one_text_and_not_too_long() {
    let parent = format!("traceparent: {GOOD}");
    let (fits, over) = (format!("tracestate: a={}", "x".repeat(510)), format!("tracestate: a={}", "x".repeat(511)));
    for (fields, kept) in [
        (vec![&*parent, "tracestate: a=1,b=2"], true),
        (vec![&*parent, &*fits], true),
        (vec![&*parent, &*over], false),
        (vec![&*parent, "tracestate: a=1", "tracestate: b=2"], false),
        (vec!["tracestate: a=1"], false),
        (vec![&*parent], false),
    ] {
        assert_eq!(begun(&fields, ALL, false).state(&head(&fields)).is_some(), kept, "{fields:?}");
    }
}

#[test]
fn of_many_traces_the_share_is_chosen_that_was_asked_for() {
    let mut state = 1_u64;
    // SplitMix64.
    let mut random = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let ids: Vec<_> = (0..100_000).map(|_| u128::from(random()) << 64 | u128::from(random())).collect();
    for percent in [1, 10, 50, 99, 100] {
        let chosen = ids.iter().filter(|id| is_chosen(**id, percent)).count();
        let expected = usize::try_from(percent).unwrap() * 1000;
        // Five times the standard deviation, at most.
        assert!(chosen.abs_diff(expected) < 800, "{percent} %: {chosen}");
        assert!(percent < 100 || chosen == ids.len());
    }
}

#[test]
fn the_share_is_that_of_opentelemetry() {
    // The bound of 50 % is 2^62, after the lowest bit is cut off.
    for (id, percent, chosen) in [
        ((1_u128 << 63) - 1, 50, true),
        (1_u128 << 63, 50, false),
        (u128::from(u64::MAX), 99, false),
        (u128::from(u64::MAX), 100, true),
        (u128::MAX << 64, 1, true),
    ] {
        assert_eq!(is_chosen(id, percent), chosen, "{id:x} at {percent} %");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(
        trace_id in 1_u128.., span_id in 1_u64.., parent in 1_u64.., sampled: bool, random: bool,
    ) {
        let context = SpanContext { trace_id, span_id, sampled, random };
        let traced = Traced { context, parent: None, b3: true, has_state: true };
        let mut headers = HeaderMap::new();
        traced.write(parent, &mut headers);
        let expected = Incoming { ids: Some((trace_id, parent)), sampled: Some(sampled), random, w3c: true };
        prop_assert_eq!(w3c::incoming(&headers), Some(expected));
        prop_assert_eq!(b3::incoming(&headers), Incoming { random: false, w3c: false, ..expected });
        let value = headers.get(&TRACEPARENT).unwrap();
        let shown = read(value).unwrap();
        prop_assert_eq!(shown.trace_id.as_bytes(), &context.trace_digits()[..]);
    }

    #[test]
    fn no_context_is_too_odd(text in "[0-9a-f-]{0,70}|.{0,60}", name in 0_usize..7, b3: bool) {
        const NAMES: [&str; 7] =
            ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "x-b3-flags"];
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) {
            headers.append(NAMES[name], value);
        }
        let traced = Traced::begin(&headers, ALL, b3, || 0);
        prop_assert!(traced.context.trace_id != 0 && traced.context.span_id != 0);
        traced.write(1, &mut headers);
        prop_assert!(w3c::incoming(&headers).is_some());
    }

    #[test]
    fn more_is_chosen_the_larger_the_share(id: u128, percent in 1_u32..100) {
        prop_assert!(!is_chosen(id, percent) || is_chosen(id, percent + 1));
    }
}
