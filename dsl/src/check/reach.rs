//! Rules that no request can reach, where the proof is plain: an earlier rule takes everything that they would.

use std::collections::HashMap;

use super::Checker;
use crate::codes;
use crate::diagnostic::{Diagnostic, quoted};
use crate::plan::{Condition, OTHERWISE, Predicate, Rule, StatusRange, Test};
use crate::source::Span;

/// Up to so many rules every pair is compared; beyond, only rules with the very same conditions are found.
const MAX_COMPARED: usize = 500;

/// Longer lists are compared as a whole only.
const MAX_VALUES: usize = 64;

impl Checker<'_, '_> {
    /// Reports unreachable rules, each with the rule above it that takes its requests.
    pub(crate) fn check_reach(&mut self, rules: &[(Option<Rule>, Span)]) {
        let mut same: HashMap<&[Condition], usize> = HashMap::new();
        for (at, (rule, span)) in rules.iter().enumerate() {
            let Some(rule) = rule else { continue };
            let above = rules.get(..at).unwrap_or_default();
            let shadow = match same.get(rule.conditions.as_slice()).or(same.get([].as_slice())) {
                Some(first) => Some(*first),
                None if rules.len() <= MAX_COMPARED => {
                    above.iter().position(|(earlier, _)| earlier.as_ref().is_some_and(|earlier| covers(earlier, rule)))
                }
                None => None,
            };
            same.entry(&rule.conditions).or_insert(at);
            let Some((Some(earlier), earlier_span)) = shadow.and_then(|at| rules.get(at)) else { continue };
            if earlier.name == OTHERWISE {
                continue;
            }
            let title = if rule.name == OTHERWISE {
                "`otherwise`".to_owned()
            } else {
                format!("the rule {}", quoted(&rule.name))
            };
            let why = if earlier.conditions.is_empty() {
                format!("{} has no conditions and takes every request", quoted(&earlier.name))
            } else {
                format!("{} takes every request that would come here", quoted(&earlier.name))
            };
            self.report(
                Diagnostic::new(codes::UNREACHABLE, *span, format!("no request can reach {title}"))
                    .also(*earlier_span, why)
                    .help(if earlier.conditions.is_empty() {
                        "give it a condition, or put its steps into `otherwise`"
                    } else {
                        "remove one of the two, move the narrower one up, or change the conditions"
                    }),
            );
            if earlier.conditions.is_empty() {
                // All that follows has the same cause.
                return;
            }
        }
    }
}

/// Whether every request that meets `later` also meets `earlier`.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    earlier.conditions.iter().all(|wide| later.conditions.iter().any(|narrow| implies(narrow, wide)))
}

/// Whether `narrow` can hold only where `wide` does too.
fn implies(narrow: &Condition, wide: &Condition) -> bool {
    if narrow == wide {
        return true;
    }
    match (&narrow.test, &wide.test, narrow.unless, wide.unless) {
        (Test::Is(a, narrow), Test::Is(b, wide), false, false) => a == b && predicate_implies(narrow, wide),
        // What is excluded is turned round: to exclude more is narrower.
        (Test::Is(a, narrow), Test::Is(b, wide), true, true) => a == b && predicate_implies(wide, narrow),
        _ => false,
    }
}

fn predicate_implies(narrow: &Predicate, wide: &Predicate) -> bool {
    match (narrow, wide) {
        (Predicate::Is(narrow), Predicate::Is(wide))
        | (Predicate::Like(narrow), Predicate::Like(wide))
        | (Predicate::Matches(narrow), Predicate::Matches(wide)) => {
            narrow == wide || comparable(narrow, wide) && narrow.iter().all(|value| wide.contains(value))
        }
        (Predicate::Is(narrow) | Predicate::Under(narrow), Predicate::Under(wide)) if comparable(narrow, wide) => {
            narrow.iter().all(|path| wide.iter().any(|prefix| is_under(path, prefix)))
        }
        (Predicate::In(narrow), Predicate::In(wide)) if comparable(&narrow.networks, &wide.networks) => {
            narrow.lists.iter().all(|list| wide.lists.contains(list))
                && narrow.networks.iter().all(|network| wide.networks.iter().any(|other| other.contains(network)))
        }
        (Predicate::Status(narrow), Predicate::Status(wide)) => {
            let within = |a: &StatusRange, b: &StatusRange| a.first >= b.first && a.last <= b.last;
            narrow.iter().all(|range| wide.iter().any(|other| within(range, other)))
        }
        (Predicate::Present | Predicate::Is(_) | Predicate::Like(_) | Predicate::Matches(_), Predicate::Present) => {
            true
        }
        _ => false,
    }
}

/// Whether lists are short enough to compare each value with each.
fn comparable<T>(narrow: &[T], wide: &[T]) -> bool {
    narrow.len() <= MAX_VALUES && wide.len() <= MAX_VALUES
}

/// Whether a path is a prefix itself or lies below it, by whole segments.
fn is_under(path: &str, prefix: &str) -> bool {
    if prefix.ends_with('/') {
        return path.starts_with(prefix);
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
