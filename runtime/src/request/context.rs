//! A request under way: the exchange, how far it came, and what is known of it for the log.

use std::rc::Rc;

use tidegate_base::failure::Failure;
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;

use crate::request::log_record::LogRecord;
use crate::request::state::StreamState;

/// The owner of a request, from its head to the end of its response: whoever drops it ends the request. A request whose context
/// is dropped before [`RequestContext::end`] had a client that left, or a connection that was ended, which is how that is logged.
///
/// It is large and outlives the steps of the request, so that it lives in a box, and steps borrow it.
pub struct RequestContext {
    /// The request, and its response once there is one. While a guest has it, another [stands in](Exchange::blank).
    pub(super) exchange: Box<Exchange>,
    pub(super) walk: Walk,
    pub(super) record: LogRecord,
    state: Rc<StreamState>,
    ended: bool,
}

impl RequestContext {
    /// The context of a request whose head has been read.
    pub(super) fn new(exchange: Box<Exchange>, walk: Walk, record: LogRecord, state: &Rc<StreamState>) -> Box<Self> {
        Box::new(Self { exchange, walk, record, state: Rc::clone(state), ended: false })
    }

    /// Ends a request that gets no response.
    pub(super) fn close(&mut self, failure: Failure) {
        self.record.failure = Some(failure);
        self.record.status = failure.status();
        self.end(0, None);
    }

    /// Ends a request whose response has ended after so many bytes of its body; `failure` is how that failed, if it did.
    pub fn end(&mut self, sent: u64, failure: Option<Failure>) {
        if !std::mem::replace(&mut self.ended, true) {
            let failure = self.record.failure.or(failure);
            self.record.end(&mut self.exchange, &self.walk, &self.state, sent, failure);
        }
    }

    /// The context for the body of the response to end; nothing if nobody wants to know of the end.
    pub(super) fn kept(mut self: Box<Self>) -> Option<Box<Self>> {
        self.ended = !self.record.is_wanted(&self.exchange, &self.walk);
        (!self.ended).then_some(self)
    }
}

impl Drop for RequestContext {
    fn drop(&mut self) {
        // After a panic in a guest's call nobody knows whose exchange this is.
        if !self.ended && !std::thread::panicking() {
            self.close(self.state.ending().unwrap_or(Failure::ClientClosed));
        }
    }
}
