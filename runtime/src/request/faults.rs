//! The words about hooks in the gateway's own log: faults of extensions, and what `log` steps say.

use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{Extension, ExtensionId};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::HookFault;
use tracing::{info, warn};

use crate::request::context::RequestContext;
use crate::request::handler::RequestHandler;
use crate::request::worker::Worker;

/// Says what went wrong in a hook; the request has its consequence already.
/// `forwards` says that its verdict was `forward`: a fault that follows from that is found by the walk, and counted here.
pub(super) fn report(handler: &RequestHandler<'_>, context: &mut RequestContext, forwards: bool) {
    let Some((ExtensionId(at), fault)) = context.walk.last_fault() else { return };
    let snapshot = &handler.view.snapshot;
    if forwards && let Some(extension) = snapshot.extensions.get(at) {
        extension.count(fault.kind);
    }
    if snapshot.engine.denies(ExtensionId(at), fault.kind) {
        context.record.failure.get_or_insert(Failure::Extension);
    }
    warn_of(handler.state.worker(), snapshot.plan().extensions.get(at), &fault, context.exchange.request_id);
}

/// Writes a fault to the gateway's log, unless it is flooded with them.
pub(super) fn warn_of(worker: &Worker, extension: Option<&Extension>, fault: &HookFault, request_id: u128) {
    let HookFault { kind, message } = fault;
    if worker.log_throttle.may_write(kind.name()) {
        let name = extension.map_or("?", |extension| extension.name.as_str());
        let request_id = format!("{request_id:032x}");
        warn!(extension = name, fault = kind.name(), request_id, "{message}");
    }
}

/// Writes what `log` steps of the policy said.
pub(super) fn write_log_lines(worker: &Worker, exchange: &mut Exchange) {
    for line in exchange.log_lines.drain(..) {
        if worker.log_throttle.may_write("policy-log") {
            info!(listener = &*exchange.connection.listener, "{line}");
        }
    }
}
