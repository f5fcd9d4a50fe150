//! The time that requests take which were made to be expensive to test.
//!
//! Run it with `cargo bench -p tidegate-engine --bench hostile`. It prints the median of the milliseconds of one walk.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use tidegate_dsl::plan::{Condition, ListenerId, OTHERWISE, Predicate, Subject};
use tidegate_engine::{Engine, Moment, Silent, exchange};

#[path = "../src/testing.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod testing;

const ROUNDS: usize = 21;

/// A request, before it is walked.
type Make = Box<dyn Fn() -> Box<exchange::Exchange>>;

fn main() {
    let is = |word: &str| Predicate::Is(vec![word.to_owned()]);
    let with = |name: &'static str, value: String| -> Make {
        Box::new(move || {
            let mut exchange = testing::exchange("GET", "shop.example", "/");
            exchange.request.headers.insert(name, HeaderValue::from_str(&value).unwrap());
            exchange
        })
    };
    let to = |target: String| -> Make { Box::new(move || testing::exchange("GET", "shop.example", &target)) };
    let query = |at: usize| testing::when(Subject::Query(format!("n{at}")), is("1"));
    measure("1,000 rules on `query`, 16 KB of `+&`", 1000, query, &to(format!("/?{}", "+&".repeat(8000))));
    let one = |_: usize| testing::when(Subject::Query("a".to_owned()), is("1"));
    measure("1,000 rules on one parameter, 256 values", 1000, one, &to(format!("/?{}", "a&".repeat(256))));
    measure("1,000 rules on one parameter, 8,000 values", 1000, one, &to(format!("/?{}", "a&".repeat(8000))));
    let cookie = |at: usize| testing::when(Subject::Cookie(format!("n{at}")), is("1"));
    measure("1,000 rules on `cookie`, 30 KB of `a;`", 1000, cookie, &with("cookie", "a;".repeat(15_000)));
    let pattern = |_: usize| {
        let pattern = "(?:a[ab]{0,200}b){2,20}[cd]".to_owned();
        testing::when(Subject::Header("x-a".to_owned()), Predicate::Matches(vec![pattern]))
    };
    measure("a costly expression, 30 KB", 1, pattern, &with("x-a", "abbab".repeat(6000)));
    measure("a costly expression, 250 B", 1, pattern, &with("x-a", "abbab".repeat(50)));
}

fn measure(name: &str, rules: usize, condition: impl Fn(usize) -> Condition, make: &Make) {
    let rule = |at| testing::rule(&format!("r{at}"), vec![condition(at)], Vec::new(), testing::to(0));
    let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
    let plan = Arc::new(testing::plan((0..rules).map(rule).chain([otherwise]).collect()));
    let engine = Engine::build(plan, None).unwrap();
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let mut exchange = make();
            let begun = Instant::now();
            let mut walk = engine.start(ListenerId(0));
            black_box(engine.advance(&mut walk, &mut exchange, Moment::default(), &mut Silent));
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    println!("{name:45} {:8.3} ms", times.get(ROUNDS / 2).unwrap());
}
