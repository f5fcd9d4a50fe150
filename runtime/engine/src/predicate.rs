//! Predicates: what one value of a subject must meet.

use std::collections::HashSet;

use regex::{Captures, Regex, RegexBuilder};
use tidegate_dsl::plan::{self, ClientCertField, Plan, StatusRange};
use tidegate_dsl::{Glob, effort};

use crate::bounds::{MAX_REGEX_BYTES, MAX_REGEX_STATES_BYTES};
use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::networks::Networks;
use crate::normalise;
use crate::stack_text;
use crate::subject::Subject;

/// The predicate that one value of the subject must meet.
#[derive(Debug)]
pub(crate) enum Predicate {
    Is(WordSet),
    Like(Box<[Glob]>),
    Under(Box<[Box<str>]>),
    Matches(Box<[Pattern]>),
    In(Networks),
    Status(Box<[StatusRange]>),
    Present,
    Absent,
}

/// A regular expression, with the work that it makes.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// The work for each byte of a text: see [`effort::of`].
    effort: u64,
}

/// WordSet of which one is wanted.
#[derive(Debug)]
pub(crate) enum WordSet {
    One(Box<str>),
    Few(Box<[Box<str>]>),
    #[expect(clippy::box_collection, reason = "a set is large, and would make every condition so")]
    Many(Box<HashSet<Box<str>>>),
}

/// The number of words up to which comparing is faster than hashing.
const FEW_WORDS: usize = 8;

impl Predicate {
    pub(crate) fn new(predicate: &plan::Predicate, subject: &plan::Subject, plan: &Plan) -> Result<Self, Invalid> {
        Ok(match predicate {
            plan::Predicate::Is(values) => {
                Self::Is(WordSet::new(values.iter().map(|value| spelt(value, subject)).collect()))
            }
            plan::Predicate::Like(globs) => Self::Like(globs.iter().map(|glob| Glob::new(glob)).collect()),
            plan::Predicate::Under(prefixes) => {
                Self::Under(prefixes.iter().map(|prefix| spelt(prefix, subject)).collect())
            }
            plan::Predicate::Matches(patterns) => {
                Self::Matches(patterns.iter().map(|pattern| Pattern::new(pattern)).collect::<Result<_, _>>()?)
            }
            plan::Predicate::In(set) => Self::In(Networks::of(set, plan)),
            plan::Predicate::Status(ranges) => Self::Status(ranges.as_slice().into()),
            plan::Predicate::Present => Self::Present,
            plan::Predicate::Absent => Self::Absent,
        })
    }

    /// The cost of testing one value, in comparisons of short texts.
    pub(crate) fn cost(&self) -> u32 {
        let many = |count: usize, each: u32| u32::try_from(count).unwrap_or(u32::MAX).max(1).saturating_mul(each);
        match self {
            Self::Present | Self::Absent | Self::Status(_) => 1,
            Self::Is(WordSet::One(_)) => 1,
            Self::Is(_) | Self::In(_) => 2,
            Self::Under(prefixes) => many(prefixes.len(), 1),
            Self::Like(globs) => many(globs.len(), 4),
            Self::Matches(patterns) => many(patterns.len(), 20),
        }
    }

    pub(crate) fn holds(&self, subject: &Subject, exchange: &Exchange) -> bool {
        match self {
            Self::Is(words) => subject.any(exchange, |value| words.contain(value)),
            Self::Like(globs) => subject.any(exchange, |value| globs.iter().any(|glob| glob.matches(value))),
            Self::Under(prefixes) => subject.any(exchange, |value| prefixes.iter().any(|prefix| under(value, prefix))),
            Self::Matches(patterns) => {
                let mut left = effort::MAX_EFFORT;
                subject.any(exchange, |value| {
                    patterns.iter().any(|pattern| {
                        let takes = pattern.takes(value, &mut left);
                        if !takes {
                            exchange.parsed.give_up();
                        }
                        takes && pattern.regex.is_match(value)
                    })
                })
            }
            Self::In(networks) => match subject.address(exchange) {
                Some(address) => networks.contains(address),
                None => subject.any(exchange, |value| value.parse().is_ok_and(|address| networks.contains(address))),
            },
            Self::Status(ranges) => subject.any(exchange, |value| {
                value
                    .parse::<u16>()
                    .is_ok_and(|status| ranges.iter().any(|range| (range.first..=range.last).contains(&status)))
            }),
            Self::Present => subject.any(exchange, |_| true),
            Self::Absent => !subject.any(exchange, |_| true),
        }
    }
}

impl WordSet {
    fn new(words: Vec<Box<str>>) -> Self {
        match <[_; 1]>::try_from(words) {
            Ok([word]) => Self::One(word),
            Err(words) if words.len() <= FEW_WORDS => Self::Few(words.into()),
            Err(words) => Self::Many(Box::new(words.into_iter().collect())),
        }
    }

    fn contain(&self, value: &str) -> bool {
        match self {
            Self::One(word) => **word == *value,
            Self::Few(words) => words.iter().any(|word| **word == *value),
            Self::Many(words) => words.contains(value),
        }
    }

    pub(crate) fn all(&self) -> Vec<&str> {
        match self {
            Self::One(word) => vec![word],
            Self::Few(words) => words.iter().map(AsRef::as_ref).collect(),
            Self::Many(words) => words.iter().map(AsRef::as_ref).collect(),
        }
    }
}

/// A value of the policy in the spelling that requests are normalised to.
fn spelt(value: &str, subject: &plan::Subject) -> Box<str> {
    match subject {
        plan::Subject::Path => match normalise::path(value, plan::Paths::Plain) {
            Ok(path) => path.into(),
            // It is no path, so no request has it. It stays as it was written.
            Err(_) => value.into(),
        },
        plan::Subject::Host if value.parse::<std::net::Ipv6Addr>().is_ok() => format!("[{value}]").into(),
        plan::Subject::Host | plan::Subject::Sni => value.to_ascii_lowercase().into(),
        plan::Subject::ClientCert(ClientCertField::Fingerprint) => value.to_ascii_lowercase().into(),
        plan::Subject::ClientIp | plan::Subject::PeerIp => match value.parse() {
            Ok(address) => stack_text::address(address).as_str().into(),
            Err(_) => value.into(),
        },
        _ => value.into(),
    }
}

/// Whether `path` is `prefix` or below it, by whole segments.
pub(crate) fn under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

impl Pattern {
    fn new(pattern: &str) -> Result<Self, Invalid> {
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX_BYTES)
            .dfa_size_limit(MAX_REGEX_STATES_BYTES)
            .build()
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => {
                    Invalid(format!("the regular expression `{pattern}` is too large; make its repetitions smaller"))
                }
                _ => Invalid(format!("`{pattern}` is no regular expression")),
            })?;
        Ok(Self { regex, effort: effort::of(pattern) })
    }

    /// The expression as it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.regex.as_str()
    }

    /// The finds in a text, of the whole and of each group.
    pub(crate) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex.captures(text)
    }

    /// Whether a text can be tested with the effort that is left; takes it from there.
    pub(crate) fn takes(&self, text: &str, left: &mut u64) -> bool {
        let effort = self.effort.saturating_mul(u64::try_from(text.len()).unwrap_or(u64::MAX));
        let rest = left.checked_sub(effort);
        *left = rest.unwrap_or(0);
        rest.is_some()
    }
}
