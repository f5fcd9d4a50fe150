//! When something goes wrong: who gets which answer, and that nobody else suffers.

use std::time::{Duration, Instant};

use tidegate_tests::{Backend, Behaviour, Gateway, Policy, eventually, free_port, listen};

/// A gateway whose timeouts are as short as the language allows.
fn impatient(backend: &Backend) -> Gateway {
    Gateway::start(&Policy::to(backend).listener("request-timeout 1s").listener("idle-timeout 1s"))
}

#[track_caller]
fn logged(gateway: &Gateway, uri: &str, status: u16, failure: &str, side: &str) {
    let line = gateway.access(uri);
    assert_eq!(line["status"].as_u64(), Some(u64::from(status)), "{line}");
    assert_eq!((line["failure"].as_str(), line["side"].as_str()), (Some(failure), Some(side)), "{line}");
}

#[test]
fn a_server_that_is_not_there_is_502() {
    let gateway = Gateway::start(&Policy::new().group("web", &format!("server 127.0.0.1:{}", free_port())));
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/gone");
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("no server could be reached"), "{}", answer.text());
        assert!(!answer.closes(), "the client's connection is not to blame");
    }
    logged(&gateway, "/gone", 502, "connect-failed", "upstream");
}

#[test]
fn a_name_that_does_not_resolve_is_502_and_no_failed_start() {
    let gateway = Gateway::start(&Policy::new().group("web", "server \"no-such-host.invalid:80\""));
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn a_server_that_does_not_take_connections_is_504() {
    // A socket that listens, whose queue is full, lets no connection be completed.
    let full = socket_with_full_queue();
    let group = format!("server {}; connect-timeout 200ms", full.address);
    let gateway = Gateway::start(&Policy::new().group("web", &group));
    assert_eq!(gateway.get("/full").status, 504);
    logged(&gateway, "/full", 504, "connect-timeout", "upstream");
}

#[test]
fn the_next_server_is_tried_if_one_is_not_there() {
    let backend = Backend::echo();
    let group = format!("server 127.0.0.1:{}; server {}", free_port(), backend.address());
    let gateway = Gateway::start(&Policy::new().group("web", &group));
    let mut client = gateway.client();
    for _ in 0..6 {
        assert_eq!(client.post("/", "a body that is still whole").echo().text(), "a body that is still whole");
    }
}

#[test]
fn a_server_that_closes_without_an_answer_is_502() {
    let backend = Backend::start(Behaviour::CloseWithoutAnswer);
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    assert_eq!(client.get("/closes").status, 502);
    logged(&gateway, "/closes", 502, "upstream-closed", "upstream");
    backend.behave(Behaviour::Echo);
    assert_eq!(client.get("/after").status, 200, "the same client goes on");
}

#[test]
fn an_answer_that_is_not_http_is_502() {
    let backend = Backend::start(Behaviour::Garbage);
    let gateway = Gateway::start(&Policy::to(&backend));
    assert_eq!(gateway.get("/garbage").status, 502);
    logged(&gateway, "/garbage", 502, "upstream-invalid", "upstream");
}

#[test]
fn malformed_answers_are_502() {
    for raw in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let backend = Backend::start(Behaviour::RawThenClose(raw.to_owned()));
        let gateway = Gateway::start(&Policy::to(&backend));
        assert_eq!(gateway.get("/").status, 502, "{raw:?}");
    }
    let many: String = (0..500).map(|number| format!("x-{number}: 1\r\n")).collect();
    let backend =
        Backend::start(Behaviour::RawThenClose(format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n")));
    assert_eq!(Gateway::start(&Policy::to(&backend)).get("/").status, 502, "more fields than any real server sends");
}

#[test]
fn a_server_that_is_silent_is_504() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    let started = Instant::now();
    assert_eq!(client.get("/silent").status, 504);
    assert!(started.elapsed() >= Duration::from_secs(1), "not before its time");
    logged(&gateway, "/silent", 504, "upstream-timeout", "upstream");
    backend.wait_open(0);
    backend.behave(Behaviour::Echo);
    assert_eq!(client.get("/after").status, 200, "the same client goes on");
}

#[test]
fn a_rule_may_have_its_own_timeout() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let policy = Policy::to(&backend).rule("quick", "when path is \"/quick\"\ntimeout 100ms\nforward web");
    let gateway = Gateway::start(&policy);
    let started = Instant::now();
    assert_eq!(gateway.get("/quick").status, 504);
    assert!(started.elapsed() < Duration::from_secs(5), "the listener's is 60s");
}

#[test]
fn a_slow_server_that_sends_something_is_not_silent() {
    let backend = Backend::start(Behaviour::GatedChunks(vec!["a", "b", "c"]));
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..3 {
                // A slow server: 3 times 0.6 s is longer than the timeout.
                std::thread::sleep(Duration::from_millis(600));
                backend.release();
            }
        });
        let mut body = Vec::new();
        client.receive_body(&head, |bytes| body.extend_from_slice(bytes)).unwrap();
        assert_eq!(body, b"abc");
    });
}

#[test]
fn a_server_that_falls_silent_in_its_body_ends_the_connection() {
    let backend = Backend::start(Behaviour::StallInBody);
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("GET /half HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(client.try_receive().is_err(), "a body that broke off must not look whole");
    logged(&gateway, "/half", 200, "upstream-timeout", "upstream");
    backend.wait_open(0);
}

#[test]
fn a_body_that_breaks_off_never_looks_whole() {
    for behaviour in [Behaviour::CloseInBody, Behaviour::CloseInChunk] {
        let backend = Backend::start(behaviour);
        let gateway = Gateway::start(&Policy::to(&backend));
        let mut client = gateway.client();
        client.send("GET /broken HTTP/1.1\r\nhost: test\r\n\r\n");
        assert!(client.try_receive().is_err());
        logged(&gateway, "/broken", 200, "upstream-body", "upstream");
    }
}

#[test]
fn a_client_that_is_slow_with_its_head_is_408() {
    let backend = Backend::echo();
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: te");
    assert_eq!(client.receive().status, 408);
    assert!(client.is_closed());
    assert!(backend.requests().is_empty());
}

#[test]
fn a_head_that_comes_drop_by_drop_does_not_live_for_ever() {
    let backend = Backend::echo();
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n");
    let started = Instant::now();
    while client.try_send("x: 1\r\n").is_ok() && started.elapsed() < Duration::from_secs(10) {
        // A slow client.
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(started.elapsed() < Duration::from_secs(8), "the time counts from the first byte");
}

#[test]
fn a_client_that_is_slow_with_its_body_is_408() {
    let backend = Backend::echo();
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("POST /slow HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello");
    let answer = client.receive();
    assert_eq!(answer.status, 408);
    assert!(client.is_closed());
    logged(&gateway, "/slow", 408, "client-timeout", "client");
    backend.wait_open(0);
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::echo();
    let gateway = impatient(&backend);
    let mut fresh = gateway.client();
    let mut used = gateway.client();
    used.get("/");
    let started = Instant::now();
    assert!(used.is_closed());
    assert!(started.elapsed() >= Duration::from_secs(1), "not before its time");
    assert!(fresh.is_closed(), "one that never asked is idle, too");
}

#[test]
fn a_client_that_leaves_frees_the_server() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET /left HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    drop(client);
    backend.wait_open(0);
    logged(&gateway, "/left", 499, "client-closed", "client");
}

#[test]
fn a_client_that_leaves_in_its_upload_frees_the_server() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("POST /left HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nhello");
    backend.wait_head(1);
    drop(client);
    backend.wait_open(0);
    assert!(backend.requests().is_empty(), "half a body is no request");
    let line = gateway.access("/left");
    assert_eq!(line["side"], "client", "{line}");
}

#[test]
fn a_client_that_leaves_in_its_download_frees_the_server() {
    let backend = Backend::start(Behaviour::Stream(1 << 30));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET /left HTTP/1.1\r\nhost: test\r\n\r\n");
    client.receive_head().unwrap();
    drop(client);
    backend.wait_open(0);
    logged(&gateway, "/left", 200, "client-closed", "client");
}

#[test]
fn a_client_that_does_not_read_is_ended() {
    let backend = Backend::start(Behaviour::Stream(1 << 30));
    let gateway = impatient(&backend);
    let mut client = gateway.client();
    client.send("GET /unread HTTP/1.1\r\nhost: test\r\n\r\n");
    client.receive_head().unwrap();
    backend.wait_open(0);
    logged(&gateway, "/unread", 200, "client-timeout", "client");
}

#[test]
fn a_pooled_connection_that_the_server_closed_costs_no_request() {
    let backend = Backend::start(Behaviour::CloseIdleAfter(1));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for number in 0..100 {
        let answer = client.get(&format!("/{number}"));
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
    }
}

#[test]
fn a_restart_of_the_server_costs_no_request() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for round in 0..20 {
        assert_eq!(client.get("/").status, 200, "{round}");
        backend.close_connections();
        backend.wait_open(0);
    }
}

#[test]
fn a_request_that_may_have_been_served_is_not_sent_twice() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).top("gateway { workers 1 }"));
    let mut client = gateway.client();
    client.get("/warm");
    backend.behave(Behaviour::CloseWithoutAnswer);
    assert_eq!(client.post("/order", "one").status, 502);
    let orders = backend.requests().iter().filter(|request| request.target == "/order").count();
    assert_eq!(orders, 1, "POST is not idempotent");
}

#[test]
fn a_server_that_answers_before_the_upload_has_ended() {
    let backend = Backend::start(Behaviour::AnswerBeforeUpload);
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("POST /early HTTP/1.1\r\nhost: test\r\ncontent-length: 1000000\r\n\r\nhello");
    assert_eq!(client.receive().text(), "early");
    // What is left of the upload must not be taken for a request.
    let _ = client.try_send("GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n");
    drop(client);
    backend.behave(Behaviour::Echo);
    assert_eq!(gateway.get("/next").echo().target, "/next");
    assert!(backend.requests().iter().all(|request| request.target != "/smuggled"));
}

#[test]
fn one_silent_server_does_not_hold_up_the_others() {
    let (silent, quick) = (Backend::start(Behaviour::StallBeforeHead), Backend::text("quick"));
    let policy = Policy::to(&quick)
        .top("gateway { workers 1 }")
        .backend("silent", &silent)
        .rule("silent", "when path is \"/silent\"\nforward silent");
    let gateway = Gateway::start(&policy);
    let mut waiting: Vec<_> = (0..50).map(|_| gateway.client()).collect();
    for client in &mut waiting {
        client.send("GET /silent HTTP/1.1\r\nhost: test\r\n\r\n");
    }
    silent.wait_head(50);
    assert_eq!(gateway.get("/").text(), "quick");
    drop(waiting);
    silent.wait_open(0);
    eventually("descriptors are given back", || {
        let sockets = gateway.usage().sockets;
        if sockets < 20 { Ok(()) } else { Err(sockets) }
    });
}

/// An address that completes no handshake.
struct Full {
    address: String,
    _listener: std::net::TcpListener,
    _queued: Vec<std::net::TcpStream>,
}

fn socket_with_full_queue() -> Full {
    let listener = listen();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    // The kernel takes connections until the queue is full, and then drops what comes.
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        queued.push(stream);
        assert!(queued.len() < 10_000, "the queue never fills");
    }
    Full { address: address.to_string(), _listener: listener, _queued: queued }
}
