//! Which rules can a host and a path meet at all?

use std::collections::BTreeMap;
use std::vec;

use crate::condition::Condition;
use crate::keys::{self, Part};
use crate::radix::{Forest, Key, Root};

/// Finds the rules that a host and a path do not rule out, in a time that does not grow with the number of rules.
///
/// Each rule is filed under what its `when` lines ask of the host (a name, or the end of a name) and, below that, under what
/// they ask of the path (a path, or the beginning of one). A rule that asks nothing of one of them is filed there under the
/// empty text, which every text ends and begins with. So a radix tree of host ends, read backwards, leads to radix trees
/// of path beginnings, and those lead to lists of rules. A request meets the few lists on its way through the trees, each in
/// the order written, and they are merged into that order.
///
/// The index only leaves rules out: `unless`, and whatever else a rule asks, is tested afterwards, with all the rest.
#[derive(Debug)]
pub(crate) struct Index {
    hosts: Forest<Root, true>,
    paths: Forest<List, false>,
    /// Positions of rules: the lists, one after the other.
    positions: Vec<usize>,
    /// The tree in `hosts`.
    root: Root,
}

/// Begin and end of a list of rules.
type List = (usize, usize);

/// A rule that names hosts and paths is filed under every pair of them, so long as that makes at most this many entries for
/// each name; else under its hosts alone. It keeps the index in proportion to the policy.
const MOST_ENTRIES_PER_KEY: usize = 16;

impl Index {
    /// An index over rules with these conditions.
    pub(crate) fn new<'r>(rules: impl Iterator<Item = &'r [Condition]>) -> Self {
        let mut filed: BTreeMap<Key, BTreeMap<Key, Vec<usize>>> = BTreeMap::new();
        for (position, conditions) in rules.enumerate() {
            let hosts = keys::of(conditions, Part::Host).unwrap_or_else(any);
            let mut paths = keys::of(conditions, Part::Path).unwrap_or_else(any);
            if hosts.len() * paths.len() > MOST_ENTRIES_PER_KEY * (hosts.len() + paths.len()) {
                paths = any();
            }
            for host in hosts {
                let below = filed.entry(host).or_default();
                for path in &paths {
                    below.entry(path.clone()).or_default().push(position);
                }
            }
        }
        let (mut hosts, mut paths, mut positions) = (Forest::new(), Forest::new(), Vec::new());
        let roots: Vec<Root> = filed
            .values()
            .map(|below| {
                paths.plant(below.iter().map(|(path, list)| {
                    let begin = positions.len();
                    positions.extend(list);
                    (path, (begin, positions.len()))
                }))
            })
            .collect();
        let root = hosts.plant(filed.keys().zip(roots));
        Self { hosts, paths, positions, root }
    }

    /// Positions of rules in ascending order, none of them twice. Every rule that is not among them does not match.
    pub(crate) fn candidates(&self, host: &str, path: &str) -> Candidates<'_> {
        let mut candidates = Candidates { lists: [&[]; FEW_LISTS], used: 0, rest: Vec::new().into_iter() };
        let mut rest = Vec::new();
        self.hosts.visit(self.root, host, |paths| {
            self.paths.visit(paths, path, |(begin, end)| {
                let list = self.positions.get(begin..end).unwrap_or_default();
                match candidates.lists.get_mut(candidates.used) {
                    Some(free) => {
                        *free = list;
                        candidates.used += 1;
                    }
                    None => rest.extend(list),
                }
            });
        });
        if !rest.is_empty() {
            rest.sort_unstable();
            rest.dedup();
            candidates.rest = rest.into_iter();
        }
        candidates
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
    /// What is left of each list.
    lists: [&'i [usize]; FEW_LISTS],
    used: usize,
    /// What is left of all the others.
    rest: vec::IntoIter<usize>,
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
        Some(next)
    }
}
