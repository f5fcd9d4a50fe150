//! The way of an answer back to its client: response hooks and steps, then the head and the body that leave.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use tidegate_base::failure::Failure;
use tidegate_engine::exchange::Response as ResponseHead;
use tidegate_engine::hook::{Hook, Reply};
use tidegate_engine::status::is_bodiless;
use tidegate_engine::{ResponseDecision, Walk};

use crate::request::beginning;
use crate::request::beginning::Beginning;
use crate::request::body::ResponseBody;
use crate::request::body_filter::BodyFilter;
use crate::request::body_hooks;
use crate::request::context::RequestContext;
use crate::request::fields;
use crate::request::grpc;
use crate::request::handler::OwnAltSvc;
use crate::request::handler::RequestHandler;
use crate::request::handler::Source;
use crate::request::hooks;
use crate::request::hooks::Reached;
use crate::request::reply;
use crate::request::serve::Closed;
use crate::request::tunnel::Tunnel;

/// An answer on its way back.
struct Passing {
    source: Source,
    /// The bytes of the body that were read for those who wanted the whole, and did not get it.
    ahead: Bytes,
    /// The extensions that look at the pieces of the body.
    watchers: Vec<Box<dyn BodyFilter>>,
    /// The bytes of the body that were read to decide about its head.
    beginning: Beginning,
}

impl Passing {
    fn of(source: Source) -> Self {
        Self { source, ahead: Bytes::new(), watchers: Vec::new(), beginning: Beginning::default() }
    }
}

impl RequestHandler<'_> {
    /// Response hooks and steps, then the answer as the client gets it. What waits is in boxes: the future of every request, and
    /// what is moved for it, stays small.
    pub(super) async fn way_back(
        &self,
        mut context: Box<RequestContext>,
        source: Source,
    ) -> Result<Response<ResponseBody>, Closed> {
        context.record.take_streamed(&mut context.exchange);
        let mut passing = Passing::of(source);
        if self.view.snapshot.engine.response_work(&context.walk) {
            let reached;
            (context, reached) = hooks::way_back(self, context);
            let decision = match reached {
                Reached::End(decision) => decision,
                Reached::Waits(extension) => {
                    let decision;
                    (context, decision) = Box::pin(hooks::way_back_waiting(self, context, extension)).await;
                    decision
                }
            };
            match decision {
                ResponseDecision::Pass => {}
                ResponseDecision::Replace(reply) => passing.source = reply::take(&mut context.exchange, reply),
                ResponseDecision::Close => return Err(self.close(context)),
            }
            if body_hooks::are_wanted(self, &context, Hook::ResponseBody) {
                (context, passing) = Box::pin(self.show_body(context, passing)).await?;
            }
        }
        if passing.ahead.is_empty()
            && matches!(passing.source, Source::Upstream(_))
            && beginning::decides(self, &context.exchange)
        {
            (context, passing) = Box::pin(self.begin(context, passing)).await;
        }
        Ok(self.answer(context, passing))
    }

    /// Shows the body to those who want it.
    async fn show_body(
        &self,
        context: Box<RequestContext>,
        passing: Passing,
    ) -> Result<(Box<RequestContext>, Passing), Closed> {
        let (mut context, passed) = body_hooks::response(self, context, passing.source).await;
        match passed {
            Ok((source, ahead, watchers)) => Ok((context, Passing { source, ahead, watchers, ..passing })),
            Err(ended) => match body_hooks::ended(&mut context, ended) {
                Some(source) => Ok((context, Passing { source, ..passing })),
                None => Err(self.close(context)),
            },
        }
    }

    /// Reads the beginning of a server's answer, whose head depends on it.
    async fn begin(&self, context: Box<RequestContext>, mut passing: Passing) -> (Box<RequestContext>, Passing) {
        let Source::Upstream(body) = passing.source else { return (context, passing) };
        let (mut context, begun) = beginning::read(self, context, body).await;
        (passing.source, passing.beginning) = begun.unwrap_or_else(|failure| {
            context.record.failure = Some(failure);
            // They look at the body of the server, and this is none of it.
            passing.watchers.clear();
            (reply::take(&mut context.exchange, reply::of(failure)), Beginning::default())
        });
        (context, passing)
    }

    /// The answer as it leaves.
    fn answer(&self, mut context: Box<RequestContext>, mut passing: Passing) -> Response<ResponseBody> {
        hooks::write_log_lines(self, &mut context.exchange);
        let mut head = self.take_head(&mut context);
        let is_tunnel = matches!(passing.source, Source::Tunnel(..));
        if !is_tunnel && self.upgrade.is_some_and(|upgrade| upgrade.would_open(head.status)) {
            // A rule or a hook answered as if it were a `GET`.
            context.record.failure = Some(Failure::NoUpgrade);
            let Reply { status, headers, body } = reply::of(Failure::NoUpgrade);
            (head.status, head.headers) = (status, headers);
            passing = Passing::of(Source::Ours(body));
        }
        let request = &context.exchange.request;
        let poisoned =
            context.record.failure.is_some_and(Failure::poisons_connection) && request.version < Version::HTTP_2;
        self.finish_head(&mut head, &mut passing, &context.walk);
        context.record.status = head.status;
        let head_only = context.exchange.request.method == Method::HEAD || is_bodiless(head.status);
        let own_alt_svc = context.walk.has_own_alt_svc();
        let ResponseHead { status, headers, changed } = head;
        let mut body = self.body_of(passing, context.kept());
        body.screen_trailers(changed);
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
        response
    }

    /// The head that leaves. Where somebody is told of the end of the request, a copy stays.
    fn take_head(&self, RequestContext { exchange, walk, .. }: &mut RequestContext) -> ResponseHead {
        let kept = self.view.wants_log(walk, exchange).then(|| exchange.response.as_ref().map(body_hooks::copy));
        let head = exchange.response.take();
        exchange.response = kept.flatten();
        head.unwrap_or_else(|| ResponseHead::new(StatusCode::OK, HeaderMap::new()))
    }

    /// Does to a head what the gateway itself does: errors of gRPC, the switch of protocols, compression.
    fn finish_head(&self, head: &mut ResponseHead, passing: &mut Passing, walk: &Walk) {
        let ResponseHead { status, headers, .. } = head;
        if let Source::Ours(body) = &mut passing.source
            && self.grpc
        {
            grpc::translate(status, headers, body, walk.limited());
        }
        if let (Source::Tunnel(..), Some(upgrade)) = (&passing.source, self.upgrade) {
            upgrade.grant(status, headers);
        }
        let length = match &passing.source {
            Source::Ours(bytes) => u64::try_from(bytes.len()).ok(),
            Source::Upstream(_) => fields::content_length(headers).or_else(|| passing.beginning.length()),
            Source::Tunnel(..) => return,
        };
        let room = &self.state.worker().shared.encoders;
        passing.watchers.extend(self.accepted.apply(*status, headers, length, room));
    }

    /// The body that leaves; at its end the request ends.
    fn body_of(&self, passing: Passing, context: Option<Box<RequestContext>>) -> ResponseBody {
        let Passing { source, ahead, watchers, beginning } = passing;
        let mut body = match source {
            Source::Ours(bytes) => ResponseBody::ours(bytes, Rc::clone(self.state), context),
            Source::Upstream(body) => ResponseBody::upstream(body, Rc::clone(self.state), context),
            Source::Tunnel(upstream, client) => {
                let timeout = self.listener.tunnel_timeout;
                self.state.set_tunnel(Tunnel { upstream, client, context, timeout });
                ResponseBody::ours(Bytes::new(), Rc::clone(self.state), None)
            }
        };
        beginning.put_back(&mut body);
        body_hooks::put(&mut body, ahead, watchers);
        body
    }
}
