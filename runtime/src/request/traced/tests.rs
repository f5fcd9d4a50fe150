#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::time::{Duration, Instant};

use http::HeaderMap;
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::Sampling;
use tidegate_engine::hook::Hook;
use tidegate_engine::trace::Traced;

use crate::request::tests::guest::Act::{self, Ask, Call, MarkResponse, Pause, Say, Tell, Trap};
use crate::request::tests::{Callbacks, guarded_by};
use crate::telemetry::spans::span::{HookSpan, Of, RequestSpan, Span, TrySpan};
use crate::tests::{House, Server, forwarding, run};

const COLLECTOR: &str = "tracing otlp { endpoint \"http://127.0.0.1:4318\"; propagate [b3] }\n";
const RULES: &str = "rule api { when path under \"/api\"; forward web }; otherwise { respond 204 }";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const PARENT: u64 = 0xb7ad_6b71_6920_3331;

/// A house whose listener is traced like this, with a group of these words.
fn house(share: &str, group: &str) -> House {
    House::of(&(forwarding(group, &format!("tracing {share}"), RULES) + COLLECTOR))
}

/// A request for this path that is of a trace, with these flags.
fn of_trace(path: &str, flags: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}\r\n\
         tracestate: v=1\r\n\r\n"
    )
}

/// The spans of a house since this was asked last: the request's, the tries' and the hooks', each in the order they ended.
struct Made {
    requests: Vec<(Span, RequestSpan)>,
    tries: Vec<(Span, TrySpan)>,
    hooks: Vec<(Span, HookSpan)>,
}

fn made(house: &House) -> Made {
    let mut made = Made { requests: Vec::new(), tries: Vec::new(), hooks: Vec::new() };
    for span in house.worker.shared.spans.taken() {
        let nothing = || Of::Hook(HookSpan { extension: "".into(), hook: Hook::Tick, fault: None });
        let Span { context, parent, state, start_ns, end_ns, of } = span;
        let head = Span { context, parent, state, start_ns, end_ns, of: nothing() };
        match of {
            Of::Request(request) => made.requests.push((head, *request)),
            Of::Try(tried) => made.tries.push((head, *tried)),
            Of::Hook(hook) => made.hooks.push((head, hook)),
        }
    }
    made
}

/// A field of a head that a server got.
fn field(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    line.unwrap_or_default().to_owned()
}

async fn answered(server: &mut Server) -> String {
    server.answer(OK).await
}

#[test]
fn a_request_has_its_span_and_its_try_has_one_below_it() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(&of_trace("/api?a=b", "01")).await;
        let head = answered(&mut server).await;
        assert_eq!(client.status(2).await, "HTTP/1.1 200 OK");
        let Made { requests, tries, .. } = made(&house);
        let ([(own, request)], [(below, tried)]) = (&requests[..], &tries[..]) else {
            panic!("{requests:?} {tries:?}")
        };
        assert_eq!((own.context.trace_id, own.parent), (TRACE, Some((PARENT, true))));
        assert_eq!((below.context.trace_id, below.parent), (TRACE, Some((own.context.span_id, false))));
        assert_eq!((own.state.as_deref(), below.state.as_deref()), (Some("v=1"), Some("v=1")));
        assert!(own.start_ns <= below.start_ns && below.start_ns <= below.end_ns && below.end_ns <= own.end_ns);
        assert_eq!((request.rule.as_deref(), request.status, request.sent), (Some("api"), 200, 2));
        assert_eq!((request.path.as_deref(), request.query.as_deref()), (Some("/api"), Some("a=b")));
        assert_eq!((request.group.as_deref(), request.server.as_deref()), (Some("web"), Some("127.0.0.1:1")));
        assert_eq!((&*tried.target, tried.status, tried.resends), ("/api?a=b", Some(200), 0));
        let id = format!("{:016x}", below.context.span_id);
        assert_eq!(field(&head, "traceparent"), format!("00-0af7651916cd43dd8448eb211c80319c-{id}-01"));
        assert_eq!(field(&head, "b3"), format!("0af7651916cd43dd8448eb211c80319c-{id}-1"));
        assert_eq!(field(&head, "tracestate"), "v=1");
        let line = house.line();
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line["span_id"], format!("{:016x}", own.context.span_id));
    });
}

#[test]
fn what_is_not_sampled_makes_no_span_and_has_ids_all_the_same() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(&of_trace("/api", "00")).await;
        let head = answered(&mut server).await;
        client.status(2).await;
        let span = house.line()["span_id"].as_str().unwrap().to_owned();
        assert_ne!(span, "b7ad6b7169203331", "it is the gateway's own");
        assert_eq!(field(&head, "traceparent"), format!("00-0af7651916cd43dd8448eb211c80319c-{span}-00"));
        assert!(house.worker.shared.spans.taken().is_empty());
    });
}

#[test]
fn a_listener_that_is_not_traced_passes_the_context_on() {
    run(async {
        let house = House::forwarding("", RULES);
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(&of_trace("/api", "01")).await;
        let head = answered(&mut server).await;
        client.status(2).await;
        assert_eq!(field(&head, "traceparent"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        assert!(field(&head, "b3").is_empty());
        assert_eq!(house.line()["span_id"], "b7ad6b7169203331");
        assert!(house.worker.shared.spans.taken().is_empty());
    });
}

#[test]
fn a_connection_forgets_the_trace_of_its_last_request() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let mut client = house.client();
        client.send(&of_trace("/", "01")).await;
        client.status(0).await;
        assert_eq!(made(&house).requests.len(), 1);
        house.reload(&crate::tests::policy("", "otherwise { respond 204 }"));
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.status(0).await;
        let lines = house.log();
        assert!(lines[0]["trace_id"].is_string() && lines[1]["trace_id"].is_null(), "{lines:?}");
        client.send("GARBAGE\r\n\r\n").await;
        assert!(made(&house).requests.is_empty());
    });
}

#[test]
fn each_try_is_a_span_of_its_own() {
    run(async {
        let group = "server 127.0.0.1:1; server 127.0.0.1:2 backup; retries 1 on [connect-failure, 5xx]";
        let house = house("100%", group);
        let (mut client, mut first, mut second) = (house.client(), house.server(1), house.server(2));
        client.send(&of_trace("/api", "01")).await;
        let one = first.answer("HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").await;
        let other = answered(&mut second).await;
        client.status(2).await;
        let Made { requests, tries, .. } = made(&house);
        let seen: Vec<_> = tries.iter().map(|(_, tried)| (tried.server.port, tried.status, tried.resends)).collect();
        assert_eq!(seen, [(1, Some(503), 0), (2, Some(200), 1)]);
        for ((below, _), head) in tries.iter().zip([one, other]) {
            assert_eq!(below.parent, Some((requests[0].0.context.span_id, false)));
            assert!(field(&head, "traceparent").contains(&format!("{:016x}", below.context.span_id)));
        }
        // Nobody listens at the first any more, and what waits at the second has left.
        drop((first, second));
        let mut second = house.server(2);
        client.send(&of_trace("/api", "01")).await;
        answered(&mut second).await;
        client.status(2).await;
        let seen: Vec<_> = made(&house)
            .tries
            .into_iter()
            .map(|(_, tried)| (tried.server.port, tried.failure, tried.resends))
            .collect();
        assert_eq!(seen.first(), Some(&(1, Some(Failure::ConnectFailed), 0)), "{seen:?}");
        assert_eq!(seen.last().map(|(port, failure, _)| (*port, *failure)), Some((2, None)), "{seen:?}");
    });
}

#[test]
fn a_client_that_leaves_ends_the_spans() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(&of_trace("/api", "01")).await;
        server.request().await;
        drop(client);
        house.pass(Duration::from_millis(200)).await;
        let Made { requests, tries, .. } = made(&house);
        assert_eq!((requests[0].1.status, requests[0].1.failure), (499, Some(Failure::ClientClosed)));
        assert_eq!((tries[0].1.status, tries[0].1.failure), (None, Some(Failure::ClientClosed)));
    });
}

#[test]
fn a_request_that_no_rule_may_see_has_its_span() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let mut client = house.client();
        client.send("TRACE /api HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert!(client.response(0).await.0.starts_with("HTTP/1.1 405 "));
        let Made { requests, .. } = made(&house);
        let [(own, request)] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!((request.status, request.failure, request.rule.as_deref()), (405, Some(Failure::BadMethod), None));
        assert_eq!((request.authority.as_deref(), request.path.as_deref()), (Some("a"), Some("/api")));
        assert_eq!(house.line()["span_id"], format!("{:016x}", own.context.span_id));
    });
}

/// What is made of a request whose head these guests see.
fn called(guests: &[Callbacks<'_>], request: &str, answers: &[&str]) -> Made {
    run(async {
        let house = guarded_by("tracing 100%", COLLECTOR, guests);
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(request).await;
        for answer in answers {
            server.answer(answer).await;
        }
        client.end().await;
        client.rest().await;
        made(&house)
    })
}

#[test]
fn calls_of_extensions_are_spans() {
    const FIRST: &[(&str, &[Act])] =
        &[("proxy_on_request_headers", &[Ask("a", "b")]), ("proxy_on_response_headers", &[Say("a", "b")])];
    const SECOND: &[(&str, &[Act])] = &[("proxy_on_request_headers", &[Trap])];
    let Made { requests, hooks, .. } = called(&[FIRST, SECOND], &of_trace("/", "01"), &[]);
    let seen: Vec<_> =
        hooks.iter().map(|(_, hook)| (&*hook.extension, hook.hook, hook.fault.as_ref().map(|fault| fault.0))).collect();
    assert_eq!(seen, [("a", Hook::Request, None), ("b", Hook::Request, Some("trap")), ("a", Hook::Response, None)]);
    let own = requests[0].0.context.span_id;
    assert!(hooks.iter().all(|(span, _)| span.parent == Some((own, false))));
    assert_eq!((requests[0].1.status, requests[0].1.failure), (500, Some(Failure::Extension)));
}

#[test]
fn what_an_extension_asks_of_servers_is_below_its_call() {
    const CALLS: &[(&str, &[Act])] =
        &[("proxy_on_request_headers", &[Call, Pause]), ("proxy_on_http_call_response", &[Tell])];
    let Made { requests, tries, hooks } = called(&[CALLS], &of_trace("/", "01"), &[OK]);
    let (hook, tried) = (&hooks[0].0, &tries[0].0);
    assert_eq!(hook.parent, Some((requests[0].0.context.span_id, false)));
    assert_eq!(tried.parent, Some((hook.context.span_id, false)));
}

#[test]
fn a_request_makes_only_so_many_spans() {
    run(async {
        const BODY: &[(&str, &[Act])] = &[("proxy_on_response_body", &[MarkResponse("")])];
        let house = guarded_by("tracing 100%", COLLECTOR, &[BODY]);
        let stream = house.stream();
        let trace = &stream.trace;
        let sampling = Sampling { percent: 100, ignore_parent: false };
        let place = Traced::begin(&HeaderMap::new(), sampling, false, || 7);
        trace.begin(place, &HeaderMap::new(), Instant::now());
        let lost = Bound::Spans.count();
        for _ in 0..=limits::SPANS_OF_A_REQUEST {
            let called = trace.begin_hook(|| 9).unwrap();
            let hook = HookSpan { extension: "a".into(), hook: Hook::ResponseBody, fault: None };
            trace.end_hook(called, hook, &house.worker.spans);
        }
        assert_eq!(house.worker.shared.spans.taken().len(), limits::SPANS_OF_A_REQUEST as usize);
        assert!(Bound::Spans.count() > lost);
    });
}

#[test]
fn streams_of_a_connection_have_traces_of_their_own() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let mut servers = [house.server(1), house.server(1)];
        let (sender, connection) = h2::client::handshake(house.client().io).await.unwrap();
        tokio::task::spawn_local(connection);
        let mut sender = sender.ready().await.unwrap();
        let mut answers = Vec::new();
        for path in ["one", "other"] {
            let request = http::Request::get(format!("http://a/api/{path}")).body(()).unwrap();
            answers.push(sender.send_request(request, true).unwrap().0);
            crate::tests::settle().await;
        }
        let heads = [servers[0].request().await, servers[1].request().await];
        for (server, answer) in servers.iter_mut().zip(answers).rev() {
            server.say(OK).await;
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        let Made { requests, tries, .. } = made(&house);
        assert_eq!((requests.len(), tries.len()), (2, 2));
        assert!(requests.iter().all(|(_, request)| request.version == http::Version::HTTP_2));
        for (below, tried) in &tries {
            let (own, _) =
                requests.iter().find(|(_, request)| request.path.as_deref() == Some(&*tried.target)).unwrap();
            assert_eq!(
                (below.context.trace_id, below.parent),
                (own.context.trace_id, Some((own.context.span_id, false)))
            );
            let head = heads.iter().find(|head| head.contains(&*tried.target)).unwrap();
            assert!(field(head, "traceparent").contains(&format!("{:016x}", below.context.span_id)), "{head}");
        }
        assert_ne!(requests[0].0.context.trace_id, requests[1].0.context.trace_id);
    });
}

#[test]
fn the_span_of_a_tunnel_lasts_as_long_as_it_does() {
    run(async {
        let house = house("100%", "server 127.0.0.1:1");
        let (mut client, mut server) = (house.client(), house.server(1));
        let key = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
        client
            .send(&format!(
                "GET /api HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n{key}\r\n\r\n"
            ))
            .await;
        server
            .answer("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nfirst")
            .await;
        client.response(5).await;
        let Made { requests, tries, .. } = made(&house);
        assert_eq!((requests.len(), tries[0].1.status), (0, Some(101)), "the try is over, and the request goes on");
        drop((client, server));
        house.pass(Duration::from_secs(1)).await;
        assert_eq!(made(&house).requests[0].1.status, 101);
    });
}
