//! Memory that peers make the gateway hold which do not read, or do not end what they send.

use std::io::Write;
use std::time::Duration;

use tidegate_tests::frames::{Frames, PREFACE, SETTINGS, WINDOW_UPDATE, request};
use tidegate_tests::http2::{Http2, settings};
use tidegate_tests::http3::{Http3, run};
use tidegate_tests::websocket::WebSocketBackend;
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy, eventually, reset_peak, settled};

const MIB: u64 = 1024 * 1024;
const ANSWERS: usize = 100;

fn gateway(behaviour: Behaviour) -> (Backend, Gateway) {
    let backend = Backend::start(behaviour);
    let gateway = Gateway::start(&Policy::to(&backend).listener("compression [br]"));
    (backend, gateway)
}

/// Waits until the gateway holds no more than a moment before; the most that it has held meanwhile, beyond `before`.
fn grown(gateway: &Gateway, before: u64) -> u64 {
    settled("what the gateway holds", MIB / 4, || gateway.usage().resident);
    let usage = gateway.usage();
    let (grown, peak) = (usage.resident.saturating_sub(before), usage.peak.saturating_sub(before));
    println!("grew by {} KiB, at most by {} KiB", grown / 1024, peak / 1024);
    peak
}

/// One answer after the other, so that what the first use of everything costs is not counted.
fn warm_up(gateway: &Gateway) -> u64 {
    assert_eq!(gateway.get("/").status, 200);
    reset_peak(gateway.pid());
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
    let grown = grown(&gateway, before);
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
        let grown = grown(&gateway, before);
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
    let grown = grown(&gateway, before);
    assert!(grown < 100 * MIB, "grew by {} MiB", grown / MIB);
    assert!((10..ANSWERS).contains(&compressed), "{compressed}: the rest goes as it is");
    // Whoever leaves makes room.
    idle.clear();
    backend.wait_open(0);
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: br\r\n\r\n");
    assert_eq!(client.receive_head().unwrap().header("content-encoding"), Some("br"));
}

/// An answer of 60,000 chunks of one byte.
fn small_chunks() -> Behaviour {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    Behaviour::Raw(format!("{head}{}0\r\n\r\n", "1\r\nx\r\n".repeat(60_000)))
}

/// A connection whose windows are open and whose socket is full: the client reads nothing. The policy forwards `/big` to `big`.
fn jammed(gateway: &Gateway, big: &Backend) -> Frames {
    let mut client = Frames::bare(gateway.port());
    let open = (1_u32 << 30).to_be_bytes();
    client.raw(PREFACE).send(SETTINGS, 0, 0, &[&[0, 4], &open[..]].concat()).send(WINDOW_UPDATE, 0, 0, &open);
    client.get(1, "/big");
    big.wait_head(1);
    grown(gateway, 0);
    reset_peak(gateway.pid());
    client
}

fn with_big(policy: Policy) -> (Backend, Policy) {
    let big = Backend::start(Behaviour::Stream(256 * MIB));
    let policy = policy.backend("big", &big).rule("big", "when path is \"/big\"\nforward big");
    (big, policy)
}

#[test]
fn small_pieces_over_http2_that_nobody_reads() {
    const STREAMS: u32 = 20;
    let backend = Backend::start(Behaviour::Text("warm"));
    let (big, policy) = with_big(Policy::to(&backend));
    let gateway = Gateway::start(&policy);
    warm_up(&gateway);
    let mut client = jammed(&gateway, &big);
    let before = gateway.usage().resident;
    backend.behave(small_chunks());
    for n in 1..=STREAMS {
        client.get(2 * n + 1, "/");
    }
    backend.wait_head(1 + STREAMS as usize);
    let grown = grown(&gateway, before);
    assert!(grown < 16 * MIB, "grew by {} MiB", grown / MIB);
}

#[test]
fn small_messages_over_http2_that_nobody_reads() {
    const TUNNELS: u32 = 20;
    let chat = WebSocketBackend::start(|mut socket| {
        // A pause after each message, so that the gateway sees each alone, as it comes.
        for _ in 0..20_000 {
            if socket.write_all(b"\x82\x01x").is_err() {
                return;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    });
    let (big, policy) = with_big(Policy::new().group("web", &format!("server {}", chat.address())));
    let gateway = Gateway::start(&policy);
    let mut client = jammed(&gateway, &big);
    let before = gateway.usage().resident;
    for n in 1..=TUNNELS {
        let fields = request("CONNECT", "/chat", &[(":protocol", "websocket"), ("sec-websocket-version", "13")]);
        client.headers(2 * n + 1, 0, &fields);
    }
    eventually("the handshakes", || match chat.handshakes().len() {
        count if count == TUNNELS as usize => Ok(()),
        count => Err(count),
    });
    let grown = grown(&gateway, before);
    assert!(grown < 16 * MIB, "grew by {} MiB", grown / MIB);
}

#[test]
fn small_pieces_over_http3_that_nobody_acknowledges() {
    const STREAMS: usize = 50;
    let backend = Backend::start(Behaviour::Text("warm"));
    let (gateway, authority) = Gateway::start_quic(&Policy::to(&backend).quic(""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.get("/").await.status, 200);
        let before = warm_up(&gateway);
        backend.behave(small_chunks());
        let mut unread = Vec::new();
        for _ in 0..STREAMS {
            let mut stream = client.begin("GET", "/", &[]).await.unwrap();
            stream.finish().await.unwrap();
            unread.push(stream);
        }
        // Until the requests are there, the client has to go on. Then this thread waits, and nothing is acknowledged.
        backend.until("the requests", |backend| backend.open() >= STREAMS).await;
        let grown = grown(&gateway, before);
        assert!(grown < 16 * MIB, "grew by {} MiB", grown / MIB);
    });
}
