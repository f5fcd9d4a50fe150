//! `when` and `unless`: tests on an exchange, compiled.

use regex::Captures;
use tidegate_dsl::effort;
use tidegate_dsl::plan::{self, Plan};

use crate::build_error::Invalid;
use crate::exchange::Exchange;
use crate::predicate::{Pattern, Predicate};
use crate::subject::Subject;

/// A `when` or `unless` line.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) unless: bool,
    pub(crate) test: Test,
}

/// The test of a condition; the same shape as the plan's.
#[derive(Debug)]
pub(crate) enum Test {
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Is(Subject, Predicate),
}

impl Condition {
    pub(crate) fn new(condition: &plan::Condition, plan: &Plan) -> Result<Self, Invalid> {
        Ok(Self { unless: condition.unless, test: Test::new(&condition.test, plan)? })
    }

    pub(crate) fn holds(&self, exchange: &Exchange) -> bool {
        self.test.holds(exchange) != self.unless
    }

    /// The cost of the condition, roughly, in comparisons of short texts.
    pub(crate) fn cost(&self) -> u32 {
        self.test.cost()
    }

    /// The finds of its regular expressions, if the condition is a `when`; and whether each stands outside `any`.
    pub(crate) fn each_match(&self, exchange: &Exchange, found: &mut dyn FnMut(&Captures<'_>, bool)) {
        if !self.unless {
            self.test.each_match(exchange, true, found);
        }
    }
}

/// Compiles all of them.
pub(crate) fn conditions(conditions: &[plan::Condition], plan: &Plan) -> Result<Box<[Condition]>, Invalid> {
    conditions.iter().map(|condition| Condition::new(condition, plan)).collect()
}

impl Test {
    fn new(test: &plan::Test, plan: &Plan) -> Result<Self, Invalid> {
        let all = |tests: &[plan::Test]| -> Result<Box<[Self]>, Invalid> {
            tests.iter().map(|test| Self::new(test, plan)).collect()
        };
        Ok(match test {
            plan::Test::All(tests) => Self::All(all(tests)?),
            plan::Test::Any(tests) => Self::Any(all(tests)?),
            plan::Test::Is(subject, predicate) => {
                Self::Is(Subject::new(subject)?, Predicate::new(predicate, subject, plan)?)
            }
        })
    }

    fn holds(&self, exchange: &Exchange) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(exchange)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(exchange)),
            Self::Is(subject, predicate) => predicate.holds(subject, exchange),
        }
    }

    fn cost(&self) -> u32 {
        match self {
            Self::All(tests) | Self::Any(tests) => tests.iter().map(Self::cost).fold(1, u32::saturating_add),
            Self::Is(subject, predicate) => subject.cost().saturating_mul(predicate.cost()),
        }
    }

    fn each_match(&self, exchange: &Exchange, outside_any: bool, found: &mut dyn FnMut(&Captures<'_>, bool)) {
        match self {
            Self::All(tests) => {
                for test in tests {
                    test.each_match(exchange, outside_any, found);
                }
            }
            Self::Any(tests) => {
                for test in tests {
                    test.each_match(exchange, false, found);
                }
            }
            Self::Is(subject, Predicate::Matches(patterns)) => {
                let mut left = effort::MAX_EFFORT;
                subject.any(exchange, |value| {
                    let can_be_tested = |pattern: &&Pattern| pattern.takes(value, &mut left);
                    let mut tested = patterns.iter().take_while(can_be_tested);
                    let captures = tested.find_map(|pattern| pattern.captures(value));
                    if let Some(captures) = &captures {
                        found(captures, outside_any);
                    }
                    captures.is_some()
                });
            }
            Self::Is(..) => {}
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests;
