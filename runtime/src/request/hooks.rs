//! Runs the engine's walk, and the extensions that it asks for.

use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::hook::{Hook, Verdict};
use tidegate_engine::{Decision, Progress, ResponseDecision, Silent};

use crate::request::callout;
use crate::request::context::RequestContext;
use crate::request::faults::report;
use crate::request::handler::RequestHandler;

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
                    let verdict = self.view.call(extension, Hook::Request, &mut context.exchange);
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
            let verdict = callout::run(self, context, extension, Hook::Request).await;
            let forwards = matches!(verdict, Ok(Verdict::Forward(_)));
            self.view.snapshot.engine.resume(&mut context.walk, &mut context.exchange, verdict);
            report(self.view, self.state.worker(), context, forwards);
            match self.advance(context) {
                Reached::End(decision) => return decision,
                Reached::Waits(next) => extension = next,
            }
        }
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
                    let verdict = self.view.call(extension, Hook::Response, &mut context.exchange);
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
            let verdict = callout::run(self, context, extension, Hook::Response).await;
            self.view.snapshot.engine.resume_response(&mut context.walk, &mut context.exchange, verdict);
            report(self.view, self.state.worker(), context, false);
            match self.advance_response(context) {
                Reached::End(decision) => return decision,
                Reached::Waits(next) => extension = next,
            }
        }
    }
}
