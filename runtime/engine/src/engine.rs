//! A plan, made ready to decide.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use tidegate_dsl::plan::{self, ExtensionId, GroupId, ListenerAction, ListenerId, LogFormat, OnError, Plan};

use crate::affinity::CookieKeys;
use crate::build_error::{BuildError, Invalid};
use crate::client_ip::ClientIp;
use crate::exchange::Exchange;
use crate::forwarded::Forwarded;
use crate::hook::HookFaultKind;
use crate::limit_step::Limiters;
use crate::log_line::LogLine;
use crate::outcome::{Split, final_status};
use crate::peers::Peers;
use crate::rule::{self, Builder, ResponseBlock, Rule, RuleSet};
use crate::template::Slots;

/// Decides about requests. Built once for a plan, shared by all workers, and never changed; only the buckets of its limits
/// move.
#[derive(Debug)]
pub struct Engine {
    plan: Arc<Plan>,
    pub(crate) listeners: Box<[Listener]>,
    rule_sets: Box<[RuleSet]>,
    groups: HashMap<Box<str>, GroupId>,
    pub(crate) group_names: Box<[Arc<str>]>,
    /// The fate of a request by [`ExtensionId`]: when the guest fails, and while it is not called.
    on_fault: Box<[[OnFault; 2]]>,
    limiters: Limiters,
    /// The layout of access-log lines, where the policy has one.
    log_line: Option<LogLine>,
    keys: CookieKeys,
}

/// A listener's part in deciding: what it does with its requests.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) peers: Peers,
    pub(crate) client_ip: ClientIp,
    pub(crate) forwarded: Forwarded,
    /// Extensions before the rules.
    pub(crate) run: Box<[ExtensionId]>,
    pub(crate) on_response: Box<[ResponseBlock]>,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    /// Index of a rule set.
    Rules(usize),
    Forward(Split),
}

/// The fate of a request when an extension fails, or is not called.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnFault {
    Deny(StatusCode),
    Skip,
}

impl Engine {
    /// Makes a plan ready. Buckets of limits that are the same in `previous` (rule list, rule, position among its limits,
    /// rate, burst and key) are taken over.
    ///
    /// # Errors
    ///
    /// What the plan says that cannot be done, and where.
    pub fn build(plan: Arc<Plan>, previous: Option<&Self>) -> Result<Self, BuildError> {
        Self::build_keyed(plan, previous, CookieKeys::default())
    }

    /// Builds as [`Engine::build`] does, with keys of cookies that nobody else knows: to serve.
    ///
    /// # Errors
    ///
    /// What the plan says that cannot be done, and where.
    pub fn build_keyed(plan: Arc<Plan>, previous: Option<&Self>, keys: CookieKeys) -> Result<Self, BuildError> {
        let previous = previous.map(|previous| &previous.limiters);
        let mut builder = Builder { plan: &plan, keys: &keys, previous, limiters: Limiters::new() };
        let rule_sets = plan.rule_sets.iter().map(|set| RuleSet::new(set, &mut builder));
        let rule_sets = rule_sets.collect::<Result<_, _>>()?;
        let limiters = builder.limiters;
        let listeners = plan.listeners.iter().map(|listener| {
            let built = Listener::new(listener, &plan);
            built.map_err(|error| error.at(&format!("listener `{}`", listener.name)))
        });
        let on_fault = plan.extensions.iter().map(|extension| {
            let built =
                OnFault::new(extension.on_error).and_then(|on_error| Ok([on_error, OnFault::new(extension.on_pause)?]));
            built.map_err(|error| error.at(&format!("extension `{}`", extension.name)))
        });
        let groups = plan.groups.iter().enumerate();
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            on_fault: on_fault.collect::<Result<_, _>>()?,
            groups: groups.map(|(index, group)| (group.name.as_str().into(), GroupId(index))).collect(),
            group_names: plan.groups.iter().map(|group| group.name.as_str().into()).collect(),
            log_line: match &plan.access_log.format {
                LogFormat::Template(template) => {
                    Some(LogLine::new(template).map_err(|error| error.at("`access-log`"))?)
                }
                LogFormat::Json | LogFormat::Text => None,
            },
            rule_sets,
            limiters,
            keys,
            plan,
        })
    }

    /// The keys that values of cookies are made with.
    pub const fn cookie_keys(&self) -> &CookieKeys {
        &self.keys
    }

    /// The plan that it was built from.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The layout of access-log lines, where the policy has one.
    pub fn log_line(&self) -> Option<&LogLine> {
        self.log_line.as_ref()
    }

    /// The client's address as the listener derives it, in IPv4 form where it is an IPv4 address mapped into IPv6.
    pub fn client_ip(&self, listener: ListenerId, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        match self.listeners.get(listener.0) {
            Some(listener) => listener.client_ip.find(peer, headers),
            None => peer.to_canonical(),
        }
    }

    /// Whether the listener takes connections of this client: the peer, or whom the PROXY protocol names.
    pub fn takes(&self, listener: ListenerId, peer: IpAddr) -> bool {
        self.listeners.get(listener.0).is_some_and(|listener| listener.peers.take(peer))
    }

    /// Whether a connection of this TCP peer has to begin with a header of the PROXY protocol, which names the client.
    pub fn expects_proxy_header(&self, listener: ListenerId, peer: IpAddr) -> bool {
        self.listeners.get(listener.0).is_some_and(|listener| listener.client_ip.expects_proxy_header(peer))
    }

    /// Writes the forwarding headers of the listener into the request.
    pub fn add_forwarded(&self, listener: ListenerId, exchange: &mut Exchange) {
        if let Some(listener) = self.listeners.get(listener.0) {
            listener.forwarded.write(exchange);
        }
    }

    pub(crate) fn rule_set(&self, listener: &Listener) -> Option<&RuleSet> {
        match listener.action {
            Action::Rules(set) => self.rule_sets.get(set),
            Action::Forward(_) => None,
        }
    }

    /// The rule at this position of the listener's rules.
    pub(crate) fn rule(&self, listener: ListenerId, rule: Option<usize>) -> Option<&Rule> {
        let listener = self.listeners.get(listener.0)?;
        Some(self.rule_set(listener)?.rule(rule?))
    }

    pub(crate) fn group(&self, name: &str) -> Option<GroupId> {
        self.groups.get(name).copied()
    }

    pub(crate) fn on_fault(&self, extension: ExtensionId, kind: HookFaultKind) -> OnFault {
        let known = self.on_fault.get(extension.0).copied();
        let [on_error, on_pause] = known.unwrap_or([OnFault::Deny(StatusCode::INTERNAL_SERVER_ERROR); 2]);
        if kind.is_uncalled() { on_pause } else { on_error }
    }

    /// Whether a fault of this kind ends the request.
    pub fn denies(&self, extension: ExtensionId, kind: HookFaultKind) -> bool {
        matches!(self.on_fault(extension, kind), OnFault::Deny(_))
    }
}

impl Listener {
    fn new(listener: &plan::Listener, plan: &Plan) -> Result<Self, Invalid> {
        let run = listener.run.iter().map(|extension| rule::known_extension(*extension, plan));
        // A listener has no `matches`: `${match.…}` is empty in its blocks.
        let mut slots = Slots::default();
        Ok(Self {
            peers: Peers::new(&listener.peers, plan),
            client_ip: ClientIp::new(&listener.client_ip, plan),
            forwarded: Forwarded::new(listener),
            run: run.collect::<Result<_, _>>()?,
            on_response: rule::response_blocks(&listener.on_response, plan, &mut slots)?,
            action: match &listener.action {
                ListenerAction::Forward(targets) => Action::Forward(Split::new(targets, plan)?),
                ListenerAction::Rules(set) if set.0 < plan.rule_sets.len() => Action::Rules(set.0),
                ListenerAction::Rules(_) => {
                    return Err(Invalid("it uses rules that do not exist".to_owned()));
                }
            },
        })
    }
}

impl OnFault {
    fn new(on_error: OnError) -> Result<Self, Invalid> {
        Ok(match on_error {
            OnError::Deny(status) => Self::Deny(final_status(status)?),
            OnError::Skip => Self::Skip,
        })
    }
}
