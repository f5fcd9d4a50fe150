//! The words about hooks in the gateway's own log: faults of extensions, and what `log` steps say.

use tidegate_base::failure::Failure;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::Exchange;
use tracing::info;

use crate::request::context::RequestContext;
use crate::request::worker::Worker;
use crate::request::worker_snapshot::WorkerSnapshot;

/// Says what went wrong in a hook; the request has its consequence already.
/// `forwards` says that its verdict was `forward`: a fault that follows from that is found by the walk, and counted here.
pub(super) fn report(view: &WorkerSnapshot, worker: &Worker, context: &mut RequestContext, forwards: bool) {
    let Some((ExtensionId(at), fault)) = context.walk.last_fault() else { return };
    let snapshot = &view.snapshot;
    if forwards && let Some(extension) = snapshot.extensions.get(at) {
        extension.count(fault.kind);
    }
    if snapshot.engine.denies(ExtensionId(at), fault.kind) {
        context.record.failure.get_or_insert(Failure::Extension);
    }
    worker.warn_of_fault(snapshot.plan().extensions.get(at), &fault, Some(context.exchange.request_id));
}

/// Writes what `log` steps of the policy said.
pub(super) fn write_log_lines(worker: &Worker, exchange: &mut Exchange) {
    for line in exchange.log_lines.drain(..) {
        if worker.log_throttle.may_write("policy-log") {
            info!(listener = &*exchange.connection.listener, "{line}");
        }
    }
}
