//! The life of a request: read, decide, forward or answer, and the way back.

pub(crate) mod fields;
mod hooks;
mod reply;

use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use tidegate_dsl::plan::{GroupId, Listener, ListenerId};
use tidegate_engine::exchange::{Exchange, Response as ResponseHead};
use tidegate_engine::vars::Vars;
use tidegate_engine::{Decision, Moment, ResponseDecision, Walk};

use crate::downstream::body::{Incoming, RequestBody, ResponseBody};
use crate::downstream::head;
use crate::downstream::state::ConnectionState;
use crate::failure::Failure;
use crate::telemetry::access_log::{Record, Upstream};
use crate::upstream::pool::Lease;
use crate::upstream::send::send;
use crate::worker::View;

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed by the policy")
    }
}

impl std::error::Error for Closed {}

/// Serves one request of a connection.
///
/// Dropping the future, as happens when the client leaves, ends the request to the backend, too.
///
/// # Errors
/// [`Closed`] if the policy wants no answer.
pub async fn serve(state: Rc<ConnectionState>, request: Request<Incoming>) -> Result<Response<ResponseBody>, Closed> {
    let (view, id) = state.slot.view(&state.worker);
    let Some(listener) = view.snapshot.plan().listeners.get(id.0) else { return Err(Closed) };
    let number = state.begin_request(listener.request_timeout);
    let last = listener.limits.requests_per_connection.is_some_and(|limit| number >= limit);
    let mut served = Call { started: Instant::now(), view: &view, listener, id, state: &state };
    let mut response = served.run(request).await?;
    if last {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
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
    state: &'c Rc<ConnectionState>,
}

/// A request under way.
struct Journey {
    exchange: Box<Exchange>,
    walk: Walk,
    record: Record,
}

/// Logs the request if its future is dropped, which is how we learn that the client left while a backend was asked.
struct IfTheClientLeaves<'c> {
    journey: Option<Journey>,
    state: &'c ConnectionState,
}

impl Drop for IfTheClientLeaves<'_> {
    fn drop(&mut self) {
        if let Some(Journey { exchange, walk, record }) = self.journey.take() {
            let failure = self.state.ending().unwrap_or(Failure::ClientClosed);
            record.close(&exchange, &walk, self.state, failure);
        }
    }
}

/// An answer before its way back.
enum Source {
    Ours(bytes::Bytes),
    Upstream(Incoming, Lease),
}

impl Call<'_> {
    async fn run(&mut self, request: Request<Incoming>) -> Result<Response<ResponseBody>, Closed> {
        let (parts, body) = request.into_parts();
        let head = match head::read(parts, &self.listener.limits, &self.state.host) {
            Ok(head) => head,
            Err((failure, parts)) => return Ok(reply::refuse(self, &parts, failure)),
        };
        let engine = &self.view.snapshot.engine;
        let client_ip = self.client_ip(&head.headers);
        let exchange = Box::new(Exchange {
            connection: Arc::clone(&self.state.info),
            request: head,
            response: None,
            client_ip,
            request_id: u128::from(self.state.worker.random()) << 64 | u128::from(self.state.worker.random()),
            vars: Vars::default(),
            group: None,
            server: None,
            log_lines: Vec::new(),
        });
        let mut record = Record::new(self.started, Rc::clone(self.view), self.listener.access_log, &exchange);
        let mut walk = engine.start(self.id);
        let (exchange, decision) = hooks::decide(self, &mut walk, exchange, &mut record);
        if let Some(timeout) = walk.timeout() {
            self.state.set_request_timeout(timeout);
        }
        let mut journey = Journey { exchange, walk, record };
        let source = match decision {
            Decision::Forward(group) => {
                let mut left = IfTheClientLeaves { journey: Some(journey), state: self.state };
                let source = match &mut left.journey {
                    // In a box: the future of every request, and what is moved for it, stays small.
                    Some(journey) => Box::pin(self.forward(group, journey, body)).await,
                    None => Err(Failure::NoServer),
                };
                let Some(back) = left.journey.take() else { return Err(Closed) };
                journey = back;
                source
            }
            Decision::Reply(reply) => Ok(reply::take(&mut journey.exchange, reply)),
            Decision::Close => return Err(self.close(journey)),
        };
        let source = source.unwrap_or_else(|failure| {
            journey.record.failure = Some(failure);
            reply::take(&mut journey.exchange, reply::of(failure))
        });
        self.way_back(journey, source)
    }

    fn close(&self, Journey { exchange, walk, record }: Journey) -> Closed {
        record.close(&exchange, &walk, self.state, Failure::Closed);
        Closed
    }

    fn client_ip(&self, headers: &http::HeaderMap) -> IpAddr {
        self.view.snapshot.engine.client_ip(self.id, self.state.info.peer.ip(), headers)
    }

    /// Sends the request to a server of the group; the answer's head is in the exchange then.
    async fn forward(&self, id: GroupId, journey: &mut Journey, body: Incoming) -> Result<Source, Failure> {
        let Journey { exchange, walk, record } = journey;
        let snapshot = &self.view.snapshot;
        let group = self.view.group(id).ok_or(Failure::NoServer)?;
        exchange.group = snapshot.names.groups.get(id.0).cloned();
        let limit = self.listener.limits.body_bytes;
        if fields::content_length(&exchange.request.headers)
            .is_some_and(|length| limit.is_some_and(|most| length > most))
        {
            return Err(Failure::BodyTooLarge);
        }
        let outgoing = self.outgoing(walk, exchange, RequestBody::new(body, Rc::clone(self.state), limit));
        let asked = record.clock();
        let kept = self.view.snapshot.engine.response_work(walk).then_some(&exchange.request.headers);
        let sent = send(group, outgoing, kept, self.state).await;
        let server = match &sent {
            Ok(answer) => Some(answer.server),
            Err((_, server)) => *server,
        };
        exchange.server = server.and_then(|at| snapshot.names.servers.get(id.0)?.get(at).cloned());
        record.upstream = Upstream::since(asked, None);
        let answer = sent.map_err(|(failure, _)| failure)?;
        let (mut parts, incoming) = answer.response.into_parts();
        record.upstream = Upstream::since(asked, Some(parts.status));
        // Nobody asked to switch protocols: `Upgrade` is never sent on.
        if !fields::has_known_coding(&parts.headers) || parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::UpstreamInvalid);
        }
        fields::remove_hop_by_hop(&mut parts.headers);
        exchange.response = Some(ResponseHead { status: parts.status, headers: parts.headers });
        Ok(Source::Upstream(incoming, answer.lease))
    }

    /// The request as the backend gets it.
    fn outgoing(&self, walk: &Walk, exchange: &mut Exchange, body: RequestBody) -> Request<RequestBody> {
        let engine = &self.view.snapshot.engine;
        fields::remove_hop_by_hop(&mut exchange.request.headers);
        engine.add_forwarded(self.id, exchange);
        let authority = exchange.request.authority.as_str();
        let unchanged = exchange.request.headers.get(HOST).is_some_and(|host| host.as_bytes() == authority.as_bytes());
        if !unchanged && let Ok(host) = HeaderValue::from_str(authority) {
            exchange.request.headers.insert(HOST, host);
        }
        let mut request = Request::new(body);
        request.method_mut().clone_from(&exchange.request.method);
        *request.uri_mut() = Uri::from(exchange.request.target.clone());
        // What looks at the request on the way back needs it whole; otherwise it is given away.
        *request.headers_mut() = if engine.response_work(walk) {
            exchange.request.headers.clone()
        } else {
            std::mem::take(&mut exchange.request.headers)
        };
        request
    }

    /// Response hooks and steps, then the answer as the client gets it.
    fn way_back(&self, journey: Journey, mut source: Source) -> Result<Response<ResponseBody>, Closed> {
        let Journey { mut exchange, mut walk, mut record } = journey;
        if self.view.snapshot.engine.response_work(&walk) {
            let decision;
            (exchange, decision) = hooks::way_back(self, &mut walk, exchange, &mut record);
            match decision {
                ResponseDecision::Pass => {}
                ResponseDecision::Replace(reply) => source = reply::take(&mut exchange, reply),
                ResponseDecision::Close => return Err(self.close(Journey { exchange, walk, record })),
            }
        }
        hooks::write_log_lines(self, &mut exchange);
        let head = exchange.response.take();
        let (status, headers) =
            head.map_or((StatusCode::OK, http::HeaderMap::new()), |head| (head.status, head.headers));
        let poisoned = record.failure.is_some_and(Failure::poisons_connection);
        record.status = status;
        let record = record.keep(exchange, walk);
        let body = match source {
            Source::Ours(bytes) => ResponseBody::ours(bytes, Rc::clone(self.state), record),
            Source::Upstream(incoming, lease) => ResponseBody::upstream(incoming, lease, Rc::clone(self.state), record),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        if poisoned {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response)
    }

    /// Now, for limits and weighted choices.
    fn moment(&self) -> Moment {
        let nanos = self.started.saturating_duration_since(self.state.worker.shared.started).as_nanos();
        Moment { nanos: u64::try_from(nanos).unwrap_or(u64::MAX), random: self.state.worker.random() }
    }
}
