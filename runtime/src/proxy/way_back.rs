//! The way of an answer back to its client: response hooks and steps, then the head and the body that leave.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use tidegate_engine::exchange::Response as ResponseHead;
use tidegate_engine::hook::{Hook, Reply};
use tidegate_engine::status::is_bodiless;
use tidegate_engine::{ResponseDecision, Walk};

use super::beginning::{self, Beginning};
use super::hooks::{self, Reached};
use super::{Call, Closed, Journey, OwnAltSvc, Source, body_hooks, fields, grpc, reply};
use crate::downstream::body::ResponseBody;
use crate::downstream::pieces::Pieces;
use crate::downstream::tunnel::Tunnel;
use crate::failure::Failure;
use crate::telemetry::access_log::Record;

/// An answer on its way back.
struct Passing {
    source: Source,
    /// What was read of the body for those who wanted the whole, and did not get it.
    ahead: Bytes,
    /// Those who look at the pieces of the body.
    watchers: Vec<Box<dyn Pieces>>,
    /// What was read of the body to decide about its head.
    beginning: Beginning,
}

impl Passing {
    fn of(source: Source) -> Self {
        Self { source, ahead: Bytes::new(), watchers: Vec::new(), beginning: Beginning::default() }
    }
}

impl Call<'_> {
    /// Response hooks and steps, then the answer as the client gets it. What waits is in boxes: the future of every request, and
    /// what is moved for it, stays small.
    pub(super) async fn way_back(&self, journey: Journey, source: Source) -> Result<Response<ResponseBody>, Closed> {
        let Journey { mut exchange, mut walk, mut record } = journey;
        record.take_streamed(&mut exchange);
        let mut passing = Passing::of(source);
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
                ResponseDecision::Replace(reply) => passing.source = reply::take(&mut exchange, reply),
                ResponseDecision::Close => return Err(self.close(Journey { exchange, walk, record })),
            }
            let journey = Journey { exchange, walk, record };
            if body_hooks::are_wanted(self, &journey, Hook::ResponseBody) {
                (Journey { exchange, walk, record }, passing) = Box::pin(self.show_body(journey, passing)).await?;
            } else {
                Journey { exchange, walk, record } = journey;
            }
        }
        let mut journey = Journey { exchange, walk, record };
        if passing.ahead.is_empty()
            && matches!(passing.source, Source::Upstream(_))
            && beginning::decides(self, &journey.exchange)
        {
            (journey, passing) = Box::pin(self.begin(journey, passing)).await;
        }
        Ok(self.answer(journey, passing))
    }

    /// Shows the body to those who want it.
    async fn show_body(&self, journey: Journey, passing: Passing) -> Result<(Journey, Passing), Closed> {
        let (mut journey, passed) = body_hooks::response(self, journey, passing.source).await;
        match passed {
            Ok((source, ahead, watchers)) => Ok((journey, Passing { source, ahead, watchers, ..passing })),
            Err(ended) => match body_hooks::ended(&mut journey, ended) {
                Some(source) => Ok((journey, Passing { source, ..passing })),
                None => Err(self.close(journey)),
            },
        }
    }

    /// Reads the beginning of a server's answer, whose head depends on it.
    async fn begin(&self, journey: Journey, mut passing: Passing) -> (Journey, Passing) {
        let Source::Upstream(body) = passing.source else { return (journey, passing) };
        let (mut journey, begun) = beginning::read(self, journey, body).await;
        (passing.source, passing.beginning) = begun.unwrap_or_else(|failure| {
            journey.record.failure = Some(failure);
            // They look at the body of the server, and this is none of it.
            passing.watchers.clear();
            (reply::take(&mut journey.exchange, reply::of(failure)), Beginning::default())
        });
        (journey, passing)
    }

    /// The answer as it leaves.
    fn answer(&self, mut journey: Journey, mut passing: Passing) -> Response<ResponseBody> {
        hooks::write_log_lines(self, &mut journey.exchange);
        let mut head = self.take_head(&mut journey);
        let is_tunnel = matches!(passing.source, Source::Tunnel(..));
        if !is_tunnel && self.upgrade.is_some_and(|upgrade| upgrade.would_open(head.status)) {
            // A rule or a hook answered as if it were a `GET`.
            journey.record.failure = Some(Failure::NoUpgrade);
            let Reply { status, headers, body } = reply::of(Failure::NoUpgrade);
            (head.status, head.headers) = (status, headers);
            passing = Passing { source: Source::Ours(body), ahead: Bytes::new(), watchers: Vec::new(), ..passing };
        }
        let Journey { exchange, walk, mut record } = journey;
        let poisoned =
            record.failure.is_some_and(Failure::poisons_connection) && exchange.request.version < Version::HTTP_2;
        self.finish_head(&mut head, &mut passing, &walk);
        record.status = head.status;
        let head_only = exchange.request.method == Method::HEAD || is_bodiless(head.status);
        let own_alt_svc = walk.has_own_alt_svc();
        let ResponseHead { status, headers, changed } = head;
        let mut body = self.body_of(passing, record.keep(exchange, walk));
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
    fn take_head(&self, Journey { exchange, walk, .. }: &mut Journey) -> ResponseHead {
        let kept = self.view.wants_log(walk, exchange).then(|| exchange.response.as_ref().map(body_hooks::copy));
        let head = exchange.response.take();
        exchange.response = kept.flatten();
        head.unwrap_or_else(|| ResponseHead::new(StatusCode::OK, HeaderMap::new()))
    }

    /// What the gateway itself does to a head: errors of gRPC, the switch of protocols, compression.
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

    /// The body that leaves; `record` is written at its end.
    fn body_of(&self, passing: Passing, record: Option<Box<Record>>) -> ResponseBody {
        let Passing { source, ahead, watchers, beginning } = passing;
        let mut body = match source {
            Source::Ours(bytes) => ResponseBody::ours(bytes, Rc::clone(self.state), record),
            Source::Upstream(body) => ResponseBody::upstream(body, Rc::clone(self.state), record),
            Source::Tunnel(upstream, client) => {
                let timeout = self.listener.tunnel_timeout;
                self.state.set_tunnel(Tunnel { upstream, client, record, timeout });
                ResponseBody::ours(Bytes::new(), Rc::clone(self.state), None)
            }
        };
        beginning.put_back(&mut body);
        body_hooks::put(&mut body, ahead, watchers);
        body
    }
}
