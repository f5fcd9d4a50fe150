//! Rules, ready to be tried and run.

use std::sync::Arc;
use std::time::Duration;

use tidegate_dsl::plan::{self, ExtensionId, Mirror, Plan, UriPart};

use crate::affinity::CookieKeys;
use crate::build_error::{BuildError, Invalid};
use crate::condition::{self, Condition};
use crate::cors::Cors;
use crate::exchange::{Exchange, Request};
use crate::header_step::HeaderStep;
use crate::index::Index;
use crate::limit_step::{Limit, Limiters};
use crate::outcome::Outcome;
use crate::radix::narrow;
use crate::template::{MatchGroup, Slots, Template};

/// The rules of one `rules` block, and `otherwise`.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// The rules but for the last.
    rules: Box<[Rule]>,
    /// The last, which has no conditions.
    otherwise: Rule,
    /// The index of `rules` that a host and a path can meet.
    index: Index,
}

/// A rule, ready to run.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    conditions: Box<[Condition]>,
    /// The positions of the conditions, the cheapest first; empty if that is the order written.
    order: Box<[u32]>,
    pub(crate) steps: Box<[Step]>,
    pub(crate) outcome: Outcome,
    pub(crate) on_response: Box<[ResponseBlock]>,
    /// The extensions of its `run` steps, in their order.
    pub(crate) extensions: Box<[ExtensionId]>,
    /// The slots of what the rule's templates want of its regular expressions.
    slots: Slots,
}

/// A step of a rule, ready to run.
#[derive(Debug)]
pub(crate) enum Step {
    Limit(Limit),
    Header(HeaderStep),
    Rewrite(UriPart, Template),
    SetVar(Box<str>, Template),
    Run(ExtensionId),
    Mirror(Mirror),
    Cors(Box<Cors>),
    Timeout(Duration),
    Log(Template),
}

/// An `on-response` block.
#[derive(Debug)]
pub(crate) struct ResponseBlock {
    conditions: Box<[Condition]>,
    pub(crate) steps: Box<[ResponseStep]>,
}

/// A step of `on-response`.
#[derive(Debug)]
pub(crate) enum ResponseStep {
    Header(HeaderStep),
    SetVar(Box<str>, Template),
    Log(Template),
}

/// The parts of an engine that is being built, as far as others need them.
pub(crate) struct Builder<'a> {
    pub(crate) plan: &'a Plan,
    /// The keys that values of cookies are made with.
    pub(crate) keys: &'a CookieKeys,
    /// The buckets of the engine before this one.
    pub(crate) previous: Option<&'a Limiters>,
    pub(crate) limiters: Limiters,
}

// === impl RuleSet ===

impl RuleSet {
    pub(crate) fn new(set: &plan::RuleSet, builder: &mut Builder<'_>) -> Result<Self, BuildError> {
        let name = &set.name;
        let mut rules = set
            .rules
            .iter()
            .map(|rule| {
                let built = Rule::new(rule, name, builder);
                built.map_err(|error| error.at(&format!("rule `{}` of rules `{name}`", rule.name)))
            })
            .collect::<Result<Vec<_>, _>>()?;
        match rules.pop() {
            Some(otherwise) if otherwise.conditions.is_empty() => {
                let index = Index::new(&rules.iter().map(|rule| &*rule.conditions).collect::<Vec<_>>());
                Ok(Self { rules: rules.into(), otherwise, index })
            }
            _ => Err(Invalid("the last rule has to be `otherwise`; add one".to_owned()).at(&format!("rules `{name}`"))),
        }
    }

    /// The rule at `position`; `otherwise` past the end.
    pub(crate) fn rule(&self, position: usize) -> &Rule {
        self.rules.get(position).unwrap_or(&self.otherwise)
    }

    /// Every rule but `otherwise`, in the order written, with its position.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate()
    }

    /// The rules of [`RuleSet::all`] that the request's host and path do not rule out, in the same order.
    pub(crate) fn candidates(&self, request: &Request) -> impl Iterator<Item = (usize, &Rule)> {
        // The empty text meets what asks nothing of the host.
        let host = if request.unnamed { "" } else { request.host() };
        let positions = self.index.candidates(host, request.target.tested_path());
        positions.filter_map(|position| Some((position, self.rules.get(position)?)))
    }

    /// The position of `otherwise`.
    pub(crate) const fn last(&self) -> usize {
        self.rules.len()
    }
}

// === impl Rule ===

impl Rule {
    fn new(rule: &plan::Rule, set: &str, builder: &mut Builder<'_>) -> Result<Self, Invalid> {
        let mut slots = Slots::default();
        let mut limits = 0;
        let mut steps = Vec::with_capacity(rule.steps.len());
        for step in &rule.steps {
            if let plan::Step::Limit(limit) = step {
                let name = (set.to_owned(), rule.name.clone(), limits);
                limits += 1;
                steps.push(Step::Limit(Limit::new(limit, name, builder)?));
            } else {
                steps.push(Step::new(step, builder.plan, &mut slots)?);
            }
        }
        let extensions = rule.steps.iter().filter_map(|step| match step {
            plan::Step::Run(extension) => Some(*extension),
            _ => None,
        });
        let conditions = condition::conditions(&rule.conditions, builder.plan)?;
        Ok(Self {
            name: rule.name.as_str().into(),
            order: cheapest_first(&conditions),
            conditions,
            outcome: Outcome::new(&rule.outcome, [set, &rule.name], builder.plan, builder.keys, &mut slots)?,
            on_response: response_blocks(&rule.on_response, builder.plan, &mut slots)?,
            extensions: extensions.collect(),
            steps: steps.into(),
            slots,
        })
    }

    /// Whether the rule takes the request. Conditions change nothing, so that any order will do: the cheapest decide
    /// first.
    pub(crate) fn takes(&self, exchange: &Exchange) -> bool {
        if self.order.is_empty() {
            return self.conditions.iter().all(|condition| condition.holds(exchange));
        }
        let mut ordered = self.order.iter().filter_map(|at| self.conditions.get(*at as usize));
        ordered.all(|condition| condition.holds(exchange))
    }

    /// The position of the first condition, in the order written, that does not hold.
    pub(crate) fn first_failure(&self, exchange: &Exchange) -> Option<usize> {
        self.conditions.iter().position(|condition| !condition.holds(exchange))
    }

    /// The finds of the rule's regular expressions, as far as its templates want them. A numbered group belongs to the
    /// first `matches` outside `any`; a named one to the first that has it.
    pub(crate) fn captures(&self, exchange: &Exchange) -> Vec<Option<Box<str>>> {
        let slots = &self.slots.0;
        let mut found = vec![None; slots.len()];
        if slots.is_empty() {
            return found;
        }
        let mut numbered = false;
        for condition in &self.conditions {
            condition.each_match(exchange, &mut |captures, outside_any| {
                let takes_numbers = outside_any && !numbered;
                numbered |= outside_any;
                for (slot, group) in found.iter_mut().zip(slots) {
                    let text = match group {
                        MatchGroup::Index(index) if takes_numbers => captures.get(*index),
                        MatchGroup::Name(name) if slot.is_none() => captures.name(name),
                        _ => None,
                    };
                    if let Some(text) = text {
                        *slot = Some(text.as_str().into());
                    }
                }
            });
        }
        found
    }
}

/// The positions of conditions, the cheapest first; empty if they are written so.
fn cheapest_first(conditions: &[Condition]) -> Box<[u32]> {
    let mut order: Vec<u32> = (0..narrow(conditions.len())).collect();
    order.sort_by_key(|at| conditions.get(*at as usize).map(Condition::cost));
    if order.is_sorted() { Box::default() } else { order.into() }
}

// === impl Step ===

impl Step {
    /// A step other than `limit`.
    fn new(step: &plan::Step, plan: &Plan, slots: &mut Slots) -> Result<Self, Invalid> {
        Ok(match step {
            plan::Step::Limit(_) => return Err(Invalid("a limit needs a rule".to_owned())),
            plan::Step::Header(step) => Self::Header(HeaderStep::new(step, slots)?),
            plan::Step::Rewrite(part, template) => Self::Rewrite(*part, Template::new(template, slots)?),
            plan::Step::SetVar(name, value) => Self::SetVar(name.as_str().into(), Template::new(value, slots)?),
            plan::Step::Run(extension) => Self::Run(known_extension(*extension, plan)?),
            plan::Step::Mirror(mirror) => match plan.groups.get(mirror.group.0) {
                Some(_) => Self::Mirror(*mirror),
                None => return Err(Invalid("it mirrors to a server group that does not exist".to_owned())),
            },
            plan::Step::Cors(cors) => Self::Cors(Box::new(Cors::new(cors))),
            plan::Step::Timeout(timeout) => Self::Timeout(*timeout),
            plan::Step::Log(template) => Self::Log(Template::new(template, slots)?),
        })
    }
}

// === impl ResponseBlock ===

/// Compiles all blocks of a rule or a listener.
pub(crate) fn response_blocks(
    blocks: &[plan::ResponseBlock],
    plan: &Plan,
    slots: &mut Slots,
) -> Result<Box<[ResponseBlock]>, Invalid> {
    let build = |block: &plan::ResponseBlock| {
        let steps = block.steps.iter().map(|step| ResponseStep::new(step, slots));
        Ok(ResponseBlock {
            steps: steps.collect::<Result<_, _>>()?,
            conditions: condition::conditions(&block.conditions, plan)?,
        })
    };
    blocks.iter().map(build).collect()
}

impl ResponseBlock {
    /// The position of the first condition that does not hold.
    pub(crate) fn first_failure(&self, exchange: &Exchange) -> Option<usize> {
        // A test that gives up is not met, whichever way it is asked.
        let fails = |condition: &Condition| {
            let holds = condition.holds(exchange);
            exchange.parsed.take_gave_up() || !holds
        };
        self.conditions.iter().position(fails)
    }
}

impl ResponseStep {
    fn new(step: &plan::ResponseStep, slots: &mut Slots) -> Result<Self, Invalid> {
        Ok(match step {
            plan::ResponseStep::Header(step) => Self::Header(HeaderStep::new(step, slots)?),
            plan::ResponseStep::SetVar(name, value) => Self::SetVar(name.as_str().into(), Template::new(value, slots)?),
            plan::ResponseStep::Log(template) => Self::Log(Template::new(template, slots)?),
        })
    }
}

// === what a plan may say ===

/// An extension that the plan has.
pub(crate) fn known_extension(extension: ExtensionId, plan: &Plan) -> Result<ExtensionId, Invalid> {
    match plan.extensions.get(extension.0) {
        Some(_) => Ok(extension),
        None => Err(Invalid("it runs an extension that does not exist".to_owned())),
    }
}
