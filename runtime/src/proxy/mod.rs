//! The life of a request: read, decide, forward or answer, and the way back.

mod beginning;
mod body_hooks;
mod compression;
mod encoder;
pub(crate) mod fields;
mod forward;
mod gathered;
pub(crate) mod grpc;
pub(crate) mod hooks;
mod outbound;
mod reply;
mod upgrade;

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{ALT_SVC, CONNECTION};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use tidegate_dsl::plan::{Listener, ListenerId};
use tidegate_engine::exchange::{Changed, Exchange, Response as ResponseHead};
use tidegate_engine::hook::{Hook, Reply};
use tidegate_engine::status::is_bodiless;
use tidegate_engine::vars::Vars;
use tidegate_engine::{Decision, Moment, ResponseDecision, Walk};

use crate::downstream::body::{RequestBody, ResponseBody};
use crate::downstream::client_body::ClientBody;
use crate::downstream::head;
use crate::downstream::rest::Rest;
use crate::downstream::state::StreamState;
use crate::downstream::tunnel::Tunnel;
use crate::failure::Failure;
use crate::telemetry::access_log::Record;
use crate::telemetry::bounds::Bound;
use crate::upstream::body::UpstreamBody;
use crate::upstream::connect::Switched;
use crate::worker::View;
use beginning::Beginning;
use compression::Accepted;
use hooks::Reached;
use upgrade::Upgrade;

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
    let (view, id) = state.connection.slot.view(state.worker());
    let Some(listener) = view.snapshot.plan().listeners.get(id.0) else { return Err(Closed) };
    let number = state.begin_request(listener.request_timeout);
    let last = listener.limits.requests_per_connection.is_some_and(|limit| number >= limit);
    let many = request.version() >= Version::HTTP_2;
    let mut served = Call {
        started: Instant::now(),
        view: &view,
        listener,
        id,
        state: &state,
        upgrade: None,
        grpc: false,
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

/// One request, and what it needs from start to end.
struct Call<'c> {
    started: Instant,
    view: &'c Rc<View>,
    listener: &'c Listener,
    id: ListenerId,
    state: &'c Rc<StreamState>,
    /// The client wants to switch protocols.
    upgrade: Option<Upgrade>,
    /// The request is a gRPC call: errors go into trailers.
    grpc: bool,
    /// How the response may be compressed.
    accepted: Accepted,
}

/// Marks a response whose `Alt-Svc`, or the lack of one, is the policy's own word.
#[derive(Debug, Clone, Copy)]
struct OwnAltSvc;

/// A request under way.
struct Journey {
    exchange: Box<Exchange>,
    walk: Walk,
    record: Record,
}

/// Logs the request if its future is dropped, which is how we learn that the client left while a backend was asked.
struct IfTheClientLeaves<'c> {
    journey: Option<Journey>,
    state: &'c StreamState,
}

impl Drop for IfTheClientLeaves<'_> {
    fn drop(&mut self) {
        if let Some(Journey { exchange, walk, record }) = self.journey.take() {
            let failure = self.state.ending().unwrap_or(Failure::ClientClosed);
            record.close(exchange, &walk, self.state, failure);
        }
    }
}

/// An answer before its way back.
enum Source {
    Ours(bytes::Bytes),
    Upstream(UpstreamBody),
    /// The backend has switched protocols.
    Tunnel(Switched, ClientBody),
}

impl Call<'_> {
    async fn run(&mut self, request: Request<ClientBody>) -> Result<Response<ResponseBody>, Closed> {
        let (mut parts, body) = request.into_parts();
        match upgrade::wanted(&mut parts, &body) {
            Ok(wanted) => self.upgrade = wanted,
            Err(failure) => return Ok(reply::refuse(self, &parts, failure)),
        }
        let has_body = self.upgrade.is_none() && !body.is_end_stream();
        let engine = &self.view.snapshot.engine;
        let reader = head::Reader {
            listener: self.listener,
            via: self.view.snapshot.names.via.as_ref(),
            connection: &self.state.connection.info,
            known: &self.state.connection.host,
        };
        let mut head = match reader.read(parts) {
            Ok(head) => head,
            Err((failure, parts)) => return Ok(reply::refuse(self, &parts, failure)),
        };
        head.has_body = has_body;
        head.websocket = self.upgrade.is_some();
        if has_body && body.may_have_trailers() {
            head.changed = Changed::watched();
        }
        engine.receive(self.id, self.state.connection.info.peer.ip(), &mut head.headers);
        self.grpc = head.version >= Version::HTTP_2 && grpc::is_call(&head.headers);
        self.accepted = Accepted::of(&self.listener.compression, &head.method, &head.headers);
        let client_ip = self.client_ip(&head.headers);
        let exchange = Box::new(Exchange {
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
        });
        let mut record = Record::new(self.started, Rc::clone(self.view), self.listener.access_log, &exchange);
        let mut walk = engine.start(self.id);
        let (exchange, reached) = hooks::decide(self, &mut walk, exchange, &mut record);
        let mut journey = Journey { exchange, walk, record };
        let decision = match reached {
            Reached::End(decision) => decision,
            Reached::Waits(extension) => {
                let decision;
                (journey, decision) = Box::pin(hooks::decide_waiting(self, journey, extension)).await;
                decision
            }
        };
        if journey.walk.gave_up() {
            Bound::Tests.met();
            journey.record.failure = Some(Failure::TooLongToTest);
        }
        let Journey { exchange, walk, .. } = &journey;
        if let Some(timeout) = walk.timeout() {
            self.state.set_request_timeout(timeout);
        }
        if self.grpc
            && let Some(timeout) = grpc::timeout(&exchange.request.headers)
        {
            self.state.set_end(timeout);
        }
        let source = match decision {
            Decision::Forward(group) => {
                // The stream of an extended `CONNECT` carries no body, but what comes after the answer (RFC 8441, 4).
                let (body, after) =
                    if self.upgrade.is_some() { (ClientBody::Empty, body) } else { (body, ClientBody::Empty) };
                let body = if body_hooks::are_wanted(self, &journey, Hook::RequestBody) {
                    let passed;
                    (journey, passed) = Box::pin(body_hooks::request(self, journey, body)).await;
                    match passed {
                        Ok(body) => body,
                        Err(ended) => {
                            return match body_hooks::ended(&mut journey, ended) {
                                Some(source) => self.way_back(journey, source).await,
                                None => Err(self.close(journey)),
                            };
                        }
                    }
                } else {
                    RequestBody::new(body, Rc::clone(self.state), self.listener.limits.body_bytes)
                };
                let mut left = IfTheClientLeaves { journey: Some(journey), state: self.state };
                let source = match &mut left.journey {
                    // In a box: the future of every request, and what is moved for it, stays small.
                    Some(journey) => Box::pin(self.forward(group, journey, body, after)).await,
                    None => Err(Failure::NoServer),
                };
                let Some(back) = left.journey.take() else { return Err(Closed) };
                journey = back;
                source
            }
            Decision::Reply(reply) => Ok(reply::take(&mut journey.exchange, reply)),
            Decision::Close => return Err(self.close(journey)),
        };
        if matches!(source, Err(Failure::Closed)) {
            return Err(self.close(journey));
        }
        let source = source.unwrap_or_else(|failure| {
            self.upgrade = None;
            journey.record.failure = Some(failure);
            reply::take(&mut journey.exchange, reply::of(failure))
        });
        self.way_back(journey, source).await
    }

    fn close(&self, Journey { exchange, walk, record }: Journey) -> Closed {
        record.close(exchange, &walk, self.state, Failure::Closed);
        Closed
    }

    fn client_ip(&self, headers: &http::HeaderMap) -> IpAddr {
        self.view.snapshot.engine.client_ip(self.id, self.state.connection.info.peer.ip(), headers)
    }

    /// Response hooks and steps, then the answer as the client gets it.
    async fn way_back(&self, journey: Journey, mut source: Source) -> Result<Response<ResponseBody>, Closed> {
        let Journey { mut exchange, mut walk, mut record } = journey;
        record.take_streamed(&mut exchange);
        let (mut ahead, mut watchers) = (bytes::Bytes::new(), Vec::new());
        if self.view.snapshot.engine.response_work(&walk) {
            let reached;
            (exchange, reached) = hooks::way_back(self, &mut walk, exchange, &mut record);
            let decision = match reached {
                Reached::End(decision) => decision,
                Reached::Waits(extension) => {
                    let (journey, decision) =
                        Box::pin(hooks::way_back_waiting(self, Journey { exchange, walk, record }, extension)).await;
                    Journey { exchange, walk, record } = journey;
                    decision
                }
            };
            match decision {
                ResponseDecision::Pass => {}
                ResponseDecision::Replace(reply) => source = reply::take(&mut exchange, reply),
                ResponseDecision::Close => return Err(self.close(Journey { exchange, walk, record })),
            }
            let mut journey = Journey { exchange, walk, record };
            if body_hooks::are_wanted(self, &journey, Hook::ResponseBody) {
                let passed;
                (journey, passed) = Box::pin(body_hooks::response(self, journey, source)).await;
                source = match passed {
                    Ok((on, read, looking)) => {
                        (ahead, watchers) = (read, looking);
                        on
                    }
                    Err(ended) => match body_hooks::ended(&mut journey, ended) {
                        Some(source) => source,
                        None => return Err(self.close(journey)),
                    },
                };
            }
            Journey { exchange, walk, record } = journey;
        }
        let mut beginning = Beginning::default();
        if ahead.is_empty() && beginning::decides(self, &exchange) {
            match source {
                Source::Upstream(body) => {
                    let begun;
                    (Journey { exchange, walk, record }, begun) =
                        Box::pin(beginning::read(self, Journey { exchange, walk, record }, body)).await;
                    (source, beginning) = begun.unwrap_or_else(|failure| {
                        record.failure = Some(failure);
                        // They look at the body of the server, and this is none of it.
                        watchers.clear();
                        (reply::take(&mut exchange, reply::of(failure)), Beginning::default())
                    });
                }
                other => source = other,
            }
        }
        hooks::write_log_lines(self, &mut exchange);
        let kept = self.view.wants_log(&walk, &exchange).then(|| exchange.response.as_ref().map(body_hooks::copy));
        let head = exchange.response.take();
        exchange.response = kept.flatten();
        let head = head.unwrap_or_else(|| ResponseHead::new(StatusCode::OK, http::HeaderMap::new()));
        let ResponseHead { mut status, mut headers, changed } = head;
        if !matches!(source, Source::Tunnel(..)) && self.upgrade.is_some_and(|upgrade| upgrade.would_open(status)) {
            // A rule or a hook answered as if it were a `GET`.
            record.failure = Some(Failure::NoUpgrade);
            let Reply { status: instead, headers: fields, body } = reply::of(Failure::NoUpgrade);
            (status, headers, source) = (instead, fields, Source::Ours(body));
            (ahead, watchers) = (bytes::Bytes::new(), Vec::new());
        }
        let poisoned =
            record.failure.is_some_and(Failure::poisons_connection) && exchange.request.version < Version::HTTP_2;
        if let Source::Ours(body) = &mut source
            && self.grpc
        {
            grpc::translate(&mut status, &mut headers, body, walk.limited());
        }
        if let (Source::Tunnel(..), Some(upgrade)) = (&source, self.upgrade) {
            upgrade.grant(&mut status, &mut headers);
        }
        let length = match &source {
            Source::Ours(bytes) => u64::try_from(bytes.len()).ok(),
            Source::Upstream(_) | Source::Tunnel(..) => fields::content_length(&headers).or_else(|| beginning.length()),
        };
        if !matches!(source, Source::Tunnel(..)) {
            let room = &self.state.worker().shared.encoders;
            watchers.extend(self.accepted.apply(status, &mut headers, length, room));
        }
        record.status = status;
        let head_only = exchange.request.method == Method::HEAD || is_bodiless(status);
        let own_alt_svc = walk.has_own_alt_svc();
        let record = record.keep(exchange, walk);
        let mut body = match source {
            Source::Ours(bytes) => ResponseBody::ours(bytes, Rc::clone(self.state), record),
            Source::Upstream(body) => ResponseBody::upstream(body, Rc::clone(self.state), record),
            Source::Tunnel(upstream, client) => {
                let timeout = self.listener.tunnel_timeout;
                self.state.set_tunnel(Tunnel { upstream, client, record, timeout });
                ResponseBody::ours(bytes::Bytes::new(), Rc::clone(self.state), None)
            }
        };
        beginning.put_back(&mut body);
        body.screen_trailers(changed);
        body_hooks::put(&mut body, ahead, watchers);
        if head_only {
            body.expect_unread();
        }
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if self.grpc {
            response.extensions_mut().insert(grpc::Answer);
        }
        if own_alt_svc {
            response.extensions_mut().insert(OwnAltSvc);
        }
        if poisoned {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Now, for limits and weighted choices.
    fn moment(&self) -> Moment {
        let nanos = self.started.saturating_duration_since(self.state.worker().shared.started).as_nanos();
        Moment { nanos: u64::try_from(nanos).unwrap_or(u64::MAX), random: self.state.worker().random() }
    }
}
