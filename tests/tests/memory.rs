//! Memory that peers make the gateway hold which do not read, or do not end what they send.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::{Duration, Instant};

use tidegate_tests::http2::{Http2, settings};
use tidegate_tests::http3::run;
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy};

const MIB: u64 = 1024 * 1024;
const ANSWERS: usize = 100;

fn gateway(behaviour: Behaviour) -> (Backend, Gateway) {
    let backend = Backend::start(behaviour);
    let gateway = Gateway::start(&Policy::to(&backend).listener("compression [br]"));
    (backend, gateway)
}

/// Waits until the gateway holds no more than a moment before; what that is beyond `before`.
fn settled(gateway: &Gateway, before: u64) -> u64 {
    let begun = Instant::now();
    let (mut last, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(500) {
        let now = gateway.usage().resident;
        if now > last + MIB / 4 {
            (last, since) = (now, Instant::now());
        }
        assert!(begun.elapsed() < PATIENCE, "it grows and grows: {now}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let grown = gateway.usage().resident.saturating_sub(before);
    println!("grew by {} KiB", grown / 1024);
    grown
}

/// One answer after the other, so that what the first use of everything costs is not counted.
fn warm_up(gateway: &Gateway) -> u64 {
    assert_eq!(gateway.get("/").status, 200);
    gateway.usage().resident
}

#[test]
fn unread_answers_over_http1() {
    let (backend, gateway) = gateway(Behaviour::Text("warm"));
    let before = warm_up(&gateway);
    backend.behave(Behaviour::Digits(64 * MIB, MIB / 4));
    let mut compressed = 0;
    let unread: Vec<_> = (0..ANSWERS)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: br\r\n\r\n");
            let head = client.receive_head().unwrap();
            assert_eq!(head.status, 200);
            compressed += usize::from(head.header("content-encoding").is_some());
            client
        })
        .collect();
    let grown = settled(&gateway, before);
    assert!(grown < 100 * MIB, "grew by {} MiB", grown / MIB);
    assert!((10..ANSWERS).contains(&compressed), "{compressed}: the rest goes as it is");
    drop(unread);
}

#[test]
fn unread_answers_over_http2() {
    let (backend, gateway) = gateway(Behaviour::Text("warm"));
    let before = warm_up(&gateway);
    backend.behave(Behaviour::Digits(64 * MIB, MIB / 4));
    run(async {
        // The windows of the protocol's beginning: the connection's is shut soon, and the streams' stay open.
        let mut small = settings();
        small.initial_window_size(65_535).initial_connection_window_size(65_535);
        let mut client = Http2::connect_as(gateway.port(), &small).await;
        let (mut unread, mut compressed) = (Vec::new(), 0);
        for _ in 0..ANSWERS {
            let request = client.request("GET", "/", &[("accept-encoding", "br")]);
            let (answer, _) = client.begin(request, true).await.unwrap();
            let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
            compressed += usize::from(answer.headers().contains_key("content-encoding"));
            unread.push(answer);
        }
        let grown = settled(&gateway, before);
        assert!(grown < 100 * MIB, "grew by {} MiB", grown / MIB);
        assert!((10..ANSWERS).contains(&compressed), "{compressed}: the rest goes as it is");
    });
}

#[test]
fn event_streams_without_events() {
    let (backend, gateway) = gateway(Behaviour::Text("warm"));
    let before = warm_up(&gateway);
    let head =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n6\r\ndata: \r\n";
    backend.behave(Behaviour::Raw(head.to_owned()));
    let mut compressed = 0;
    let mut idle: Vec<_> = (0..ANSWERS)
        .map(|_| {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: br\r\n\r\n");
            compressed += usize::from(client.receive_head().unwrap().header("content-encoding").is_some());
            client
        })
        .collect();
    let grown = settled(&gateway, before);
    assert!(grown < 100 * MIB, "grew by {} MiB", grown / MIB);
    assert!((10..ANSWERS).contains(&compressed), "{compressed}: the rest goes as it is");
    // Whoever leaves makes room.
    idle.clear();
    backend.wait_open(0);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: br\r\n\r\n");
    assert_eq!(client.receive_head().unwrap().header("content-encoding"), Some("br"));
}

#[test]
fn small_pieces_that_nobody_reads() {
    const CHUNKS: usize = 60_000;
    let (backend, gateway) = gateway(Behaviour::Text("warm"));
    let before = warm_up(&gateway);
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    backend.behave(Behaviour::Raw(format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(CHUNKS))));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let mut unread = Vec::new();
        for _ in 0..10 {
            let request = client.request("GET", "/", &[]);
            unread.push(client.begin(request, true).await.unwrap().0);
        }
        for answer in &mut unread {
            let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
            assert_eq!(answer.status(), 200);
            // The window is open, and the socket is not read: this thread waits.
            std::mem::forget(answer);
        }
        let grown = settled(&gateway, before);
        assert!(grown < 32 * MIB, "grew by {} MiB", grown / MIB);
    });
}
