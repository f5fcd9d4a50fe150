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
use crate::request::hook_spans::Caller;
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
        let caller = Caller { view: &self.view, state: &self.state, id: self.id, hook: self.hook };
        let called = caller.begin_piece();
        let verdict = self.view.call_body(self.id, self.hook, &mut self.exchange, (&data, last), true);
        caller.end(called, &verdict);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;
    use crate::request::tests::guest::Act::{self, AtEnd, Close, MarkRequest, MarkResponse, Reply, Set, Trap};
    use crate::request::tests::{context, guarded, handler};
    use crate::tests::{House, run};

    const BODY: &str = "proxy_on_response_body";

    /// What goes on of these pieces, after a guest that takes three bytes at most and does this.
    fn on(words: &str, acts: &[Act], pieces: &[(&'static str, bool)]) -> Vec<Result<Bytes, Failure>> {
        let house = guarded(words, &[&[(BODY, acts)]], "forward web");
        let (stream, view) = (house.stream(), house.worker.view());
        let mut context = context(&stream, false);
        let mut filter =
            HookFilter::new(&handler(&view, &stream), (ExtensionId(0), Hook::ResponseBody), 3, &mut context);
        pieces.iter().map(|(piece, last)| filter.piece(Bytes::from_static(piece.as_bytes()), *last)).collect()
    }

    #[test]
    fn a_piece_is_cut_to_what_the_guest_takes_and_the_end_is_said_with_an_empty_one() {
        let pieces = on("", &[MarkResponse("<")], &[("abc", false), ("abcdefgh", false), ("", true)]);
        assert_eq!(pieces, [Ok("<abc".into()), Ok("<abc<def<gh".into()), Ok("<".into())]);
    }

    #[test]
    fn the_end_is_in_the_last_part_of_a_last_piece_that_is_cut() {
        let pieces = on("", &[AtEnd(&MarkResponse("."))], &[("abcdef", false), ("abcdef", true)]);
        assert_eq!(pieces, [Ok("abcdef".into()), Ok("abc.def".into())]);
    }

    #[test]
    fn a_guest_that_fails_at_a_piece_ends_the_body_or_is_left_out() {
        for (acts, words, first) in [
            (&[Trap][..], "on-error deny 503", Err(Failure::Extension)),
            (&[Trap], "on-error skip", Ok("ab".into())),
            (&[Close], "", Err(Failure::Closed)),
            (&[Reply(418, "tea")], "on-error skip", Ok("ab".into())),
        ] {
            assert_eq!(on(words, acts, &[("ab", false)]), [first], "the head has left: {words}");
        }
    }

    #[test]
    fn nothing_of_a_long_piece_goes_on_after_a_failure() {
        assert_eq!(on("on-error deny", &[MarkResponse("<"), Trap], &[("abcdef", false)]), [Err(Failure::Extension)]);
    }

    #[test]
    fn what_is_set_for_a_piece_is_kept_for_the_end_of_the_request() {
        let house = guarded("", &[&[(BODY, &[Set("seen", "yes")])]], "forward web");
        let (stream, view) = (house.stream(), house.worker.view());
        let mut context = context(&stream, false);
        context.exchange.vars.set("before", "1").unwrap();
        let mut filter =
            HookFilter::new(&handler(&view, &stream), (ExtensionId(0), Hook::ResponseBody), 3, &mut context);
        filter.piece("ab".into(), true).unwrap();
        assert_eq!(filter.exchange.vars.get("before"), Some("1"));
        assert_eq!(context.exchange.vars.get("seen"), None, "nobody asked for it yet");
        context.record.take_streamed(&mut context.exchange);
        assert_eq!((context.exchange.vars.get("seen"), context.exchange.vars.get("before")), (Some("yes"), Some("1")));
    }

    #[test]
    fn a_request_whose_length_nobody_knows_is_seen_on_its_way() {
        run(async {
            let house: House = guarded("", &[&[("proxy_on_request_body", &[MarkRequest("<")])]], "forward web");
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
            assert!(server.request().await.contains("\ntransfer-encoding: chunked"), "the head does not wait");
            assert_eq!(server.take(8).await, "3\r\n<hi\r\n");
            client.send("0\r\n\r\n").await;
            assert_eq!(server.take(11).await, "1\r\n<\r\n0\r\n\r\n");
        });
    }

    #[test]
    fn a_response_that_a_guest_ends_on_its_way_is_not_passed_off_as_whole() {
        run(async {
            let house = guarded("on-error deny", &[&[(BODY, &[Trap])]], "forward web");
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            server.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n").await;
            let text = client.rest().await;
            assert_eq!((&*text, &house.line()["failure"]), ("", &"extension".into()));
        });
    }
}
