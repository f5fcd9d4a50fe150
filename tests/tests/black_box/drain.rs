//! The start and the end of the gateway.

use std::time::{Duration, Instant};

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, Tool, free_port};

#[test]
fn sigterm_lets_requests_finish_and_takes_no_new_ones() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let mut gateway = Gateway::start(&Policy::to(&backend));
    let mut idle = gateway.client();
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    assert!(idle.is_closed(), "an idle connection has nothing to finish");
    // The sockets are closed by now, or within a moment.
    tidegate_tests::eventually("new connections are refused", || match Client::try_connect(gateway.port()) {
        Ok(_) => Err("accepted"),
        Err(_) => Ok(()),
    });
    assert!(!gateway.has_ended());
    backend.release();
    let answer = client.receive();
    assert_eq!(answer.echo().target, "/slow");
    assert!(client.is_closed());
    assert_eq!(gateway.wait_end().code(), Some(0));
    assert!(gateway.access_log().whole().contains("/slow"), "its line is written");
}

#[test]
fn sigterm_lets_bodies_finish() {
    let backend = Backend::start(Behaviour::StallInBody);
    let mut gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head();
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    backend.release();
    let mut body = Vec::new();
    let read = head.and_then(|head| client.receive_body(&head, |bytes| body.extend_from_slice(bytes)));
    assert!(read.is_ok(), "{read:?}");
    assert_eq!(body, b"hello world");
    assert_eq!(gateway.wait_end().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let mut gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    gateway.signal("TERM");
    let started = Instant::now();
    gateway.wait_end();
    assert!(started.elapsed() < Duration::from_secs(5), "`drain` is 30s");
    assert!(client.is_closed());
}

#[test]
fn the_drain_has_an_end() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let mut gateway = Gateway::start(&Policy::to(&backend).top("gateway { drain 200ms }"));
    let mut client = gateway.client();
    client.send("GET /cut HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.signal("TERM");
    let started = Instant::now();
    assert_eq!(gateway.wait_end().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(client.is_closed());
    let log = gateway.access_log().whole();
    assert!(log.contains("/cut") && log.contains("drained"), "{log}");
}

#[test]
fn an_idle_gateway_ends_at_once() {
    let mut gateway = Gateway::start(&Policy::new().otherwise("respond 200"));
    let mut used = gateway.client();
    used.get("/");
    gateway.signal("INT");
    let started = Instant::now();
    assert_eq!(gateway.wait_end().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_policy_with_errors_does_not_start() {
    let tool = Tool::new().file("broken.gate", "tidegate 1\nlistener http main { port 0 }\n");
    let output = tool.run(&["run", "broken.gate"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("broken.gate:2:"), "{}", output.stderr);
    let output = tool.run(&["run", "no-such.gate"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("no-such.gate"), "{}", output.stderr);
}

#[test]
fn a_port_that_is_taken_does_not_start() {
    let gateway = Gateway::start(&Policy::new().otherwise("respond 200"));
    let text = gateway.fill(&Policy::new().otherwise("respond 200").text());
    let output = Tool::new().file("same.gate", &text).run(&["run", "same.gate"]);
    assert_eq!(output.status, Some(1), "two gateways must not quietly share a port");
    assert!(output.stderr.contains(&gateway.port().to_string()), "{}", output.stderr);
    assert_eq!(gateway.get("/").status, 200);
}

#[test]
fn a_restart_gets_its_port_at_once() {
    let port = free_port();
    for _ in 0..3 {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("a folder: {error}"));
        let path = folder.path().join("policy.gate");
        let text = Policy::new().otherwise("respond 200").text().replace("@port", &port.to_string());
        std::fs::write(&path, text).unwrap_or_else(|error| panic!("a file: {error}"));
        let mut gateway = Gateway::serve(folder, &path, port);
        // The gateway closes first, so the kernel remembers the connection for a while.
        let mut client = gateway.client();
        assert_eq!(client.get_with("/", "connection: close\r\n").status, 200);
        gateway.signal("TERM");
        gateway.wait_end();
    }
}
