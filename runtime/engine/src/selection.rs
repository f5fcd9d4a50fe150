//! Conditions by themselves: which requests somebody wants to see.

use tidegate_dsl::plan::Plan;

use crate::build_error::{BuildError, Invalid};
use crate::condition::{Condition, conditions};
use crate::exchange::Exchange;

/// Conditions that a request fits, or not.
#[derive(Debug)]
pub struct Selection(Box<[Condition]>);

impl Selection {
    /// The conditions of the first rule of a plan.
    ///
    /// # Errors
    /// The plan has no rule, or a condition cannot be tested.
    pub fn of_first_rule(plan: &Plan) -> Result<Self, BuildError> {
        let rule = plan.rule_sets.first().and_then(|set| set.rules.first());
        let rule = rule.ok_or_else(|| Invalid("there is no rule".to_owned()).at("the policy"))?;
        Ok(Self(conditions(&rule.conditions, plan).map_err(|error| error.at("the condition"))?))
    }

    /// Whether a request fits, as a rule would see it.
    pub fn holds(&self, exchange: &Exchange) -> bool {
        self.0.iter().all(|condition| condition.holds(exchange))
    }
}
