//! Runs the engine's walk, and the extensions that it asks for.

use tidegate_dsl::plan::{Extension, ExtensionId};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, Verdict};
use tidegate_engine::{Decision, Progress, ResponseDecision, Silent, Walk};
use tracing::{info, warn};

use super::{Call, Journey, outbound};
use crate::downstream::state::StreamState;
use crate::failure::Failure;
use crate::telemetry::access_log::Record;

/// How far a walk came.
pub(super) enum Reached<D> {
    /// To its end.
    End(D),
    /// To an extension that may ask other servers, which takes time.
    Waits(ExtensionId),
}

/// The request's walk, to its decision.
pub(super) fn decide(
    call: &Call<'_>,
    walk: &mut Walk,
    mut exchange: Box<Exchange>,
    record: &mut Record,
) -> (Box<Exchange>, Reached<Decision>) {
    let engine = &call.view.snapshot.engine;
    let moment = call.moment();
    loop {
        match engine.advance(walk, &mut exchange, moment, &mut Silent) {
            Progress::Run(extension) if call.view.waits(extension, Hook::Request, &exchange) => {
                return (exchange, Reached::Waits(extension));
            }
            Progress::Run(extension) => {
                let verdict;
                (exchange, verdict) = call.view.call(extension, Hook::Request, exchange);
                let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
                engine.resume(walk, &mut exchange, verdict);
                report(call, walk, &exchange, record, forwards);
            }
            Progress::Done(decision) => return (exchange, Reached::End(decision)),
        }
    }
}

/// The request's walk from an extension that may ask other servers, to its decision.
pub(super) async fn decide_waiting(
    call: &Call<'_>,
    mut journey: Journey,
    mut extension: ExtensionId,
) -> (Journey, Decision) {
    loop {
        let verdict;
        (journey, verdict) = outbound::run(call, journey, extension, Hook::Request).await;
        let Journey { mut exchange, mut walk, mut record } = journey;
        let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
        call.view.snapshot.engine.resume(&mut walk, &mut exchange, verdict);
        report(call, &mut walk, &exchange, &mut record, forwards);
        let reached;
        (exchange, reached) = decide(call, &mut walk, exchange, &mut record);
        journey = Journey { exchange, walk, record };
        match reached {
            Reached::End(decision) => return (journey, decision),
            Reached::Waits(next) => extension = next,
        }
    }
}

/// The response's walk, to its decision.
pub(super) fn way_back(
    call: &Call<'_>,
    walk: &mut Walk,
    exchange: Box<Exchange>,
    record: &mut Record,
) -> (Box<Exchange>, Reached<ResponseDecision>) {
    call.view.snapshot.engine.start_response(walk);
    go_back(call, walk, exchange, record)
}

fn go_back(
    call: &Call<'_>,
    walk: &mut Walk,
    mut exchange: Box<Exchange>,
    record: &mut Record,
) -> (Box<Exchange>, Reached<ResponseDecision>) {
    let engine = &call.view.snapshot.engine;
    loop {
        match engine.advance_response(walk, &mut exchange, &mut Silent) {
            Progress::Run(extension) if call.view.waits(extension, Hook::Response, &exchange) => {
                return (exchange, Reached::Waits(extension));
            }
            Progress::Run(extension) => {
                let verdict;
                (exchange, verdict) = call.view.call(extension, Hook::Response, exchange);
                engine.resume_response(walk, &mut exchange, verdict);
                report(call, walk, &exchange, record, false);
            }
            Progress::Done(decision) => return (exchange, Reached::End(decision)),
        }
    }
}

/// The response's walk from an extension that may ask other servers, to its decision.
pub(super) async fn way_back_waiting(
    call: &Call<'_>,
    mut journey: Journey,
    mut extension: ExtensionId,
) -> (Journey, ResponseDecision) {
    loop {
        let verdict;
        (journey, verdict) = outbound::run(call, journey, extension, Hook::Response).await;
        let Journey { mut exchange, mut walk, mut record } = journey;
        call.view.snapshot.engine.resume_response(&mut walk, &mut exchange, verdict);
        report(call, &mut walk, &exchange, &mut record, false);
        let reached;
        (exchange, reached) = go_back(call, &mut walk, exchange, &mut record);
        journey = Journey { exchange, walk, record };
        match reached {
            Reached::End(decision) => return (journey, decision),
            Reached::Waits(next) => extension = next,
        }
    }
}

/// Says what went wrong in a hook; the request has its consequence already.
/// `forwards` says that its verdict was `forward`: a fault that follows from that is found by the walk, and counted here.
pub(super) fn report(call: &Call<'_>, walk: &mut Walk, exchange: &Exchange, record: &mut Record, forwards: bool) {
    let Some((ExtensionId(at), fault)) = walk.last_fault() else { return };
    if forwards && let Some(extension) = call.view.snapshot.extensions.get(at) {
        extension.count(fault.kind);
    }
    let extension = call.view.snapshot.plan().extensions.get(at);
    if call.view.snapshot.engine.denies(ExtensionId(at), fault.kind) {
        record.failure.get_or_insert(Failure::Extension);
    }
    warn_of(call.state, extension, &fault, exchange.request_id);
}

/// Writes a fault to the gateway's log, unless it is flooded with them.
pub(crate) fn warn_of(state: &StreamState, extension: Option<&Extension>, fault: &HookFault, request_id: u128) {
    let HookFault { kind, message } = fault;
    if state.worker().trouble.may_write(kind.name()) {
        let name = extension.map_or("?", |extension| extension.name.as_str());
        let request_id = format!("{request_id:032x}");
        warn!(extension = name, fault = kind.name(), request_id, "{message}");
    }
}

/// Writes what `log` steps of the policy said.
pub(super) fn write_log_lines(call: &Call<'_>, exchange: &mut Exchange) {
    for line in exchange.log_lines.drain(..) {
        if call.state.worker().trouble.may_write("policy-log") {
            info!(listener = &*exchange.connection.listener, "{line}");
        }
    }
}
