//! Walks over whole plans.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod explain;
mod hostile;
mod index;
mod random;
mod request;
mod response;
mod steps;

use std::sync::Arc;

use http::StatusCode;
use tidegate_dsl::plan::{ExtensionId, ListenerId, Plan};

use crate::decision::{Decision, Moment, Progress, ResponseDecision};
use crate::engine::Engine;
use crate::exchange::{Exchange, Response};
use crate::hook::{HookFault, HookFaultKind, Reply, Verdict};
use crate::observer::Silent;
use crate::walk::Walk;

pub(crate) const MAIN: ListenerId = ListenerId(0);

pub(crate) fn engine(plan: Plan) -> Engine {
    Engine::build(Arc::new(plan), None).unwrap()
}

/// Walks to the decision; `hook` plays every extension.
pub(crate) fn walk_with(
    engine: &Engine,
    exchange: &mut Exchange,
    moment: Moment,
    mut hook: impl FnMut(ExtensionId, &mut Exchange) -> Result<Verdict, HookFault>,
) -> (Walk, Decision) {
    let mut walk = engine.start(MAIN);
    loop {
        match engine.advance(&mut walk, exchange, moment, &mut Silent) {
            Progress::Done(decision) => return (walk, decision),
            Progress::Run(extension) => {
                let verdict = hook(extension, exchange);
                engine.resume(&mut walk, exchange, verdict);
            }
        }
    }
}

/// Walks to the decision of a plan that runs no extension.
pub(crate) fn walk(engine: &Engine, exchange: &mut Exchange) -> (Walk, Decision) {
    walk_with(engine, exchange, Moment::default(), |_, _| panic!("no extension is run"))
}

/// Walks back with a response of a backend; `hook` plays every extension.
pub(crate) fn back_with(
    engine: &Engine,
    walk: &mut Walk,
    exchange: &mut Exchange,
    status: u16,
    mut hook: impl FnMut(ExtensionId, &mut Exchange) -> Result<Verdict, HookFault>,
) -> ResponseDecision {
    exchange.response = Some(Response::new(StatusCode::from_u16(status).unwrap(), http::HeaderMap::new()));
    engine.start_response(walk);
    loop {
        match engine.advance_response(walk, exchange, &mut Silent) {
            Progress::Done(decision) => return decision,
            Progress::Run(extension) => {
                let verdict = hook(extension, exchange);
                engine.resume_response(walk, exchange, verdict);
            }
        }
    }
}

/// The group, or `reply STATUS`, or `close`.
pub(crate) fn shown(engine: &Engine, decision: &Decision) -> String {
    match decision {
        Decision::Forward(group) => engine.plan().groups[group.0].name.clone(),
        Decision::Reply(reply) => format!("reply {}", reply.status.as_u16()),
        Decision::Close => "close".to_owned(),
    }
}

pub(crate) fn reply(status: u16, body: &'static str) -> Reply {
    Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::from_static(body.as_bytes()),
    }
}

pub(crate) fn trap() -> HookFault {
    HookFault { kind: HookFaultKind::Trap, message: "it trapped".to_owned() }
}

/// The values of a request header.
pub(crate) fn values<'h>(headers: &'h http::HeaderMap, name: &str) -> Vec<&'h str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}
