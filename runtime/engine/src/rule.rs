//! Rules, ready to be tried and run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tidegate_dsl::plan::{self, ExtensionId, GroupId, LimitKey, Plan, UriPart};

use crate::balance;
use crate::build_error::{BuildError, Invalid};
use crate::condition::{self, Condition};
use crate::exchange::Exchange;
use crate::fields;
use crate::header_step::HeaderStep;
use crate::hook::Reply;
use crate::limiter::{Key, Limiter};
use crate::rewrite;
use crate::template::{Group, Scope, Slots, Template, header_name, header_value};

/// The rules of one `rules` block, and `otherwise`.
#[derive(Debug)]
pub(crate) struct RuleSet {
    /// All but the last.
    rules: Box<[Rule]>,
    /// The last, which has no conditions.
    otherwise: Rule,
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: Box<str>,
    conditions: Box<[Condition]>,
    pub(crate) steps: Box<[Step]>,
    pub(crate) outcome: Outcome,
    pub(crate) on_response: Box<[ResponseBlock]>,
    /// The extensions of its `run` steps, in their order.
    pub(crate) extensions: Box<[ExtensionId]>,
    /// What its templates want of its regular expressions.
    slots: Slots,
}

/// What a rule does to a request.
#[derive(Debug)]
pub(crate) enum Step {
    Limit(Limit),
    Header(HeaderStep),
    Rewrite(UriPart, Template),
    SetVar(Box<str>, Template),
    Run(ExtensionId),
    Timeout(Duration),
    Log(Template),
}

/// A `limit` step.
#[derive(Debug)]
pub(crate) struct Limit {
    limiter: Arc<Limiter>,
    per: Per,
    status: StatusCode,
    /// The rule's name, for `tidegate-limited`.
    rule: HeaderValue,
}

#[derive(Debug)]
enum Per {
    All,
    ClientIp,
    Header(http::HeaderName),
    Cookie(Box<str>),
    Host,
}

/// How a rule ends.
#[derive(Debug)]
pub(crate) enum Outcome {
    Forward(Split),
    Redirect(Redirect),
    Respond(Respond),
    Close,
}

/// Groups by weight.
#[derive(Debug)]
pub(crate) struct Split(Box<[plan::Target]>);

/// A redirection.
#[derive(Debug)]
pub(crate) struct Redirect {
    status: StatusCode,
    location: Location,
}

#[derive(Debug)]
enum Location {
    Fixed(HeaderValue),
    Made(Template),
}

/// An answer of our own.
#[derive(Debug)]
pub(crate) struct Respond {
    status: StatusCode,
    content_type: HeaderValue,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Fixed(Bytes),
    Made(Template),
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

/// The name of a limit: rule list, rule, and position among the limits of the rule. By it a reload finds its buckets again.
pub(crate) type LimitName = (String, String, usize);

/// The buckets of every limit.
pub(crate) type Limiters = HashMap<LimitName, Arc<Limiter>>;

/// What is being built, and what of it others need.
pub(crate) struct Builder<'a> {
    pub(crate) plan: &'a Plan,
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
            Some(otherwise) if otherwise.conditions.is_empty() => Ok(Self { rules: rules.into(), otherwise }),
            _ => Err(Invalid("the last rule has to be `otherwise`; add one".to_owned()).at(&format!("rules `{name}`"))),
        }
    }

    /// The rule at `index`; `otherwise` past the end.
    pub(crate) fn rule(&self, index: usize) -> &Rule {
        self.rules.get(index).unwrap_or(&self.otherwise)
    }

    /// Every rule but `otherwise`, in the order written, with its index. An index over hosts, paths and networks may narrow
    /// these to those that can match at all; it must keep their order.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = (usize, &Rule)> {
        self.rules.iter().enumerate()
    }

    /// The index of `otherwise`.
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
        Ok(Self {
            name: rule.name.as_str().into(),
            conditions: condition::conditions(&rule.conditions, builder.plan)?,
            outcome: Outcome::new(&rule.outcome, builder.plan, &mut slots)?,
            on_response: response_blocks(&rule.on_response, builder.plan, &mut slots)?,
            extensions: extensions.collect(),
            steps: steps.into(),
            slots,
        })
    }

    /// The position of the first condition that does not hold.
    pub(crate) fn first_failure(&self, exchange: &Exchange) -> Option<usize> {
        self.conditions.iter().position(|condition| !condition.holds(exchange))
    }

    /// What its regular expressions found, as far as its templates want it. A numbered group belongs to the first
    /// `matches` outside `any`; a named one to the first that has it.
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
                        Group::Index(index) if takes_numbers => captures.get(*index),
                        Group::Name(name) if slot.is_none() => captures.name(name),
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
            plan::Step::Timeout(timeout) => Self::Timeout(*timeout),
            plan::Step::Log(template) => Self::Log(Template::new(template, slots)?),
        })
    }
}

// === impl Limit ===

impl Limit {
    fn new(limit: &plan::Limit, name: LimitName, builder: &mut Builder<'_>) -> Result<Self, Invalid> {
        let rule = header_value(name.1.as_str().into());
        let kept = builder.previous.and_then(|previous| previous.get(&name));
        let limiter = match kept {
            Some(kept) if kept.serves(limit) => Arc::clone(kept),
            _ => Arc::new(Limiter::new(limit)),
        };
        builder.limiters.insert(name, Arc::clone(&limiter));
        Ok(Self {
            limiter,
            per: match &limit.per {
                LimitKey::All => Per::All,
                LimitKey::ClientIp => Per::ClientIp,
                LimitKey::Header(name) => match header_name(name)? {
                    header::HOST => Per::Host,
                    name => Per::Header(name),
                },
                LimitKey::Cookie(name) => Per::Cookie(name.as_str().into()),
                LimitKey::Host => Per::Host,
            },
            status: final_status(limit.status)?,
            rule,
        })
    }

    /// Takes a token at `now`. A request without the header or cookie counts as one whose value is empty.
    ///
    /// # Errors
    ///
    /// How long until there is one.
    pub(crate) fn take(&self, exchange: &Exchange, now: u64) -> Result<(), Duration> {
        match &self.per {
            Per::All => self.limiter.take(Key::All, now),
            Per::ClientIp => self.limiter.take(Key::Address(exchange.client_ip), now),
            Per::Header(name) => {
                let value = exchange.request.headers.get(name);
                let value = value.map_or(&b""[..], HeaderValue::as_bytes);
                self.limiter.take(Key::Text(value), now)
            }
            Per::Cookie(name) => {
                let value = fields::cookie(&exchange.request.headers, name).next();
                self.limiter.take(Key::Text(value.unwrap_or_default().as_bytes()), now)
            }
            Per::Host => {
                let host = exchange.request.authority.host();
                self.limiter.take(Key::Text(host.as_bytes()), now)
            }
        }
    }

    /// The refusal, with the seconds until there is a token again (RFC 9110, 10.2.3), rounded up.
    pub(crate) fn refusal(&self, wait: Duration) -> Reply {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let mut reply = plain(self.status, Bytes::from_static(b"over the limit\n"));
        reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        reply.headers.insert("tidegate-limited", self.rule.clone());
        reply
    }
}

// === impl Outcome ===

impl Outcome {
    fn new(outcome: &plan::Outcome, plan: &Plan, slots: &mut Slots) -> Result<Self, Invalid> {
        Ok(match outcome {
            plan::Outcome::Forward(targets) => Self::Forward(Split::new(targets, plan)?),
            plan::Outcome::Redirect(status, location) => Self::Redirect(Redirect::new(*status, location, slots)?),
            plan::Outcome::Respond(respond) => Self::Respond(Respond::new(respond, slots)?),
            plan::Outcome::Close => Self::Close,
        })
    }
}

impl Split {
    pub(crate) fn new(targets: &[plan::Target], plan: &Plan) -> Result<Self, Invalid> {
        if targets.iter().any(|target| plan.groups.get(target.group.0).is_none()) {
            return Err(Invalid("it forwards to a server group that does not exist".to_owned()));
        }
        if targets.iter().all(|target| target.weight == 0) {
            return Err(Invalid("all weights are 0; give one group a weight above 0".to_owned()));
        }
        Ok(Self(targets.into()))
    }

    /// A group, in proportion to the weights. `None` cannot be: one weight is above 0.
    pub(crate) fn choose(&self, random: u64) -> Option<GroupId> {
        if let [only] = &*self.0 {
            return Some(only.group);
        }
        let index = balance::weighted(self.0.iter().map(|target| target.weight), random)?;
        self.0.get(index).map(|target| target.group)
    }
}

impl Redirect {
    fn new(status: u16, location: &plan::Template, slots: &mut Slots) -> Result<Self, Invalid> {
        let location = Template::new(location, slots)?;
        Ok(Self {
            status: final_status(status)?,
            location: match location.fixed() {
                Some(text) => Location::Fixed(header_value(rewrite::location(text, false).into())),
                None => Location::Made(location),
            },
        })
    }

    pub(crate) fn reply(&self, scope: Scope<'_>) -> Reply {
        let location = match &self.location {
            Location::Fixed(value) => value.clone(),
            Location::Made(template) => {
                let inserted = template.begins_with_insert();
                header_value(rewrite::location(&template.render(scope), inserted).into())
            }
        };
        Reply { status: self.status, headers: HeaderMap::from_iter([(header::LOCATION, location)]), body: Bytes::new() }
    }
}

impl Respond {
    fn new(respond: &plan::Respond, slots: &mut Slots) -> Result<Self, Invalid> {
        let body = Template::new(&respond.body, slots)?;
        Ok(Self {
            status: final_status(respond.status)?,
            content_type: header_value(respond.content_type.as_str().into()),
            body: match body.fixed() {
                Some(text) => Body::Fixed(Bytes::from(text.to_owned())),
                None => Body::Made(body),
            },
        })
    }

    pub(crate) fn reply(&self, scope: Scope<'_>) -> Reply {
        let body = match &self.body {
            Body::Fixed(body) => body.clone(),
            Body::Made(template) => Bytes::from(template.render(scope).into_owned()),
        };
        let mut headers = HeaderMap::new();
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, self.content_type.clone());
        }
        Reply { status: self.status, headers, body }
    }
}

/// An answer in plain text.
pub(crate) fn plain(status: StatusCode, body: Bytes) -> Reply {
    let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
    Reply { status, headers: HeaderMap::from_iter([(header::CONTENT_TYPE, media_type)]), body }
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
        self.conditions.iter().position(|condition| !condition.holds(exchange))
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

/// A status that ends an exchange (RFC 9110, 15): not an interim one.
pub(crate) fn final_status(status: u16) -> Result<StatusCode, Invalid> {
    match StatusCode::from_u16(status) {
        Ok(code) if (200..600).contains(&status) => Ok(code),
        _ => Err(Invalid(format!("{status} is no final status; one from 200 to 599 is"))),
    }
}
