//! The work that a regular expression can make of a text.
//!
//! Expressions run in a time that grows with the text alone, but also with what is repeated in the expression: each copy is a place
//! that the search can be at, and at worst it is at all of them for each byte.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Work for all texts of one test, in places times bytes: some 5 ms at worst. An expression that repeats little meets it in no header
/// that `limits { header-bytes }` lets in by default.
pub const MAX_EFFORT: u64 = 1 << 20;

/// The effort above which an expression is worth a warning: texts of less than 4 KiB can be too long for it.
pub(crate) const COSTLY: u64 = MAX_EFFORT / 4096;

/// Places that are not repeated stand for one in this many: the search leaves nearly all of them at the next byte.
const UNREPEATED: u64 = 16;

/// The work for each byte of a text, at least 1. An expression that does not parse makes none.
pub fn of(expression: &str) -> u64 {
    regex_syntax::parse(expression).map_or(1, |hir| of_hir(&hir))
}

/// The longest text that can be tested, in bytes.
pub const fn longest_text(effort: u64) -> u64 {
    match MAX_EFFORT.checked_div(effort) {
        Some(bytes) => bytes,
        None => MAX_EFFORT,
    }
}

pub(crate) fn of_hir(hir: &Hir) -> u64 {
    let Places { repeated, once } = places(hir);
    repeated.saturating_add(once / UNREPEATED).max(1)
}

#[derive(Default)]
struct Places {
    repeated: u64,
    once: u64,
}

/// The places of an expression. The recursion is as deep as the expression nests, which the parser bounds.
fn places(hir: &Hir) -> Places {
    let once = |once| Places { repeated: 0, once };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Places::default(),
        HirKind::Literal(literal) => once(literal.0.len() as u64),
        HirKind::Class(class) => once(match class {
            Class::Unicode(class) if class.ranges().last().is_some_and(|range| !range.end().is_ascii()) => 2,
            _ => 1,
        }),
        HirKind::Capture(capture) => places(&capture.sub),
        HirKind::Repetition(repetition) => {
            let Places { repeated, once } = places(&repetition.sub);
            if repetition.max.is_some_and(|most| most <= 1) {
                return Places { repeated, once };
            }
            let copies = repetition.max.unwrap_or(repetition.min.saturating_add(1));
            Places { repeated: repeated.saturating_add(once).saturating_mul(u64::from(copies)), once: 0 }
        }
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(places).fold(Places::default(), |sum, part| Places {
                repeated: sum.repeated.saturating_add(part.repeated),
                once: sum.once.saturating_add(part.once),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_repeated_counts() {
        for (expression, effort) in [
            ("", 1),
            ("^/v[12]/", 1),
            ("(?:a[ab]{0,200}b){2,20}[cd]", 4040),
            ("a.{30}c", 60),
            (".*from", 2),
            (r"^\w{1,64}$", 128),
            ("(?:curl|wget|python-requests)", 1),
            ("[ab]?", 1),
            ("(", 1),
            ("(?:[ab]{1000}){1000}", 1_000_000),
        ] {
            assert_eq!(of(expression), effort, "{expression}");
        }
        assert!(of("((a{1000}){1000}){1000}") >= 1, "whatever it is, it can be told");
    }

    #[test]
    fn usual_lists_of_words_are_not_costly() {
        let words: Vec<String> = (0..300).map(|at| format!("word{at}")).collect();
        assert!(of(&format!("(?i)({})", words.join("|"))) < COSTLY);
        assert!(longest_text(COSTLY) == 4096 && longest_text(1) == MAX_EFFORT);
    }
}
