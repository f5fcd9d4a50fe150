//! An extension that looks at a body piece by piece.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::{Exchange, Response};
use tidegate_engine::hook::{BodyVerdict, Hook, HookFault};
use tidegate_engine::vars::Vars;

use crate::request::body_filter::BodyFilter;
use crate::request::context::RequestContext;
use crate::request::handler::RequestHandler;
use crate::request::state::StreamState;
use crate::request::worker_snapshot::WorkerSnapshot;

/// An extension that looks at the pieces of a body. It has an exchange of its own: the heads as they left, and the
/// variables as they were, which later pieces see as earlier ones left them. What it sets is kept for the request, too: the
/// hooks and steps of the response see it if it was set before, and the end of the request in any case.
pub(super) struct HookFilter {
    view: Rc<WorkerSnapshot>,
    state: Rc<StreamState>,
    id: ExtensionId,
    hook: Hook,
    most: usize,
    exchange: Box<Exchange>,
    /// The variables that the extension set, for the request.
    set: Rc<RefCell<Vars>>,
}

impl HookFilter {
    pub(super) fn new(
        handler: &RequestHandler<'_>,
        (id, hook): (ExtensionId, Hook),
        most: usize,
        context: &mut RequestContext,
    ) -> Self {
        let set = context.record.streamed();
        let exchange = &context.exchange;
        let connection = Arc::clone(&exchange.connection);
        let request = exchange.request.copied();
        let mut own = Exchange::new(connection, request, exchange.client_ip, exchange.request_id);
        own.response = exchange.response.as_ref().map(Response::copied);
        own.vars = exchange.vars.settled();
        own.group.clone_from(&exchange.group);
        own.server.clone_from(&exchange.server);
        own.rule.clone_from(&exchange.rule);
        let (view, state) = (Rc::clone(handler.view), Rc::clone(handler.state));
        Self { view, state, id, hook, most, exchange: Box::new(own), set }
    }

    /// What goes on for one piece, no larger than the extension wants it.
    fn one(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
        let verdict = self.view.call_body(self.id, self.hook, &mut self.exchange, (&data, last), true);
        self.set.borrow_mut().adopt(&mut self.exchange.vars);
        match verdict {
            Ok(BodyVerdict::Replace(other)) => Ok(other),
            Ok(BodyVerdict::Close) => Err(Failure::Closed),
            Ok(BodyVerdict::Next | BodyVerdict::Respond(_)) => Ok(data),
            Err(fault) if self.denies(&fault) => Err(Failure::Extension),
            Err(_) => Ok(data),
        }
    }

    /// Says what went wrong, and whether the request is to end for it.
    fn denies(&self, fault: &HookFault) -> bool {
        let extension = self.view.snapshot.plan().extensions.get(self.id.0);
        self.state.worker().warn_of_fault(extension, fault, Some(self.exchange.request_id));
        self.view.snapshot.engine.denies(self.id, fault.kind)
    }
}

impl BodyFilter for HookFilter {
    fn piece(&mut self, mut data: Bytes, last: bool) -> Result<Bytes, Failure> {
        if data.len() <= self.most {
            return self.one(data, last);
        }
        let mut on = BytesMut::new();
        while !data.is_empty() {
            let piece = data.split_to(self.most.min(data.len()));
            let end = last && data.is_empty();
            on.extend_from_slice(&self.one(piece, end)?);
        }
        Ok(on.freeze())
    }
}
