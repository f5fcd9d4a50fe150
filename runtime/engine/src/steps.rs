//! The steps of a rule, and its outcome.

use std::sync::Arc;

use tidegate_dsl::plan::{ExtensionId, Mirror};

use crate::balance;
use crate::decision::Moment;
use crate::effects;
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::hash;
use crate::observer::{Observer, StepResult};
use crate::outcome::{self, Outcome};
use crate::rewrite;
use crate::rule::{Rule, Step};
use crate::template::Scope;
use crate::walk::{End, Stage, Walk};

impl Engine {
    /// Does the step at `next`, or the outcome after the last one. Returns the extension to call, if the step is `run`.
    pub(crate) fn step(
        &self,
        rule: &Rule,
        next: usize,
        walk: &mut Walk,
        exchange: &mut Exchange,
        moment: Moment,
        observer: &mut impl Observer,
    ) -> Option<ExtensionId> {
        let Some(step) = rule.steps.get(next) else {
            let end = ending(rule, walk, exchange, moment, observer);
            self.end(walk, exchange, end);
            return None;
        };
        walk.stage = Stage::Steps(next + 1);
        let scope = Scope { exchange: &*exchange, rule: &rule.name, captures: &walk.captures };
        let result = match step {
            Step::Run(extension) => {
                exchange.rule = Some(Arc::clone(&rule.name));
                return Some(*extension);
            }
            Step::Limit(limit) => match limit.take(exchange, moment.nanos) {
                Ok(()) => StepResult::Done,
                Err(wait) => {
                    walk.limited = true;
                    let reply = Box::new(limit.refusal(wait));
                    self.end(walk, exchange, End::Reply(reply));
                    StepResult::Limited(wait)
                }
            },
            Step::Header(step) => {
                let change = step.change(scope);
                change.apply(&mut exchange.request.headers, &mut exchange.request.changed);
                StepResult::Done
            }
            Step::Rewrite(part, template) => {
                let text = template.render(scope);
                match rewrite::rewrite(&mut exchange.request, *part, &text) {
                    true => StepResult::Done,
                    false => StepResult::Unchanged("the text cannot be made valid"),
                }
            }
            Step::SetVar(name, template) => {
                let text = template.render(scope);
                effects::set_var(exchange, name, &text)
            }
            Step::Mirror(mirror) => match copies(*mirror, next, moment) {
                true => {
                    walk.extra().mirrors.push(mirror.group);
                    StepResult::Noted("a copy goes out")
                }
                false => StepResult::Noted("chance has left this request out"),
            },
            Step::Cors(cors) => {
                let met = cors.meet(&exchange.request);
                walk.extra().marks = Some(met.marks);
                if let Some(reply) = met.preflight {
                    self.end(walk, exchange, End::Reply(Box::new(reply)));
                }
                StepResult::Noted(met.why)
            }
            Step::Timeout(timeout) => {
                walk.timeout = Some(*timeout);
                StepResult::Done
            }
            Step::Log(template) => {
                let line = template.render(scope);
                effects::log(exchange, line)
            }
        };
        observer.stepped(next, &result, exchange);
        None
    }
}

/// The decision that the rule's outcome makes of a request.
fn ending(rule: &Rule, walk: &mut Walk, exchange: &Exchange, moment: Moment, observer: &mut impl Observer) -> End {
    let scope = Scope { exchange, rule: &rule.name, captures: &walk.captures };
    match &rule.outcome {
        Outcome::Forward(split, None) => split.choose(moment.random).map_or(End::Close, End::Forward),
        Outcome::Forward(split, Some(affinity)) => match split.keep(affinity, exchange, moment.random) {
            Some((group, kept)) => {
                walk.extra().kept = Some(kept);
                End::Forward(group)
            }
            None => End::Close,
        },
        Outcome::Redirect(redirect) => {
            let reply = redirect.reply(scope).unwrap_or_else(|why| {
                observer.refused(why.words());
                outcome::refused_redirect()
            });
            End::Reply(Box::new(reply))
        }
        Outcome::Respond(respond) => End::Reply(Box::new(respond.reply(scope))),
        Outcome::Close => End::Close,
    }
}

/// Whether chance copies a request. The piece of chance is one of its own: the group is chosen by the same `random`.
fn copies(mirror: Mirror, step: usize, moment: Moment) -> bool {
    let piece = hash::both(moment.random, u64::try_from(step).unwrap_or(u64::MAX));
    mirror.percent >= 100 || balance::weighted([mirror.percent, 100 - mirror.percent].into_iter(), piece) == Some(0)
}
