//! Extensions that ask other servers: the guest waits, and the worker goes on.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body;
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::permits::Permits;
use tidegate_base::standstill::within;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind, Verdict};
use tidegate_engine::passage;
use tidegate_engine::servers::PickRequest;
use tidegate_upstream::{Content, Outgoing, send};
use tidegate_wasm_host::limits::OUTBOUND_BODY_BYTES;
use tidegate_wasm_host::{Callout, CalloutFailure, CalloutOutcome, CalloutResponse, Step, SuspendedCall};

use crate::request::context::RequestContext;
use crate::request::fields;
use crate::request::gathered::{Unread, read};
use crate::request::handler::RequestHandler;
use crate::request::request_body::{RequestBody, UpstreamBody};
use crate::request::worker_snapshot::Group;

/// Calls a hook of an extension that may ask other servers.
pub(super) async fn run(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    id: ExtensionId,
    hook: Hook,
) -> Result<Verdict, HookFault> {
    if handler.view.is_foreign(id) {
        return run_in_steps(handler, context, id, hook).await;
    }
    let suspended = handler.view.begin(id, context.exchange.client_ip)?;
    let exchange = std::mem::replace(&mut context.exchange, Box::new(Exchange::blank()));
    let mut lent = Lent { suspended: Some(suspended), exchange: &mut context.exchange };
    let verdict = match &mut lent.suspended {
        Some(suspended) => suspended.call(hook, exchange, |asked| fetch(handler, id, asked)).await,
        None => Ok(Verdict::Next),
    };
    if let Some(suspended) = lent.give_back() {
        handler.view.end(id, suspended, &verdict);
    }
    verdict
}

/// Calls a hook of a foreign guest, and makes the calls that it asks for, one after the other. Its instance serves other
/// requests meanwhile.
async fn run_in_steps(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    id: ExtensionId,
    hook: Hook,
) -> Result<Verdict, HookFault> {
    let mut answer = None;
    loop {
        match handler.view.step(id, hook, &mut context.exchange, answer.take())? {
            Step::Ask(token, asked) => answer = Some((token, Box::pin(fetch(handler, id, *asked)).await?)),
            Step::Done(verdict) => return Ok(verdict),
        }
    }
}

/// An exchange that a guest has while it waits. However the wait ends, the request has the exchange again.
struct Lent<'c> {
    suspended: Option<SuspendedCall>,
    exchange: &'c mut Box<Exchange>,
}

impl Lent<'_> {
    fn give_back(&mut self) -> Option<SuspendedCall> {
        let mut suspended = self.suspended.take()?;
        if let Some(exchange) = suspended.exchange() {
            *self.exchange = exchange;
        }
        Some(suspended)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Makes a guest's call.
async fn fetch(handler: &RequestHandler<'_>, id: ExtensionId, asked: Callout) -> CalloutOutcome {
    let Some(group) = handler.view.group_named(&asked.group) else {
        return Err(HookFault {
            kind: HookFaultKind::UnknownGroup,
            message: format!("`outbound.fetch` names a server group that the policy does not have: `{}`", asked.group),
        });
    };
    // First the extension's own share, then the worker's bound.
    let share = handler.view.outbound(id).and_then(Permits::enter);
    let Some((_share, _place)) = share.zip(handler.state.worker().outbound.enter()) else {
        Bound::OutboundCalls.met();
        return Ok(Err(CalloutFailure::Busy));
    };
    let timeout = asked.timeout;
    let asking = Box::pin(ask(handler, group, asked));
    let answer = within(timeout, asking).await.unwrap_or(Err(CalloutFailure::Timeout));
    // However it went, the request has made progress.
    handler.state.note_upstream();
    Ok(answer)
}

async fn ask(
    handler: &RequestHandler<'_>,
    group: &Rc<Group>,
    asked: Callout,
) -> Result<CalloutResponse, CalloutFailure> {
    let Callout { method, authority, target, headers, body, .. } = asked;
    let mut request = Request::new(Content::of(RequestBody::whole(body.clone(), handler.state.clone())));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    if !body.is_empty() {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut outgoing = Outgoing { request: Some(request), authority, upgrade: false, pick: PickRequest::default() };
    let sent = send(group, &mut outgoing, None, &**handler.state).await;
    let answer = sent.map_err(|(failure, _)| of(failure))?;
    let (mut parts, mut body) = answer.response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || !fields::is_framed_once(&parts.headers, answer.kinds) {
        return Err(CalloutFailure::Broken);
    }
    if answer.kinds.end_here {
        passage::remove_hop_by_hop(&mut parts.headers);
    }
    let body = whole(handler, &mut body).await?;
    Ok(CalloutResponse { status: parts.status, headers: parts.headers, body })
}

/// The answer's body. One that is too large is given up as soon as that is known.
async fn whole(handler: &RequestHandler<'_>, body: &mut UpstreamBody) -> Result<bytes::Bytes, CalloutFailure> {
    if body.size_hint().lower() > OUTBOUND_BODY_BYTES as u64 {
        return Err(CalloutFailure::TooLarge);
    }
    match read(handler.state, body, OUTBOUND_BODY_BYTES).await {
        Ok((data, true)) => {
            body.finish(true, handler.state.worker().now_ms());
            Ok(data)
        }
        Ok((_, false)) => Err(CalloutFailure::TooLarge),
        Err(Unread::NoRoom) => Err(CalloutFailure::Busy),
        Err(Unread::Broken) => Err(CalloutFailure::Broken),
    }
}

const fn of(failure: Failure) -> CalloutFailure {
    match failure {
        Failure::NoServer | Failure::ConnectFailed | Failure::ConnectTimeout | Failure::UpstreamTls => {
            CalloutFailure::Unreachable
        }
        Failure::UpstreamTimeout | Failure::ClientTimeout => CalloutFailure::Timeout,
        _ => CalloutFailure::Broken,
    }
}
