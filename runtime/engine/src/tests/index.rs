//! The index against trying every rule: whatever the rules and the request are, the same rule is found.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tidegate_dsl::plan::*;

use super::{MAIN, engine};
use crate::exchange::Exchange;
use crate::observer::{Observer, Silent};
use crate::testing;
use crate::walk::first_match;

/// Hosts, paths and patterns that overlap each other and the requests in every way that keys can.
const HOSTS: &[&str] = &["a.example", "b.a.example", "c.b.a.example", "A.example", "ba.example", "example", "::1", ""];
const HOST_GLOBS: &[&str] =
    &["*.example", "*.a.example", "*a.example", "?.a.example", "*.b?a.example", "b*", "*", "example"];
const HOST_REGEXES: &[&str] =
    &[r"^a\.example$", r"\.example$", r"(b|c\.b)\.a\.example$", "(?i)A.EXAMPLE$", "a", "(?m)e$", "x$|e"];
const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/%61/b", "/é", "a", ""];
const PATH_GLOBS: &[&str] = &["/a*", "/a/*", "/?/b", "*", "/a/b", "*/b", "/a/?*c", "/%C3*"];
/// Patterns that a filter finds rules by: texts that stand anywhere, in each other, or not at all.
const PATTERNS_ANYWHERE: &[&str] =
    &["abc", "a/b", "(abc|bcd)/", "bcd+e?f", "^/.*abc", "ab[cd]e", "(?:abc){2}", "é/a", "abc|x", "(?i)abc", "/abc$"];
const GLOBS_ANYWHERE: &[&str] = &["*abc*", "*a?bcd*", "/*/abc", "*bcde*f", "*é/a*", "*"];
const REQUEST_PATHS_ANYWHERE: &[&str] =
    &["/abc", "/a/b", "/xabcd/", "/abcabc", "/é/a", "/%C3%A9/a", "/abcdef", "/bcddf", "/ABC", "/abce", "/axbcd/x/abc"];
const PATH_REGEXES: &[&str] =
    &["^/a", "^/a/b$", "^/(a|ab)/?$", "(?i)^/A/B", "b", "^", "(?m)^/a", "^/a|b$", "^/[a-z]+/b", r"\A/ab\z"];
const REQUEST_HOSTS: &[&str] =
    &["a.example", "b.a.example", "c.b.a.example", "ba.example", "example", "x.example:81", "[::1]", "127.0.0.1"];
const REQUEST_PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/b/c", "/A/B", "/ab", "/ab/b?/a", "/%C3%A9", "*", "/x/b"];

fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(select(of).prop_map(str::to_owned), 1..4)
}

fn is(subject: Subject, [words_of, globs, regexes]: [&'static [&'static str]; 3]) -> impl Strategy<Value = Test> {
    let predicate = prop_oneof![
        3 => words(words_of).prop_map(Predicate::Is),
        2 => words(globs).prop_map(Predicate::Like),
        2 => words(words_of).prop_map(Predicate::Under),
        2 => words(regexes).prop_map(Predicate::Matches),
        1 => Just(Predicate::Present),
        1 => Just(Predicate::Absent),
    ];
    predicate.prop_map(move |predicate| Test::Is(subject.clone(), predicate))
}

fn test() -> impl Strategy<Value = Test> {
    let header = select(&["x-a", "x-b"][..]);
    let one = prop_oneof![
        4 => is(Subject::Host, [HOSTS, HOST_GLOBS, HOST_REGEXES]),
        4 => is(Subject::Path, [PATHS, PATH_GLOBS, PATH_REGEXES]),
        1 => words(&["GET", "PUT"]).prop_map(|methods| Test::Is(Subject::Method, Predicate::Is(methods))),
        1 => header.prop_map(|name| Test::Is(Subject::Header(name.to_owned()), Predicate::Present)),
    ];
    one.prop_recursive(2, 8, 3, |one| {
        prop_oneof![vec(one.clone(), 0..4).prop_map(Test::Any), vec(one, 0..4).prop_map(Test::All)]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let condition = (prop::bool::weighted(0.2), test()).prop_map(|(unless, test)| Condition { unless, test });
    // One in a few rules asks nothing at all.
    vec(condition, 0..4).prop_map(|conditions| testing::rule("r", conditions, Vec::new(), testing::to(0)))
}

fn plan() -> impl Strategy<Value = Plan> {
    // Some rules more than once: the first of them has to win.
    (vec(rule(), 0..24), vec(any::<prop::sample::Index>(), 0..4)).prop_map(|(mut rules, twice)| {
        if !rules.is_empty() {
            let copies: Vec<_> = twice.iter().map(|index| index.get(&rules).clone()).collect();
            rules.extend(copies);
        }
        rules.push(testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(1)));
        testing::plan(rules)
    })
}

fn exchange() -> impl Strategy<Value = Box<Exchange>> {
    (select(&["GET", "PUT"][..]), select(REQUEST_HOSTS), select(REQUEST_PATHS), any::<bool>()).prop_map(
        |(method, host, path, header)| {
            let mut exchange = testing::exchange(method, host, path);
            if header {
                exchange.request.headers.append("x-a", http::HeaderValue::from_static("1"));
            }
            exchange
        },
    )
}

/// Many rules that no key tells apart, some of them with another condition before the pattern or behind it.
fn plan_of_patterns() -> impl Strategy<Value = Plan> {
    let pattern = is(Subject::Path, [PATHS, GLOBS_ANYWHERE, PATTERNS_ANYWHERE]);
    let test = prop_oneof![
        6 => pattern,
        1 => is(Subject::Host, [HOSTS, HOST_GLOBS, HOST_REGEXES]),
    ];
    let condition = (prop::bool::weighted(0.1), test).prop_map(|(unless, test)| Condition { unless, test });
    vec(vec(condition, 1..3), 20..60).prop_map(|rules| {
        let named = rules.into_iter().map(|conditions| testing::rule("r", conditions, Vec::new(), testing::to(0)));
        let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(1));
        testing::plan(named.chain([otherwise]).collect())
    })
}

/// Every rule that was passed over, in the order of the walk.
#[derive(Default)]
struct PassedOver(Vec<usize>);

impl Observer for PassedOver {
    fn passed_over(&mut self, rule: usize, _: usize, _: &Exchange) {
        self.0.push(rule);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn it_finds_the_rule_that_trying_all_of_them_finds(plan in plan(), exchanges in vec(exchange(), 1..8)) {
        agrees(plan, &exchanges)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn patterns_that_match_anywhere_are_found(
        plan in plan_of_patterns(),
        requests in vec((select(REQUEST_HOSTS), select(REQUEST_PATHS_ANYWHERE)), 1..12),
    ) {
        let exchanges: Vec<_> = requests.iter().map(|(host, path)| testing::exchange("GET", host, path)).collect();
        agrees(plan, &exchanges)?;
    }
}

fn agrees(plan: Plan, exchanges: &[Box<Exchange>]) -> Result<(), TestCaseError> {
    let engine = engine(plan);
    let rules = engine.rule_set(&engine.listeners[MAIN.0]).unwrap();
    for exchange in exchanges {
        let mut passed_over = PassedOver::default();
        let first = first_match(rules, exchange, &mut passed_over);
        let naive = rules.all().position(|(_, rule)| rule.first_failure(exchange).is_none()).unwrap_or(rules.last());
        prop_assert_eq!(first, naive);
        prop_assert_eq!(passed_over.0, (0..first).collect::<Vec<_>>());
        prop_assert_eq!(first_match(rules, exchange, &mut Silent), first);

        let candidates: Vec<_> = rules.candidates(&exchange.request).map(|(position, _)| position).collect();
        prop_assert!(candidates.is_sorted_by(|a, b| a < b), "{:?}", candidates);
        for (position, rule) in rules.all() {
            // In whichever order the conditions are tried.
            prop_assert_eq!(rule.takes(exchange), rule.first_failure(exchange).is_none());
            prop_assert!(candidates.contains(&position) || !rule.takes(exchange), "rule {} matches", position);
        }
    }
    Ok(())
}
