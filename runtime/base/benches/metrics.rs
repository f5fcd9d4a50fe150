//! A benchmark of counting: what a request pays for being counted, step by step and as a whole.
//!
//! Run it with `cargo bench -p tidegate-base --bench metrics`. It prints, for each step, the nanoseconds of one, as the median of the
//! rounds. `request, answered here` is what the gateway does for a request without a server, less what it did before there were
//! metrics: the time of the head is taken in any case. `request, at a server` has the two more looks at the clock that the time of
//! a try takes.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_base::metrics::{Counter, Gauge, Histogram, Names, PerWorker, REQUEST_TIMES};

const ROUNDS: usize = 41;
const BATCH: u32 = 20_000;

type Statuses = [Counter; 5];

/// The cells of a rule, by group.
type ByGroup = Vec<(Option<usize>, Arc<Statuses>)>;

/// The cells of a listener, a rule among many, and a server, as a worker has them.
struct Cells {
    duration: Histogram,
    in_flight: Gauge,
    sent: Counter,
    rules: RefCell<Vec<ByGroup>>,
    server: Arc<Statuses>,
    server_in_flight: Gauge,
    server_duration: Histogram,
}

const RULES: usize = 1000;

impl Cells {
    fn new() -> Self {
        let series = Names::<PerWorker<Statuses>>::default();
        let rule = |at: usize| vec![(Some(3), series.of(&format!("rule-{at}")).of(0))];
        Self {
            duration: Histogram::new(REQUEST_TIMES),
            in_flight: Gauge::default(),
            sent: Counter::default(),
            rules: RefCell::new((0..RULES).map(rule).collect()),
            server: Arc::default(),
            server_in_flight: Gauge::default(),
            server_duration: Histogram::new(REQUEST_TIMES),
        }
    }

    /// The cells of a rule and a group.
    fn find(&self, rule: usize, group: Option<usize>) -> Option<Arc<Statuses>> {
        let rules = self.rules.borrow_mut();
        let groups = rules.get(rule)?;
        let at = groups.binary_search_by_key(&group, |(id, _)| *id).ok()?;
        groups.get(at).map(|(_, statuses)| Arc::clone(statuses))
    }

    /// What is counted of a request that began at this time.
    fn request(&self, rule: usize, started: Instant, at_server: bool) {
        self.in_flight.add(1);
        if at_server {
            let chosen = Instant::now();
            self.server_in_flight.add(1);
            black_box(self);
            self.server_duration.observe(chosen.elapsed());
            let [_, ok, ..] = &*self.server;
            ok.one();
            self.server_in_flight.add(-1);
        }
        let statuses = self.find(black_box(rule), Some(3));
        self.sent.add(black_box(100));
        let took = started.elapsed();
        if let Some([_, ok, ..]) = statuses.as_deref() {
            ok.one();
        }
        self.duration.observe(took);
        self.in_flight.add(-1);
    }
}

/// Takes a value that nobody needs, so that it is made all the same.
fn keep<T>(value: T) {
    black_box(value);
}

/// The median nanoseconds of one of many.
fn nanos(mut one: impl FnMut(usize)) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            (0..BATCH as usize).for_each(&mut one);
            began.elapsed().as_secs_f64() * 1e9 / f64::from(BATCH)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let cells = Cells::new();
    let started = Instant::now();
    // Scattered, so that no cache has just what comes next.
    let rule = |at: usize| at * 7919 % RULES;
    let say = |what: &str, nanos: f64| println!("{what:<28} {nanos:>7.1} ns");
    say("an empty loop", nanos(|at| keep(rule(at))));
    say("a look at the clock", nanos(|_| keep(Instant::now())));
    say("a count", nanos(|_| cells.sent.add(black_box(1))));
    let lengths = [1, 3, 30, 300].map(Duration::from_millis);
    say("a duration", nanos(|at| cells.duration.observe(black_box(lengths.get(at % 4).copied().unwrap_or_default()))));
    say("the cells of a rule", nanos(|at| keep(cells.find(rule(at), Some(3)))));
    say("request, answered here", nanos(|at| cells.request(rule(at), started, false)));
    say("request, at a server", nanos(|at| cells.request(rule(at), started, true)));
    let names = Names::<PerWorker<Counter>>::default();
    let texts: Vec<String> = (0..RULES).map(|at| format!("rule-{at}")).collect();
    let first = |at: usize| keep(names.of(texts.get(rule(at)).map_or("", String::as_str)).of(0));
    say("cells by name, once a reload", nanos(first));
}
