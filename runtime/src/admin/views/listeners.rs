//! `/v1/listeners`: what became of each, and the orders to start and stop one.

use std::collections::BTreeMap;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_base::address::words;
use tidegate_dsl::plan::{Listener, ListenerAction, ListenerState, Plan};

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::lifecycle::{Life, State};
use super::super::orders::Order;
use super::{masked, moment, parse};
use crate::policy::overrides::Overrides;

/// All listeners.
#[derive(Debug, Serialize)]
pub struct ListenerList {
    /// The number of the policy in service.
    pub generation: u64,
    /// Those of the policy, in its order.
    pub listeners: Vec<ListenerView>,
    /// Those that the policy has no more, and that finish their requests.
    pub leaving: Vec<Leaving>,
}

/// A listener.
#[derive(Debug, Serialize)]
pub struct ListenerView {
    /// The name.
    pub name: String,
    /// `http`, `https` or `quic`.
    pub protocol: &'static str,
    /// Where it listens: `port 8080`, `address 127.0.0.1:8080`.
    pub bind: String,
    /// What it does now.
    pub state: State,
    /// The time when that state began.
    pub since: String,
    /// The reason for the state.
    pub reason: String,
    /// Whether it was started or stopped by hand, against what the policy's files say.
    pub by_hand: bool,
    /// Open connections.
    pub connections: u32,
    /// The most that it takes.
    pub connection_limit: u32,
    /// The rules that decide, where it has some.
    pub rules: Option<String>,
    /// The groups that all goes to, where it has no rules.
    pub forward: Vec<String>,
    /// The certificates that it shows.
    pub certificates: Vec<String>,
    /// The extensions that run before its rules.
    pub extensions: Vec<String>,
    /// The labels of the listener.
    pub labels: BTreeMap<String, String>,
}

/// A listener that the policy has no more.
#[derive(Debug, Serialize)]
pub struct Leaving {
    /// The name that it had.
    pub name: String,
    /// What it does now.
    pub state: State,
    /// Since when.
    pub since: String,
    /// Open connections.
    pub connections: u32,
}

/// `GET /v1/listeners`
pub fn all(context: &Context) -> Answer {
    let (snapshot, overrides) = (context.snapshot(), context.facts.overrides());
    let plan = snapshot.plan();
    let (listeners, leaving) = context.facts.lifecycle(|lifecycle| {
        let view = |listener: &Listener| view(plan, listener, lifecycle.of(&listener.name), &overrides);
        let leaving = lifecycle.leaving().map(|(name, life)| Leaving {
            name: name.to_owned(),
            state: life.state,
            since: moment(life.since),
            connections: life.connections(),
        });
        (plan.listeners.iter().map(view).collect(), leaving.collect())
    });
    masked(context, &ListenerList { generation: snapshot.generation, listeners, leaving })
}

/// `GET /v1/listeners/NAME`
pub fn one(context: &Context, name: &str) -> Answer {
    let (snapshot, overrides) = (context.snapshot(), context.facts.overrides());
    let plan = snapshot.plan();
    let Some(listener) = plan.listeners.iter().find(|listener| listener.name == name) else {
        return unknown(name);
    };
    let view = context.facts.lifecycle(|lifecycle| view(plan, listener, lifecycle.of(name), &overrides));
    masked(context, &view)
}

fn unknown(name: &str) -> Answer {
    Answer::problem(StatusCode::NOT_FOUND, format!("the policy has no listener `{name}`"))
}

fn view(plan: &Plan, listener: &Listener, life: Option<&Life>, overrides: &Overrides) -> ListenerView {
    let (rules, forward) = match &listener.action {
        ListenerAction::Rules(id) => (plan.rule_sets.get(id.0).map(|rules| rules.name.clone()), Vec::new()),
        ListenerAction::Forward(targets) => {
            let groups = targets.iter().filter_map(|target| plan.groups.get(target.group.0));
            (None, groups.map(|group| group.name.clone()).collect())
        }
    };
    let certificates = listener.tls.iter().flat_map(|tls| &tls.certificates);
    let extensions = listener.run.iter().filter_map(|id| plan.extensions.get(id.0));
    let standing = match listener.state {
        ListenerState::Running => State::Warming,
        ListenerState::Stopped => State::Stopped,
    };
    ListenerView {
        name: listener.name.clone(),
        protocol: listener.protocol.word(),
        bind: words(listener.bind),
        state: life.map_or(standing, |life| life.state),
        since: life.map(|life| moment(life.since)).unwrap_or_default(),
        reason: life.map(|life| life.reason.clone()).unwrap_or_default(),
        by_hand: overrides.listener(&listener.name).is_some(),
        connections: life.map_or(0, Life::connections),
        connection_limit: listener.limits.connections,
        rules,
        forward,
        certificates: certificates
            .filter_map(|id| plan.certificates.get(id.0))
            .map(|certificate| certificate.name.clone())
            .collect(),
        extensions: extensions.map(|extension| extension.name.clone()).collect(),
        labels: listener.labels.iter().cloned().collect(),
    }
}

/// How a listener is started: there is nothing to say.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartOrder {}

/// How a listener is stopped.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StopOrder {
    /// Whether its connections may finish their requests, for as long as `drain` of `gateway`; else they end at once.
    pub drain: bool,
}

/// `POST /v1/listeners/NAME/start`
pub async fn start(context: &Context, listener: String, body: &[u8]) -> Answer {
    match parse::<StartOrder>(body) {
        Ok(StartOrder {}) => context.order(Order::Start { listener }).await,
        Err(answer) => answer,
    }
}

/// `POST /v1/listeners/NAME/stop`
pub async fn stop(context: &Context, listener: String, body: &[u8]) -> Answer {
    match parse::<StopOrder>(body) {
        Ok(StopOrder { drain }) => context.order(Order::Stop { listener, drain }).await,
        Err(answer) => answer,
    }
}
