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
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind, Verdict};
use tidegate_engine::passage;
use tidegate_engine::servers::Wish;
use tidegate_upstream::send::{Outgoing, send};
use tidegate_wasm_host::limits::OUTBOUND_BODY_BYTES;
use tidegate_wasm_host::{OutboundAnswer, OutboundCall, OutboundFailure, OutboundResult, Step, Turn};

use crate::request::body::{RequestBody, UpstreamBody};
use crate::request::body_hooks::Unread;
use crate::request::body_hooks::blank;
use crate::request::body_hooks::read;
use crate::request::context::IfTheClientLeaves;
use crate::request::context::RequestContext;
use crate::request::fields;
use crate::request::handler::RequestHandler;
use crate::request::state::StreamState;
use crate::request::worker_snapshot::Group;

/// Calls a hook of an extension that may ask other servers.
pub(super) async fn run(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    id: ExtensionId,
    hook: Hook,
) -> (Box<RequestContext>, Result<Verdict, HookFault>) {
    if call.view.is_foreign(id) {
        return run_in_steps(call, context, id, hook).await;
    }
    let turn = match call.view.begin(id, context.exchange.client_ip) {
        Ok(turn) => turn,
        Err(fault) => return (context, Err(fault)),
    };
    let exchange = std::mem::replace(&mut context.exchange, blank(call));
    let mut under_way = UnderWay { parts: Some((turn, context)), state: call.state };
    let verdict = match &mut under_way.parts {
        Some((turn, _)) => turn.call(hook, exchange, |asked| fetch(call, id, asked)).await,
        None => Ok(Verdict::Next),
    };
    #[expect(clippy::expect_used, reason = "it was put in above; only dropping it takes it out")]
    let (mut turn, mut context) = under_way.parts.take().expect("the turn of this request");
    take_back(&mut turn, &mut context);
    call.view.end(id, turn, &verdict);
    (context, verdict)
}

/// Calls a hook of a foreign guest, and makes the calls that it asks for, one after the other. Its instance serves other
/// requests meanwhile.
async fn run_in_steps(
    call: &RequestHandler<'_>,
    mut context: Box<RequestContext>,
    id: ExtensionId,
    hook: Hook,
) -> (Box<RequestContext>, Result<Verdict, HookFault>) {
    let mut answer = None;
    loop {
        let exchange = std::mem::replace(&mut context.exchange, blank(call));
        let step;
        (context.exchange, step) = call.view.step(id, hook, exchange, answer.take());
        let (token, asked) = match step {
            Ok(Step::Ask(token, asked)) => (token, *asked),
            Ok(Step::Done(verdict)) => return (context, Ok(verdict)),
            Err(fault) => return (context, Err(fault)),
        };
        let result;
        (context, result) = IfTheClientLeaves::during(context, call.state, Box::pin(fetch(call, id, asked))).await;
        match result {
            Ok(result) => answer = Some((token, result)),
            Err(fault) => return (context, Err(fault)),
        }
    }
}

/// Logs the request if the client leaves while its guest waits.
struct UnderWay<'c> {
    parts: Option<(Turn, Box<RequestContext>)>,
    state: &'c StreamState,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some((mut turn, mut context)) = self.parts.take() {
            take_back(&mut turn, &mut context);
            context.close(self.state, self.state.ending().unwrap_or(Failure::ClientClosed));
        }
    }
}

fn take_back(turn: &mut Turn, context: &mut RequestContext) {
    if let Some(exchange) = turn.exchange() {
        context.exchange = exchange;
    }
}

/// Makes a guest's call.
async fn fetch(call: &RequestHandler<'_>, id: ExtensionId, asked: OutboundCall) -> OutboundResult {
    let Some(group) = call.view.group_named(&asked.group) else {
        return Err(HookFault {
            kind: HookFaultKind::UnknownGroup,
            message: format!("`outbound.fetch` names a server group that the policy does not have: `{}`", asked.group),
        });
    };
    // First the extension's own share, then the worker's bound.
    let share = call.view.outbound(id).and_then(Permits::enter);
    let Some((_share, _place)) = share.zip(call.state.worker().outbound.enter()) else {
        Bound::OutboundCalls.met();
        return Ok(Err(OutboundFailure::Busy));
    };
    let timeout = asked.timeout;
    // On the way back, the server of the answer is still busy.
    let busy = call.state.take_busy();
    let asking = Box::pin(ask(call, group, asked));
    let answer = within(timeout, asking).await.unwrap_or(Err(OutboundFailure::Timeout));
    call.state.set_busy(busy);
    // However it went, the request has made progress.
    call.state.note_upstream();
    Ok(answer)
}

async fn ask(
    call: &RequestHandler<'_>,
    group: &Rc<Group>,
    asked: OutboundCall,
) -> Result<OutboundAnswer, OutboundFailure> {
    let OutboundCall { method, authority, target, headers, body, .. } = asked;
    let mut request = Request::new(RequestBody::whole(body.clone(), Rc::clone(call.state)));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    if !body.is_empty() {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let outgoing = Outgoing { request, authority, upgrade: false, wish: Wish::default() };
    let sent = send(group, outgoing, None, call.state).await;
    let answer = sent.map_err(|(failure, _)| of(failure))?;
    let (mut parts, mut body) = answer.response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || !fields::is_framed_once(&parts.headers, answer.kinds) {
        return Err(OutboundFailure::Broken);
    }
    if answer.kinds.end_here {
        passage::remove_hop_by_hop(&mut parts.headers);
    }
    let body = whole(call, &mut body).await?;
    Ok(OutboundAnswer { status: parts.status, headers: parts.headers, body })
}

/// The answer's body. One that is too large is given up as soon as that is known.
async fn whole(call: &RequestHandler<'_>, body: &mut UpstreamBody) -> Result<bytes::Bytes, OutboundFailure> {
    if body.size_hint().lower() > OUTBOUND_BODY_BYTES as u64 {
        return Err(OutboundFailure::TooLarge);
    }
    match read(call.state, body, OUTBOUND_BODY_BYTES).await {
        Ok((data, true)) => {
            body.finish(true, call.state.worker().now_ms());
            Ok(data)
        }
        Ok((_, false)) => Err(OutboundFailure::TooLarge),
        Err(Unread::NoRoom) => Err(OutboundFailure::Busy),
        Err(Unread::Broken) => Err(OutboundFailure::Broken),
    }
}

const fn of(failure: Failure) -> OutboundFailure {
    match failure {
        Failure::NoServer | Failure::ConnectFailed | Failure::ConnectTimeout | Failure::UpstreamTls => {
            OutboundFailure::Unreachable
        }
        Failure::UpstreamTimeout | Failure::ClientTimeout => OutboundFailure::Timeout,
        _ => OutboundFailure::Broken,
    }
}
