//! The way back: the rule first, then the listener; in each the response hooks of the extensions that were started, the last
//! started first, then its `on-response` blocks in the order written.

use http::header::{ALT_SVC, SET_COOKIE};

use crate::affinity::Kept;
use crate::decision::{Progress, ResponseDecision};
use crate::effects;
use crate::engine::Engine;
use crate::exchange::{Exchange, Response};
use crate::hook::{Hook, HookFault, HookFaultKind, Reply, Verdict};
use crate::log_line::LogLine;
use crate::observer::{Layer, Observer, StepResult};
use crate::rule::{ResponseBlock, ResponseStep, Rule};
use crate::template::Scope;
use crate::walk::{Back, Extra, Walk};

impl Engine {
    /// Whether there is anything to do on the way back. If not, the response may be passed on at once.
    pub fn response_work(&self, walk: &Walk) -> bool {
        let blocks = |blocks: &[ResponseBlock]| !blocks.is_empty();
        walk.rule_started > 0
            || walk.extra.as_ref().is_some_and(|extra| extra.has_work())
            || walk.listener_started > 0
            || self.rule(walk.listener, walk.rule).is_some_and(|rule| blocks(&rule.on_response))
            || self.listeners.get(walk.listener.0).is_some_and(|listener| blocks(&listener.on_response))
    }

    /// Whether the head of the request is looked at after it was sent: on the way back, or by a line of the access log.
    pub fn keeps_head(&self, walk: &Walk) -> bool {
        self.log_line().is_some_and(LogLine::needs_head) || self.response_work(walk)
    }

    /// Begins the way back. The exchange holds the response: a backend's, or the head of the reply that the walk decided on.
    pub fn start_response(&self, walk: &mut Walk) {
        walk.asked = None;
        walk.replacement = None;
        walk.back = Back::RuleHooks(walk.rule_started);
    }

    /// Goes on until an extension is to be called or the decision is made.
    ///
    /// Every extension that was started is named. One without a response hook is resumed with `next`.
    pub fn advance_response(
        &self,
        walk: &mut Walk,
        exchange: &mut Exchange,
        observer: &mut impl Observer,
    ) -> Progress<ResponseDecision> {
        let Some(listener) = self.listeners.get(walk.listener.0) else {
            return Progress::Done(ResponseDecision::Pass);
        };
        let rule = self.rule(walk.listener, walk.rule);
        loop {
            let (extensions, left) = match walk.back {
                Back::RuleHooks(left) => (rule.map(|rule| &*rule.extensions).unwrap_or_default(), left),
                Back::ListenerHooks(left) => (&*listener.run, left),
                Back::RuleBlocks => {
                    mark(walk, exchange);
                    if let Some(rule) = rule {
                        walk.own_alt_svc |=
                            run_blocks(&rule.on_response, Layer::Rule, rule_scope(rule, walk), exchange, observer);
                    }
                    walk.back = Back::ListenerHooks(walk.listener_started);
                    continue;
                }
                Back::ListenerBlocks => {
                    let name = rule.map(|rule| &*rule.name).unwrap_or_default();
                    walk.own_alt_svc |=
                        run_blocks(&listener.on_response, Layer::Listener, (name, &[]), exchange, observer);
                    walk.back = Back::Over;
                    continue;
                }
                Back::Over => return Progress::Done(passed(walk, exchange)),
                Back::Closed => return Progress::Done(ResponseDecision::Close),
            };
            let Some(index) = left.checked_sub(1) else {
                walk.back = walk.back.after_hooks();
                continue;
            };
            walk.back = walk.back.with_left(index);
            if let Some(extension) = extensions.get(index) {
                walk.asked = Some(*extension);
                observer.asked(*extension, Hook::Response, exchange);
                return Progress::Run(*extension);
            }
        }
    }

    /// Gives the verdict of the extension that [`Progress::Run`] named. An answer takes the place of the response, and the rest
    /// of the way back sees it. A response cannot be forwarded: that is a fault.
    pub fn resume_response(&self, walk: &mut Walk, exchange: &mut Exchange, verdict: Result<Verdict, HookFault>) {
        let Some(extension) = walk.asked.take() else {
            return;
        };
        let fault = match verdict {
            Ok(Verdict::Next) => return,
            Ok(Verdict::Respond(reply)) => return replace(walk, exchange, reply),
            Ok(Verdict::Close) => {
                walk.back = Back::Closed;
                return;
            }
            Ok(Verdict::Forward(name)) => cannot_forward(&name),
            Err(fault) => fault,
        };
        if let Some(reply) = self.fault(walk, extension, fault) {
            replace(walk, exchange, reply);
        }
    }
}

impl Back {
    const fn after_hooks(self) -> Self {
        match self {
            Self::RuleHooks(_) => Self::RuleBlocks,
            _ => Self::ListenerBlocks,
        }
    }

    const fn with_left(self, left: usize) -> Self {
        match self {
            Self::RuleHooks(_) => Self::RuleHooks(left),
            _ => Self::ListenerHooks(left),
        }
    }
}

/// The rule's name, and what its `matches` found.
type Names<'a> = (&'a str, &'a [Option<Box<str>>]);

fn rule_scope<'a>(rule: &'a Rule, walk: &'a Walk) -> Names<'a> {
    (&rule.name, &walk.captures)
}

/// Does what the blocks say; returns whether that changed `Alt-Svc`.
fn run_blocks(
    blocks: &[ResponseBlock],
    layer: Layer,
    (rule, captures): Names<'_>,
    exchange: &mut Exchange,
    observer: &mut impl Observer,
) -> bool {
    let mut own_alt_svc = false;
    for (index, block) in blocks.iter().enumerate() {
        if let Some(condition) = block.first_failure(exchange) {
            observer.block_passed_over(layer, index, condition, exchange);
            continue;
        }
        for (position, step) in block.steps.iter().enumerate() {
            let scope = Scope { exchange: &*exchange, rule, captures };
            let result = match step {
                ResponseStep::Header(step) => {
                    own_alt_svc |= *step.name() == ALT_SVC;
                    let change = step.change(scope);
                    if let Some(response) = &mut exchange.response {
                        change.apply(&mut response.headers, &mut response.changed);
                    }
                    StepResult::Done
                }
                ResponseStep::SetVar(name, template) => {
                    let text = template.render(scope);
                    effects::set_var(exchange, name, &text)
                }
                ResponseStep::Log(template) => {
                    let line = template.render(scope);
                    effects::log(exchange, line)
                }
            };
            observer.response_stepped(layer, index, position, &result, exchange);
        }
    }
    own_alt_svc
}

/// Writes what `cors` and `sticky` have for the client. It comes after the rule's extensions, whose answers get it, too, and
/// before its `on-response` blocks, which may change it.
fn mark(walk: &Walk, exchange: &mut Exchange) {
    let (Some(extra), Some(response)) = (&walk.extra, &mut exchange.response) else { return };
    if let Some(marks) = &extra.marks {
        marks.apply(&mut response.headers);
    }
    if let Some(cookie) = extra.kept.as_ref().and_then(Kept::told) {
        _ = response.headers.try_append(SET_COOKIE, cookie.clone());
    }
}

impl Extra {
    /// Whether the walk holds something for the client.
    fn has_work(&self) -> bool {
        self.marks.is_some() || self.kept.as_ref().is_some_and(|kept| kept.told().is_some())
    }
}

/// Puts an answer in the place of the response.
fn replace(walk: &mut Walk, exchange: &mut Exchange, reply: Reply) {
    exchange.response = Some(Response::new(reply.status, reply.headers));
    walk.replacement = Some(reply.body);
    // What blocks said of the one before is gone with it.
    walk.own_alt_svc = false;
}

/// The decision that a response goes on: the exchange keeps the head also where it is replaced, for the log.
fn passed(walk: &mut Walk, exchange: &Exchange) -> ResponseDecision {
    match (walk.replacement.take(), &exchange.response) {
        (Some(body), Some(response)) => {
            ResponseDecision::Replace(Reply { status: response.status, headers: response.headers.clone(), body })
        }
        _ => ResponseDecision::Pass,
    }
}

fn cannot_forward(name: &str) -> HookFault {
    HookFault {
        kind: HookFaultKind::NotAllowed,
        message: format!("a response hook cannot forward (to `{name}`); the request hook can"),
    }
}
