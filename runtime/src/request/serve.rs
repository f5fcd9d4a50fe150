//! The life of a request, step by step: take the snapshot, trust the head, decide, act, the response phase, respond.

use std::rc::Rc;
use std::sync::Arc;

use http::header::{ALT_SVC, CONNECTION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_dsl::plan::{GroupId, Propagator, Sampling};
use tidegate_engine::Decision;
use tidegate_engine::exchange::{Changed, Exchange};
use tidegate_engine::hook::Hook;
use tidegate_engine::passage::FieldKinds;
use tidegate_engine::trace::Traced;

use crate::request::client_body::ClientBody;
use crate::request::compression::Accepted;
use crate::request::context::RequestContext;
use crate::request::handler::{Closed, Facts, OwnAltSvc, RequestHandler, Served, Source, close};
use crate::request::log_record::LogRecord;
use crate::request::request_body::RequestBody;
use crate::request::response_body::ResponseBody;
use crate::request::rest::Rest;
use crate::request::state::StreamState;
use crate::request::{body_hooks, grpc, head, reply, upgrade};

/// Serves one request on a stream of a connection; `rest` is how its body stands on a connection of HTTP/1, and `done` makes of the
/// outcome what the connection needs.
///
/// The request begins with the call, which reads the head, so that the future is small. Dropping it, as happens when the client leaves, ends the
/// request to the backend, too.
///
/// # Errors
/// [`Closed`] if the policy wants no response.
pub fn serve<T>(
    state: &Rc<StreamState>,
    request: Request<ClientBody>,
    rest: Option<&Rest>,
    done: impl FnOnce(Served) -> T,
) -> impl Future<Output = Result<T, Closed>> {
    let (view, id) = state.connection.handle.view(state.worker());
    let (parts, body) = request.into_parts();
    let version = parts.version;
    let state = Rc::clone(state);
    let received = view.snapshot.plan().listeners.get(id.0).map(|listener| {
        let number = state.begin_request(listener.request_timeout);
        let mut handler = RequestHandler { facts: Facts::default(), view: &view, listener, id, state: &state };
        handler.facts.is_last = listener.limits.requests_per_connection.is_some_and(|limit| number >= limit);
        (handler.receive(parts, &body), handler.facts)
    });
    async move {
        let (Some(listener), Some((received, facts))) = (view.snapshot.plan().listeners.get(id.0), received) else {
            return Err(Closed);
        };
        let mut handler = RequestHandler { facts, view: &view, listener, id, state: &state };
        let mut served = match received {
            Ok(context) => handler.run(context, body).await?,
            Err(refusal) => Served::Response(*refusal),
        };
        handler.tell_of_connection(&mut served, version, rest);
        state.begin_response();
        Ok(done(served))
    }
}

impl RequestHandler<'_> {
    async fn run(&mut self, mut context: Box<RequestContext>, body: ClientBody) -> Result<Served, Closed> {
        let decision = self.decide(&mut context).await;
        let source = self.act(&mut context, decision, body).await?;
        let passing = self.response_phase(&mut context, source).await?;
        Ok(self.respond(context, passing))
    }

    /// The request as rules may see it; the response to one that none may see.
    fn receive(
        &mut self,
        mut parts: Parts,
        body: &ClientBody,
    ) -> Result<Box<RequestContext>, Box<Response<ResponseBody>>> {
        self.facts.kinds = FieldKinds::of(&parts.headers);
        match upgrade::wanted(&mut parts, body, self.facts.kinds) {
            Ok(wanted) => self.facts.upgrade = wanted,
            Err(failure) => return Err(Box::new(reply::refuse(self, &parts, failure))),
        }
        let has_body = self.facts.upgrade.is_none() && !body.is_end_stream();
        let early = head::InEarlyData::is_on(&parts);
        let reader = head::Reader {
            listener: self.listener,
            via: self.view.snapshot.names.via.as_ref(),
            kinds: self.facts.kinds,
            connection: &self.state.connection.info,
            known: &self.state.connection.host,
        };
        let mut head = match reader.read(parts) {
            Ok(head) => head,
            Err((failure, parts)) => return Err(Box::new(reply::refuse(self, &parts, failure))),
        };
        head.has_body = has_body;
        head.websocket = self.facts.upgrade.is_some();
        if has_body && body.may_have_trailers() {
            head.changed = Changed::watched();
        }
        let (engine, peer) = (&self.view.snapshot.engine, self.state.connection.info.peer.ip());
        engine.receive(self.id, peer, &mut head.headers, self.facts.kinds);
        if early {
            head::InEarlyData::tell(&mut head.headers);
        }
        self.facts.grpc = head.version >= Version::HTTP_2 && grpc::is_call(&head.headers);
        self.facts.accepted = Accepted::of(&self.listener.compression, &head.method, &head.headers);
        let client_ip = engine.client_ip(self.id, peer, &head.headers);
        let worker = self.state.worker();
        let id = u128::from(worker.random()) << 64 | u128::from(worker.random());
        if let Some(sampling) = self.listener.tracing {
            self.trace(sampling, &head.headers);
        }
        let mut exchange = Box::new(Exchange::new(Arc::clone(&self.state.connection.info), head, client_ip, id));
        exchange.trace = self.state.trace.context();
        let shown = (self.listener.access_log, worker.shared.tap.chosen(&exchange));
        let record = LogRecord::new(self.facts.started, Rc::clone(self.view), shown, &exchange);
        Ok(RequestContext::new(exchange, engine.start(self.id), record, self.state))
    }

    /// Takes the request's place in its trace.
    pub(super) fn trace(&self, sampling: Sampling, headers: &HeaderMap) {
        let tracing = self.view.snapshot.plan().tracing.as_ref();
        let b3 = tracing.is_some_and(|tracing| tracing.propagate.contains(&Propagator::B3));
        let place = Traced::begin(headers, sampling, b3, || self.state.worker().random());
        self.state.trace.begin(place, headers, self.facts.started);
    }

    /// Does what was decided: makes a response, or asks for one.
    ///
    /// # Errors
    /// There is to be no response.
    async fn act(
        &mut self,
        context: &mut RequestContext,
        decision: Decision,
        body: ClientBody,
    ) -> Result<Source, Closed> {
        self.set_time(context);
        let source = match decision {
            // In a box: the future of every request, and what is moved for it, stays small.
            Decision::Forward(group) => Box::pin(self.ask(context, group, body)).await,
            Decision::Reply(reply) => Ok(reply::take(&mut context.exchange, reply)),
            Decision::Close => Err(Failure::Closed),
        };
        match source {
            Ok(source) => Ok(source),
            Err(Failure::Closed) => Err(close(context)),
            Err(failure) => {
                self.facts.upgrade = None;
                context.record.failure = Some(failure);
                Ok(reply::take(&mut context.exchange, reply::of(failure)))
            }
        }
    }

    /// The walk is at its end: what it says of the request's time holds from now on.
    fn set_time(&self, context: &mut RequestContext) {
        if context.walk.gave_up() {
            Bound::Tests.met();
            context.record.failure = Some(Failure::TooLongToTest);
        }
        if let Some(timeout) = context.walk.timeout() {
            self.state.set_request_timeout(timeout);
        }
        if self.facts.grpc
            && let Some(timeout) = grpc::timeout(&context.exchange.request.headers)
        {
            self.state.set_end(timeout);
        }
    }

    /// Asks a server group, after those who look at the request's body.
    ///
    /// # Errors
    /// The reason why there is no response of a server.
    async fn ask(&self, context: &mut RequestContext, group: GroupId, body: ClientBody) -> Result<Source, Failure> {
        // The stream of an extended `CONNECT` carries no body, but what comes after the response (RFC 8441, 4).
        let (body, after) =
            if self.facts.upgrade.is_some() { (ClientBody::Empty, body) } else { (body, ClientBody::Empty) };
        let body = if body_hooks::are_wanted(self, context, Hook::RequestBody) {
            match Box::pin(body_hooks::request(self, context, body)).await {
                Ok(body) => body,
                Err(ended) => return body_hooks::ended(context, ended).ok_or(Failure::Closed),
            }
        } else {
            RequestBody::new(body, self.state.clone(), self.listener.limits.body_bytes)
        };
        self.forward(group, context, body, after).await
    }

    /// Says in the head what becomes of the client's connection, and where else the listener is.
    fn tell_of_connection(&self, served: &mut Served, version: Version, rest: Option<&Rest>) {
        let is_last = self.facts.is_last;
        let ends = |served: &Served| rest.is_some_and(|rest| rest.ends_connection(served.status()));
        if is_last && version >= Version::HTTP_2 {
            self.state.connection.finish();
        } else if is_last || ends(served) {
            served.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(alt_svc) = self.view.snapshot.alternatives.value(self.id, self.facts.started)
            && !served.has::<OwnAltSvc>()
        {
            served.headers_mut().insert(ALT_SVC, alt_svc);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use http::Request;

    use crate::tests::{House, forwarding, run};

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_server_has_the_time_of_the_rule_and_else_that_of_the_listener() {
        for (rules, time) in [("otherwise { forward web }", 5), ("otherwise { timeout 2s; forward web }", 2)] {
            run(async {
                let house = House::forwarding("request-timeout 5s", rules);
                let (mut client, mut server) = (house.client(), house.server(1));
                client.send(GET).await;
                server.request().await;
                house.pass(SECOND * time).await;
                assert!(client.is_silent().await, "the clock may be a tick behind");
                house.pass(SECOND / 5).await;
                assert!(client.response(0).await.0.starts_with("HTTP/1.1 504 "), "{rules}");
            });
        }
    }

    #[test]
    fn a_server_that_says_a_little_now_and_then_has_more_time() {
        run(async {
            let house = House::forwarding("request-timeout 2s", "otherwise { forward web }");
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send(GET).await;
            server.answer("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
            client.response(0).await;
            for _ in 0..3 {
                house.pass(SECOND * 3 / 2).await;
                server.say("x").await;
            }
            house.pass(SECOND * 11 / 5).await;
            assert_eq!(client.rest().await, "xxx");
            assert_eq!(house.line()["failure"], "upstream-timeout");
        });
    }

    #[test]
    fn a_client_that_owes_its_body_is_the_one_that_is_late() {
        run(async {
            let house = House::forwarding("request-timeout 2s", "otherwise { forward web }");
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe").await;
            server.request().await;
            house.pass(SECOND * 11 / 5).await;
            let head = client.response(0).await.0;
            assert!(head.starts_with("HTTP/1.1 408 ") && head.contains("\nconnection: close"), "{head}");
        });
    }

    #[test]
    fn another_server_is_tried_and_the_line_counts_it() {
        run(async {
            let group = "server 127.0.0.1:1; server 127.0.0.1:2; balance round-robin";
            let house = House::of(&forwarding(group, "", "otherwise { forward web }"));
            for _ in 0..2 {
                let (mut client, mut server) = (house.client(), house.server(2));
                client.send(GET).await;
                server.answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
                assert_eq!(client.status(2).await, "HTTP/1.1 200 OK");
            }
            let lines = house.log();
            assert!(lines.iter().all(|line| line["server"] == "127.0.0.1:2"), "{lines:?}");
            let retries: u64 = lines.iter().filter_map(|line| line["retries"].as_u64()).sum();
            assert_eq!(retries, 1, "one of the two began with the server that is not there: {lines:?}");
        });
    }

    #[test]
    fn a_request_that_came_by_here_before_goes_no_further() {
        run(async {
            let house = House::of(
                &(forwarding("server 127.0.0.1:1", "", "otherwise { forward web }") + "gateway { via \"gate\" }\n"),
            );
            let mut client = house.client();
            client.send("GET / HTTP/1.1\r\nhost: a\r\nvia: 1.1 other, 2.0 GATE\r\n\r\n").await;
            assert!(client.response(0).await.0.starts_with("HTTP/1.1 508 "));
            assert_eq!(house.line()["failure"], "loop");
        });
    }

    #[test]
    fn a_grpc_call_is_over_when_its_client_says_however_much_moves() {
        run(async {
            let house = House::forwarding("request-timeout 60s", "otherwise { forward web }");
            let mut server = house.server(1);
            let (sender, connection) = h2::client::handshake(house.client().io).await.unwrap();
            tokio::task::spawn_local(connection);
            let call =
                Request::post("http://a/").header("content-type", "application/grpc").header("grpc-timeout", "2S");
            let mut sender = sender.ready().await.unwrap();
            let (response, mut body) = sender.send_request(call.body(()).unwrap(), false).unwrap();
            assert!(server.request().await.contains("\nte: trailers"), "what gRPC needs on every hop");
            for _ in 0..3 {
                house.pass(SECOND / 2).await;
                body.send_data("x".into(), false).unwrap();
            }
            assert!(house.log().is_empty());
            house.pass(SECOND * 7 / 10).await;
            let response = response.await.unwrap();
            assert_eq!((response.status().as_u16(), &response.headers()["grpc-status"]), (200, &"4".parse().unwrap()));
            assert_eq!(house.line()["failure"], "client-timeout", "it owes the rest of its body");
        });
    }
}
