//! The way of a request: listener hooks, the search for its rule, the rule's steps, the outcome.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tidegate_dsl::plan::{ExtensionId, GroupId, ListenerId};

use crate::affinity::Kept;
use crate::cors::Marks;
use crate::decision::{Decision, Moment, Progress};
use crate::engine::{Action, Engine, Listener, OnFault};
use crate::exchange::Exchange;
use crate::hook::{Hook, HookFault, HookFaultKind, Reply, Verdict};
use crate::observer::Observer;
use crate::outcome;
use crate::rule::{Rule, RuleSet};

/// The walk of one request through the rules. Small, and without an allocation until a rule needs one.
#[derive(Debug)]
pub struct Walk {
    pub(crate) listener: ListenerId,
    /// Position in the listener's rules, once it was found.
    pub(crate) rule: Option<usize>,
    pub(crate) stage: Stage,
    end: Option<End>,
    /// The extension whose verdict is awaited.
    pub(crate) asked: Option<ExtensionId>,
    /// The number of the listener's extensions that were started.
    pub(crate) listener_started: usize,
    /// The number of the rule's extensions that were started.
    pub(crate) rule_started: usize,
    pub(crate) timeout: Option<Duration>,
    pub(crate) limited: bool,
    gave_up: bool,
    fault: Option<Box<(ExtensionId, HookFault)>>,
    /// The finds of the rule's `matches`, by slot.
    pub(crate) captures: Vec<Option<Box<str>>>,
    pub(crate) back: Back,
    /// Whether an `on-response` block set or removed `Alt-Svc`.
    pub(crate) own_alt_svc: bool,
    /// The parts that few rules need.
    pub(crate) extra: Option<Box<Extra>>,
    /// The body of an answer that replaced the response on its way back.
    pub(crate) replacement: Option<Bytes>,
}

/// The parts of a walk for steps that few rules have.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) mirrors: Vec<GroupId>,
    /// The marks that `cors` puts on the answer.
    pub(crate) marks: Option<Marks>,
    pub(crate) kept: Option<Kept>,
}

/// The next stage on the way there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// The listener's extension at this position.
    ListenerHooks(usize),
    /// Finding the rule.
    Search,
    /// The rule's step at this position.
    Steps(usize),
    /// Telling the decision.
    End,
}

/// The position on the way back: what comes next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Back {
    /// The rule's extensions, of which so many are left.
    RuleHooks(usize),
    RuleBlocks,
    /// The listener's extensions, of which so many are left.
    ListenerHooks(usize),
    ListenerBlocks,
    Over,
    Closed,
}

/// The end of the walk.
#[derive(Debug)]
pub(crate) enum End {
    Forward(GroupId),
    Reply(Box<Reply>),
    Close,
}

impl Walk {
    /// The name of the rule that took the request; `None` if a listener's extension or `forward` decided, or none was found yet.
    pub fn rule_name<'e>(&self, engine: &'e Engine) -> Option<&'e str> {
        engine.rule(self.listener, self.rule).map(|rule| &*rule.name)
    }

    /// The position of the rule that took the request, among those of its listener; `None` where it has no [name](Self::rule_name).
    pub const fn rule(&self) -> Option<usize> {
        self.rule
    }

    /// The listener that the request came on.
    pub const fn listener(&self) -> ListenerId {
        self.listener
    }

    /// The timeout that a `timeout` step set in place of the listener's request timeout.
    pub const fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The groups that a copy of the request goes to, in the order of the `mirror` steps; chance has been asked.
    pub fn mirrors(&self) -> &[GroupId] {
        self.extra.as_ref().map(|extra| extra.mirrors.as_slice()).unwrap_or_default()
    }

    /// The way in which the group was chosen, where the rule's `forward` is `sticky`. The way back writes the cookie.
    pub fn kept(&self) -> Option<&Kept> {
        self.extra.as_ref()?.kept.as_ref()
    }

    /// The last failure of an extension, for the log. It is taken out.
    pub fn last_fault(&mut self) -> Option<(ExtensionId, HookFault)> {
        self.fault.take().map(|fault| *fault)
    }

    /// Whether the request was refused because a test could not be decided within its bounds.
    pub const fn gave_up(&self) -> bool {
        self.gave_up
    }

    /// Whether a `limit` refused the request.
    pub const fn limited(&self) -> bool {
        self.limited
    }
}

impl Engine {
    /// Begins the walk of a request that came on this listener.
    pub fn start(&self, listener: ListenerId) -> Walk {
        Walk {
            listener,
            rule: None,
            stage: Stage::ListenerHooks(0),
            end: None,
            asked: None,
            listener_started: 0,
            rule_started: 0,
            timeout: None,
            limited: false,
            gave_up: false,
            fault: None,
            captures: Vec::new(),
            back: Back::Over,
            own_alt_svc: false,
            extra: None,
            replacement: None,
        }
    }

    /// Goes on until an extension is to be called or the decision is made. After the decision it says [`Decision::Close`].
    ///
    /// Advancing without having resumed counts as the verdict `next`.
    pub fn advance(
        &self,
        walk: &mut Walk,
        exchange: &mut Exchange,
        moment: Moment,
        observer: &mut impl Observer,
    ) -> Progress<Decision> {
        let Some(listener) = self.listeners.get(walk.listener.0) else {
            return Progress::Done(Decision::Close);
        };
        loop {
            match walk.stage {
                Stage::ListenerHooks(next) => match listener.run.get(next) {
                    Some(extension) => {
                        walk.stage = Stage::ListenerHooks(next + 1);
                        walk.listener_started = next + 1;
                        return walk.ask(*extension, exchange, observer);
                    }
                    None => walk.stage = Stage::Search,
                },
                Stage::Search => self.search(listener, walk, exchange, moment, observer),
                Stage::Steps(next) => {
                    let Some(rule) = self.rule(walk.listener, walk.rule) else {
                        self.end(walk, exchange, End::Close);
                        continue;
                    };
                    if let Some(extension) = self.step(rule, next, walk, exchange, moment, observer) {
                        walk.rule_started += 1;
                        return walk.ask(extension, exchange, observer);
                    }
                }
                Stage::End => {
                    let decision = walk.end.take().map_or(Decision::Close, End::decision);
                    observer.decided(&decision, exchange);
                    return Progress::Done(decision);
                }
            }
        }
    }

    /// Gives the verdict of the extension that [`Progress::Run`] named. Without one that was asked, it does nothing.
    pub fn resume(&self, walk: &mut Walk, exchange: &mut Exchange, verdict: Result<Verdict, HookFault>) {
        let Some(extension) = walk.asked.take() else {
            return;
        };
        let verdict = verdict.and_then(|verdict| match verdict {
            Verdict::Next => Ok(None),
            Verdict::Respond(reply) => Ok(Some(End::Reply(Box::new(reply)))),
            Verdict::Close => Ok(Some(End::Close)),
            Verdict::Forward(name) => match self.group(&name) {
                Some(group) => Ok(Some(End::Forward(group))),
                None => Err(unknown_group(&name)),
            },
        });
        let end = match verdict {
            Ok(end) => end,
            Err(fault) => self.fault(walk, extension, fault).map(|reply| End::Reply(Box::new(reply))),
        };
        if let Some(end) = end {
            self.end(walk, exchange, end);
        }
    }

    /// The extensions that were started for a request, in their order.
    pub fn started(&self, walk: &Walk) -> impl Iterator<Item = ExtensionId> {
        let listener = self.listeners.get(walk.listener.0).map(|listener| &*listener.run).unwrap_or_default();
        let rule = self.rule(walk.listener, walk.rule).map(|rule| &*rule.extensions).unwrap_or_default();
        listener.iter().take(walk.listener_started).chain(rule.iter().take(walk.rule_started)).copied()
    }

    /// The reply to a request after a fault in a hook that is no part of the walk: `None` is to go on.
    pub fn fault_beside(&self, walk: &mut Walk, extension: ExtensionId, fault: HookFault) -> Option<Reply> {
        self.fault(walk, extension, fault)
    }

    /// Keeps a fault for the log, and says what the request gets for it: `None` is to go on.
    pub(crate) fn fault(&self, walk: &mut Walk, extension: ExtensionId, fault: HookFault) -> Option<Reply> {
        let on_fault = self.on_fault(extension, fault.kind);
        walk.fault = Some(Box::new((extension, fault)));
        match on_fault {
            OnFault::Skip => None,
            OnFault::Deny(status) => {
                let reason = status.canonical_reason().unwrap_or("the request was refused");
                let body = Bytes::from([reason, "\n"].concat().to_lowercase());
                Some(outcome::plain(status, body))
            }
        }
    }

    /// Finds what decides: a rule, or the listener's own `forward`.
    fn search(
        &self,
        listener: &Listener,
        walk: &mut Walk,
        exchange: &mut Exchange,
        moment: Moment,
        observer: &mut impl Observer,
    ) {
        if let Action::Forward(split) = &listener.action {
            let end = split.choose(moment.random).map_or(End::Close, End::Forward);
            return self.end(walk, exchange, end);
        }
        let Some(rules) = self.rule_set(listener) else {
            return self.end(walk, exchange, End::Close);
        };
        let found = first_match(rules, exchange, observer);
        if exchange.parsed.take_gave_up() {
            exchange.parsed.forget();
            walk.gave_up = true;
            observer.gave_up(found, exchange);
            let reply = outcome::plain(StatusCode::BAD_REQUEST, Bytes::from_static(GAVE_UP));
            return self.end(walk, exchange, End::Reply(Box::new(reply)));
        }
        observer.matched(found, exchange);
        walk.captures = rules.rule(found).captures(exchange);
        exchange.parsed.forget();
        walk.rule = Some(found);
        walk.stage = Stage::Steps(0);
    }

    /// Ends the walk on the way there.
    pub(crate) fn end(&self, walk: &mut Walk, exchange: &mut Exchange, end: End) {
        if let End::Forward(group) = end {
            exchange.group = self.group_names.get(group.0).cloned();
        }
        walk.end = Some(end);
        walk.stage = Stage::End;
    }
}

impl Walk {
    /// Whether an `on-response` block set or removed `Alt-Svc` (RFC 7838): what it says counts, and nobody else's word.
    pub const fn has_own_alt_svc(&self) -> bool {
        self.own_alt_svc
    }

    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Stops for an extension.
    pub(crate) fn ask(
        &mut self,
        extension: ExtensionId,
        exchange: &Exchange,
        observer: &mut impl Observer,
    ) -> Progress<Decision> {
        self.asked = Some(extension);
        observer.asked(extension, Hook::Request, exchange);
        Progress::Run(extension)
    }
}

impl End {
    fn decision(self) -> Decision {
        match self {
            Self::Forward(group) => Decision::Forward(group),
            Self::Reply(reply) => Decision::Reply(*reply),
            Self::Close => Decision::Close,
        }
    }
}

/// The answer to a client whose request takes too long to test.
const GAVE_UP: &[u8] = b"400 Bad Request: the request takes too long to test\n";

/// The position of the first rule, in the order written, whose conditions all hold, or one of whose tests gave up.
pub(crate) fn first_match(rules: &RuleSet, exchange: &Exchange, observer: &mut impl Observer) -> usize {
    let found = if observer.wants_every_rule() {
        let mut candidates = rules.candidates(&exchange.request).map(|(index, _)| index).peekable();
        let takes = |(index, rule): (usize, &Rule)| {
            let is_candidate = candidates.next_if_eq(&index).is_some();
            if is_candidate && (rule.takes(exchange) || exchange.parsed.gave_up()) {
                return Some(index);
            }
            let failed = rule.first_failure(exchange);
            observer.passed_over(index, failed.unwrap_or_default(), exchange);
            // It was looked at in another order than that of the walk that serves, and looked at once more to be told.
            exchange.parsed.take_gave_up();
            None
        };
        rules.all().find_map(takes)
    } else {
        let takes =
            |(index, rule): (usize, &Rule)| (rule.takes(exchange) || exchange.parsed.gave_up()).then_some(index);
        rules.candidates(&exchange.request).find_map(takes)
    };
    found.unwrap_or(rules.last())
}

/// The fault of a verdict that names a group that the policy does not have.
fn unknown_group(name: &str) -> HookFault {
    HookFault {
        kind: HookFaultKind::UnknownGroup,
        message: format!("the extension forwards to `{name}`, and the policy has no such server group"),
    }
}
