//! Explains one request through the plan, rule by rule, by the walk that serves.

use std::fmt::Display;
use std::net::IpAddr;

use http::HeaderMap;
use tidegate_dsl::plan::{
    self, ExtensionId, HeaderStep, ListenerAction, ListenerId, OnError, Outcome, ResponseBlock, ResponseStep, Rule,
    Step, UriPart,
};

use crate::affinity::Kept;
use crate::blame;
use crate::condition::Condition;
use crate::decision::{Decision, Moment, Progress, ResponseDecision};
use crate::engine::Engine;
use crate::exchange::{Exchange, Response};
use crate::explanation::{Ending, Explanation, Line};
use crate::hook::{Hook, HookFault, Reply, Verdict};
use crate::observer::{Layer, Observer, StepResult};
use crate::peers::Refusal;
use crate::walk::Walk;
use crate::words::{Time, Words};

/// Calls an extension. It is given the exchange and gives it back; without a verdict if the extension does not have the hook.
type CallHook<'h> =
    dyn FnMut(ExtensionId, Hook, Box<Exchange>) -> (Box<Exchange>, Option<Result<Verdict, HookFault>>) + 'h;

/// Takes one request through the walk that serves, and says what it did.
///
/// An answer that is made here also takes the way back. A forwarded request ends where it would leave, for what a backend would
/// answer is not known; [`Engine::explain_answered`] takes an answer for granted. Limits are asked and give away tokens: explain on an engine of your own.
pub fn explain(
    engine: &Engine,
    listener: ListenerId,
    exchange: Box<Exchange>,
    moment: Moment,
    hooks: &mut CallHook<'_>,
) -> Explanation {
    follow(engine, listener, exchange, moment, hooks, None)
}

impl Engine {
    /// Explains a request as [`explain()`] does, but a forwarded request gets its forwarding headers and takes the way
    /// back, too, as if a backend had given this answer.
    ///
    /// It still counts as forwarded, unless the way back put an answer of its own in place, or closed.
    pub fn explain_answered(
        &self,
        listener: ListenerId,
        exchange: Box<Exchange>,
        moment: Moment,
        answer: Reply,
        hooks: &mut CallHook<'_>,
    ) -> Explanation {
        follow(self, listener, exchange, moment, hooks, Some(answer))
    }

    /// A condition in the words of the policy.
    pub fn words(&self, condition: &plan::Condition) -> String {
        Words(&condition.test, self.plan()).to_string()
    }

    /// Holds an exchange against a condition of this engine's plan. `None` if it holds; else what was found instead.
    pub fn unmet(&self, condition: &plan::Condition, exchange: &Exchange) -> Option<String> {
        let plan = self.plan();
        let holds = Condition::new(condition, plan).is_ok_and(|compiled| compiled.holds(exchange));
        (!holds).then(|| blame::found(condition, exchange, plan))
    }
}

fn follow(
    engine: &Engine,
    listener: ListenerId,
    mut exchange: Box<Exchange>,
    moment: Moment,
    hooks: &mut CallHook<'_>,
    answer: Option<Reply>,
) -> Explanation {
    let request = url(&exchange, true);
    let client_ip = exchange.client_ip;
    let mut notes = Notes::new(engine, listener);
    let mut walk = engine.start(listener);
    let kept_out = notes.kept_out(listener, exchange.connection.peer.ip());
    let decision = loop {
        if kept_out {
            break Decision::Close;
        }
        match engine.advance(&mut walk, &mut exchange, moment, &mut notes) {
            Progress::Done(decision) => break decision,
            Progress::Run(extension) => {
                let (returned, verdict) = hooks(extension, Hook::Request, exchange);
                exchange = returned;
                let said = verdict.as_ref().map(verdict_words);
                engine.resume(&mut walk, &mut exchange, verdict.unwrap_or(Ok(Verdict::Next)));
                if let Some(said) = said {
                    notes.called(&mut walk, extension, Hook::Request, said);
                }
            }
        }
    };
    let outcome = match decision {
        Decision::Close => Ending::Close,
        Decision::Forward(_) => {
            notes.kept(&walk);
            let group = exchange.group.as_deref().unwrap_or_default().to_owned();
            let mut outcome = Ending::Forward { group, url: url(&exchange, false) };
            if let Some(answer) = answer {
                engine.add_forwarded(listener, &mut exchange);
                let from = notes.lines.len();
                let status = answer.status.as_u16();
                let (returned, ending, replaced) = way_back(engine, &mut walk, exchange, answer, &mut notes, hooks);
                notes.way_back(from, status, true);
                exchange = returned;
                if replaced {
                    outcome = ending;
                }
            }
            outcome
        }
        Decision::Reply(reply) => {
            let from = notes.lines.len();
            let status = reply.status.as_u16();
            let (returned, outcome, _) = way_back(engine, &mut walk, exchange, reply, &mut notes, hooks);
            notes.way_back(from, status, false);
            exchange = returned;
            outcome
        }
    };
    Explanation {
        request,
        client_ip,
        listener: notes.listener.map(|listener| listener.name.clone()).unwrap_or_default(),
        rules: notes.set.map(|set| set.name.clone()),
        rule: walk.rule_name(engine).map(str::to_owned),
        lines: notes.lines,
        outcome,
        exchange,
    }
}

/// Takes an answer through the way back. True if something there replaced it, or closed.
fn way_back(
    engine: &Engine,
    walk: &mut Walk,
    mut exchange: Box<Exchange>,
    reply: Reply,
    notes: &mut Notes<'_>,
    hooks: &mut CallHook<'_>,
) -> (Box<Exchange>, Ending, bool) {
    let mut body = reply.body;
    let mut replaced = false;
    exchange.response = Some(Response::new(reply.status, reply.headers));
    engine.start_response(walk);
    loop {
        match engine.advance_response(walk, &mut exchange, notes) {
            Progress::Run(extension) => {
                let (returned, verdict) = hooks(extension, Hook::Response, exchange);
                exchange = returned;
                let said = verdict.as_ref().map(verdict_words);
                engine.resume_response(walk, &mut exchange, verdict.unwrap_or(Ok(Verdict::Next)));
                if let Some(said) = said {
                    notes.called(walk, extension, Hook::Response, said);
                }
            }
            Progress::Done(ResponseDecision::Close) => return (exchange, Ending::Close, true),
            Progress::Done(ResponseDecision::Pass) => break,
            Progress::Done(ResponseDecision::Replace(reply)) => {
                body = reply.body;
                replaced = true;
                break;
            }
        }
    }
    let ending = match &exchange.response {
        None => Ending::Close,
        Some(response) => Ending::Reply {
            status: response.status.as_u16(),
            headers: header_texts(&response.headers),
            body: String::from_utf8_lossy(&body).into_owned(),
        },
    };
    (exchange, ending, replaced)
}

// === what the walk tells ===

/// Writes down what a walk does.
struct Notes<'e> {
    engine: &'e Engine,
    listener: Option<&'e plan::Listener>,
    set: Option<&'e plan::RuleSet>,
    rule: Option<&'e Rule>,
    lines: Vec<Line>,
}

impl<'e> Notes<'e> {
    fn new(engine: &'e Engine, listener: ListenerId) -> Self {
        let plan = engine.plan();
        let listener = plan.listeners.get(listener.0);
        let set = listener.and_then(|listener| match listener.action {
            ListenerAction::Rules(set) => plan.rule_sets.get(set.0),
            ListenerAction::Forward(_) => None,
        });
        Self { engine, listener, set, rule: None, lines: Vec::new() }
    }

    /// Whether `allow-from` and `deny-from` keep the connection out, and by which of them.
    fn kept_out(&mut self, listener: ListenerId, peer: IpAddr) -> bool {
        let (Some(built), Some(plan)) = (self.engine.listeners.get(listener.0), self.listener) else { return false };
        let (word, set, result) = match built.peers.refusal(peer) {
            None => return false,
            Some(Refusal::Denied) => ("deny-from", &plan.peers.deny, "keeps it out"),
            Some(Refusal::NotAllowed) => ("allow-from", &plan.peers.allow, "does not let it in"),
        };
        let set = set.as_ref().map(|set| self.words(set)).unwrap_or_default();
        self.lines.push(Line::Step {
            step: format!("{word} {set}"),
            result: format!("{result}: the connection came from {peer}"),
        });
        true
    }

    fn rule(&self, index: usize) -> Option<&'e Rule> {
        self.set.and_then(|set| set.rules.get(index))
    }

    fn block(&self, layer: Layer, index: usize) -> Option<&'e ResponseBlock> {
        match layer {
            Layer::Rule => self.rule?.on_response.get(index),
            Layer::Listener => self.listener?.on_response.get(index),
        }
    }

    fn words<T>(&self, of: &T) -> String
    where
        for<'w> Words<'w, T>: Display,
    {
        Words(of, self.engine.plan()).to_string()
    }

    /// Marks where the way back began, if anything was done there.
    fn way_back(&mut self, from: usize, status: u16, backend: bool) {
        if from < self.lines.len() {
            self.lines.insert(from, Line::WayBack { status, backend });
        }
    }

    /// Notes how a `sticky` forward came to its group.
    fn kept(&mut self, walk: &Walk) {
        let (Some(kept), Some(Outcome::Forward(forward))) = (walk.kept(), self.rule.map(|rule| &rule.outcome)) else {
            return;
        };
        let step = format!("sticky {}", Time(forward.sticky.unwrap_or_default()));
        let result = match kept {
            Kept::ByCookie => "the client's cookie keeps it on its group".to_owned(),
            Kept::Renewed(_) => "the client's cookie keeps it on its group, and is renewed".to_owned(),
            Kept::Chosen(cookie) => {
                let cookie = String::from_utf8_lossy(cookie.as_bytes());
                format!("a new choice, kept in `{}`", cookie.split(';').next().unwrap_or_default())
            }
        };
        self.lines.push(Line::Step { step, result });
    }

    /// An extension has answered.
    fn called(&mut self, walk: &mut Walk, extension: ExtensionId, hook: Hook, said: String) {
        let known = self.engine.plan().extensions.get(extension.0);
        let verdict = match walk.last_fault() {
            None => said,
            Some((_, fault)) => {
                let HookFault { kind, message } = fault;
                let (word, on_fault) = match kind.is_uncalled() {
                    false => ("on-error", known.map(|extension| extension.on_error)),
                    true => ("on-pause", known.map(|extension| extension.on_pause)),
                };
                let then = match on_fault {
                    Some(OnError::Skip) => "skip".to_owned(),
                    Some(OnError::Deny(status)) => format!("deny {status}"),
                    None => "deny".to_owned(),
                };
                format!("failed ({}): {message}; {word} {then}", kind.name())
            }
        };
        self.lines.push(Line::Hook {
            extension: known.map(|extension| extension.name.clone()).unwrap_or_default(),
            hook: hook.name(),
            verdict,
        });
    }
}

impl Observer for Notes<'_> {
    fn passed_over(&mut self, rule: usize, condition: usize, exchange: &Exchange) {
        let Some(rule) = self.rule(rule) else { return };
        let Some(condition) = rule.conditions.get(condition) else { return };
        self.lines.push(Line::PassedOver {
            rule: rule.name.clone(),
            condition: self.words(condition),
            found: blame::found(condition, exchange, self.engine.plan()),
        });
    }

    fn matched(&mut self, rule: usize, _: &Exchange) {
        self.rule = self.rule(rule);
        let Some(rule) = self.rule else { return };
        self.lines.push(Line::Matched { rule: rule.name.clone(), outcome: self.words(&rule.outcome) });
    }

    fn gave_up(&mut self, rule: usize, _: &Exchange) {
        let Some(rule) = self.rule(rule) else { return };
        self.lines.push(Line::GaveUp {
            rule: rule.name.clone(),
            why: "a test would look at too many values, or at too long a text for its expression",
        });
    }

    fn stepped(&mut self, step: usize, result: &StepResult, exchange: &Exchange) {
        let Some(step) = self.rule.and_then(|rule| rule.steps.get(step)) else { return };
        self.lines.push(Line::Step { step: self.words(step), result: step_result(step, result, exchange) });
    }

    fn refused(&mut self, why: &'static str) {
        let Some(rule) = self.rule else { return };
        self.lines.push(Line::Step { step: self.words(&rule.outcome), result: format!("refused: {why}") });
    }

    fn block_passed_over(&mut self, layer: Layer, block: usize, condition: usize, exchange: &Exchange) {
        let Some(block) = self.block(layer, block) else { return };
        let Some(condition) = block.conditions.get(condition) else { return };
        self.lines.push(Line::BlockPassedOver {
            condition: self.words(condition),
            found: blame::found(condition, exchange, self.engine.plan()),
        });
    }

    fn response_stepped(&mut self, layer: Layer, block: usize, step: usize, result: &StepResult, exchange: &Exchange) {
        let Some(step) = self.block(layer, block).and_then(|block| block.steps.get(step)) else { return };
        self.lines.push(Line::Step { step: self.words(step), result: response_step_result(step, result, exchange) });
    }
}

// === results, in words ===

fn step_result(step: &Step, result: &StepResult, exchange: &Exchange) -> String {
    let request = &exchange.request;
    match (result, step) {
        (StepResult::Limited(wait), _) => format!("over the rate; the next comes in {}", Time(*wait)),
        (StepResult::Unchanged(why), _) => format!("changed nothing: {why}"),
        (StepResult::Noted(what), _) => (*what).to_owned(),
        (StepResult::Done, Step::Limit(_)) => "within the rate".to_owned(),
        (StepResult::Done, Step::Header(step)) => header_result(step, &request.headers),
        (StepResult::Done, Step::Rewrite(UriPart::Host, _)) => format!("the host is now `{}`", request.authority),
        (StepResult::Done, Step::Rewrite(..)) => {
            format!("the target is now `{}`", blame::shown(request.target.as_str()))
        }
        (StepResult::Done, Step::SetVar(name, _)) => var_result(name, exchange),
        (StepResult::Done, Step::Log(_)) => log_result(exchange),
        (StepResult::Done, Step::Timeout(_) | Step::Run(_) | Step::Mirror(_) | Step::Cors(_)) => "done".to_owned(),
    }
}

fn response_step_result(step: &ResponseStep, result: &StepResult, exchange: &Exchange) -> String {
    match (result, step) {
        (StepResult::Unchanged(why), _) => format!("changed nothing: {why}"),
        (_, ResponseStep::Header(step)) => match &exchange.response {
            Some(response) => header_result(step, &response.headers),
            None => "there is no response".to_owned(),
        },
        (_, ResponseStep::SetVar(name, _)) => var_result(name, exchange),
        (_, ResponseStep::Log(_)) => log_result(exchange),
    }
}

fn header_result(step: &HeaderStep, headers: &HeaderMap) -> String {
    let (HeaderStep::Set(name, _) | HeaderStep::Add(name, _)) = step else {
        return "removed".to_owned();
    };
    match headers.get_all(name).into_iter().next_back() {
        Some(value) => {
            let value = String::from_utf8_lossy(value.as_bytes());
            format!("`{name}: {}`", blame::shown(&value))
        }
        None => "the request has too many headers".to_owned(),
    }
}

fn var_result(name: &str, exchange: &Exchange) -> String {
    format!("`{}`", blame::shown(exchange.vars.get(name).unwrap_or_default()))
}

fn log_result(exchange: &Exchange) -> String {
    let line = exchange.log_lines.last().map(String::as_str);
    format!("`{}`", blame::shown(line.unwrap_or_default()))
}

fn verdict_words(verdict: &Result<Verdict, HookFault>) -> String {
    match verdict {
        Ok(Verdict::Next) => "next".to_owned(),
        Ok(Verdict::Respond(reply)) => format!("respond {}", reply.status.as_u16()),
        Ok(Verdict::Forward(group)) => format!("forward {group}"),
        Ok(Verdict::Close) => "close".to_owned(),
        Err(fault) => format!("failed ({}): {}", fault.kind.name(), fault.message),
    }
}

fn url(exchange: &Exchange, original: bool) -> String {
    let request = &exchange.request;
    let (authority, target) = if original {
        (&request.original_authority, &request.original_target)
    } else {
        (&request.authority, &*request.target)
    };
    let scheme = exchange.connection.scheme();
    format!("{} {scheme}://{authority}{target}", request.method)
}

fn header_texts(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect()
}
