//! Radix trees over the ends of texts, for what is filed under a whole text, or under how a text begins (or ends).

use std::collections::VecDeque;
use std::ops::Range;

/// A text that another one has to be, or to begin with (to end with, in a tree that reads backwards).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) text: Box<str>,
    /// The text is this, and does not go on.
    pub(crate) whole: bool,
}

impl Key {
    /// Whether every text meets the key: each begins and ends with the empty one.
    pub(crate) fn is_met_by_all(&self) -> bool {
        !self.whole && self.text.is_empty()
    }
}

/// Radix trees that share their memory; each is known by its root.
///
/// A node stands for the bytes read on the way to it. It first reads its `label`, the bytes that everything below it has in
/// common, and then branches on the next byte. So a text is read once, and the number of nodes on its way does not depend
/// on the number of keys but on how often keys part along the text. The branches of a node lie side by side in the order of
/// their bytes: a bit for each byte says whether there is one, and the bits below it count to its place.
///
/// With `BACKWARDS`, texts are read from the end: `.shop.example` then leads to every host below it.
#[derive(Debug)]
pub(crate) struct Forest<V, const BACKWARDS: bool> {
    nodes: Vec<Node<V>>,
    /// The labels of all nodes, each in the direction of the text.
    labels: Vec<u8>,
}

/// A tree of a forest.
pub(crate) type Root = u32;

/// A node, in one line of the processor's cache: among many keys, reaching for another line is what a lookup spends its
/// time on.
#[derive(Debug)]
#[repr(align(64))]
struct Node<V> {
    /// The begin and end of the label, in the labels of the forest.
    label: (u32, u32),
    /// The value for texts that end after the label.
    whole: Option<V>,
    /// The value for texts that end or go on after the label.
    open: Option<V>,
    branches: ByteSet,
    /// The node of the lowest branch; the others follow it.
    first_branch: u32,
}

/// A set of bytes that tells a member's place among the members.
#[derive(Debug, Default)]
struct ByteSet([u32; 8]);

/// A key in the order of reading, and its value.
type Entry<V> = (Vec<u8>, bool, V);

impl<V: Copy, const BACKWARDS: bool> Forest<V, BACKWARDS> {
    pub(crate) const fn new() -> Self {
        Self { nodes: Vec::new(), labels: Vec::new() }
    }

    /// Adds a tree of these keys, of which no two are the same.
    pub(crate) fn plant<'k>(&mut self, keys: impl Iterator<Item = (&'k Key, V)>) -> Root {
        let mut entries: Vec<Entry<V>> = keys
            .map(|(key, value)| {
                let mut text = key.text.as_bytes().to_vec();
                if BACKWARDS {
                    text.reverse();
                }
                (text, key.whole, value)
            })
            .collect();
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let root = self.nodes.len();
        self.nodes.push(Node::new());
        // Level by level, so that the branches of a node come to lie side by side.
        let mut todo = VecDeque::from([(root, &*entries, 0)]);
        while let Some((at, entries, read)) = todo.pop_front() {
            let node = self.node(entries, read);
            let read = read + node.label_range().len();
            let ended = entries.partition_point(|entry| entry.0.len() <= read);
            let going_on = entries.get(ended..).unwrap_or_default();
            for branch in going_on.chunk_by(|a, b| a.0.get(read) == b.0.get(read)) {
                todo.push_back((self.nodes.len(), branch, read + 1));
                self.nodes.push(Node::new());
            }
            if let Some(place) = self.nodes.get_mut(at) {
                *place = node;
            }
        }
        narrow(root)
    }

    /// Gives `visit` the value of each key that `text` meets, the shortest first.
    pub(crate) fn visit(&self, root: Root, text: &str, mut visit: impl FnMut(V)) {
        let mut rest = text.as_bytes();
        let mut next = self.nodes.get(root as usize);
        while let Some(node) = next {
            let label = self.labels.get(node.label_range()).unwrap_or_default();
            let after = if BACKWARDS { rest.strip_suffix(label) } else { rest.strip_prefix(label) };
            let Some(after) = after else { return };
            if let Some(value) = node.open {
                visit(value);
            }
            let branch = if BACKWARDS { after.split_last() } else { after.split_first() };
            let Some((byte, after)) = branch else {
                if let Some(value) = node.whole {
                    visit(value);
                }
                return;
            };
            rest = after;
            next = node.branches.place(*byte).and_then(|place| self.nodes.get((node.first_branch + place) as usize));
        }
    }

    /// The node for sorted entries that have their first `read` bytes in common. Its branches are the next nodes to come.
    fn node(&mut self, entries: &[Entry<V>], read: usize) -> Node<V> {
        // They are sorted: what the first and the last have in common, all have.
        let (first, last) = (unread(entries.first(), read), unread(entries.last(), read));
        let common = first.iter().zip(last).take_while(|(a, b)| a == b).count();
        let label = first.get(..common).unwrap_or_default();
        let begin = self.labels.len();
        if BACKWARDS {
            self.labels.extend(label.iter().rev());
        } else {
            self.labels.extend(label);
        }
        let mut node = Node::new();
        node.label = (narrow(begin), narrow(self.labels.len()));
        node.first_branch = narrow(self.nodes.len());
        for (text, whole, value) in entries {
            match text.get(read + common) {
                Some(byte) => node.branches.insert(*byte),
                None if *whole => node.whole = Some(*value),
                None => node.open = Some(*value),
            }
        }
        node
    }
}

fn unread<V>(entry: Option<&Entry<V>>, read: usize) -> &[u8] {
    entry.and_then(|entry| entry.0.get(read..)).unwrap_or_default()
}

/// A number that fits: a policy that does not would be gigabytes long.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl<V> Node<V> {
    const fn new() -> Self {
        Self { label: (0, 0), whole: None, open: None, branches: ByteSet([0; 8]), first_branch: 0 }
    }

    const fn label_range(&self) -> Range<usize> {
        self.label.0 as usize..self.label.1 as usize
    }
}

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        let (word, bit) = Self::position(byte);
        if let Some(word) = self.0.get_mut(word) {
            *word |= bit;
        }
    }

    /// The number of members below `byte`, if it is one.
    fn place(&self, byte: u8) -> Option<u32> {
        let (word, bit) = Self::position(byte);
        let here = *self.0.get(word)?;
        if here & bit == 0 {
            return None;
        }
        let before: u32 = self.0.get(..word)?.iter().map(|word| word.count_ones()).sum();
        Some(before + (here & (bit - 1)).count_ones())
    }

    const fn position(byte: u8) -> (usize, u32) {
        (byte as usize / 32, 1 << (byte % 32))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn key(text: &str, whole: bool) -> Key {
        Key { text: text.into(), whole }
    }

    fn visited<const BACKWARDS: bool>(keys: &[Key], text: &str) -> Vec<usize> {
        let mut forest = Forest::<usize, BACKWARDS>::new();
        // A tree before and behind it: they must not mix.
        forest.plant([(&key("a", false), 1000)].into_iter());
        let root = forest.plant(keys.iter().enumerate().map(|(index, key)| (key, index)));
        forest.plant([(&key("", false), 1001)].into_iter());
        let mut found = Vec::new();
        forest.visit(root, text, |value| found.push(value));
        found
    }

    #[test]
    fn the_shortest_key_comes_first() {
        let keys = [key("/a/b", true), key("/a/b", false), key("/a", false), key("", false), key("/b", false)];
        assert_eq!(visited::<false>(&keys, "/a/b"), [3, 2, 1, 0]);
        assert_eq!(visited::<false>(&keys, "/a/bc"), [3, 2, 1]);
        assert_eq!(visited::<false>(&keys, "/c"), [3]);
        assert_eq!(visited::<false>(&[], "/c"), [0; 0]);
        let keys = [key(".shop.example", false), key("api.shop.example", true), key("shop.example", true)];
        assert_eq!(visited::<true>(&keys, "api.shop.example"), [0, 1]);
        assert_eq!(visited::<true>(&keys, "shop.example"), [2]);
        assert_eq!(visited::<true>(&keys, "example"), [0; 0]);
    }

    #[test]
    fn every_byte_may_branch() {
        let keys: Vec<_> = (0..=u8::MAX).map(|byte| key(&char::from(byte).to_string(), true)).collect();
        for (index, key) in keys.iter().enumerate() {
            assert_eq!(visited::<false>(&keys, &key.text), [index]);
            assert_eq!(visited::<true>(&keys, &key.text), [index]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn it_agrees_with_a_scan(
            keys in proptest::collection::btree_set(("[ab/\u{e9}]{0,5}", any::<bool>()), 0..12),
            text in "[ab/\u{e9}]{0,7}",
        ) {
            let keys: Vec<_> = keys.iter().map(|(text, whole)| key(text, *whole)).collect();
            let scan = |meets: fn(&str, &str) -> bool| -> BTreeSet<usize> {
                let met = |key: &Key| if key.whole { text == *key.text } else { meets(&text, &key.text) };
                keys.iter().enumerate().filter(|(_, key)| met(key)).map(|(index, _)| index).collect()
            };
            let (forwards, backwards) = (visited::<false>(&keys, &text), visited::<true>(&keys, &text));
            prop_assert_eq!(BTreeSet::from_iter(forwards), scan(|text, key| text.starts_with(key)));
            prop_assert_eq!(BTreeSet::from_iter(backwards), scan(|text, key| text.ends_with(key)));
        }
    }
}
