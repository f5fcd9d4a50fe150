//! Runs the engine's walk, and the extensions that it asks for.

use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::hook::{Hook, HookFault, Verdict};
use tidegate_engine::{Decision, Progress, ResponseDecision, Silent};

use crate::request::callout;
use crate::request::context::RequestContext;
use crate::request::faults::report;
use crate::request::handler::RequestHandler;
use crate::request::hook_spans::Caller;

/// How far a walk came.
enum Reached<D> {
    /// To its end.
    End(D),
    /// To an extension that may ask other servers, which takes time.
    Waits(ExtensionId),
}

impl RequestHandler<'_> {
    /// The request's walk, to its decision.
    pub(super) async fn decide(&self, context: &mut RequestContext) -> Decision {
        match self.advance(context) {
            Reached::End(decision) => decision,
            // In a box: the future of every request stays small.
            Reached::Waits(extension) => Box::pin(self.decide_waiting(context, extension)).await,
        }
    }

    fn advance(&self, context: &mut RequestContext) -> Reached<Decision> {
        let engine = &self.view.snapshot.engine;
        let moment = self.moment();
        loop {
            match engine.advance(&mut context.walk, &mut context.exchange, moment, &mut Silent) {
                Progress::Run(extension) if self.view.waits(extension, Hook::Request, &context.exchange) => {
                    return Reached::Waits(extension);
                }
                Progress::Run(extension) => {
                    let caller = self.caller(extension, Hook::Request);
                    let called = caller.begin(&context.exchange);
                    let verdict = self.view.call(extension, Hook::Request, &mut context.exchange);
                    caller.end(called, &verdict);
                    let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
                    engine.resume(&mut context.walk, &mut context.exchange, verdict);
                    report(self.view, self.state.worker(), context, forwards);
                }
                Progress::Done(decision) => return Reached::End(decision),
            }
        }
    }

    /// The request's walk from an extension that may ask other servers, to its decision.
    async fn decide_waiting(&self, context: &mut RequestContext, mut extension: ExtensionId) -> Decision {
        loop {
            let verdict = self.wait(context, extension, Hook::Request).await;
            let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
            self.view.snapshot.engine.resume(&mut context.walk, &mut context.exchange, verdict);
            report(self.view, self.state.worker(), context, forwards);
            match self.advance(context) {
                Reached::End(decision) => return decision,
                Reached::Waits(next) => extension = next,
            }
        }
    }

    /// Calls an extension that may ask other servers.
    async fn wait(&self, context: &mut RequestContext, id: ExtensionId, hook: Hook) -> Result<Verdict, HookFault> {
        let caller = self.caller(id, hook);
        let called = caller.begin(&context.exchange);
        let verdict = callout::run(self, context, id, hook).await;
        caller.end(called, &verdict);
        verdict
    }

    /// What is known of a call of an extension.
    pub(super) fn caller(&self, id: ExtensionId, hook: Hook) -> Caller<'_> {
        Caller { view: self.view, state: self.state, id, hook }
    }

    /// The response's walk, to its decision.
    pub(super) async fn decide_response(&self, context: &mut RequestContext) -> ResponseDecision {
        self.view.snapshot.engine.start_response(&mut context.walk);
        match self.advance_response(context) {
            Reached::End(decision) => decision,
            Reached::Waits(extension) => Box::pin(self.decide_response_waiting(context, extension)).await,
        }
    }

    fn advance_response(&self, context: &mut RequestContext) -> Reached<ResponseDecision> {
        let engine = &self.view.snapshot.engine;
        loop {
            match engine.advance_response(&mut context.walk, &mut context.exchange, &mut Silent) {
                Progress::Run(extension) if self.view.waits(extension, Hook::Response, &context.exchange) => {
                    return Reached::Waits(extension);
                }
                Progress::Run(extension) => {
                    let caller = self.caller(extension, Hook::Response);
                    let called = caller.begin(&context.exchange);
                    let verdict = self.view.call(extension, Hook::Response, &mut context.exchange);
                    caller.end(called, &verdict);
                    engine.resume_response(&mut context.walk, &mut context.exchange, verdict);
                    report(self.view, self.state.worker(), context, false);
                }
                Progress::Done(decision) => return Reached::End(decision),
            }
        }
    }

    /// The response's walk from an extension that may ask other servers, to its decision.
    async fn decide_response_waiting(
        &self,
        context: &mut RequestContext,
        mut extension: ExtensionId,
    ) -> ResponseDecision {
        loop {
            let verdict = self.wait(context, extension, Hook::Response).await;
            self.view.snapshot.engine.resume_response(&mut context.walk, &mut context.exchange, verdict);
            report(self.view, self.state.worker(), context, false);
            match self.advance_response(context) {
                Reached::End(decision) => return decision,
                Reached::Waits(next) => extension = next,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::request::tests::guarded;
    use crate::request::tests::guest::Act::{self, Ask, Close, Reply, Say, Set, Trap};
    use crate::tests::run;

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const REQUEST: &str = "proxy_on_request_headers";
    const RESPONSE: &str = "proxy_on_response_headers";

    /// What a client gets whose request these guests see, one of them in its head and one in that of its response, and the line.
    fn answered(words: &str, guests: &[(&[Act], &[Act])], then: &str) -> (String, Value) {
        run(async {
            let guests = guests.iter().map(|(request, response)| [(REQUEST, *request), (RESPONSE, *response)]);
            let guests: Vec<_> = guests.collect();
            let house = guarded(words, &guests.iter().map(|guest| &guest[..]).collect::<Vec<_>>(), then);
            let mut client = house.client();
            client.send(GET).await;
            client.end().await;
            (client.rest().await, house.line())
        })
    }

    #[test]
    fn heads_pass_guests_in_their_order_and_responses_the_other_way_round() {
        let guests: &[(&[Act], &[Act])] =
            &[(&[Ask("seen", "a")], &[Say("back", "a")]), (&[Ask("seen", "b")], &[Say("back", "b")])];
        let (text, line) = answered("", guests, "respond 200 \"${header.seen}\"");
        let back: Vec<_> = text.lines().filter(|line| line.starts_with("back: ")).collect();
        assert_eq!(back, ["back: b", "back: a"]);
        assert!(text.ends_with("\r\n\r\na, b") && line["failure"].is_null(), "{text}");
    }

    #[test]
    fn a_guest_that_answers_is_the_last_that_sees_the_request_and_the_first_that_sees_its_answer() {
        let guests: &[(&[Act], &[Act])] =
            &[(&[Ask("seen", "a")], &[Say("back", "a")]), (&[Reply(418, "tea")], &[]), (&[Trap], &[Say("back", "c")])];
        let (text, line) = answered("", guests, "respond 200");
        assert!(text.starts_with("HTTP/1.1 418 ") && text.ends_with("\r\n\r\ntea"), "{text}");
        assert!(text.contains("\r\nback: a\r\n") && !text.contains("back: c"), "{text}");
        assert!(line["failure"].is_null() && line["status"] == 418, "{line}");
    }

    #[test]
    fn a_fault_costs_the_request_what_on_error_says() {
        for (words, status, failure) in
            [("", "500", "extension"), ("on-error deny 503", "503", "extension"), ("on-error skip", "200", "none")]
        {
            for guest in [(&[Trap][..], &[][..]), (&[], &[Trap])] {
                let (text, line) = answered(words, &[guest], "respond 200 \"on\"");
                assert_eq!((&text[9..12], line["failure"].as_str().unwrap_or("none")), (status, failure), "{words}");
                assert_eq!(text.ends_with("\r\n\r\non"), failure == "none", "{text}");
            }
        }
    }

    #[test]
    fn a_guest_may_close_at_either_head() {
        for guest in [(&[Close][..], &[][..]), (&[], &[Close])] {
            let (text, line) = answered("", &[guest], "respond 200");
            assert_eq!((&*text, &line["failure"], &line["status"]), ("", &"closed".into(), &444.into()));
        }
    }

    #[test]
    fn a_response_that_a_guest_makes_takes_the_place_of_the_other() {
        let (text, line) = answered("", &[(&[], &[Reply(503, "later")])], "respond 200 \"now\"");
        assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("\r\n\r\nlater"), "{text}");
        assert_eq!((&line["status"], &line["bytes"]), (&503.into(), &5.into()));
    }

    #[test]
    fn what_guests_set_is_in_the_line() {
        let (_, line) = answered("", &[(&[Set("a", "1")], &[Set("b", "2")])], "respond 200");
        assert_eq!(line["vars"], serde_json::json!({ "a": "1", "b": "2" }));
    }
}
