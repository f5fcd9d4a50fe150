//! The index of rules: those that a host and a path can meet at all.

use std::collections::BTreeMap;
use std::vec;

use crate::condition::Condition;
use crate::filter::Filter;
use crate::keys::{self, IndexedPart};
use crate::radix::{Forest, Key, Root, narrow};

/// Finds the rules that a host and a path do not rule out, in a time that does not grow with the number of rules.
///
/// Each rule is filed under what its `when` lines ask of the host (a name, or the end of a name) and, below that, under what
/// they ask of the path (a path, or the beginning of one). A rule that asks nothing of one of them is filed there under the
/// empty text, which every text ends and begins with. So a radix tree of host ends, read backwards, leads to radix trees
/// of path beginnings, and those lead to lists of rules. A request meets the few lists on its way through the trees, each in
/// the order written, and they are merged into that order.
///
/// Where many rules are in one list, because their patterns may match anywhere, a [`Filter`] finds those whose patterns can.
///
/// The index only leaves rules out: `unless`, and whatever else a rule asks, is tested afterwards, with all the rest.
#[derive(Debug)]
pub(crate) struct Index {
    hosts: Forest<Below, true>,
    paths: Forest<List, false>,
    lists: Lists,
    filters: Vec<Filter>,
    /// The tree in `hosts`.
    root: Root,
}

/// The part of the index that a host leads to.
#[derive(Debug, Clone, Copy)]
enum Below {
    Paths(Root),
    /// Rules that ask nothing of the path: there is no need to look at it.
    Rules(List),
}

/// Positions of rules: lists, one after the other, each behind its length and the number of its filter, from 1; 0 is none.
#[derive(Debug, Default)]
struct Lists(Vec<u32>);

/// The position where a list begins.
type List = u32;

/// A rule that names hosts and paths is filed under every pair of them, so long as that makes at most this many entries for
/// each name; else under its hosts alone. It keeps the index in proportion to the policy.
const MOST_ENTRIES_PER_KEY: usize = 16;

impl Index {
    /// An index over rules with these conditions.
    pub(crate) fn new(rules: &[&[Condition]]) -> Self {
        let mut filed: BTreeMap<Key, BTreeMap<Key, Vec<u32>>> = BTreeMap::new();
        for (position, conditions) in rules.iter().enumerate() {
            let hosts = keys::of(conditions, IndexedPart::Host).unwrap_or_else(any);
            let mut paths = keys::of(conditions, IndexedPart::Path).unwrap_or_else(any);
            if hosts.len() * paths.len() > MOST_ENTRIES_PER_KEY * (hosts.len() + paths.len()) {
                paths = any();
            }
            for host in hosts {
                let below = filed.entry(host).or_default();
                for path in &paths {
                    below.entry(path.clone()).or_default().push(narrow(position));
                }
            }
        }
        let (mut hosts, mut paths, mut lists) = (Forest::new(), Forest::new(), Lists::default());
        let mut filters = Vec::new();
        let mut list = |positions: &Vec<u32>| {
            let (filter, others) = Filter::new(positions, rules);
            filters.extend(filter);
            lists.add(&others, if others.len() < positions.len() { filters.len() } else { 0 })
        };
        let below: Vec<_> = filed
            .values()
            .map(|below| match below.first_key_value() {
                Some((path, positions)) if below.len() == 1 && path.is_met_by_all() => Below::Rules(list(positions)),
                _ => Below::Paths(paths.plant(below.iter().map(|(path, positions)| (path, list(positions))))),
            })
            .collect();
        let root = hosts.plant(filed.keys().zip(below));
        Self { hosts, paths, lists, filters, root }
    }

    /// Positions of rules in ascending order, none of them twice. Every rule that is not among them does not match.
    pub(crate) fn candidates(&self, host: &str, path: &str) -> Candidates<'_> {
        let mut candidates = Candidates { lists: [&[]; FEW_LISTS], used: 0, rest: Vec::new().into_iter() };
        let mut rest = Vec::new();
        let mut add = |list| {
            let (list, filter) = self.lists.get(list);
            if let Some(filter) = filter.checked_sub(1).and_then(|at| self.filters.get(at)) {
                filter.find(host, path, &mut rest);
            }
            match candidates.lists.get_mut(candidates.used) {
                Some(free) => {
                    *free = list;
                    candidates.used += 1;
                }
                None => rest.extend(list),
            }
        };
        self.hosts.visit(self.root, host, |below| match below {
            Below::Paths(paths) => self.paths.visit(paths, path, &mut add),
            Below::Rules(list) => add(list),
        });
        if !rest.is_empty() {
            rest.sort_unstable();
            rest.dedup();
            candidates.rest = rest.into_iter();
        }
        candidates
    }
}

impl Lists {
    fn add(&mut self, positions: &[u32], filter: usize) -> List {
        let begin = narrow(self.0.len());
        self.0.extend([narrow(positions.len()), narrow(filter)]);
        self.0.extend(positions);
        begin
    }

    fn get(&self, list: List) -> (&[u32], usize) {
        match self.0.get(list as usize..) {
            Some([length, filter, behind @ ..]) => {
                (behind.get(..*length as usize).unwrap_or_default(), *filter as usize)
            }
            _ => (&[], 0),
        }
    }
}

/// The key of a rule that asks for none.
fn any() -> Vec<Key> {
    vec![Key { text: "".into(), whole: false }]
}

/// Lists up to here are merged where they are, without an allocation. A request meets one for each `when` that holds a wider
/// range of hosts or paths than the one before: more than a few are rare, and are sorted instead.
const FEW_LISTS: usize = 8;

/// Merges ascending lists into one.
#[derive(Debug)]
pub(crate) struct Candidates<'i> {
    /// The rest of each list.
    lists: [&'i [u32]; FEW_LISTS],
    used: usize,
    /// The rest of all the others.
    rest: vec::IntoIter<u32>,
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let lists = self.lists.get_mut(..self.used).unwrap_or_default();
        let heads = lists.iter().filter_map(|list| list.first());
        let next = *heads.chain(self.rest.as_slice().first()).min()?;
        for list in lists {
            if let Some((head, tail)) = list.split_first()
                && *head == next
            {
                *list = tail;
            }
        }
        if self.rest.as_slice().first() == Some(&next) {
            self.rest.next();
        }
        Some(next as usize)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tidegate_dsl::plan::{Predicate, Subject};

    use super::*;
    use crate::testing;

    /// An index over rules, each with a list of hosts and a list of path prefixes; an empty list asks nothing.
    fn index(rules: &[(Vec<String>, Vec<String>)]) -> Index {
        let plan = testing::plan(Vec::new());
        let rules: Vec<Vec<Condition>> = rules
            .iter()
            .map(|(hosts, prefixes)| {
                let host = testing::when(Subject::Host, Predicate::Is(hosts.clone()));
                let path = testing::when(Subject::Path, Predicate::Under(prefixes.clone()));
                let asked = [(host, hosts), (path, prefixes)].into_iter().filter(|(_, words)| !words.is_empty());
                asked.map(|(condition, _)| Condition::new(&condition, &plan).unwrap()).collect()
            })
            .collect();
        Index::new(&rules.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    fn candidates(index: &Index, host: &str, path: &str) -> Vec<usize> {
        index.candidates(host, path).collect()
    }

    #[test]
    fn host_and_path_narrow_together() {
        let index = index(&[
            (words(&["a"]), words(&["/x"])),
            (words(&["a", "b"]), vec![]),
            (vec![], words(&["/x", "/x/y"])),
            (vec![], vec![]),
            (words(&["b"]), words(&["/z"])),
        ]);
        assert_eq!(candidates(&index, "a", "/x/y"), [0, 1, 2, 3]);
        assert_eq!(candidates(&index, "b", "/x"), [1, 2, 3]);
        assert_eq!(candidates(&index, "b", "/z"), [1, 3, 4]);
        assert_eq!(candidates(&index, "c", "/z"), [3]);
        assert_eq!(candidates(&Index::new(&[]), "c", "/z"), [0; 0]);
    }

    #[test]
    fn many_lists_are_merged_too() {
        let path = "/a".repeat(3 * FEW_LISTS);
        // The longest first, so that the lists are met in the opposite order; two rules in each.
        let prefixes = (0..6 * FEW_LISTS).map(|rule| (vec![], words(&[&path[..path.len() - rule / 2 * 2]])));
        let index = index(&prefixes.collect::<Vec<_>>());
        assert_eq!(candidates(&index, "a", &path), (0..6 * FEW_LISTS).collect::<Vec<_>>());
        assert_eq!(candidates(&index, "a", &path[..6]).len(), 6);
    }

    #[test]
    fn a_rule_of_many_hosts_and_paths_does_not_fill_the_index() {
        let many = |first: char| (0..1000).map(|at| format!("{first}{at}")).collect::<Vec<_>>();
        let index = index(&[(many('h'), many('/'))]);
        assert!(index.lists.0.len() <= 8000, "{}", index.lists.0.len());
        assert_eq!(candidates(&index, "h7", "/999"), [0]);
        assert_eq!(candidates(&index, "x", "/999"), [0; 0]);
    }
}
