//! The spans of calls of extensions.

use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault};

use crate::request::state::StreamState;
use crate::request::traced::Called;
use crate::request::worker_snapshot::WorkerSnapshot;
use crate::telemetry::spans::span::{HookSpan, text};

/// The surroundings of a call.
#[derive(Clone, Copy)]
pub(super) struct Caller<'c> {
    pub(super) view: &'c WorkerSnapshot,
    pub(super) state: &'c StreamState,
    pub(super) id: ExtensionId,
    pub(super) hook: Hook,
}

impl Caller<'_> {
    /// A hook of a head is called, if the extension wants that.
    pub(super) fn begin(self, exchange: &Exchange) -> Option<Called> {
        let wants = || self.view.snapshot.extensions.get(self.id.0).is_some_and(|it| it.wants(self.hook, exchange));
        if self.state.trace.is_recorded() && wants() { self.begin_piece() } else { None }
    }

    /// A hook of a body is called, which the extension wants.
    pub(super) fn begin_piece(self) -> Option<Called> {
        self.state.trace.begin_hook(|| self.state.worker().random())
    }

    /// The call has ended.
    pub(super) fn end<V>(self, called: Option<Called>, verdict: &Result<V, HookFault>) {
        let Some(called) = called else { return };
        let extension = self.view.snapshot.plan().extensions.get(self.id.0);
        let span = HookSpan {
            extension: extension.map_or("?", |extension| extension.name.as_str()).into(),
            hook: self.hook,
            fault: verdict.as_ref().err().map(|fault| (fault.kind.name(), text(&fault.message))),
        };
        self.state.trace.end_hook(called, span, &self.state.worker().spans);
    }
}
