//! Plain proofs about conditions: which one implies, or rules out, another.

use ipnet::IpNet;

use super::shadow::{ending, literal_end};
use crate::plan::{Condition, NetworkSet, Predicate, StatusRange, Subject, Test};

/// The most values, or tests of `any` and `all`, that are compared one by one; longer lists are compared as a whole.
pub(super) const MAX_VALUES: usize = 64;

/// Steps of one proof. Tests that stand in each other can be compared in very many ways.
const MAX_STEPS: usize = 1000;

/// Whether every request that meets all of `narrow` also meets all of `wide`.
pub(super) fn covers(wide: &[Condition], narrow: &[Condition]) -> bool {
    wide.iter().all(|wide| narrow.iter().any(|narrow| implies(narrow, wide)))
}

/// Whether no request can meet both conditions.
pub(super) fn contradict(a: &Condition, b: &Condition) -> bool {
    match (a.unless, b.unless) {
        (false, false) => disjoint(&a.test, &b.test),
        (false, true) => test_implies(&a.test, &b.test),
        (true, false) => test_implies(&b.test, &a.test),
        (true, true) => false,
    }
}

/// Whether `narrow` can hold only where `wide` does too.
fn implies(narrow: &Condition, wide: &Condition) -> bool {
    match (narrow.unless, wide.unless) {
        (false, false) => test_implies(&narrow.test, &wide.test),
        // What is excluded is turned round: to exclude more is narrower.
        (true, true) => test_implies(&wide.test, &narrow.test),
        (false, true) => disjoint(&narrow.test, &wide.test),
        (true, false) => false,
    }
}

/// Whether `narrow` can hold only where `wide` does too.
fn test_implies(narrow: &Test, wide: &Test) -> bool {
    narrow == wide || few_tests(narrow) && few_tests(wide) && follows(narrow, wide, &mut { MAX_STEPS })
}

fn follows(narrow: &Test, wide: &Test, left: &mut usize) -> bool {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return false;
    }
    match (narrow, wide) {
        (Test::Is(a, narrow), Test::Is(b, wide)) => a == b && predicate_implies(a, narrow, wide),
        (Test::Any(narrow), _) => narrow.iter().all(|one| follows(one, wide, left)),
        (_, Test::All(wide)) => wide.iter().all(|one| follows(narrow, one, left)),
        (Test::All(tests), Test::Any(others)) => {
            others.iter().any(|one| follows(narrow, one, left)) || tests.iter().any(|one| follows(one, wide, left))
        }
        (Test::All(narrow), Test::Is(..)) => narrow.iter().any(|one| follows(one, wide, left)),
        (Test::Is(..), Test::Any(wide)) => wide.iter().any(|one| follows(narrow, one, left)),
    }
}

/// Whether no request can meet both tests.
fn disjoint(a: &Test, b: &Test) -> bool {
    few_tests(a) && few_tests(b) && apart(a, b, &mut { MAX_STEPS })
}

fn apart(a: &Test, b: &Test, left: &mut usize) -> bool {
    *left = left.saturating_sub(1);
    if *left == 0 {
        return false;
    }
    match (a, b) {
        (Test::Is(subject, a), Test::Is(other, b)) => {
            subject == other && (predicates_disjoint(subject, a, b) || predicates_disjoint(subject, b, a))
        }
        (Test::Any(tests), other) | (other, Test::Any(tests)) => tests.iter().all(|one| apart(one, other, left)),
        (Test::All(tests), other) | (other, Test::All(tests)) => tests.iter().any(|one| apart(one, other, left)),
    }
}

/// Whether a test is one of few, however they are nested.
pub(super) fn few_tests(test: &Test) -> bool {
    fn within(test: &Test, left: &mut usize) -> bool {
        *left = left.saturating_sub(1);
        *left > 0
            && match test {
                Test::All(tests) | Test::Any(tests) => tests.iter().all(|one| within(one, left)),
                Test::Is(..) => true,
            }
    }
    within(test, &mut (MAX_VALUES + 1))
}

fn predicate_implies(subject: &Subject, narrow: &Predicate, wide: &Predicate) -> bool {
    let predicate = narrow;
    match (narrow, wide) {
        (Predicate::Is(narrow), Predicate::Is(wide)) | (Predicate::Matches(narrow), Predicate::Matches(wide)) => {
            narrow == wide || comparable(narrow, wide) && narrow.iter().all(|value| wide.contains(value))
        }
        (Predicate::Is(narrow) | Predicate::Like(narrow), Predicate::Like(wide)) if comparable(narrow, wide) => {
            let globs = matches!(predicate, Predicate::Like(_));
            narrow.iter().all(|value| {
                globs && wide.contains(value)
                    || wide.iter().filter_map(|glob| ending(subject, glob)).any(|end| literal_end(value).ends_with(end))
            })
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

/// Whether no value can meet both predicates. Of headers and their like there may be several values, so that each meets
/// another one.
fn predicates_disjoint(subject: &Subject, a: &Predicate, b: &Predicate) -> bool {
    if let Predicate::Absent = b {
        return !matches!(a, Predicate::Absent);
    }
    if matches!(
        subject,
        Subject::Header(_)
            | Subject::Query(_)
            | Subject::Cookie(_)
            | Subject::ResponseHeader(_)
            | Subject::ClientCert(_)
            | Subject::ClientCertAttribute(..)
    ) {
        return false;
    }
    match (a, b) {
        (Predicate::Is(a), Predicate::Is(b)) if comparable(a, b) => {
            a.iter().chain(b).all(|value| is_plain(subject, value)) && !a.iter().any(|value| b.contains(value))
        }
        (Predicate::Is(a) | Predicate::Under(a), Predicate::Under(b)) if comparable(a, b) => {
            let plain = a.iter().chain(b).all(|path| is_plain(subject, path));
            // Of two prefixes, one may lie below the other; which, does not matter.
            let apart = |a: &String, b: &String| !is_under(a, b) && !is_under(b, a);
            plain && a.iter().all(|path| b.iter().all(|prefix| apart(path, prefix)))
        }
        (Predicate::In(a), Predicate::In(b)) => networks_disjoint(a, b),
        (Predicate::Status(a), Predicate::Status(b)) => {
            let apart = |a: &StatusRange, b: &StatusRange| a.last < b.first || b.last < a.first;
            a.iter().all(|range| b.iter().all(|other| apart(range, other)))
        }
        _ => false,
    }
}

/// Whether lists are short enough to compare each value with each.
fn comparable<T>(narrow: &[T], wide: &[T]) -> bool {
    narrow.len() <= MAX_VALUES && wide.len() <= MAX_VALUES
}

/// Whether a path is a prefix itself or lies below it, by whole segments. A path that may turn out to lie elsewhere,
/// because of its dot segments, is not.
fn is_under(path: &str, prefix: &str) -> bool {
    if path.contains("/.") || path.contains("%2") {
        return path == prefix;
    }
    if prefix.ends_with('/') {
        return path.starts_with(prefix);
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a value is spelled as requests are after they were normalised, as far as a look tells.
fn is_plain(subject: &Subject, value: &str) -> bool {
    match subject {
        Subject::Path => value.starts_with('/') && !value.contains("/.") && !value.contains('%'),
        Subject::Host | Subject::Sni => !value.ends_with('.') && !value.starts_with('['),
        _ => true,
    }
}

/// Whether no address is in both sets; known only where no list is named, for lists are not looked up here.
fn networks_disjoint(a: &NetworkSet, b: &NetworkSet) -> bool {
    let apart = |a: &IpNet, b: &IpNet| match (a, b) {
        (IpNet::V4(a), IpNet::V4(b)) => !a.contains(b) && !b.contains(a),
        (IpNet::V6(a), IpNet::V6(b)) => !a.contains(b) && !b.contains(a),
        // An address of IPv4 may be written as one of IPv6.
        _ => false,
    };
    a.lists.is_empty()
        && b.lists.is_empty()
        && comparable(&a.networks, &b.networks)
        && a.networks.iter().all(|one| b.networks.iter().all(|other| apart(one, other)))
}
