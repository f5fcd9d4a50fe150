//! The response phase: response hooks and steps, then the head and the body that leave.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use tidegate_base::failure::Failure;
use tidegate_engine::exchange::Response as ResponseHead;
use tidegate_engine::hook::{Hook, Reply};
use tidegate_engine::status::is_bodiless;
use tidegate_engine::{ResponseDecision, Walk};

use crate::request::beginning::{self, Beginning};
use crate::request::body_filter::BodyFilter;
use crate::request::body_hooks::{self, Shown};
use crate::request::context::RequestContext;
use crate::request::faults::write_log_lines;
use crate::request::handler::{Closed, OwnAltSvc, RequestHandler, Served, Source, close};
use crate::request::response_body::ResponseBody;
use crate::request::tunnel::Tunnel;
use crate::request::{fields, grpc, reply};

/// A response in its phase: where its body comes from, and what was read of it.
pub(super) struct Passing {
    source: Source,
    /// The bytes of the body that were read for those who wanted the whole, and did not get it.
    ahead: Bytes,
    /// The filters that look at the pieces of the body.
    filters: Vec<Box<dyn BodyFilter>>,
    /// The bytes of the body that were read to decide about its head.
    beginning: Beginning,
}

impl Passing {
    fn of(source: Source) -> Self {
        Self { source, ahead: Bytes::new(), filters: Vec::new(), beginning: Beginning::default() }
    }
}

impl RequestHandler<'_> {
    /// Response hooks and steps. What waits is in boxes: the future of every request, and what is moved for it, stays small.
    pub(super) async fn response_phase(&self, context: &mut RequestContext, source: Source) -> Result<Passing, Closed> {
        context.record.take_streamed(&mut context.exchange);
        let mut passing = Passing::of(source);
        if self.view.snapshot.engine.response_work(&context.walk) {
            match self.decide_response(context).await {
                ResponseDecision::Pass => {}
                ResponseDecision::Replace(reply) => passing.source = reply::take(&mut context.exchange, reply),
                ResponseDecision::Close => return Err(close(context)),
            }
            if body_hooks::are_wanted(self, context, Hook::ResponseBody) {
                passing = Box::pin(self.show_body(context, passing)).await?;
            }
        }
        if passing.ahead.is_empty()
            && matches!(passing.source, Source::Upstream(_))
            && beginning::decides(self, &context.exchange)
        {
            passing = Box::pin(self.begin(context, passing)).await;
        }
        Ok(passing)
    }

    /// Shows the body to those who want it.
    async fn show_body(&self, context: &mut RequestContext, passing: Passing) -> Result<Passing, Closed> {
        match body_hooks::response(self, context, passing.source).await {
            Ok(Shown { source, ahead, filters }) => Ok(Passing { ahead, filters, ..Passing::of(source) }),
            Err(ended) => body_hooks::ended(context, ended).map(Passing::of).ok_or_else(|| close(context)),
        }
    }

    /// Reads the beginning of a server's response, whose head depends on it.
    async fn begin(&self, context: &mut RequestContext, mut passing: Passing) -> Passing {
        let Source::Upstream(body) = passing.source else { return passing };
        let begun = beginning::read(self.state, &context.exchange, body).await;
        (passing.source, passing.beginning) = begun.unwrap_or_else(|failure| {
            context.record.failure = Some(failure);
            // They look at the body of the server, and this is none of it.
            passing.filters.clear();
            (reply::take(&mut context.exchange, reply::of(failure)), Beginning::default())
        });
        passing
    }

    /// The response as it leaves; at the end of its body, or of the tunnel, the request ends.
    pub(super) fn respond(&self, mut context: Box<RequestContext>, mut passing: Passing) -> Served {
        write_log_lines(self.state.worker(), &mut context.exchange);
        let mut head = self.take_head(&mut context);
        let is_tunnel = matches!(passing.source, Source::Tunnel(..));
        if !is_tunnel && self.facts.upgrade.is_some_and(|upgrade| upgrade.would_open(head.status)) {
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
        let Passing { source, ahead, filters, beginning } = passing;
        let mut body = match source {
            Source::Ours(bytes) => ResponseBody::ours(bytes, Rc::clone(self.state), context.kept()),
            Source::Upstream(body) => ResponseBody::upstream(body, Rc::clone(self.state), context.kept()),
            Source::Tunnel(upstream, client) => {
                let timeout = self.listener.tunnel_timeout;
                context.become_tunnel();
                let tunnel = Box::new(Tunnel { upstream, client, ending: context.kept(), timeout });
                return Served::Tunnel(with_head((), status, headers, own_alt_svc), tunnel);
            }
        };
        beginning.put_back(&mut body);
        body_hooks::put(&mut body, ahead, filters);
        body.screen_trailers(changed);
        if head_only {
            body.expect_unread();
        }
        let mut response = with_head(body, status, headers, own_alt_svc);
        if self.facts.grpc {
            response.extensions_mut().insert(grpc::ErrorsInTrailers);
        }
        if poisoned {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Served::Response(response)
    }

    /// The head that leaves. Where somebody is told of the end of the request, a copy stays.
    fn take_head(&self, RequestContext { exchange, walk, .. }: &mut RequestContext) -> ResponseHead {
        let kept = self.view.wants_log(walk, exchange).then(|| exchange.response.as_ref().map(ResponseHead::copied));
        let head = exchange.response.take();
        exchange.response = kept.flatten();
        head.unwrap_or_else(|| ResponseHead::new(StatusCode::OK, HeaderMap::new()))
    }

    /// Does to a head what the gateway itself does: errors of gRPC, the switch of protocols, compression.
    fn finish_head(&self, head: &mut ResponseHead, passing: &mut Passing, walk: &Walk) {
        let ResponseHead { status, headers, .. } = head;
        if let Source::Ours(body) = &mut passing.source
            && self.facts.grpc
        {
            grpc::translate(status, headers, body, walk.limited());
        }
        if let (Source::Tunnel(..), Some(upgrade)) = (&passing.source, self.facts.upgrade) {
            upgrade.grant(status, headers);
        }
        let length = match &passing.source {
            Source::Ours(bytes) => u64::try_from(bytes.len()).ok(),
            Source::Upstream(_) => fields::content_length(headers).or_else(|| passing.beginning.length()),
            Source::Tunnel(..) => return,
        };
        let room = &self.state.worker().shared.encoders;
        passing.filters.extend(self.facts.accepted.apply(*status, headers, length, room));
    }
}

fn with_head<B>(body: B, status: StatusCode, headers: HeaderMap, own_alt_svc: bool) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if own_alt_svc {
        response.extensions_mut().insert(OwnAltSvc);
    }
    response
}

#[cfg(test)]
mod tests {
    use http::header::{CONTENT_TYPE, HeaderName};
    use http_body::Body;

    use super::*;
    use crate::request::grpc::ErrorsInTrailers;
    use crate::request::tests::{context, handler};
    use crate::request::upgrade::Upgrade;
    use crate::tests::{House, run};

    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

    /// What leaves for a response made here, and whether the line of its request, once it is dropped, names a failure.
    fn responded(
        prepare: impl FnOnce(&mut RequestHandler<'_>, &mut RequestContext),
        status: StatusCode,
    ) -> (Response<ResponseBody>, House) {
        let house = House::answering("");
        let (stream, view) = (house.stream(), house.worker.view());
        let (mut handler, mut context) = (handler(&view, &stream), context(&stream, true));
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("text/plain"))]);
        context.exchange.response = Some(ResponseHead::new(status, headers));
        prepare(&mut handler, &mut context);
        match handler.respond(context, Passing::of(Source::Ours("hello".into()))) {
            Served::Response(response) => (response, house),
            Served::Tunnel(..) => unreachable!("nobody switches protocols"),
        }
    }

    #[test]
    fn an_error_for_a_grpc_call_is_one_of_grpc_in_the_only_fields_that_it_reads() {
        let (response, house) = responded(|handler, _| handler.facts.grpc = true, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            (response.status(), &response.headers()[GRPC_STATUS]),
            (StatusCode::OK, &HeaderValue::from_static("14"))
        );
        assert!(response.extensions().get::<ErrorsInTrailers>().is_some() && response.body().is_end_stream());
        drop(response);
        assert_eq!(house.line()["status"], 200, "that is what the client got");
    }

    #[test]
    fn an_answer_that_would_open_a_tunnel_is_none() {
        let upgrade =
            |handler: &mut RequestHandler<'_>, _: &mut RequestContext| handler.facts.upgrade = Some(Upgrade::Http2);
        let (response, house) = responded(upgrade, StatusCode::OK);
        assert_eq!((response.status().as_u16(), response.body().is_end_stream()), (501, false));
        drop(response);
        let line = house.line();
        assert_eq!((&line["failure"], &line["status"]), (&"no-upgrade".into(), &501.into()));
        assert_eq!(responded(upgrade, StatusCode::FORBIDDEN).0.status(), 403, "a refusal passes");
    }

    #[test]
    fn what_is_left_of_a_body_is_not_taken_for_the_next_request() {
        for (version, failure, closes) in [
            (Version::HTTP_11, Failure::ClientBody, true),
            (Version::HTTP_10, Failure::BodyTooLarge, true),
            (Version::HTTP_11, Failure::UpstreamTimeout, false),
            (Version::HTTP_2, Failure::ClientBody, false),
        ] {
            let failed = |_: &mut RequestHandler<'_>, context: &mut RequestContext| {
                context.exchange.request.version = version;
                context.record.failure = Some(failure);
            };
            let (response, _) = responded(failed, failure.status());
            assert_eq!(response.headers().contains_key(CONNECTION), closes, "{version:?} {failure:?}");
        }
    }

    #[test]
    fn a_body_that_nobody_is_to_read_is_no_failure() {
        for (method, status, failure) in [
            (Method::HEAD, StatusCode::OK, "none"),
            (Method::GET, StatusCode::NOT_MODIFIED, "none"),
            (Method::GET, StatusCode::OK, "client-closed"),
        ] {
            let (response, house) = responded(|_, context| context.exchange.request.method = method, status);
            drop(response);
            assert_eq!(house.line()["failure"].as_str().unwrap_or("none"), failure, "{status}");
        }
    }

    #[test]
    fn blocks_for_responses_see_those_of_servers_and_those_of_the_gateway() {
        let block = "on-response { when response-header \"server\" present; remove-header \"server\" }";
        let rules = "otherwise { forward web; on-response { when status is 5xx; set-header \"x-sorry\" \"yes\" } }";
        run(async {
            let house = House::forwarding(block, rules);
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            server.answer("HTTP/1.1 200 OK\r\nserver: s\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let head = client.response(0).await.0;
            assert!(!head.contains("server") && !head.contains("x-sorry"), "{head}");
            client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let head = client.response(0).await.0;
            assert!(head.starts_with("HTTP/1.1 502 ") && head.contains("\nx-sorry: yes"), "{head}");
        });
    }

    #[test]
    fn a_response_to_head_keeps_the_length_that_the_server_said() {
        run(async {
            let house = House::forwarding("compression [gzip]", "otherwise { forward web }");
            let (mut client, mut server) = (house.client(), house.server(1));
            for _ in 0..2 {
                client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                server.answer("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n").await;
                assert!(client.response(0).await.0.contains("\ncontent-length: 7"));
                assert!(client.is_silent().await && house.line()["failure"].is_null());
            }
        });
    }
}
