//! The life of a request: read, decide, forward or reply; then the response phase.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{ALT_SVC, CONNECTION};
use http::request::Parts;
use http::{HeaderValue, Request, Response, Version};
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::GroupId;
use tidegate_engine::Decision;
use tidegate_engine::exchange::{Changed, Exchange};
use tidegate_engine::hook::Hook;
use tidegate_engine::passage::FieldKinds;
use tidegate_engine::vars::Vars;

use crate::request::body::RequestBody;
use crate::request::body::ResponseBody;
use crate::request::client_body::ClientBody;
use crate::request::compression::Accepted;
use crate::request::context::IfTheClientLeaves;
use crate::request::context::RequestContext;
use crate::request::handler::{OwnAltSvc, RequestHandler, Source};
use crate::request::head;
use crate::request::hooks::Reached;
use crate::request::rest::Rest;
use crate::request::state::StreamState;
use crate::request::{body_hooks, grpc, hooks, reply, upgrade};
use crate::telemetry::access_log::Record;

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the policy")
    }
}

impl std::error::Error for Closed {}

/// Serves one request on a stream of a connection; `rest` is how its body stands on a connection of HTTP/1.
///
/// If the answer is a switch of protocols, what the connection becomes is left in the stream's state.
///
/// Dropping the future, as happens when the client leaves, ends the request to the backend, too.
///
/// # Errors
/// [`Closed`] if the policy wants no answer.
pub async fn serve(
    state: Rc<StreamState>,
    request: Request<ClientBody>,
    rest: Option<&Rest>,
) -> Result<Response<ResponseBody>, Closed> {
    let (view, id) = state.connection.handle.view(state.worker());
    let Some(listener) = view.snapshot.plan().listeners.get(id.0) else { return Err(Closed) };
    let number = state.begin_request(listener.request_timeout);
    let last = listener.limits.requests_per_connection.is_some_and(|limit| number >= limit);
    let many = request.version() >= Version::HTTP_2;
    let mut served = RequestHandler {
        started: Instant::now(),
        view: &view,
        listener,
        id,
        state: &state,
        upgrade: None,
        grpc: false,
        kinds: FieldKinds::default(),
        accepted: Accepted::default(),
    };
    let mut response = served.run(request).await?;
    if last && many {
        state.connection.finish();
    } else if last || rest.is_some_and(|rest| rest.ends_connection(response.status())) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(alternative) = view.snapshot.alternatives.value(id, served.started)
        && response.extensions().get::<OwnAltSvc>().is_none()
    {
        response.headers_mut().insert(ALT_SVC, alternative);
    }
    state.begin_answer();
    Ok(response)
}

impl RequestHandler<'_> {
    async fn run(&mut self, request: Request<ClientBody>) -> Result<Response<ResponseBody>, Closed> {
        let (parts, body) = request.into_parts();
        let exchange = match self.receive(parts, &body) {
            Ok(exchange) => exchange,
            Err(refusal) => return Ok(refusal),
        };
        let record = Record::new(self.started, Rc::clone(self.view), self.listener.access_log, &exchange);
        let walk = self.view.snapshot.engine.start(self.id);
        let (mut context, reached) = hooks::decide(self, Box::new(RequestContext { exchange, walk, record }));
        let decision = match reached {
            Reached::End(decision) => decision,
            Reached::Waits(extension) => {
                let decision;
                (context, decision) = Box::pin(hooks::decide_waiting(self, context, extension)).await;
                decision
            }
        };
        self.decided(&mut context);
        let source = match decision {
            Decision::Forward(group) => {
                let asked;
                // In a box: the future of every request, and what is moved for it, stays small.
                (context, asked) = Box::pin(self.ask(context, group, body)).await?;
                asked
            }
            Decision::Reply(reply) => Ok(reply::take(&mut context.exchange, reply)),
            Decision::Close => return Err(self.close(context)),
        };
        if matches!(source, Err(Failure::Closed)) {
            return Err(self.close(context));
        }
        let source = source.unwrap_or_else(|failure| {
            self.upgrade = None;
            context.record.failure = Some(failure);
            reply::take(&mut context.exchange, reply::of(failure))
        });
        self.way_back(context, source).await
    }

    /// The request as rules may see it; the answer to one that none may see.
    #[expect(clippy::result_large_err, reason = "it is moved once, and only where a request is refused")]
    fn receive(&mut self, mut parts: Parts, body: &ClientBody) -> Result<Box<Exchange>, Response<ResponseBody>> {
        self.kinds = FieldKinds::of(&parts.headers);
        match upgrade::wanted(&mut parts, body, self.kinds) {
            Ok(wanted) => self.upgrade = wanted,
            Err(failure) => return Err(reply::refuse(self, &parts, failure)),
        }
        let has_body = self.upgrade.is_none() && !body.is_end_stream();
        let early = head::InEarlyData::is_on(&parts);
        let reader = head::Reader {
            listener: self.listener,
            via: self.view.snapshot.names.via.as_ref(),
            kinds: self.kinds,
            connection: &self.state.connection.info,
            known: &self.state.connection.host,
        };
        let mut head = match reader.read(parts) {
            Ok(head) => head,
            Err((failure, parts)) => return Err(reply::refuse(self, &parts, failure)),
        };
        head.has_body = has_body;
        head.websocket = self.upgrade.is_some();
        if has_body && body.may_have_trailers() {
            head.changed = Changed::watched();
        }
        let engine = &self.view.snapshot.engine;
        engine.receive(self.id, self.state.connection.info.peer.ip(), &mut head.headers, self.kinds);
        if early {
            head::InEarlyData::tell(&mut head.headers);
        }
        self.grpc = head.version >= Version::HTTP_2 && grpc::is_call(&head.headers);
        self.accepted = Accepted::of(&self.listener.compression, &head.method, &head.headers);
        let client_ip = self.client_ip(&head.headers);
        Ok(Box::new(Exchange {
            connection: Arc::clone(&self.state.connection.info),
            request: head,
            response: None,
            client_ip,
            request_id: u128::from(self.state.worker().random()) << 64 | u128::from(self.state.worker().random()),
            vars: Vars::default(),
            group: None,
            server: None,
            rule: None,
            log_lines: Vec::new(),
            parsed: tidegate_engine::parsed::Parsed::default(),
        }))
    }

    /// The walk is at its end: what it says of the request's time holds from now on.
    fn decided(&self, context: &mut RequestContext) {
        if context.walk.gave_up() {
            Bound::Tests.met();
            context.record.failure = Some(Failure::TooLongToTest);
        }
        if let Some(timeout) = context.walk.timeout() {
            self.state.set_request_timeout(timeout);
        }
        if self.grpc
            && let Some(timeout) = grpc::timeout(&context.exchange.request.headers)
        {
            self.state.set_end(timeout);
        }
    }

    /// Asks a server group, after those who look at the request's body. The answer, or why there is none.
    async fn ask(
        &self,
        mut context: Box<RequestContext>,
        group: GroupId,
        body: ClientBody,
    ) -> Result<(Box<RequestContext>, Result<Source, Failure>), Closed> {
        // The stream of an extended `CONNECT` carries no body, but what comes after the answer (RFC 8441, 4).
        let (body, after) = if self.upgrade.is_some() { (ClientBody::Empty, body) } else { (body, ClientBody::Empty) };
        let body = if body_hooks::are_wanted(self, &context, Hook::RequestBody) {
            let passed;
            (context, passed) = Box::pin(body_hooks::request(self, context, body)).await;
            match passed {
                Ok(body) => body,
                Err(ended) => {
                    return match body_hooks::ended(&mut context, ended) {
                        Some(source) => Ok((context, Ok(source))),
                        None => Err(self.close(context)),
                    };
                }
            }
        } else {
            RequestBody::new(body, Rc::clone(self.state), self.listener.limits.body_bytes)
        };
        let mut left = IfTheClientLeaves { context: Some(context), state: self.state };
        let source = match &mut left.context {
            Some(context) => self.forward(group, context, body, after).await,
            None => Err(Failure::NoServer),
        };
        let context = left.context.take().ok_or(Closed)?;
        Ok((context, source))
    }
}
