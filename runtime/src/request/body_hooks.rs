//! Extensions that look at bodies: at the whole before the head leaves, or piece by piece on its way.
//!
//! Those that want the whole come first, in the order they were started; then each piece passes the others in that order.
//! On the way back it is the other way round, as it is for heads.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::{Changed, Exchange, Request, Response};
use tidegate_engine::hook::{BodyVerdict, Hook, HookFault, Reply};
use tidegate_engine::vars::Vars;
use tidegate_wasm_host::BodyMode;

use crate::request::body::RequestBody;
use crate::request::body::ResponseBody;
use crate::request::body_filter::BodyFilter;
use crate::request::client_body::ClientBody;
use crate::request::context::IfTheClientLeaves;
use crate::request::context::RequestContext;
use crate::request::gathered;
use crate::request::gathered::Gathered;
use crate::request::gathered::NoRoom;
use crate::request::handler::RequestHandler;
use crate::request::handler::Source;
use crate::request::hooks;
use crate::request::reply;
use crate::request::state::StreamState;
use crate::request::worker_snapshot::WorkerSnapshot;

/// How an extension ended a request, or what reading its body met.
pub(super) enum Ended {
    Reply(Box<Reply>),
    Close,
    Failed(Failure),
}

/// Whether an extension wants the body of this exchange.
pub(super) fn are_wanted(call: &RequestHandler<'_>, context: &RequestContext, hook: Hook) -> bool {
    let mut started = call.view.snapshot.engine.started(&context.walk);
    started.any(|id| call.view.body(id, hook, &context.exchange).is_some())
}

/// The extensions that want a body of this exchange. If there is none, it is those that hold the head back for it.
fn wanting(
    call: &RequestHandler<'_>,
    context: &RequestContext,
    hook: Hook,
    has_body: bool,
) -> Vec<(ExtensionId, BodyMode)> {
    let started = call.view.snapshot.engine.started(&context.walk);
    let wants = |id| Some((id, call.view.body(id, hook, &context.exchange)?));
    started.filter(|id| has_body || call.view.holds(*id, hook, &context.exchange)).filter_map(wants).collect()
}

/// The most that one of them wants of the whole; nothing if none wants it.
fn most(wanting: &[(ExtensionId, BodyMode)]) -> Option<usize> {
    let whole = |(_, mode): &(ExtensionId, BodyMode)| match mode {
        BodyMode::Buffer(most) => Some(*most),
        BodyMode::Stream(_) => None,
    };
    wanting.iter().filter_map(whole).max()
}

/// The request's body as it goes on; the context is given back in any case, but for a client that left.
pub(super) async fn request(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    incoming: ClientBody,
) -> (Box<RequestContext>, Result<RequestBody, Ended>) {
    let has_body = !incoming.is_end_stream();
    let mut body = RequestBody::new(incoming, Rc::clone(call.state), call.listener.limits.body_bytes);
    let wanting = wanting(call, &context, Hook::RequestBody, has_body);
    if let Some(most) = most(&wanting) {
        let gathered;
        (context, gathered) = gather(call, context, &mut body, most).await;
        let (data, whole) = match gathered {
            Ok(gathered) => gathered,
            Err(Unread::NoRoom) => return (context, Err(Ended::Failed(Failure::NoRoom))),
            Err(Unread::Broken) => {
                let failure = call.state.ending().unwrap_or(Failure::ClientBody);
                return (context, Err(Ended::Failed(failure)));
            }
        };
        let data = match show(call, &mut context, Hook::RequestBody, &wanting, data, whole) {
            Ok(data) => data,
            Err(ended) => return (context, Err(ended)),
        };
        if whole && (has_body || !data.is_empty()) {
            context.exchange.request.headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
            body = RequestBody::whole(data, Rc::clone(call.state));
        } else {
            body.put_back(data);
        }
    }
    for (id, mode) in wanting {
        if let BodyMode::Stream(most) = mode {
            context.exchange.request.headers.remove(CONTENT_LENGTH);
            body.stack(Box::new(HookFilter::new(call, (id, Hook::RequestBody), most, &mut context)));
        }
    }
    (context, Ok(body))
}

/// The response's body as it goes on, with those who look at its pieces.
pub(super) async fn response(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    source: Source,
) -> (Box<RequestContext>, Result<(Source, Bytes, Vec<Box<dyn BodyFilter>>), Ended>) {
    let has_body = match &source {
        Source::Ours(bytes) => !bytes.is_empty(),
        Source::Upstream(body) => !body.is_end_stream(),
        Source::Tunnel(..) => false,
    };
    let mut wanting = wanting(call, &context, Hook::ResponseBody, has_body);
    wanting.reverse();
    let (mut source, mut ahead) = (source, Bytes::new());
    if let Some(most) = most(&wanting) {
        let (data, whole);
        (source, data, whole) = match source {
            Source::Ours(bytes) => (Source::Ours(Bytes::new()), bytes, true),
            Source::Upstream(mut body) => {
                let gathered;
                (context, gathered) = gather(call, context, &mut body, most).await;
                match gathered {
                    Ok((data, true)) => {
                        body.finish(true, call.state.worker().now_ms());
                        (Source::Ours(Bytes::new()), data, true)
                    }
                    Ok((data, false)) => (Source::Upstream(body), data, false),
                    Err(Unread::NoRoom) => return (context, Err(Ended::Failed(Failure::NoRoom))),
                    Err(Unread::Broken) => return (context, Err(Ended::Failed(Failure::UpstreamBody))),
                }
            }
            source @ Source::Tunnel(..) => (source, Bytes::new(), false),
        };
        let data = match show(call, &mut context, Hook::ResponseBody, &wanting, data, whole) {
            Ok(data) => data,
            Err(ended) => return (context, Err(ended)),
        };
        if whole {
            if let Some(response) = &mut context.exchange.response
                && (has_body || !data.is_empty())
            {
                response.headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
            }
            source = Source::Ours(data);
        } else {
            ahead = data;
        }
    }
    let mut watchers: Vec<Box<dyn BodyFilter>> = Vec::new();
    for (id, mode) in wanting {
        if let BodyMode::Stream(most) = mode {
            if let Some(response) = &mut context.exchange.response {
                response.headers.remove(CONTENT_LENGTH);
            }
            watchers.push(Box::new(HookFilter::new(call, (id, Hook::ResponseBody), most, &mut context)));
        }
    }
    (context, Ok((source, ahead, watchers)))
}

/// The bytes that a body gave, and whether they are all.
type Read = Result<(Bytes, bool), Unread>;

/// The reason why a body was not read.
pub(super) enum Unread {
    /// The body failed.
    Broken,
    /// The body would have to be held, and there is no room.
    NoRoom,
}

/// Reads a body to its end, or until it is longer than `most`.
async fn gather<B>(
    call: &RequestHandler<'_>,
    context: Box<RequestContext>,
    body: &mut B,
    most: usize,
) -> (Box<RequestContext>, Read)
where
    B: Body<Data = Bytes> + Unpin,
{
    IfTheClientLeaves::during(context, call.state, Box::pin(read(call.state, body, most))).await
}

pub(super) async fn read<B>(state: &StreamState, body: &mut B, most: usize) -> Read
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut data = Gathered::new(state);
    while let Some(frame) = body.frame().await {
        state.note_upstream();
        // Trailers of a body that somebody wanted whole end here (RFC 9110, 6.5.1, lets them).
        if let Ok(more) = frame.map_err(|_| Unread::Broken)?.into_data() {
            data.add(&more).map_err(|NoRoom| Unread::NoRoom)?;
            if data.len() > most {
                return Ok((data.bytes(), false));
            }
        }
    }
    Ok((data.bytes(), true))
}

/// Shows a body to those who want the whole; what goes on.
fn show(
    call: &RequestHandler<'_>,
    context: &mut RequestContext,
    hook: Hook,
    wanting: &[(ExtensionId, BodyMode)],
    mut data: Bytes,
    whole: bool,
) -> Result<Bytes, Ended> {
    for (id, mode) in wanting {
        let BodyMode::Buffer(most) = mode else { continue };
        let verdict = if whole && data.len() <= *most {
            let exchange = std::mem::replace(&mut context.exchange, blank(call));
            let (exchange, verdict) = call.view.call_body(*id, hook, exchange, (&data, true), false);
            context.exchange = exchange;
            verdict
        } else {
            call.view.body_too_long(*id, *most)
        };
        match verdict {
            Ok(BodyVerdict::Next) => {}
            Ok(BodyVerdict::Replace(other)) => {
                data = gathered::counted(other, call.state).map_err(|NoRoom| Ended::Failed(Failure::NoRoom))?;
            }
            Ok(BodyVerdict::Respond(reply)) => return Err(Ended::Reply(Box::new(reply))),
            Ok(BodyVerdict::Close) => return Err(Ended::Close),
            Err(fault) => {
                let denied = call.view.snapshot.engine.fault_beside(&mut context.walk, *id, fault);
                hooks::report(call, context, false);
                if let Some(reply) = denied {
                    return Err(Ended::Reply(Box::new(reply)));
                }
            }
        }
    }
    Ok(data)
}

/// Stands in for an exchange while a guest has it.
pub(super) fn blank(call: &RequestHandler<'_>) -> Box<Exchange> {
    Box::new(Exchange {
        connection: std::sync::Arc::clone(&call.state.connection.info),
        request: Request {
            method: http::Method::GET,
            authority: http::uri::Authority::from_static("_"),
            unnamed: false,
            target: tidegate_engine::target::Target::root(),
            original_authority: http::uri::Authority::from_static("_"),
            original_target: http::uri::PathAndQuery::from_static("/"),
            websocket: false,
            has_body: false,
            changed: Changed::default(),
            version: http::Version::HTTP_11,
            headers: HeaderMap::new(),
        },
        response: None,
        client_ip: call.state.connection.info.peer.ip(),
        request_id: 0,
        vars: Vars::default(),
        group: None,
        server: None,
        rule: None,
        log_lines: Vec::new(),
        parsed: tidegate_engine::parsed::Parsed::default(),
    })
}

/// An extension that looks at the pieces of a body. It has an exchange of its own: the heads as they left, and the
/// variables as they were, which later pieces see as earlier ones left them. What it sets is kept for the request, too: the
/// hooks and steps of the response see it if it was set before, and the end of the request in any case.
struct HookFilter {
    view: Rc<WorkerSnapshot>,
    state: Rc<StreamState>,
    id: ExtensionId,
    hook: Hook,
    most: usize,
    exchange: Option<Box<Exchange>>,
    /// The variables that the extension set, for the request.
    set: Rc<RefCell<Vars>>,
}

impl HookFilter {
    fn new(
        call: &RequestHandler<'_>,
        (id, hook): (ExtensionId, Hook),
        most: usize,
        context: &mut RequestContext,
    ) -> Self {
        let set = context.record.streamed();
        let exchange = &context.exchange;
        let request = &exchange.request;
        let own = Exchange {
            request: Request {
                method: request.method.clone(),
                authority: request.authority.clone(),
                unnamed: request.unnamed,
                target: request.target.clone(),
                original_authority: request.original_authority.clone(),
                original_target: request.original_target.clone(),
                websocket: request.websocket,
                has_body: request.has_body,
                changed: Changed::default(),
                version: request.version,
                headers: request.headers.clone(),
            },
            response: exchange.response.as_ref().map(copy),
            client_ip: exchange.client_ip,
            request_id: exchange.request_id,
            vars: exchange.vars.settled(),
            group: exchange.group.clone(),
            server: exchange.server.clone(),
            rule: exchange.rule.clone(),
            ..*blank(call)
        };
        let (view, state) = (Rc::clone(call.view), Rc::clone(call.state));
        Self { view, state, id, hook, most, exchange: Some(Box::new(own)), set }
    }

    /// What goes on for one piece, no larger than the extension wants it.
    fn one(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
        let Some(exchange) = self.exchange.take() else { return Ok(data) };
        let (mut exchange, verdict) = self.view.call_body(self.id, self.hook, exchange, (&data, last), true);
        self.set.borrow_mut().adopt(&mut exchange.vars);
        let fault = match verdict {
            Ok(BodyVerdict::Replace(other)) => {
                self.exchange = Some(exchange);
                return Ok(other);
            }
            Ok(BodyVerdict::Close) => return Err(Failure::Closed),
            Ok(BodyVerdict::Next | BodyVerdict::Respond(_)) => {
                self.exchange = Some(exchange);
                return Ok(data);
            }
            Err(fault) => fault,
        };
        let denies = self.fault(&exchange, &fault);
        self.exchange = Some(exchange);
        if denies { Err(Failure::Extension) } else { Ok(data) }
    }

    /// Says what went wrong, and whether the request is to end for it.
    fn fault(&self, exchange: &Exchange, fault: &HookFault) -> bool {
        let extension = self.view.snapshot.plan().extensions.get(self.id.0);
        hooks::warn_of(&self.state, extension, fault, exchange.request_id);
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

/// A copy of a head.
pub(super) fn copy(head: &Response) -> Response {
    Response::new(head.status, head.headers.clone())
}

/// What a request gets for how it ended in a body hook.
pub(super) fn ended(context: &mut RequestContext, ended: Ended) -> Option<Source> {
    match ended {
        Ended::Reply(given) => Some(reply::take(&mut context.exchange, *given)),
        Ended::Failed(failure) => {
            context.record.failure = Some(failure);
            Some(reply::take(&mut context.exchange, reply::of(failure)))
        }
        Ended::Close => None,
    }
}

/// Gives a response's body what was read ahead of it, and those who look at it.
pub(super) fn put(body: &mut ResponseBody, ahead: Bytes, watchers: Vec<Box<dyn BodyFilter>>) {
    if !ahead.is_empty() {
        body.put_back(ahead);
    }
    for watcher in watchers {
        body.stack(watcher);
    }
}
