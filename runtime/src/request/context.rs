//! A request under way: the exchange, how far it came, and what is known of it for the log.

use std::rc::Rc;

use http::StatusCode;
use tidegate_base::failure::Failure;
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;

use crate::request::log_record::{End, LogRecord};
use crate::request::meter::{RequestNames, Tally};
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
    /// The request's part in the numbers; nothing once it was handed on.
    tally: Option<Tally>,
    ended: bool,
}

/// Whoever ends a request whose response is on its way.
pub enum Ending {
    /// Somebody wants to know of the end: a log, an extension.
    Told(Box<RequestContext>),
    /// The end is counted, and that is all.
    Counted(CountedRequest),
}

/// A request of which nothing is left but its part in the numbers.
pub struct CountedRequest {
    tally: Tally,
    status: StatusCode,
    state: Rc<StreamState>,
    ended: bool,
}

impl RequestContext {
    /// The context of a request whose head has been read.
    pub(super) fn new(exchange: Box<Exchange>, walk: Walk, record: LogRecord, state: &Rc<StreamState>) -> Box<Self> {
        let tally = record.view.meter(walk.listener()).map(|meter| Tally::begin(meter, record.started));
        Box::new(Self { exchange, walk, record, state: Rc::clone(state), tally, ended: false })
    }

    /// The request becomes a tunnel.
    pub(super) fn become_tunnel(&mut self) {
        if let Some(tally) = &mut self.tally {
            tally.become_tunnel();
        }
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
            self.settle();
            // An exemplar leads to a trace that a collector has.
            let trace_id = self.exchange.trace.filter(|trace| trace.sampled).map(|trace| trace.trace_id);
            let took = self.tally.as_ref().map(|tally| tally.end(self.record.status, failure, trace_id));
            let end = End { took: took.unwrap_or_default(), sent, failure };
            self.record.end(&mut self.exchange, &self.walk, &self.state, end);
        }
    }

    /// Finds what is counted for the rule and the group of the request.
    fn settle(&mut self) {
        let snapshot = &self.record.view.snapshot;
        let rule = self.walk.rule().zip(self.walk.rule_name(&snapshot.engine));
        let group = self.record.group.and_then(|id| Some((id, &**snapshot.names.groups.get(id.0)?)));
        if let Some(tally) = &mut self.tally {
            tally.settle(&RequestNames { rule, group }, self.walk.limited());
        }
    }

    /// Whoever ends the request with the body of its response, or its tunnel: no more of it than somebody wants to know of the end.
    pub(super) fn kept(mut self: Box<Self>) -> Option<Ending> {
        if self.record.is_wanted(&self.exchange, &self.walk) {
            return Some(Ending::Told(self));
        }
        self.settle();
        self.ended = true;
        let tally = self.tally.take()?;
        let (status, state) = (self.record.status, Rc::clone(&self.state));
        Some(Ending::Counted(CountedRequest { tally, status, state, ended: false }))
    }
}

impl Ending {
    /// Ends the request after so many bytes of its response's body; `failure` is how that failed, if it did.
    pub fn end(&mut self, sent: u64, failure: Option<Failure>) {
        match self {
            Self::Told(context) => context.end(sent, failure),
            Self::Counted(counted) => counted.end(failure),
        }
    }
}

impl CountedRequest {
    fn end(&mut self, failure: Option<Failure>) {
        if !std::mem::replace(&mut self.ended, true) {
            self.tally.end(self.status, failure, None);
        }
    }
}

impl Drop for CountedRequest {
    fn drop(&mut self) {
        if !self.ended && !std::thread::panicking() {
            let failure = self.state.ending().unwrap_or(Failure::ClientClosed);
            self.status = failure.status();
            self.end(Some(failure));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::tests::context;
    use crate::request::worker::OpenConnection;
    use crate::tests::House;

    /// How a line says that its request ended: status, bytes and failure.
    fn ending(house: &House) -> (u64, u64, String) {
        let line = house.line();
        let number = |name: &str| line[name].as_u64().unwrap_or(u64::MAX);
        (number("status"), number("bytes"), line["failure"].as_str().unwrap_or("none").to_owned())
    }

    #[test]
    fn a_request_that_is_dropped_had_a_client_that_left() {
        let house = House::answering("");
        drop(context(&house.stream(), true));
        assert_eq!(ending(&house), (499, 0, "client-closed".into()));
    }

    #[test]
    fn a_request_that_is_dropped_failed_as_the_connection_knows() {
        let house = House::answering("");
        let stream = house.stream();
        let dropped = context(&stream, true);
        stream.set_ending(Failure::ClientTimeout);
        drop(dropped);
        assert_eq!(ending(&house), (408, 0, "client-timeout".into()));
        let dropped = context(&stream, true);
        OpenConnection::abort(&*stream.connection);
        drop(dropped);
        assert_eq!(ending(&house), (503, 0, "drained".into()));
    }

    #[test]
    fn a_request_ends_once() {
        let house = House::answering("");
        let mut ended = context(&house.stream(), true);
        ended.end(7, None);
        ended.end(8, Some(Failure::UpstreamBody));
        ended.close(Failure::Closed);
        drop(ended);
        assert_eq!(ending(&house), (200, 7, "none".into()));
    }

    #[test]
    fn a_request_that_gets_no_response_has_the_status_of_its_failure() {
        let house = House::answering("");
        context(&house.stream(), true).close(Failure::Closed);
        assert_eq!(ending(&house), (444, 0, "closed".into()));
    }

    #[test]
    fn the_first_failure_counts() {
        let house = House::answering("");
        let mut failed = context(&house.stream(), true);
        failed.record.failure = Some(Failure::NoServer);
        failed.end(3, Some(Failure::ClientClosed));
        assert_eq!(ending(&house).2, "no-server");
    }

    #[test]
    fn a_request_of_whose_end_nobody_wants_to_know_is_not_kept() {
        let house = House::answering("");
        assert!(matches!(context(&house.stream(), false).kept(), Some(Ending::Counted(_))));
        assert!(house.log().is_empty());
        let kept = context(&house.stream(), true).kept();
        assert!(matches!(kept, Some(Ending::Told(_))) && house.log().is_empty(), "its end is still to come");
        drop(kept);
        assert_eq!(ending(&house).0, 499);
    }
}
