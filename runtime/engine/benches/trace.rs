//! The time that the place of a request in its trace takes: to find it, and to tell a server.
//!
//! Run it with `cargo bench -p tidegate-engine --bench trace`. It prints the median of the nanoseconds of one request, beside one of a listener
//! that is not traced: its head is made in both.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark reads the clock and prints")]

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_dsl::plan::Sampling;
use tidegate_engine::trace::{TRACEPARENT, Traced};

const ROUNDS: usize = 101;
const BATCH: usize = 2000;

const PARENT: HeaderValue = HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");

fn main() {
    for (name, parent, b3) in [
        ("a trace begins", None, false),
        ("a trace goes on", Some(PARENT), false),
        ("a trace begins, with B3", None, true),
    ] {
        let without = median(parent.as_ref(), |_| {});
        let with = median(parent.as_ref(), |headers| {
            let mut state = 1_u64;
            let random = || {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                state
            };
            let traced = Traced::begin(headers, Sampling { percent: 1, ignore_parent: false }, b3, random);
            black_box(&traced).write(traced.context.span_id, headers);
        });
        println!("{name}: {:.0} ns", with - without);
    }
}

fn median(parent: Option<&HeaderValue>, mut act: impl FnMut(&mut HeaderMap)) -> f64 {
    let names = ["host", "user-agent", "accept", "accept-encoding", "x-forwarded-for", "x-forwarded-proto"];
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..BATCH {
                let mut headers = HeaderMap::with_capacity(12);
                for name in names {
                    headers.insert(HeaderName::from_static(name), HeaderValue::from_static("some value"));
                }
                if let Some(parent) = parent {
                    headers.insert(&TRACEPARENT, parent.clone());
                }
                act(&mut headers);
                black_box(&headers);
            }
            begun.elapsed().as_secs_f64() * 1e9 / BATCH as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
