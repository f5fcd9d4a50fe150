//! Runs the engine's walk, and the extensions that it asks for.

use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{Extension, ExtensionId};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, Verdict};
use tidegate_engine::{Decision, Progress, ResponseDecision, Silent};
use tracing::{info, warn};

use crate::request::callout;
use crate::request::context::RequestContext;
use crate::request::handler::RequestHandler;
use crate::request::state::StreamState;

/// How far a walk came.
pub(super) enum Reached<D> {
    /// To its end.
    End(D),
    /// To an extension that may ask other servers, which takes time.
    Waits(ExtensionId),
}

/// The request's walk, to its decision.
pub(super) fn decide(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
) -> (Box<RequestContext>, Reached<Decision>) {
    let engine = &call.view.snapshot.engine;
    let moment = call.moment();
    loop {
        match engine.advance(&mut context.walk, &mut context.exchange, moment, &mut Silent) {
            Progress::Run(extension) if call.view.waits(extension, Hook::Request, &context.exchange) => {
                return (context, Reached::Waits(extension));
            }
            Progress::Run(extension) => {
                let verdict;
                (context.exchange, verdict) = call.view.call(extension, Hook::Request, context.exchange);
                let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
                engine.resume(&mut context.walk, &mut context.exchange, verdict);
                report(call, &mut context, forwards);
            }
            Progress::Done(decision) => return (context, Reached::End(decision)),
        }
    }
}

/// The request's walk from an extension that may ask other servers, to its decision.
pub(super) async fn decide_waiting(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    mut extension: ExtensionId,
) -> (Box<RequestContext>, Decision) {
    loop {
        let verdict;
        (context, verdict) = callout::run(call, context, extension, Hook::Request).await;
        let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
        call.view.snapshot.engine.resume(&mut context.walk, &mut context.exchange, verdict);
        report(call, &mut context, forwards);
        let reached;
        (context, reached) = decide(call, context);
        match reached {
            Reached::End(decision) => return (context, decision),
            Reached::Waits(next) => extension = next,
        }
    }
}

/// The response's walk, to its decision.
pub(super) fn way_back(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
) -> (Box<RequestContext>, Reached<ResponseDecision>) {
    call.view.snapshot.engine.start_response(&mut context.walk);
    go_back(call, context)
}

fn go_back(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
) -> (Box<RequestContext>, Reached<ResponseDecision>) {
    let engine = &call.view.snapshot.engine;
    loop {
        match engine.advance_response(&mut context.walk, &mut context.exchange, &mut Silent) {
            Progress::Run(extension) if call.view.waits(extension, Hook::Response, &context.exchange) => {
                return (context, Reached::Waits(extension));
            }
            Progress::Run(extension) => {
                let verdict;
                (context.exchange, verdict) = call.view.call(extension, Hook::Response, context.exchange);
                engine.resume_response(&mut context.walk, &mut context.exchange, verdict);
                report(call, &mut context, false);
            }
            Progress::Done(decision) => return (context, Reached::End(decision)),
        }
    }
}

/// The response's walk from an extension that may ask other servers, to its decision.
pub(super) async fn way_back_waiting(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    mut extension: ExtensionId,
) -> (Box<RequestContext>, ResponseDecision) {
    loop {
        let verdict;
        (context, verdict) = callout::run(call, context, extension, Hook::Response).await;
        call.view.snapshot.engine.resume_response(&mut context.walk, &mut context.exchange, verdict);
        report(call, &mut context, false);
        let reached;
        (context, reached) = go_back(call, context);
        match reached {
            Reached::End(decision) => return (context, decision),
            Reached::Waits(next) => extension = next,
        }
    }
}

/// Says what went wrong in a hook; the request has its consequence already.
/// `forwards` says that its verdict was `forward`: a fault that follows from that is found by the walk, and counted here.
pub(super) fn report(call: &RequestHandler<'_>, context: &mut RequestContext, forwards: bool) {
    let Some((ExtensionId(at), fault)) = context.walk.last_fault() else { return };
    if forwards && let Some(extension) = call.view.snapshot.extensions.get(at) {
        extension.count(fault.kind);
    }
    let extension = call.view.snapshot.plan().extensions.get(at);
    if call.view.snapshot.engine.denies(ExtensionId(at), fault.kind) {
        context.record.failure.get_or_insert(Failure::Extension);
    }
    warn_of(call.state, extension, &fault, context.exchange.request_id);
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
pub(super) fn write_log_lines(call: &RequestHandler<'_>, exchange: &mut Exchange) {
    for line in exchange.log_lines.drain(..) {
        if call.state.worker().trouble.may_write("policy-log") {
            info!(listener = &*exchange.connection.listener, "{line}");
        }
    }
}
