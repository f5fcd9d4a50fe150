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
        record.group = Some(id);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use serde_json::Value;
    use tokio::io::AsyncReadExt;

    use crate::tests::{House, forwarding, run, settle};

    const RULES: &str = "otherwise { forward web }";
    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// What a server gets of a request, what the client gets of its response, and the line of both.
    fn exchange(request: &str, response: &str) -> (String, String, Value) {
        run(async {
            let house = House::of(&(forwarding("server 127.0.0.1:1", "", RULES) + "gateway { via \"gate\" }\n"));
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send(request).await;
            let got = server.answer(response).await;
            drop(server);
            settle().await;
            client.end().await;
            (got, client.rest().await, house.line())
        })
    }

    /// The status of the answer to a request, and the failure of its line, if nobody accepts connections.
    fn unsent(house: &House, request: &str) -> (String, Value) {
        let text = run(async {
            let mut client = house.client();
            client.send(request).await;
            client.end().await;
            client.rest().await
        });
        (text[9..12].to_owned(), house.line()["failure"].take())
    }

    #[test]
    fn a_server_gets_what_the_client_sent_without_what_is_of_its_connection() {
        let fields =
            "connection: keep-alive, x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nproxy-connection: close\r\nx-end: 2\r\n";
        let request = format!("GET /x/../y?z HTTP/1.1\r\nhost: A.example:81\r\n{fields}\r\n");
        let (got, ..) = exchange(&request, OK);
        let own = "x-forwarded-for: 192.0.2.1\nx-forwarded-proto: http";
        assert_eq!(got, format!("GET /y?z HTTP/1.1\nhost: a.example:81\nvia: 1.1 gate\nx-end: 2\n{own}"));
    }

    #[test]
    fn a_client_gets_what_the_server_said_without_what_is_of_its_connection() {
        let fields = "connection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nx-end: 2\r\ncontent-length: 2\r\n";
        let (_, answer, line) = exchange(GET, &format!("HTTP/1.1 203 Sure\r\n{fields}\r\nok"));
        let lines: Vec<_> = answer.split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        let status = "HTTP/1.1 203 Non Authoritative Information";
        assert_eq!(lines, [status, "x-end: 2", "content-length: 2", "via: 1.1 gate", "", "ok"]);
        for (name, value) in [("group", "web"), ("server", "127.0.0.1:1")] {
            assert_eq!(line[name], value);
        }
        assert_eq!((&line["upstream_status"], &line["status"]), (&203.into(), &203.into()));
        assert!(line["upstream_ms"].is_number() && line["failure"].is_null(), "{line}");
    }

    #[test]
    fn a_response_that_could_be_read_in_two_ways_is_none() {
        for (response, failure) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
                "upstream-invalid",
            ),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "upstream-invalid"),
            ("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", "upstream-invalid"),
            ("", "upstream-closed"),
        ] {
            let (_, answer, line) = exchange(GET, response);
            assert!(answer.starts_with("HTTP/1.1 502 "), "{response}: {answer}");
            assert_eq!((&line["failure"], &line["server"]), (&failure.into(), &"127.0.0.1:1".into()), "{response}");
        }
    }

    #[test]
    fn a_server_that_breaks_off_breaks_the_response_off() {
        let (_, answer, line) = exchange(GET, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok");
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        assert_eq!(
            (&line["failure"], &line["bytes"], &line["status"]),
            (&"upstream-body".into(), &2.into(), &200.into())
        );
    }

    #[test]
    fn a_body_that_says_it_is_too_large_reaches_no_server() {
        let house = House::forwarding("limits { body-bytes 1KiB }", RULES);
        let post = |length: usize| {
            format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n{}", "x".repeat(length))
        };
        assert_eq!(unsent(&house, &post(1025)), ("413".into(), "body-too-large".into()));
        assert_eq!(unsent(&house, &post(1024)), ("502".into(), "connect-failed".into()), "at the limit it is tried");
    }

    #[test]
    fn a_chunked_body_that_grows_too_large_is_taken_back_from_the_server() {
        run(async {
            let house = House::forwarding("limits { body-bytes 1KiB }", RULES);
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
            client.send(&format!("400\r\n{}\r\n", "x".repeat(1024))).await;
            assert!(server.request().await.contains("\ntransfer-encoding: chunked"));
            client.send("1\r\nx\r\n").await;
            let mut got = Vec::new();
            drop(server.io.read_to_end(&mut got).await);
            assert!(!got.ends_with(b"0\r\n\r\n"), "it is not passed off as whole");
            assert!(client.rest().await.starts_with("HTTP/1.1 413 "));
            assert_eq!(house.line()["failure"], "body-too-large");
        });
    }

    #[test]
    fn a_body_of_unknown_length_is_announced_whatever_the_method() {
        for method in ["GET", "HEAD", "DELETE", "POST"] {
            run(async {
                let house = House::forwarding("", RULES);
                let (mut client, mut server) = (house.client(), house.server(1));
                client
                    .send(&format!(
                        "{method} / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
                    ))
                    .await;
                let head = server.request().await;
                assert!(head.contains("\ntransfer-encoding: chunked") && !head.contains("content-length"), "{head}");
                assert_eq!(server.take(12).await, "2\r\nhi\r\n0\r\n\r\n");
            });
        }
    }

    #[test]
    fn a_connection_serves_the_next_request_if_the_last_one_ended_whole() {
        for (first, goes_on) in
            [(OK, true), ("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", false)]
        {
            run(async {
                let house = House::forwarding("", RULES);
                let (mut client, mut server) = (house.client(), house.server(1));
                client.send(GET).await;
                server.answer(first).await;
                assert_eq!(client.status(2).await, "HTTP/1.1 200 OK");
                let mut next = house.server(1);
                client.send(GET).await;
                if goes_on {
                    server.answer(OK).await
                } else {
                    next.answer(OK).await
                };
                assert_eq!(client.status(2).await, "HTTP/1.1 200 OK", "{first}");
            });
        }
    }

    #[test]
    fn a_client_that_leaves_takes_its_request_along() {
        run(async {
            let house = House::forwarding("", RULES);
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send(GET).await;
            server.request().await;
            drop(client);
            settle().await;
            assert_eq!(server.io.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            let line = house.line();
            assert_eq!(
                (&line["failure"], &line["status"], &line["group"]),
                (&"client-closed".into(), &499.into(), &"web".into())
            );
            assert!(line["upstream_status"].is_null(), "{line}");
        });
    }

    #[test]
    fn a_protocol_is_switched_if_the_client_asked_and_the_server_agrees() {
        const UPGRADE: &str = concat!(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
            "sec-websocket-key: k\r\nsec-websocket-version: 13\r\n\r\n"
        );
        run(async {
            let house = House::forwarding("", RULES);
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send(UPGRADE).await;
            let head = server
                .answer("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst")
                .await;
            assert!(head.contains("\nconnection: upgrade") && head.contains("\nsec-websocket-key: k\n"), "{head}");
            let (head, first) = client.response(5).await;
            assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("\nupgrade: websocket"), "{head}");
            assert_eq!(first, "first");
            client.send("second").await;
            assert_eq!(server.take(6).await, "second");
        });
        let (_, answer, line) = exchange(UPGRADE, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("no") && line["failure"].is_null(), "{answer}");
    }

    #[test]
    fn a_group_that_speaks_grpc_carries_no_websocket() {
        let house = House::of(&forwarding("protocol grpc; server 127.0.0.1:1", "", RULES));
        let fields =
            "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: k\r\nsec-websocket-version: 13\r\n";
        assert_eq!(
            unsent(&house, &format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")),
            ("501".into(), "no-upgrade".into())
        );
    }
}
