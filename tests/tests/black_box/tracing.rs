//! `tracing`: the spans that a collector gets, and that requests do not mind what a collector does.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tidegate_tests::collector::{Collector, Reaction, Span};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, eventually};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A gateway that sends the spans of this share of its requests, which all go to one server.
fn gateway(collector: &Collector, words: &str, share: &str, backend: &Backend) -> Gateway {
    Gateway::start(&policy(collector, words, share, backend))
}

fn policy(collector: &Collector, words: &str, share: &str, backend: &Backend) -> Policy {
    Policy::to(backend).top(&collector.tracing(words)).listener(&format!("tracing {share}"))
}

/// How many times a bound was met, which the gateway says at its end.
fn lost(gateway: &Gateway) -> u64 {
    let line = gateway.log().text().lines().find(|line| line.contains("bound=\"spans\"")).map(str::to_owned);
    let count = line.and_then(|line| line.split("times=").nth(1)?.split_whitespace().next()?.parse().ok());
    count.unwrap_or(0)
}

fn by_id(spans: &[Span]) -> BTreeMap<&str, &Span> {
    spans.iter().map(|span| (&*span.id, span)).collect()
}

#[test]
fn the_spans_of_a_hundred_requests_come_over_both_protocols() {
    for collector in [Collector::grpc(), Collector::http()] {
        let backend = Backend::start(Behaviour::Echo);
        let words = "service \"edge\"; header \"x-key\" \"k\"";
        let gateway = gateway(&collector, words, "100%", &backend);
        let mut seen = HashSet::new();
        let mut client = gateway.client();
        for number in 0..100 {
            let answer = client.get(&format!("/a/{number}?n={number}"));
            let parent = answer.echo().header("traceparent").expect("the server gets a parent").to_owned();
            assert!(seen.insert(parent[36..52].to_owned()), "each request has its own");
        }
        let spans = collector.wait_for(200);
        assert_eq!(spans.len(), 200, "one of the request, and one of the try");
        let all = by_id(&spans);
        assert_eq!(all.len(), 200);
        for (number, span) in spans.iter().filter(|span| span.kind == SERVER).enumerate() {
            assert_eq!((&*span.name, &*span.parent), ("GET otherwise", ""), "{number}");
            assert_eq!(span.get("http.response.status_code"), Some("200"));
            assert_eq!(span.get("tidegate.server"), Some(&*backend.address()));
        }
        for span in spans.iter().filter(|span| span.kind == CLIENT) {
            let parent = all[&*span.parent];
            assert_eq!((parent.kind, &parent.trace), (SERVER, &span.trace));
            assert!(parent.start <= span.start && span.start <= span.end && span.end <= parent.end);
            assert!(seen.remove(&span.id), "the server got the try as its parent");
        }
        let paths: HashSet<_> = spans.iter().filter_map(|span| span.get("url.path")).collect();
        assert_eq!(paths.len(), 100);
        let resource = &spans[0].resource;
        assert_eq!((&*resource["service.name"], &*resource["telemetry.sdk.language"]), ("edge", "rust"));
        assert_eq!(resource["service.instance.id"].len(), 36);
        let head = &collector.heads()[0];
        let get = |name: &str| head.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(get("x-key"), Some("k"));
        let path = get(":path").unwrap_or_default();
        assert!(path.contains("/v1/traces") || path == "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    }
}

#[test]
fn a_line_of_the_access_log_leads_to_the_trace() {
    let (collector, backend) = (Collector::http(), Backend::start(Behaviour::Echo));
    let gateway = gateway(&collector, "", "100%", &backend);
    let mut client = gateway.client();
    client.send(format!(
        "GET /a HTTP/1.1\r\nhost: test\r\ntraceparent: {PARENT}\r\ntracestate: v=1\r\nuser-agent: t/1\r\n\r\n"
    ));
    let got = client.receive().echo();
    let spans = collector.wait_for(2);
    let of = |kind| spans.iter().find(|span| span.kind == kind).unwrap();
    let (server, tried) = (of(SERVER), of(CLIENT));
    assert_eq!((&*server.trace, &*server.parent), (&PARENT[3..35], &PARENT[36..52]), "the client's trace goes on");
    assert_eq!((&*server.state, got.header("tracestate")), ("v=1", Some("v=1")));
    assert_eq!(got.header("traceparent"), Some(&*format!("00-{}-{}-01", server.trace, tried.id)));
    let line = gateway.access("/a");
    assert_eq!((line["trace_id"].as_str(), line["span_id"].as_str()), (Some(&*server.trace), Some(&*server.id)));
    assert_eq!(line["request_id"].as_str(), server.get("tidegate.request_id"));
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/a"),
        ("url.scheme", "http"),
        ("server.address", "test"),
        ("client.address", "127.0.0.1"),
        ("network.peer.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("user_agent.original", "t/1"),
        ("tidegate.listener", "main"),
        ("tidegate.rule", "otherwise"),
        ("tidegate.group", "web"),
    ] {
        assert_eq!(server.get(key), Some(value), "{key}");
    }
    assert_eq!(tried.get("url.full"), Some(&*format!("http://{}/a", backend.address())));
}

#[test]
fn as_many_are_sampled_as_the_policy_says_and_parents_are_obeyed() {
    let (collector, backend) = (Collector::grpc(), Backend::start(Behaviour::Echo));
    let gateway = gateway(&collector, "propagate [b3]", "20%", &backend);
    let mut client = gateway.client();
    let chosen = |field: &str, client: &mut tidegate_tests::Client| {
        client.send(format!("GET / HTTP/1.1\r\nhost: test\r\n{field}\r\n"));
        let got = client.receive().echo();
        let b3 = got.header("b3").expect("servers get B3").to_owned();
        let sampled = got.header("traceparent").expect("servers get W3C").ends_with(['1', '3']);
        assert_eq!(b3.ends_with("-1"), sampled, "{b3}");
        sampled
    };
    let count = (0..500).filter(|_| chosen("", &mut client)).count();
    assert!((50..150).contains(&count), "about a hundred of 500: {count}");
    let unsampled = PARENT.replace("-01", "-00");
    assert_eq!((0..50).filter(|_| chosen(&format!("traceparent: {PARENT}\r\n"), &mut client)).count(), 50);
    assert_eq!((0..50).filter(|_| chosen(&format!("traceparent: {unsampled}\r\n"), &mut client)).count(), 0);
    assert!(chosen("b3: 0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1\r\n", &mut client));
    assert!(!chosen("x-b3-sampled: 0\r\n", &mut client));
    let expected = 2 * (count + 51);
    let spans = collector.wait_for(expected);
    assert_eq!(spans.len(), expected, "what is not sampled is not sent");
}

#[test]
fn a_collector_that_comes_late_gets_what_waits() {
    for collector in [Collector::http(), Collector::grpc()] {
        let backend = Backend::text("hello");
        collector.react(&[Reaction::Later(Some("1")), Reaction::Close, Reaction::Later(None), Reaction::Take]);
        let gateway = gateway(&collector, "", "100%", &backend);
        assert_eq!(gateway.get("/").status, 200);
        assert_eq!(collector.wait_for(2).len(), 2);
        assert_eq!(collector.heads().len(), 4, "the same spans are sent until they are taken");
    }
}

#[test]
fn spans_that_are_refused_are_counted_and_told_of() {
    for (reaction, expected, words) in [
        (Reaction::Refuse, 2, "spans are lost"),
        (Reaction::TakePart(1), 1, "does not take all of them (too many)"),
        (Reaction::Babble(b"HTTP/1.1 200 OK\r\n"), 0, ""),
    ] {
        for collector in [Collector::http(), Collector::grpc()] {
            let backend = Backend::text("hello");
            collector.react(std::slice::from_ref(&reaction));
            let mut gateway = gateway(&collector, "", "100%", &backend);
            assert_eq!(gateway.get("/").status, 200);
            if !words.is_empty() {
                gateway.wait_for(0, words);
            }
            gateway.signal("TERM");
            assert!(gateway.wait_end().success());
            assert!(lost(&gateway) >= expected, "{reaction:?}: {}", gateway.log().text());
        }
    }
}

#[test]
fn requests_do_not_mind_what_a_collector_does() {
    for reaction in [
        Reaction::Freeze,
        Reaction::Close,
        Reaction::Babble(b"HTTP/1.1 200 OK\r\nx: y\r\n"),
        Reaction::Babble(&[0; 4096]),
    ] {
        for collector in [Collector::http(), Collector::grpc()] {
            collector.react(std::slice::from_ref(&reaction));
            let backend = Backend::text("hello");
            let mut gateway = gateway(&collector, "", "100%", &backend);
            let mut client = gateway.client();
            for _ in 0..500 {
                assert_eq!(client.get("/").status, 200, "{reaction:?}");
            }
            eventually("the collector is asked", || if collector.heads().is_empty() { Err(()) } else { Ok(()) });
            for _ in 0..100 {
                assert_eq!(client.get("/").status, 200, "{reaction:?}");
            }
            drop(client);
            gateway.signal("TERM");
            assert!(gateway.wait_end().success());
            assert_eq!(lost(&gateway), 1200, "{reaction:?}: each span is counted\n{}", gateway.log().text());
        }
    }
}

#[test]
fn a_collector_that_is_killed_costs_nothing_but_spans() {
    let (collector, backend) = (Collector::grpc(), Backend::text("hello"));
    let mut gateway = gateway(&collector, "", "100%", &backend);
    let mut client = gateway.client();
    assert_eq!(client.get("/").status, 200);
    collector.wait_for(2);
    drop(collector);
    for _ in 0..500 {
        assert_eq!(client.get("/").status, 200);
    }
    drop(client);
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    assert_eq!(lost(&gateway), 1000, "{}", gateway.log().text());
}

#[test]
fn a_collector_is_asked_over_tls_if_the_machine_trusts_it() {
    let authority = Authority::new("Root");
    let mut config = (*authority.server(&["localhost"]).sign().server_config()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let collector = Collector::grpc_over(Some(Arc::new(config)));
    let backend = Backend::text("hello");
    let endpoint = format!("tracing otlp {{ endpoint \"https://localhost:{}\" }}", collector.port());
    let policy = Policy::to(&backend).top(&endpoint).listener("tracing 100%");
    for (shell, trusted) in [("export SSL_CERT_FILE=$PWD/root.pem", true), ("true", false)] {
        let put = |folder: &Path| fs::write(folder.join("root.pem"), authority.pem()).unwrap();
        let gateway = Gateway::begin_after(shell, &policy, put);
        gateway.wait_for(0, " ready generation=");
        assert_eq!(gateway.get("/").status, 200);
        if trusted {
            assert_eq!(collector.wait_for(2).len(), 2);
        } else {
            gateway.wait_for(0, "the collector does not take spans now");
        }
    }
    assert_eq!(collector.spans().len(), 2);
}

#[test]
fn the_last_spans_are_sent_at_the_end() {
    let (collector, backend) = (Collector::grpc(), Backend::text("hello"));
    let mut gateway = gateway(&collector, "", "100%", &backend);
    for _ in 0..5 {
        assert_eq!(gateway.get("/").status, 200);
    }
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    assert_eq!((collector.spans().len(), lost(&gateway)), (10, 0));
}

#[test]
fn another_collector_takes_over_with_a_reload() {
    let (one, other, backend) = (Collector::http(), Collector::grpc(), Backend::text("hello"));
    one.react(&[Reaction::Freeze]);
    let gateway = gateway(&one, "", "100%", &backend);
    assert_eq!(gateway.get("/before").status, 200);
    eventually("the first is asked", || if one.heads().is_empty() { Err(()) } else { Ok(()) });
    gateway.reload(&policy(&other, "service \"new\"; header \"x\" \"y\"", "100%", &backend));
    assert_eq!(gateway.get("/after").status, 200);
    let spans = other.wait_for(4);
    let paths: HashSet<_> = spans.iter().filter_map(|span| span.get("url.path")).collect();
    assert_eq!(paths, HashSet::from(["/before", "/after"]), "what waited comes, too");
    assert_eq!(spans[0].resource["service.name"], "new");
    assert!(other.heads()[0].contains(&("x".to_owned(), "y".to_owned())));
}

#[test]
fn what_is_refused_and_what_fails_is_an_error_or_not() {
    let (collector, backend) = (Collector::http(), Backend::start(Behaviour::CloseWithoutAnswer));
    let gateway = gateway(&collector, "", "100%", &backend);
    assert_eq!(gateway.get("/lost").status, 502);
    let mut client = gateway.client();
    client.send("TRACE /trace HTTP/1.1\r\nhost: test\r\n\r\n");
    assert_eq!(client.receive().status, 405);
    let spans = collector.wait_for(3);
    let of = |kind, path: &str| {
        spans.iter().find(|span| span.kind == kind && span.get("url.path").is_none_or(|it| it == path))
    };
    let (lost, tried, refused) = (of(SERVER, "/lost").unwrap(), of(CLIENT, "").unwrap(), of(SERVER, "/trace").unwrap());
    for (span, kind) in [(lost, "upstream-closed"), (tried, "upstream-closed")] {
        assert!(span.is_error, "{span:?}");
        assert_eq!((span.get("error.type"), span.get("tidegate.failure")), (Some(kind), Some(kind)));
    }
    assert!(!refused.is_error, "that is the client's own mistake");
    assert_eq!((refused.get("tidegate.failure"), &*refused.name), (Some("bad-method"), "TRACE"));
    let line = gateway.access("/trace");
    assert_eq!(line["span_id"].as_str(), Some(&*refused.id), "{line}");
}
