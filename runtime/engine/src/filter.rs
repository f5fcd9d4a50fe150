//! A filter of many rules whose patterns may match anywhere in a host or a path: it finds those that can match at all.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;
use regex_syntax::hir::{Hir, HirKind};

use crate::condition::Condition;
use crate::keys::{self, IndexedPart};
use crate::predicate::{Pattern, Predicate};

/// Finds rules by texts that their regular expressions and globs cannot match without.
///
/// `item-[0-9]+\.html$` needs `item-` somewhere, or `.html`. All such texts of all rules are looked for at once, in one pass over
/// the host or the path, so that ten thousand patterns are not tried one by one. As everything in the index, it only leaves
/// rules out.
#[derive(Debug)]
pub(crate) struct Filter {
    hosts: Option<Texts>,
    paths: Option<Texts>,
}

#[derive(Debug)]
struct Texts {
    automaton: AhoCorasick,
    /// The rules that need a text, by its number in the automaton.
    rules: Box<[Box<[u32]>]>,
}

/// The number of rules below which trying them one by one is faster than searching a text.
const FEW_RULES: usize = 4;

/// The length of a text below which it is found too often to leave much out.
const SHORTEST_TEXT: usize = 3;

/// A pattern that needs one of more texts than this is tried.
const MOST_TEXTS: usize = 32;

impl Filter {
    /// A filter for those of `rules` that can be found so, and the others. `None` if they are too few.
    pub(crate) fn new(rules: &[u32], conditions: &[&[Condition]]) -> (Option<Self>, Vec<u32>) {
        let (mut hosts, mut paths, mut others) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for rule in rules {
            let conditions = conditions.get(*rule as usize).copied().unwrap_or_default();
            let (texts, found) = match (texts(conditions, IndexedPart::Path), texts(conditions, IndexedPart::Host)) {
                (Some(found), _) => (&mut paths, found),
                (None, Some(found)) => (&mut hosts, found),
                (None, None) => {
                    others.push(*rule);
                    continue;
                }
            };
            for text in found {
                texts.entry(text).or_insert_with(Vec::new).push(*rule);
            }
        }
        if rules.len() - others.len() < FEW_RULES {
            return (None, rules.to_vec());
        }
        match (Texts::new(&hosts), Texts::new(&paths)) {
            (Ok(hosts), Ok(paths)) => (Some(Self { hosts, paths }), others),
            _ => (None, rules.to_vec()),
        }
    }

    /// Adds the rules whose texts are there, in any order, some of them perhaps more than once.
    pub(crate) fn find(&self, host: &str, path: &str, found: &mut Vec<u32>) {
        for (texts, part) in [(&self.hosts, host), (&self.paths, path)] {
            let Some(texts) = texts else { continue };
            for met in texts.automaton.find_overlapping_iter(part) {
                found.extend(texts.rules.get(met.pattern().as_usize()).into_iter().flatten());
            }
        }
    }
}

impl Texts {
    /// `Err` if there are too many.
    fn new(texts: &BTreeMap<Vec<u8>, Vec<u32>>) -> Result<Option<Self>, ()> {
        if texts.is_empty() {
            return Ok(None);
        }
        let automaton = AhoCorasick::new(texts.keys()).map_err(|_| ())?;
        let rules = texts.values().map(|rules| rules.as_slice().into()).collect();
        Ok(Some(Self { automaton, rules }))
    }
}

/// Texts of which one stands somewhere in the part wherever all conditions hold.
fn texts(conditions: &[Condition], part: IndexedPart) -> Option<Vec<Vec<u8>>> {
    keys::needed(conditions, part, of_predicate, Vec::len)
}

fn of_predicate(predicate: &Predicate, _: IndexedPart) -> Option<Vec<Vec<u8>>> {
    let texts: Vec<Vec<u8>> = match predicate {
        Predicate::Like(globs) => globs.iter().map(|glob| glob.longest_piece().as_bytes().to_vec()).collect(),
        Predicate::Matches(patterns) => {
            let needs = |pattern: &Pattern| of_regex(&regex_syntax::parse(pattern.as_str()).ok()?);
            patterns.iter().map(needs).collect::<Option<Vec<_>>>()?.concat()
        }
        _ => return None,
    };
    let useful = texts.len() <= MOST_TEXTS && texts.iter().all(|text| text.len() >= SHORTEST_TEXT);
    useful.then_some(texts)
}

/// Texts of which one is part of everything that the expression matches; the ones that leave most out.
///
/// It recurses as deep as the expression nests, which the parser bounds.
fn of_regex(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Literal(literal) => Some(vec![literal.0.to_vec()]),
        HirKind::Capture(capture) => of_regex(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => of_regex(&repetition.sub),
        HirKind::Concat(parts) => {
            parts.iter().filter_map(of_regex).max_by_key(|texts| texts.iter().map(Vec::len).min())
        }
        HirKind::Alternation(ways) => Some(ways.iter().map(of_regex).collect::<Option<Vec<_>>>()?.concat()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_regular_expression_needs() {
        for (pattern, texts) in [
            ("abc", Some("abc")),
            ("^/a.*item-[0-9]+$", Some("item-")),
            ("(abc|de)+f?", Some("abc de")),
            ("x(?:long text){2,}y", Some("long text")),
            ("(abc)*", None),
            ("abc|", None),
            ("(?i)abc", None),
            ("[0-9]+", None),
            ("", None),
        ] {
            let found = regex_syntax::parse(pattern).ok().and_then(|hir| of_regex(&hir));
            let shown = found.map(|texts| {
                texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect::<Vec<_>>().join(" ")
            });
            assert_eq!(shown.as_deref(), texts, "{pattern}");
        }
    }
}
