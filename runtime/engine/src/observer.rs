//! Watching a walk: how `explain` sees what serving does.

use std::time::Duration;

use tidegate_dsl::plan::ExtensionId;

use crate::decision::Decision;
use crate::exchange::Exchange;
use crate::hook::Hook;

/// An observer is told of each thing that a walk does. Positions are those of the plan: rules in the rule list of the
/// listener, conditions, steps and blocks in the rule. Every method does nothing unless it is written.
pub trait Observer {
    /// Whether the observer is to hear of every rule that is passed over. If not, rules that the request's host and
    /// path rule out are left out of the walk; what is decided is the same.
    fn wants_every_rule(&self) -> bool {
        true
    }

    /// The rule was passed over; this condition of it is the first that did not hold.
    fn passed_over(&mut self, rule: usize, condition: usize, exchange: &Exchange) {
        let _ = (rule, condition, exchange);
    }

    /// The rule takes the request.
    fn matched(&mut self, rule: usize, exchange: &Exchange) {
        let _ = (rule, exchange);
    }

    /// A test of the rule could not be decided within its bounds, and the request is refused for it.
    fn gave_up(&mut self, rule: usize, exchange: &Exchange) {
        let _ = (rule, exchange);
    }

    /// A step of the rule was done. `run` comes as [`Observer::asked`].
    fn stepped(&mut self, step: usize, result: &StepResult, exchange: &Exchange) {
        let _ = (step, result, exchange);
    }

    /// The rule's outcome does not hold for this request, for this reason.
    fn refused(&mut self, why: &'static str) {
        let _ = why;
    }

    /// An extension is about to be called.
    fn asked(&mut self, extension: ExtensionId, hook: Hook, exchange: &Exchange) {
        let _ = (extension, hook, exchange);
    }

    /// The walk is over.
    fn decided(&mut self, decision: &Decision, exchange: &Exchange) {
        let _ = (decision, exchange);
    }

    /// An `on-response` block was passed over; this condition of it is the first that did not hold.
    fn block_passed_over(&mut self, layer: Layer, block: usize, condition: usize, exchange: &Exchange) {
        let _ = (layer, block, condition, exchange);
    }

    /// A step of an `on-response` block was done.
    fn response_stepped(&mut self, layer: Layer, block: usize, step: usize, result: &StepResult, exchange: &Exchange) {
        let _ = (layer, block, step, result, exchange);
    }
}

/// Watches nothing, and compiles to nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn wants_every_rule(&self) -> bool {
        false
    }
}

/// The layer whose `on-response` blocks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// The rule's.
    Rule,
    /// The listener's.
    Listener,
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepResult {
    /// The step did what it says.
    Done,
    /// A limit refused the request; there is a token again after this time.
    Limited(Duration),
    /// The step did this.
    Noted(&'static str),
    /// The step changed nothing, for this reason.
    Unchanged(&'static str),
}
