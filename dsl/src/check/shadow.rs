//! Does one of the rules above take every request that a rule would? Only plain proofs: a condition against a condition.

use std::collections::HashMap;

use ipnet::IpNet;

use super::proof::{MAX_VALUES, covers, few_tests};
use crate::plan::{Condition, ListId, Predicate, Subject, Test};

/// The rules above the one that is looked at.
///
/// Rules are not compared each with each. A rule is filed under what one of its conditions asks, so that whatever implies that
/// condition leads there; the condition that the fewest rules share.
pub(super) struct Above<'r> {
    /// The number of rules, of all, that have a condition which could be filed under each key.
    shared: HashMap<RuleKey<'r>, usize>,
    filed: HashMap<RuleKey<'r>, Vec<usize>>,
    /// Rules that only exclude: these are looked at one by one.
    excluding: Vec<usize>,
    /// The conditions of every rule above, by its place.
    conditions: HashMap<usize, &'r [Condition]>,
    /// The first rule without conditions.
    takes_all: Option<usize>,
    /// The number of pairs of rules that may still be compared.
    patience: usize,
}

/// The key that a condition is filed under and found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum RuleKey<'r> {
    /// The very same test.
    Same(&'r Test),
    /// The very same `unless`.
    SameUnless(&'r Test),
    Is(&'r Subject, &'r str),
    Like(&'r Subject, &'r str),
    /// A host that ends so.
    Ends(&'r str),
    Matches(&'r Subject, &'r str),
    Under(&'r Subject, &'r str),
    List(&'r Subject, ListId),
    Network(&'r Subject, IpNet),
    Present(&'r Subject),
}

/// The most parts of a path or a host that are looked up.
const MAX_SEGMENTS: usize = 64;

/// Pairs compared in one `rules`, some hundred milliseconds' worth. Ten thousand rules need a few for each; only rules that share
/// every single condition with thousands of others need more, and are then no longer all compared.
const MAX_PAIRS: usize = 2_000_000;

/// Rules that only exclude are compared with every rule below them.
const MAX_EXCLUDING: usize = 100;

impl<'r> Above<'r> {
    /// A file without rules yet. `all` are the conditions of every rule that will be above another.
    pub(super) fn new(all: impl Iterator<Item = &'r [Condition]>) -> Self {
        let mut shared = HashMap::new();
        for key in all.flatten().flat_map(wide_keys) {
            *shared.entry(key).or_default() += 1;
        }
        Self {
            shared,
            filed: HashMap::new(),
            excluding: Vec::new(),
            conditions: HashMap::new(),
            takes_all: None,
            patience: MAX_PAIRS,
        }
    }

    /// The first rule above that takes every request that meets these conditions.
    pub(super) fn shadow_of(&mut self, conditions: &'r [Condition]) -> Option<usize> {
        let keys = conditions.iter().flat_map(narrow_keys);
        let mut candidates: Vec<usize> = keys.filter_map(|key| self.filed.get(&key)).flatten().copied().collect();
        candidates.extend(&self.excluding);
        candidates.sort_unstable();
        candidates.dedup();
        candidates.truncate(self.patience);
        let covering = candidates.into_iter().find(|at| {
            self.patience -= 1;
            self.conditions.get(at).is_some_and(|wide| covers(wide, conditions))
        });
        [covering, self.takes_all].into_iter().flatten().min()
    }

    /// Adds the rule at a place; it is below those that were added before.
    pub(super) fn add(&mut self, at: usize, conditions: &'r [Condition]) {
        if conditions.is_empty() {
            self.takes_all = self.takes_all.or(Some(at));
            return;
        }
        self.conditions.insert(at, conditions);
        let shared = |keys: &Vec<RuleKey<'r>>| keys.iter().filter_map(|key| self.shared.get(key)).copied().max();
        let including = conditions.iter().filter(|condition| !condition.unless).map(wide_keys);
        if let Some(keys) = including.min_by_key(shared) {
            keys.into_iter().for_each(|key| self.filed.entry(key).or_default().push(at));
        } else if self.excluding.len() < MAX_EXCLUDING {
            self.excluding.push(at);
        } else if let Some(keys) = conditions.iter().map(wide_keys).min_by_key(shared) {
            // Then only what has this very condition is found.
            keys.into_iter().for_each(|key| self.filed.entry(key).or_default().push(at));
        }
    }
}

/// The keys that a condition is filed under: whatever implies it has one of these among its [`narrow_keys`].
fn wide_keys(condition: &Condition) -> Vec<RuleKey<'_>> {
    if condition.unless { vec![RuleKey::SameUnless(&condition.test)] } else { wide_keys_of_test(&condition.test) }
}

fn wide_keys_of_test(test: &Test) -> Vec<RuleKey<'_>> {
    let keys = match test {
        Test::Is(subject, predicate) => wide_keys_of_predicate(subject, predicate),
        _ if !few_tests(test) => Vec::new(),
        Test::Any(tests) => tests.iter().flat_map(wide_keys_of_test).collect(),
        // What implies all of them implies the first.
        Test::All(tests) => tests.iter().take(1).flat_map(wide_keys_of_test).collect(),
    };
    if keys.is_empty() { vec![RuleKey::Same(test)] } else { keys }
}

fn wide_keys_of_predicate<'r>(subject: &'r Subject, predicate: &'r Predicate) -> Vec<RuleKey<'r>> {
    match predicate {
        Predicate::Is(values) if few(values) => values.iter().map(|value| RuleKey::Is(subject, value)).collect(),
        Predicate::Like(globs) if few(globs) => globs
            .iter()
            .map(|glob| match ending(subject, glob) {
                Some(end) => RuleKey::Ends(end),
                None => RuleKey::Like(subject, glob),
            })
            .collect(),
        Predicate::Matches(values) if few(values) => {
            values.iter().map(|value| RuleKey::Matches(subject, value)).collect()
        }
        Predicate::Under(paths) if few(paths) => paths.iter().map(|path| RuleKey::Under(subject, path)).collect(),
        Predicate::In(set) if few(&set.networks) => {
            let lists = set.lists.iter().map(|list| RuleKey::List(subject, *list));
            lists.chain(set.networks.iter().map(|network| RuleKey::Network(subject, network.trunc()))).collect()
        }
        Predicate::Present => vec![RuleKey::Present(subject)],
        _ => Vec::new(),
    }
}

/// The keys under which everything is filed that a condition may imply.
fn narrow_keys(condition: &Condition) -> Vec<RuleKey<'_>> {
    if condition.unless { vec![RuleKey::SameUnless(&condition.test)] } else { narrow_keys_of_test(&condition.test) }
}

fn narrow_keys_of_test(test: &Test) -> Vec<RuleKey<'_>> {
    let mut keys = vec![RuleKey::Same(test)];
    match test {
        Test::Is(subject, predicate) => keys.extend(narrow_keys_of_predicate(subject, predicate)),
        _ if !few_tests(test) => {}
        // What is implied is implied by each of them: the first one leads to it.
        Test::Any(tests) => keys.extend(tests.iter().take(1).flat_map(narrow_keys_of_test)),
        Test::All(tests) => keys.extend(tests.iter().flat_map(narrow_keys_of_test)),
    }
    keys
}

/// All values have to be implied: the first one leads to it.
fn narrow_keys_of_predicate<'r>(subject: &'r Subject, predicate: &'r Predicate) -> Vec<RuleKey<'r>> {
    let mut keys = Vec::new();
    match predicate {
        Predicate::Is(values) => {
            for value in values.iter().take(1) {
                keys.push(RuleKey::Is(subject, value));
                keys.extend(prefixes(value).map(|prefix| RuleKey::Under(subject, prefix)));
                keys.extend(endings(subject, value));
            }
            keys.push(RuleKey::Present(subject));
        }
        Predicate::Like(globs) => {
            for glob in globs.iter().take(1) {
                keys.push(RuleKey::Like(subject, glob));
                keys.extend(endings(subject, literal_end(glob)));
            }
            keys.push(RuleKey::Present(subject));
        }
        Predicate::Matches(values) => {
            keys.extend(values.first().map(|value| RuleKey::Matches(subject, value)));
            keys.push(RuleKey::Present(subject));
        }
        Predicate::Under(paths) => {
            keys.extend(
                paths.iter().take(1).flat_map(|path| prefixes(path)).map(|prefix| RuleKey::Under(subject, prefix)),
            );
        }
        Predicate::In(set) => match (set.lists.first(), set.networks.first()) {
            (Some(list), _) => keys.push(RuleKey::List(subject, *list)),
            (None, Some(network)) => keys.extend(wider(*network).map(|network| RuleKey::Network(subject, network))),
            (None, None) => {}
        },
        Predicate::Present => keys.push(RuleKey::Present(subject)),
        Predicate::Status(_) | Predicate::Absent => {}
    }
    keys
}

fn few<T>(values: &[T]) -> bool {
    values.len() <= MAX_VALUES
}

/// Every prefix that a path may be under: itself, and what ends before or behind one of its slashes.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').take(MAX_SEGMENTS);
    let cuts = slashes.flat_map(|(at, _)| [path.get(..at), path.get(..=at)]).flatten();
    cuts.chain([path]).filter(|prefix| !prefix.is_empty())
}

/// The network, and every one that holds it.
fn wider(network: IpNet) -> impl Iterator<Item = IpNet> {
    std::iter::successors(Some(network.trunc()), IpNet::supernet)
}

/// The ending that a glob of hosts asks for, if it says nothing else: `*.shop.example`.
pub(super) fn ending<'g>(subject: &Subject, glob: &'g str) -> Option<&'g str> {
    let end = glob.strip_prefix('*')?;
    (*subject == Subject::Host && end.starts_with('.') && literal_end(glob) == end).then_some(end)
}

/// The ending of every text that meets a glob.
pub(super) fn literal_end(glob: &str) -> &str {
    glob.rfind(['*', '?']).and_then(|at| glob.get(at + 1..)).unwrap_or(glob)
}

fn endings<'r>(subject: &Subject, value: &'r str) -> impl Iterator<Item = RuleKey<'r>> {
    let dots = value.match_indices('.').filter(|_| *subject == Subject::Host).take(MAX_SEGMENTS);
    dots.filter_map(|(at, _)| value.get(at..)).map(RuleKey::Ends)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::super::proof::contradict;
    use super::*;
    use crate::glob::Glob;
    use crate::plan::NetworkSet;

    const HOSTS: &[&str] = &["a.example", "b.a.example", "c.b.a.example", "example", "ba.example"];
    const GLOBS: &[&str] = &["*.example", "*.a.example", "*a.example", "?.a.example", "*", "*.b.a.example", "*.a.*"];
    const PATHS: &[&str] = &["/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/a/../b", "/a/%2e./b", "/b"];
    const REGEXES: &[&str] = &["^/a", "b$"];
    const NETWORKS: &[&str] = &["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "::/0"];

    fn words(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        vec(select(of).prop_map(str::to_owned), 1..4)
    }

    fn test() -> impl Strategy<Value = Test> {
        let networks = vec(select(NETWORKS).prop_map(|network| network.parse().unwrap_or_default()), 0..3);
        let set = (vec((0..3_usize).prop_map(ListId), 0..3), networks)
            .prop_filter("it names something", |(lists, networks)| lists.len() + networks.len() > 0)
            .prop_map(|(lists, networks)| Predicate::In(NetworkSet { lists, networks }));
        let header = Subject::Header("x-a".to_owned());
        let is = |subject: Subject, predicate: BoxedStrategy<Predicate>| {
            predicate.prop_map(move |predicate| Test::Is(subject.clone(), predicate))
        };
        let one = prop_oneof![
            3 => is(Subject::Host, words(HOSTS).prop_map(Predicate::Is).boxed()),
            3 => is(Subject::Host, words(GLOBS).prop_map(Predicate::Like).boxed()),
            2 => is(Subject::Path, words(PATHS).prop_map(Predicate::Is).boxed()),
            3 => is(Subject::Path, words(PATHS).prop_map(Predicate::Under).boxed()),
            1 => is(Subject::Path, words(REGEXES).prop_map(Predicate::Matches).boxed()),
            2 => is(Subject::ClientIp, set.boxed()),
            1 => is(header.clone(), words(HOSTS).prop_map(Predicate::Is).boxed()),
            1 => is(header.clone(), words(GLOBS).prop_map(Predicate::Like).boxed()),
            1 => is(header.clone(), Just(Predicate::Present).boxed()),
            1 => is(header, Just(Predicate::Absent).boxed()),
        ];
        one.prop_recursive(2, 6, 2, |one| {
            let tests = vec(one, 1..3);
            prop_oneof![tests.clone().prop_map(Test::Any), tests.prop_map(Test::All)]
        })
    }

    fn rules() -> impl Strategy<Value = Vec<Vec<Condition>>> {
        let condition = (prop::bool::weighted(0.25), test()).prop_map(|(unless, test)| Condition { unless, test });
        vec(vec(condition, 0..4), 0..30)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_finds_what_comparing_each_with_each_finds(rules in rules()) {
            let mut above = Above::new(rules.iter().map(Vec::as_slice));
            for (at, rule) in rules.iter().enumerate() {
                let naive = rules.iter().take(at).position(|earlier| covers(earlier, rule));
                prop_assert_eq!(above.shadow_of(rule), naive, "rule {} of {:#?}", at, rules);
                above.add(at, rule);
            }
        }

        /// No request meets what contradicts itself: here, none of a host and a path.
        #[test]
        fn contradictions_are_right(rules in rules(), host in select(HOSTS), path in select(&["/", "/a", "/b", "/a/b/c", "/ab"][..])) {
            for rule in &rules {
                for (a, b) in rule.iter().flat_map(|a| rule.iter().map(move |b| (a, b))) {
                    let both = [a, b].map(|one| holds(&one.test, host, path).map(|holds| holds != one.unless));
                    prop_assert!(!contradict(a, b) || both != [Some(true), Some(true)], "{:?}\n{:?}", a, b);
                }
            }
        }

        /// A proof holds for every request: here, for hosts and paths.
        #[test]
        fn proofs_are_right(rules in rules(), host in select(HOSTS), path in select(&["/", "/a", "/b", "/a/b/c", "/ab"][..])) {
            for (at, rule) in rules.iter().enumerate() {
                for earlier in rules.iter().take(at).filter(|earlier| covers(earlier, rule)) {
                    prop_assert!(!met(rule, host, path) || met(earlier, host, path), "{:?}\n{:?}", earlier, rule);
                }
            }
        }
    }

    /// Whether the conditions on host and path hold; of others, only those that are the same in both rules count, and those hold.
    fn met(rule: &[Condition], host: &str, path: &str) -> bool {
        rule.iter().all(|condition| holds(&condition.test, host, path).is_none_or(|holds| holds != condition.unless))
    }

    fn holds(test: &Test, host: &str, path: &str) -> Option<bool> {
        match test {
            Test::All(tests) => of_all(tests, host, path, false),
            Test::Any(tests) => of_all(tests, host, path, true),
            Test::Is(Subject::Host, Predicate::Is(hosts)) => Some(hosts.iter().any(|one| one == host)),
            Test::Is(Subject::Host, Predicate::Like(globs)) => {
                Some(globs.iter().any(|glob| Glob::new(glob).matches(host)))
            }
            Test::Is(Subject::Path, Predicate::Is(paths)) => Some(paths.iter().any(|one| normal(one) == path)),
            Test::Is(Subject::Path, Predicate::Under(prefixes)) => Some(prefixes.iter().any(|prefix| {
                let prefix = normal(prefix);
                path.strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
            })),
            _ => None,
        }
    }

    /// Whether one of the tests comes out `decisive`; else whether none does, if all are known.
    fn of_all(tests: &[Test], host: &str, path: &str, decisive: bool) -> Option<bool> {
        let results: Vec<_> = tests.iter().map(|test| holds(test, host, path)).collect();
        if results.contains(&Some(decisive)) {
            return Some(decisive);
        }
        (!results.contains(&None)).then_some(!decisive)
    }

    /// The path as a request has it after it was normalised.
    fn normal(path: &str) -> &str {
        if path.contains("./") { "/b" } else { path }
    }
}
