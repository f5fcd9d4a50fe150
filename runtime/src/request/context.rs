//! A request under way: what it is, how far it came, and what is known of it for the log.

use tidegate_base::failure::Failure;
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;

use crate::request::state::StreamState;
use crate::telemetry::access_log::Record;

/// A request from its head to the end of its answer. It is large and handed on from step to step, so that it lives in a box.
pub struct RequestContext {
    pub(super) exchange: Box<Exchange>,
    pub(super) walk: Walk,
    pub(super) record: Record,
}

impl RequestContext {
    /// Ends a request that gets no answer.
    pub(super) fn close(self: Box<Self>, state: &StreamState, failure: Failure) {
        let Self { exchange, walk, mut record } = *self;
        record.status = failure.status();
        record.end(exchange, &walk, state, 0, Some(failure));
    }

    /// Ends a request whose answer has ended; `failure` is how its body failed, if it did.
    pub fn end(self: Box<Self>, state: &StreamState, sent: u64, failure: Option<Failure>) {
        let Self { exchange, walk, record } = *self;
        let failure = record.failure.or(failure);
        record.end(exchange, &walk, state, sent, failure);
    }

    /// The context for the body to end; nothing if nobody wants to know.
    pub(super) fn kept(self: Box<Self>) -> Option<Box<Self>> {
        self.record.is_wanted(&self.exchange, &self.walk).then_some(self)
    }
}

/// Logs the request if its future is dropped, which is how we learn that the client left while a backend was asked.
pub(super) struct IfTheClientLeaves<'c> {
    pub(super) context: Option<Box<RequestContext>>,
    pub(super) state: &'c StreamState,
}

impl<'c> IfTheClientLeaves<'c> {
    /// Waits for something, and gives the request back with what came of it.
    pub(super) async fn during<T>(
        context: Box<RequestContext>,
        state: &'c StreamState,
        waits: impl Future<Output = T>,
    ) -> (Box<RequestContext>, T) {
        let mut left = Self { context: Some(context), state };
        let result = waits.await;
        #[expect(clippy::expect_used, reason = "it was put in above; only dropping it takes it out")]
        let context = left.context.take().expect("the context of this request");
        (context, result)
    }
}

impl Drop for IfTheClientLeaves<'_> {
    fn drop(&mut self) {
        if let Some(context) = self.context.take() {
            context.close(self.state, self.state.ending().unwrap_or(Failure::ClientClosed));
        }
    }
}
