//! A request to a server of a group, and what becomes of it there.

use http::header::{HOST, TE};
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, StatusCode, Uri};
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{GroupId, GroupProtocol};
use tidegate_engine::exchange::{Changed, Exchange, Response as ResponseHead};
use tidegate_engine::passage::{self, FieldKinds};
use tidegate_engine::servers::PickRequest;
use tidegate_upstream::{Content, Outgoing, send};

use crate::request::client_body::ClientBody;
use crate::request::context::RequestContext;
use crate::request::fields;
use crate::request::handler::{RequestHandler, Source};
use crate::request::log_record::Upstream;
use crate::request::request_body::RequestBody;
use crate::request::upgrade::Upgrade;

impl RequestHandler<'_> {
    /// Sends the request to a server of the group; the answer's head is in the exchange then.
    /// `after` is what the client sends when protocols have been switched.
    pub(super) async fn forward(
        &self,
        id: GroupId,
        context: &mut RequestContext,
        body: RequestBody,
        after: ClientBody,
    ) -> Result<Source, Failure> {
        let RequestContext { exchange, walk, record, .. } = context;
        let snapshot = &self.view.snapshot;
        let group = self.view.group(id).ok_or(Failure::NoServer)?;
        exchange.group = snapshot.names.groups.get(id.0).cloned();
        let limit = self.listener.limits.body_bytes;
        let is_longer = |most| fields::content_length(&exchange.request.headers).is_some_and(|length| length > most);
        if limit.is_some_and(is_longer) {
            return Err(Failure::BodyTooLarge);
        }
        if self.facts.upgrade.is_some() && group.plan.protocol == GroupProtocol::Grpc {
            return Err(Failure::NoUpgrade);
        }
        let pick = group.pick_request(exchange);
        let keeps_head = snapshot.engine.keeps_head(walk);
        let mut outgoing = self.outgoing(keeps_head, exchange, body, pick);
        if let Some(request) = outgoing.request.as_mut().filter(|_| group.plan.protocol != GroupProtocol::Grpc) {
            fields::announce_body(request);
        }
        let asked = record.clock();
        let kept = keeps_head.then_some(&exchange.request.headers);
        let sent = send(group, &mut outgoing, kept, &**self.state).await;
        let server = match &sent {
            Ok(answer) => Some(answer.server),
            Err((_, server)) => *server,
        };
        exchange.server = server.and_then(|at| snapshot.names.servers.get(id.0)?.get(at).cloned());
        record.upstream = Upstream::since(asked, None);
        let answer = sent.map_err(|(failure, _)| failure)?;
        let (mut parts, body) = answer.response.into_parts();
        record.upstream = Upstream::since(asked, Some(parts.status));
        let kinds = answer.kinds;
        if !fields::is_framed_once(&parts.headers, kinds) {
            return Err(Failure::UpstreamInvalid);
        }
        let agreed = Upgrade::is_agreed(parts.status, &parts.headers);
        if kinds.end_here {
            passage::remove_hop_by_hop(&mut parts.headers);
        }
        let source = match (self.facts.upgrade, body) {
            (Some(_), body) if agreed => Source::Tunnel(body.into_switched().ok_or(Failure::UpstreamInvalid)?, after),
            // Nobody asked to switch protocols, or not to these.
            _ if parts.status == StatusCode::SWITCHING_PROTOCOLS => return Err(Failure::UpstreamInvalid),
            // The client of an extended `CONNECT` has nothing to do with such an answer; refusals pass.
            (Some(Upgrade::Http2), _) if parts.status.is_success() || parts.status.is_redirection() => {
                return Err(Failure::BadUpgrade);
            }
            (_, body) => Source::Upstream(body),
        };
        if let Some(via) = &snapshot.names.via {
            via.add(&mut parts.headers, parts.version);
        }
        let mut head = ResponseHead::new(parts.status, parts.headers);
        if matches!(&source, Source::Upstream(body) if body.may_have_trailers()) {
            head.changed = Changed::watched();
        }
        exchange.response = Some(head);
        Ok(source)
    }

    /// The request as the backend gets it.
    fn outgoing(
        &self,
        keeps_head: bool,
        exchange: &mut Exchange,
        mut body: RequestBody,
        pick: PickRequest,
    ) -> Outgoing<RequestBody> {
        let engine = &self.view.snapshot.engine;
        body.screen_trailers(std::mem::take(&mut exchange.request.changed));
        // Neither a rule nor a hook writes one.
        if self.facts.kinds.end_here {
            passage::remove_hop_by_hop(&mut exchange.request.headers);
        }
        debug_assert!(!FieldKinds::of(&exchange.request.headers).end_here, "a field was written that ends here");
        if let Some(upgrade) = self.facts.upgrade {
            upgrade.ask(&mut exchange.request.headers, exchange.request_id ^ u128::from(self.state.worker().random()));
        }
        if self.facts.grpc {
            // What gRPC needs on every hop.
            exchange.request.headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        engine.add_forwarded(self.id, exchange);
        if let Some(via) = &self.view.snapshot.names.via {
            via.add(&mut exchange.request.headers, exchange.request.version);
        }
        let authority = exchange.request.authority.as_str();
        let unchanged = exchange.request.headers.get(HOST).is_some_and(|host| host.as_bytes() == authority.as_bytes());
        if !unchanged && let Ok(host) = HeaderValue::from_str(authority) {
            exchange.request.headers.insert(HOST, host);
        }
        let mut request = Request::new(Content::of(body));
        request.method_mut().clone_from(&exchange.request.method);
        *request.uri_mut() = Uri::from(PathAndQuery::clone(&exchange.request.target));
        // What looks at the request on the way back needs it whole; otherwise it is given away.
        *request.headers_mut() =
            if keeps_head { exchange.request.headers.clone() } else { std::mem::take(&mut exchange.request.headers) };
        let (authority, upgrade) = (exchange.request.authority.clone(), self.facts.upgrade.is_some());
        Outgoing { request: Some(request), authority, upgrade, pick }
    }
}
