//! Keys that an index can find rules by: what tests ask of the host or the path.

use std::cmp::Reverse;

use regex_syntax::hir::Look;
use regex_syntax::hir::literal::{ExtractKind, Extractor, Seq};
use tidegate_dsl::Glob;

use crate::condition::{Condition, Test};
use crate::predicate::Predicate;
use crate::radix::Key;
use crate::subject::Subject;

/// A part of a request that rules are indexed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexedPart {
    /// The host. Keys that are not whole are what hosts end with.
    Host,
    /// The path. Keys that are not whole are what paths begin with.
    Path,
}

/// Keys of which the part has to meet one wherever all of `conditions` hold: those of the condition that leaves least over,
/// whole ones before others, longer ones before shorter ones. None of them is twice there. `None` if no condition asks for a key.
pub(crate) fn of(conditions: &[Condition], part: IndexedPart) -> Option<Vec<Key>> {
    needed(conditions, part, of_predicate, |key| (key.whole, key.text.len()))
}

/// A reading of a predicate about a part: texts or keys of which one has to be met; `None` if nothing can be said.
type Read<K> = fn(&Predicate, IndexedPart) -> Option<Vec<K>>;

/// The keys of which the part has to meet one wherever all of `conditions` hold: of all that `read` makes of their
/// predicates, those whose least is worth most. None is twice there.
pub(crate) fn needed<K: Ord + Clone, W: Ord>(
    conditions: &[Condition],
    part: IndexedPart,
    read: Read<K>,
    worth: fn(&K) -> W,
) -> Option<Vec<K>> {
    let when = conditions.iter().filter(|condition| !condition.unless);
    let mut keys = best(when.filter_map(|condition| of_test(&condition.test, part, read, worth)), worth)?;
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

fn of_test<K: Clone, W: Ord>(test: &Test, part: IndexedPart, read: Read<K>, worth: fn(&K) -> W) -> Option<Vec<K>> {
    match test {
        Test::All(tests) => best(tests.iter().filter_map(|test| of_test(test, part, read, worth)), worth),
        Test::Any(tests) => {
            let keys: Option<Vec<_>> = tests.iter().map(|test| of_test(test, part, read, worth)).collect();
            keys.map(|keys| keys.concat())
        }
        Test::Is(Subject::Host, predicate) if part == IndexedPart::Host => read(predicate, part),
        Test::Is(Subject::Path, predicate) if part == IndexedPart::Path => read(predicate, part),
        Test::Is(..) => None,
    }
}

fn best<K, W: Ord>(all: impl Iterator<Item = Vec<K>>, worth: fn(&K) -> W) -> Option<Vec<K>> {
    all.min_by_key(|keys| keys.iter().map(|key| Reverse(worth(key))).max())
}

fn of_predicate(predicate: &Predicate, part: IndexedPart) -> Option<Vec<Key>> {
    match predicate {
        Predicate::Is(words) => Some(words.all().into_iter().map(|word| key(word, true)).collect()),
        Predicate::Like(globs) => globs.iter().map(|glob| of_glob(glob, part)).collect(),
        Predicate::Under(prefixes) if part == IndexedPart::Path => {
            Some(prefixes.iter().flat_map(|prefix| below(prefix)).collect())
        }
        Predicate::Matches(patterns) => {
            let keys: Option<Vec<_>> = patterns.iter().map(|pattern| of_regex(pattern.as_str(), part)).collect();
            keys.map(|keys| keys.concat())
        }
        _ => None,
    }
}

/// The keys of a path and what is below it, by whole segments: `/a` is the path `/a`, and what begins with `/a/`.
fn below(prefix: &str) -> Vec<Key> {
    if prefix.ends_with('/') {
        return vec![key(prefix, false)];
    }
    vec![key(prefix, true), key(&[prefix, "/"].concat(), false)]
}

fn of_glob(glob: &Glob, part: IndexedPart) -> Option<Key> {
    let (begin, end, whole) = glob.ends();
    useful(key(if part == IndexedPart::Host { end } else { begin }, whole))
}

/// The keys of a regular expression that is anchored on the side of the part: what it lets texts begin or end with.
fn of_regex(pattern: &str, part: IndexedPart) -> Option<Vec<Key>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let looks = hir.properties();
    let (kind, anchored) = match part {
        IndexedPart::Host => (ExtractKind::Suffix, looks.look_set_suffix().contains(Look::End)),
        IndexedPart::Path => (ExtractKind::Prefix, looks.look_set_prefix().contains(Look::Start)),
    };
    if !anchored {
        return None;
    }
    let found: Seq = Extractor::new().kind(kind).limit_class(MOST_CHARACTERS).limit_total(MOST_LITERALS).extract(&hir);
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let literals = found.literals()?.iter();
    literals.map(|literal| useful(key(text(literal.as_bytes())?, false))).collect()
}

/// The most characters of a class that keys are made for. Where a class has more, such as `[0-9]`, the key ends before
/// it.
const MOST_CHARACTERS: usize = 4;

/// A regular expression that begins in more ways than this gets shorter keys, or none.
const MOST_LITERALS: usize = 32;

fn key(text: &str, whole: bool) -> Key {
    Key { text: text.into(), whole }
}

/// A key that every text meets is none.
fn useful(key: Key) -> Option<Key> {
    (!key.is_met_by_all()).then_some(key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::slice;
    use tidegate_dsl::plan::{self, Predicate as P, Subject as S};

    use super::*;
    use crate::testing;

    /// The keys in one line, whole ones with a `=`.
    fn shown(tests: &[plan::Test], part: IndexedPart) -> Option<String> {
        let plan = testing::plan(Vec::new());
        let condition = |test: &plan::Test| plan::Condition { unless: false, test: test.clone() };
        let conditions: Vec<_> = tests.iter().map(|test| Condition::new(&condition(test), &plan).unwrap()).collect();
        let mark = |key: &Key| format!("{}{}", if key.whole { "=" } else { "" }, key.text);
        of(&conditions, part).map(|keys| keys.iter().map(mark).collect::<Vec<_>>().join(" "))
    }

    fn is(subject: S, predicate: fn(Vec<String>) -> P, words: &str) -> plan::Test {
        plan::Test::Is(subject, predicate(words.split(' ').map(str::to_owned).collect()))
    }

    #[test]
    fn predicates_of_hosts() {
        for (predicate, words, keys) in [
            (P::Is as fn(_) -> _, "B.example a.example b.example", Some("=a.example =b.example")),
            (P::Is, "::1", Some("=[::1]")),
            (P::Like, "*.shop.example", Some(".shop.example")),
            (P::Like, "?pi.shop.example a.example", Some("=a.example pi.shop.example")),
            (P::Like, "*.shop.example *", None),
            (P::Like, "shop.*", None),
            (P::Matches, r"^[a-z]+\.shop\.example$", Some(".shop.example")),
            (P::Matches, r"\.(de|fr)$", Some(".de .fr")),
            (P::Matches, r"shop\.example", None),
            (P::Matches, r"^shop\.example", None),
            (P::Matches, "(?m)shop$", None),
            (P::Matches, "a$ b|c$", None),
            (P::Under, "a", None),
        ] {
            let test = is(S::Host, predicate, words);
            assert_eq!(shown(slice::from_ref(&test), IndexedPart::Host).as_deref(), keys, "{words}");
            assert_eq!(shown(&[test], IndexedPart::Path), None);
        }
    }

    #[test]
    fn predicates_of_paths() {
        for (predicate, words, keys) in [
            (P::Is as fn(_) -> _, "/a /%61/./b", Some("=/a =/a/b")),
            (P::Under, "/v2 /%76%31", Some("=/v1 /v1/ =/v2 /v2/")),
            (P::Under, "/", Some("/")),
            (P::Like, "/v?/* /a", Some("=/a /v")),
            (P::Like, "*.js", None),
            (P::Matches, "^/v[12]/", Some("/v1/ /v2/")),
            (P::Matches, "(?i)^/a/", Some("/A/ /a/")),
            (P::Matches, "^/item/[0-9]+$", Some("/item/")),
            (P::Matches, "^(/a|/b|)", None),
            (P::Matches, r"\.php$", None),
            (P::Matches, "^.*/x", None),
        ] {
            let test = is(S::Path, predicate, words);
            assert_eq!(shown(slice::from_ref(&test), IndexedPart::Path).as_deref(), keys, "{words}");
            assert_eq!(shown(&[test], IndexedPart::Host), None);
        }
    }

    #[test]
    fn the_narrowest_test_counts() {
        let (wide, long) = (is(S::Path, P::Under, "/"), is(S::Path, P::Under, "/a/b"));
        let (whole, method) = (is(S::Path, P::Is, "/a"), is(S::Method, P::Is, "GET"));
        let (any, all, never) = (plan::Test::Any, plan::Test::All, plan::Test::Any(Vec::new()));
        for (tests, keys) in [
            (vec![], None),
            (vec![method.clone()], None),
            (vec![wide.clone(), long.clone()], Some("=/a/b /a/b/")),
            (vec![whole.clone(), long.clone(), method.clone()], Some("=/a")),
            (vec![all(vec![wide.clone(), whole.clone()])], Some("=/a")),
            (vec![any(vec![long.clone(), whole.clone(), long.clone()])], Some("=/a =/a/b /a/b/")),
            (vec![any(vec![long.clone(), method.clone()])], None),
            (vec![any(vec![all(vec![method, long.clone()]), whole.clone()])], Some("=/a =/a/b /a/b/")),
            (vec![whole, never], Some("")),
            (vec![any(vec![wide, long.clone()]), long], Some("=/a/b /a/b/")),
        ] {
            assert_eq!(shown(&tests, IndexedPart::Path).as_deref(), keys, "{tests:?}");
        }
    }

    #[test]
    fn unless_has_no_keys() {
        let condition = plan::Condition { unless: true, test: is(S::Path, P::Is, "/a") };
        let condition = Condition::new(&condition, &testing::plan(Vec::new())).unwrap();
        assert_eq!(of(&[condition], IndexedPart::Path), None);
    }
}
