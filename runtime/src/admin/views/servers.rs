//! `POST /v1/groups/GROUP/servers/ADDRESS`: a server is drained, stopped, or started again.

use http::StatusCode;
use serde::Deserialize;

use super::super::answer::Answer;
use super::super::context::Context;
use super::super::orders::Order;
use super::parse;
use crate::policy::overrides::{ServerChange, ServerState};

/// What is to become of a server.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerOrder {
    /// The state; as it is if it is left out.
    pub state: Option<Wanted>,
    /// A weight in place of the policy's, 0 to 1000.
    pub weight: Option<u32>,
    /// `reload`: the next reload ends the change; else it holds until the policy's files change the server.
    pub until: Option<Until>,
}

/// A state that a server can be given.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wanted {
    /// The server gets requests.
    Running,
    /// The server gets no new requests.
    Draining,
    /// The server gets no requests, and no checks.
    Stopped,
}

/// When a change ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// With the next reload.
    Reload,
}

/// The heaviest weight, as in the language.
const HEAVIEST: u32 = 1000;

/// `POST /v1/groups/GROUP/servers/ADDRESS`
pub async fn change(context: &Context, group: String, server: String, body: &[u8]) -> Answer {
    let order: ServerOrder = match parse(body) {
        Ok(order) => order,
        Err(answer) => return answer,
    };
    if order.state.is_none() && order.weight.is_none() {
        let detail = "say what is to become of it: `{\"state\": \"running|draining|stopped\"}`, or `{\"weight\": 10}`";
        return Answer::problem(StatusCode::BAD_REQUEST, detail);
    }
    if order.weight.is_some_and(|weight| weight > HEAVIEST) {
        return Answer::problem(StatusCode::BAD_REQUEST, format!("a weight is a number from 0 to {HEAVIEST}"));
    }
    let known = context.facts.overrides().server(&group, &server);
    let state = match order.state {
        Some(Wanted::Running) => ServerState::Running,
        Some(Wanted::Draining) => ServerState::Draining,
        Some(Wanted::Stopped) => ServerState::Stopped,
        None => known.map_or(ServerState::Running, |known| known.state),
    };
    let weight = order.weight.or_else(|| known.and_then(|known| known.weight));
    let change = ServerChange { state, weight, until_reload: order.until == Some(Until::Reload) };
    context.order(Order::Server { group, server, change }).await
}
