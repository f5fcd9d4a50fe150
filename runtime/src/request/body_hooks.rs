//! Extensions that look at bodies: at the whole before the head leaves, or piece by piece on its way.
//!
//! Those that want the whole come first, in the order they were started; then each piece passes the others in that order.
//! In the response phase it is the other way round, as it is for heads.

use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_LENGTH;
use http_body::Body;
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::hook::{BodyVerdict, Hook, Reply};
use tidegate_wasm_host::BodyMode;

use crate::request::body_filter::BodyFilter;
use crate::request::client_body::ClientBody;
use crate::request::context::RequestContext;
use crate::request::faults::report;
use crate::request::gathered::{self, NoRoom, Unread, read};
use crate::request::handler::{RequestHandler, Source};
use crate::request::hook_filter::HookFilter;
use crate::request::reply;
use crate::request::request_body::RequestBody;
use crate::request::response_body::ResponseBody;

/// How an extension ended a request, or what reading its body met.
pub(super) enum Ended {
    Reply(Box<Reply>),
    Close,
    Failed(Failure),
}

/// The body of a response after those who looked at it.
pub(super) struct Shown {
    pub(super) source: Source,
    /// The bytes that were read for those who wanted the whole, and did not get it.
    pub(super) ahead: Bytes,
    /// The extensions that look at the pieces.
    pub(super) filters: Vec<Box<dyn BodyFilter>>,
}

/// Whether an extension wants the body of this exchange.
pub(super) fn are_wanted(handler: &RequestHandler<'_>, context: &RequestContext, hook: Hook) -> bool {
    let mut started = handler.view.snapshot.engine.started(&context.walk);
    started.any(|id| handler.view.body(id, hook, &context.exchange).is_some())
}

/// The extensions that want a body of this exchange. If there is none, it is those that hold the head back for it.
fn wanting(
    handler: &RequestHandler<'_>,
    context: &RequestContext,
    hook: Hook,
    has_body: bool,
) -> Vec<(ExtensionId, BodyMode)> {
    let started = handler.view.snapshot.engine.started(&context.walk);
    let wants = |id| Some((id, handler.view.body(id, hook, &context.exchange)?));
    started.filter(|id| has_body || handler.view.holds(*id, hook, &context.exchange)).filter_map(wants).collect()
}

/// The most that one of them wants of the whole; nothing if none wants it.
fn most(wanting: &[(ExtensionId, BodyMode)]) -> Option<usize> {
    let whole = |(_, mode): &(ExtensionId, BodyMode)| match mode {
        BodyMode::Buffer(most) => Some(*most),
        BodyMode::Stream(_) => None,
    };
    wanting.iter().filter_map(whole).max()
}

/// The request's body as it goes on.
///
/// # Errors
/// How an extension ended the request, or why the body could not be read.
pub(super) async fn request(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    incoming: ClientBody,
) -> Result<RequestBody, Ended> {
    let has_body = !incoming.is_end_stream();
    let state = handler.state;
    let mut body = RequestBody::new(incoming, state.clone(), handler.listener.limits.body_bytes);
    let wanting = wanting(handler, context, Hook::RequestBody, has_body);
    if let Some(most) = most(&wanting) {
        let broken = || state.ending().unwrap_or(Failure::ClientBody);
        let (data, whole) = read(state, &mut body, most).await.map_err(|unread| unread.ends(broken))?;
        let data = show(handler, context, Hook::RequestBody, &wanting, data, whole)?;
        if whole && (has_body || !data.is_empty()) {
            context.exchange.request.headers.insert(CONTENT_LENGTH, HeaderValue::from(data.len()));
            body = RequestBody::whole(data, state.clone());
        } else {
            body.put_back(data);
        }
    }
    for (id, mode) in wanting {
        if let BodyMode::Stream(most) = mode {
            context.exchange.request.headers.remove(CONTENT_LENGTH);
            body.stack(Box::new(HookFilter::new(handler, (id, Hook::RequestBody), most, context)));
        }
    }
    Ok(body)
}

/// The response's body as it goes on, with those who look at its pieces.
///
/// # Errors
/// How an extension ended the request, or why the body could not be read.
pub(super) async fn response(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    mut source: Source,
) -> Result<Shown, Ended> {
    let has_body = match &source {
        Source::Ours(bytes) => !bytes.is_empty(),
        Source::Upstream(body) => !body.is_end_stream(),
        Source::Tunnel(..) => false,
    };
    let mut wanting = wanting(handler, context, Hook::ResponseBody, has_body);
    wanting.reverse();
    let mut ahead = Bytes::new();
    if let Some(most) = most(&wanting) {
        let (data, whole);
        (source, data, whole) = whole_of(handler, source, most).await?;
        let data = show(handler, context, Hook::ResponseBody, &wanting, data, whole)?;
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
    let mut filters: Vec<Box<dyn BodyFilter>> = Vec::new();
    for (id, mode) in wanting {
        if let BodyMode::Stream(most) = mode {
            if let Some(response) = &mut context.exchange.response {
                response.headers.remove(CONTENT_LENGTH);
            }
            filters.push(Box::new(HookFilter::new(handler, (id, Hook::ResponseBody), most, context)));
        }
    }
    Ok(Shown { source, ahead, filters })
}

/// The bytes of a response's body, and whether they are all of it; more than `most` are not read.
async fn whole_of(handler: &RequestHandler<'_>, source: Source, most: usize) -> Result<(Source, Bytes, bool), Ended> {
    match source {
        Source::Ours(bytes) => Ok((Source::Ours(Bytes::new()), bytes, true)),
        Source::Upstream(mut body) => {
            let read = read(handler.state, &mut body, most).await;
            let (data, whole) = read.map_err(|unread| unread.ends(|| Failure::UpstreamBody))?;
            if whole {
                body.finish(true, handler.state.worker().now_ms());
                return Ok((Source::Ours(Bytes::new()), data, true));
            }
            Ok((Source::Upstream(body), data, false))
        }
        source @ Source::Tunnel(..) => Ok((source, Bytes::new(), false)),
    }
}

impl Unread {
    /// How the request ends, if its body is `broken` so.
    fn ends(self, broken: impl FnOnce() -> Failure) -> Ended {
        Ended::Failed(match self {
            Self::NoRoom => Failure::NoRoom,
            Self::Broken => broken(),
        })
    }
}

/// Shows a body to those who want the whole; what goes on.
fn show(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    hook: Hook,
    wanting: &[(ExtensionId, BodyMode)],
    mut data: Bytes,
    whole: bool,
) -> Result<Bytes, Ended> {
    for (id, mode) in wanting {
        let BodyMode::Buffer(most) = mode else { continue };
        let verdict = if whole && data.len() <= *most {
            let caller = handler.caller(*id, hook);
            let called = caller.begin_piece();
            let verdict = handler.view.call_body(*id, hook, &mut context.exchange, (&data, true), false);
            caller.end(called, &verdict);
            verdict
        } else {
            handler.view.body_too_long(*id, *most)
        };
        match verdict {
            Ok(BodyVerdict::Next) => {}
            Ok(BodyVerdict::Replace(other)) => {
                data = gathered::counted(other, handler.state).map_err(|NoRoom| Ended::Failed(Failure::NoRoom))?;
            }
            Ok(BodyVerdict::Respond(reply)) => return Err(Ended::Reply(Box::new(reply))),
            Ok(BodyVerdict::Close) => return Err(Ended::Close),
            Err(fault) => {
                let denied = handler.view.snapshot.engine.fault_beside(&mut context.walk, *id, fault);
                report(handler.view, handler.state.worker(), context, false);
                if let Some(reply) = denied {
                    return Err(Ended::Reply(Box::new(reply)));
                }
            }
        }
    }
    Ok(data)
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
pub(super) fn put(body: &mut ResponseBody, ahead: Bytes, filters: Vec<Box<dyn BodyFilter>>) {
    if !ahead.is_empty() {
        body.put_back(ahead);
    }
    for filter in filters {
        body.stack(filter);
    }
}

#[cfg(test)]
mod tests;
