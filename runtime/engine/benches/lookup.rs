//! A benchmark of the index: how long finding a rule takes, with 10 rules and with 10,000.
//!
//! Run it with `cargo bench -p tidegate-engine --bench lookup`. It prints, for each kind of rules, the nanoseconds of one
//! walk (start, search, outcome) with few and with many rules, and how long [`Engine::build`] took for the many. Few and many
//! are measured in turn, and the median of the rounds is shown. Requests come in a scattered order, spread evenly over all
//! rules. Names of kinds behind `--` choose among them.
//!
//! Ten rules stay in the nearest caches, ten thousand do not: on a machine whose caches others use too, the ratio of times
//! tells more about it than about the search. `valgrind --tool=callgrind --toggle-collect='lookup::find'`, before the program
//! that cargo names and the words `once KIND few` or `once KIND many`, counts the instructions of 6400 walks instead.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot run may panic")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_dsl::plan::{Condition, ListenerId, OTHERWISE, Outcome, Predicate, Subject};
use tidegate_engine::{Decision, Engine, Moment, Progress, Silent, exchange};

#[path = "../src/testing.rs"]
#[expect(dead_code, reason = "not all of it is needed here")]
mod testing;

const FEW: usize = 10;
const MANY: usize = 10_000;
const ROUNDS: usize = 41;
const BATCHES_PER_ROUND: usize = 200;
/// Requests made before the clock starts: enough for the clock, few enough to stay in the nearest caches.
const BATCH: usize = 32;

/// The conditions of one rule, and the host and path of a request that it takes.
struct Sample {
    conditions: Vec<Condition>,
    host: String,
    path: String,
}

/// A kind of rules: its name, and the rule at a position.
type Kind = (&'static str, fn(usize) -> Sample);

const KINDS: &[Kind] = &[
    ("hosts", |at| {
        let host = format!("shop{at}.example");
        sample(&host, "/", vec![host_test(Predicate::Is, &host)])
    }),
    ("host suffixes", |at| {
        let suffix = format!(".shop{at}.example");
        sample(&format!("www{suffix}"), "/", vec![host_test(Predicate::Like, &format!("*{suffix}"))])
    }),
    ("paths", |at| {
        let path = format!("/shop/{at}/cart");
        sample("shop.example", &path, vec![path_test(Predicate::Is, &path)])
    }),
    ("path prefixes", |at| {
        let prefix = format!("/shop/{at}");
        sample("shop.example", &format!("{prefix}/cart"), vec![path_test(Predicate::Under, &prefix)])
    }),
    ("path regexes", |at| {
        let prefix = format!("/shop/{at}/");
        let pattern = format!("^{prefix}[a-z]+$");
        sample("shop.example", &format!("{prefix}cart"), vec![path_test(Predicate::Matches, &pattern)])
    }),
    ("regexes anywhere", |at| {
        sample(
            "shop.example",
            &format!("/shop/part-{at}/cart"),
            vec![path_test(Predicate::Matches, &format!("part-{at}/[a-z]+$"))],
        )
    }),
    ("globs anywhere", |at| {
        sample(
            "shop.example",
            &format!("/shop/part-{at}/cart"),
            vec![path_test(Predicate::Like, &format!("*part-{at}/*"))],
        )
    }),
    ("hosts and paths", |at| {
        let (host, prefix) = (format!("shop{}.example", at / 100), format!("/part{}", at % 100));
        let conditions = vec![host_test(Predicate::Is, &host), path_test(Predicate::Under, &prefix)];
        sample(&host, &format!("{prefix}/cart"), conditions)
    }),
    ("mixed", |at| KINDS[at % 4].1(at)),
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let named = |word: &str| KINDS.iter().find(|(name, _)| *name == word).unwrap_or_else(|| panic!("no kind `{word}`"));
    match &*words.iter().map(String::as_str).collect::<Vec<_>>() {
        ["once", kind, rules] => {
            Case::new(named(kind).1, if *rules == "few" { FEW } else { MANY }).walk();
        }
        [] => compare(KINDS),
        kinds => compare(&kinds.iter().map(|kind| *named(kind)).collect::<Vec<_>>()),
    }
}

fn compare(kinds: &[Kind]) {
    println!("{:16} {FEW:>8} {MANY:>8} {:>6} {:>9}", "ns a walk", "ratio", "build");
    for (name, rule) in kinds {
        let (mut few, mut many) = (Case::new(*rule, FEW), Case::new(*rule, MANY));
        let (few_times, many_times): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (few.walk(), many.walk())).unzip();
        let (few, median_many) = (median(few_times), median(many_times));
        println!("{name:16} {few:8.1} {median_many:8.1} {:6.2} {:>9.1?}", median_many / few, many.building);
    }
}

struct Case {
    engine: Engine,
    rule: fn(usize) -> Sample,
    rules: usize,
    /// The rule that the next request is for.
    next: usize,
    building: Duration,
}

impl Case {
    fn new(rule: fn(usize) -> Sample, rules: usize) -> Self {
        let named = |at| testing::rule(&format!("r{at}"), rule(at).conditions, Vec::new(), Outcome::Close);
        let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
        let plan = Arc::new(testing::plan((0..rules).map(named).chain([otherwise]).collect()));
        let begun = Instant::now();
        let engine = Engine::build(plan, None).unwrap();
        let mut case = Self { engine, rule, rules, next: 0, building: begun.elapsed() };
        // Every rule is found once before anything is measured: a regular expression is at its slowest then.
        for _ in 0..rules {
            let mut exchange = case.request();
            walk_to_end(&case.engine, &mut exchange);
        }
        case
    }

    /// Nanoseconds of one walk.
    fn walk(&mut self) -> f64 {
        let mut spent = Duration::ZERO;
        for _ in 0..BATCHES_PER_ROUND {
            // As fresh in the caches as if they had just been read from a connection.
            let mut batch: Vec<_> = (0..BATCH).map(|_| self.request()).collect();
            let begun = Instant::now();
            for exchange in &mut batch {
                find(&self.engine, black_box(exchange));
            }
            spent += begun.elapsed();
        }
        spent.as_secs_f64() * 1e9 / (BATCHES_PER_ROUND * BATCH) as f64
    }

    fn request(&mut self) -> Box<exchange::Exchange> {
        // A stride that has no factor in common with the number of rules visits each of them.
        self.next = (self.next + 7919) % self.rules;
        let Sample { host, path, .. } = (self.rule)(self.next);
        testing::exchange("GET", &host, &path)
    }
}

/// [`walk_to_end`] in a place of its own, so that its instructions can be counted apart.
#[inline(never)]
fn find(engine: &Engine, exchange: &mut exchange::Exchange) {
    walk_to_end(engine, exchange);
}

fn walk_to_end(engine: &Engine, exchange: &mut exchange::Exchange) {
    let mut walk = engine.start(ListenerId(0));
    match engine.advance(&mut walk, exchange, Moment::default(), &mut Silent) {
        Progress::Done(Decision::Close) => {}
        _ => panic!("a request missed its rule"),
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn sample(host: &str, path: &str, conditions: Vec<Condition>) -> Sample {
    Sample { conditions, host: host.to_owned(), path: path.to_owned() }
}

fn host_test(predicate: fn(Vec<String>) -> Predicate, word: &str) -> Condition {
    testing::when(Subject::Host, predicate(vec![word.to_owned()]))
}

fn path_test(predicate: fn(Vec<String>) -> Predicate, word: &str) -> Condition {
    testing::when(Subject::Path, predicate(vec![word.to_owned()]))
}
