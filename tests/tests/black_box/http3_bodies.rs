//! HTTP/3: bodies that are long, slow or too much, and all that a request passes on its way.

use std::fs;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tidegate_tests::http3::{Http3, Stream, answer, quic_client_with, run, tls};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Behaviour, Gateway, Http2Backend, PATIENCE, Policy, guest};

const MIB: u64 = 1024 * 1024;

fn start(policy: Policy, lines: &str) -> (Gateway, Authority) {
    let policy = policy.top("gateway { workers 2 }").quic(lines);
    let authority = Authority::new("tests");
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["localhost"]).sign().write(folder, "site");
        for name in ["client_headers", "tidegate_hostile_guest"] {
            fs::copy(guest(name), folder.join(format!("{name}.wasm"))).unwrap();
        }
    });
    (gateway, authority)
}

/// The length of what is left of an answer's body.
async fn count(stream: &mut Stream) -> u64 {
    let mut length = 0;
    while let Some(data) = tokio::time::timeout(PATIENCE, stream.recv_data()).await.unwrap().unwrap() {
        length += data.remaining() as u64;
    }
    length
}

#[test]
fn slow_readers_cost_no_memory_and_hold_up_no_other() {
    const SLOW: usize = 8;
    let backend = Backend::start(Behaviour::Stream(64 * MIB));
    let (gateway, authority) = start(Policy::to(&backend).rule("small", "when path is \"/small\"\nrespond 299"), "");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.get("/small").await.status, 299);
        let before = gateway.usage().resident;
        let mut others = Vec::new();
        for _ in 0..SLOW {
            let mut other = Http3::connect(gateway.port(), &authority).await;
            let mut stream = other.begin("GET", "/", &[]).await.unwrap();
            stream.finish().await.unwrap();
            assert_eq!(stream.recv_response().await.unwrap().status(), 200);
            others.push((other, stream));
        }
        assert_eq!(client.get("/small").await.status, 299);
        let (_, stream) = &mut others[SLOW - 1];
        assert_eq!(count(stream).await, 64 * MIB);
        // A connection keeps what its client has not acknowledged, and what waits between two sockets.
        let grown = gateway.usage().peak.saturating_sub(before);
        assert!(grown < SLOW as u64 * 6 * MIB, "{} KiB for {SLOW} readers of 64 MiB", grown >> 10);
    });
}

#[test]
fn an_upload_waits_for_its_backend() {
    let backend = Backend::start(Behaviour::StallBeforeUpload);
    let (gateway, authority) = start(Policy::to(&backend), "");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let before = gateway.usage().resident;
        let mut stream = client.begin("POST", "/", &[]).await.unwrap();
        let mut sent = 0;
        // Until nobody takes any more, which is what is waited for here.
        while tokio::time::timeout(Duration::from_millis(500), stream.send_data(Bytes::from(vec![7; 65536])))
            .await
            .is_ok_and(|result| result.is_ok())
        {
            sent += 65536;
            assert!(sent < 64 * MIB, "somebody gathers the body");
        }
        assert!(gateway.usage().peak.saturating_sub(before) < 16 * MIB, "{} KiB", gateway.usage().peak >> 10);
        // Another request on the connection has room of its own.
        backend.behave(Behaviour::Echo);
        assert_eq!(client.send("POST", "/other", &[], b"small").await.unwrap().echo().text(), "small");
    });
}

#[test]
fn bodies_have_limits() {
    let backend = Backend::start(Behaviour::Swallow);
    let (gateway, authority) = start(Policy::to(&backend), "limits { body-bytes 1KiB }");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let announced = client.send("POST", "/", &[("content-length", "1025")], &[7; 1025]).await;
        assert_eq!(announced.unwrap().status, 413);
        assert_eq!(client.send("POST", "/", &[], &[7; 1025]).await.unwrap().status, 413);
        assert_eq!(client.send("POST", "/", &[], &[7; 1024]).await.unwrap().text(), "1024");
    });
    assert_eq!(gateway.access("/")["failure"], "body-too-large");
}

#[test]
fn answers_without_a_body_have_none() {
    let backend = Backend::start(Behaviour::Raw("HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n".to_owned()));
    let policy = Policy::to(&backend).rule("ours", "when path is \"/ours\"\nrespond 200 \"hello\"");
    let (gateway, authority) = start(policy, "");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let empty = client.get("/").await;
        assert_eq!((empty.status, empty.header("content-length"), empty.body.len()), (204, None, 0));
        backend.behave(Behaviour::Raw("HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n".to_owned()));
        let empty = client.get("/").await;
        assert_eq!((empty.status, empty.header("etag"), empty.body.len()), (304, Some("\"a\""), 0));
        backend.behave(Behaviour::Raw("HTTP/1.1 200 OK\r\ncontent-length: 77\r\n\r\n".to_owned()));
        let head = client.send("HEAD", "/", &[], b"").await.unwrap();
        assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("77"), 0));
        let ours = client.send("HEAD", "/ours", &[], b"").await.unwrap();
        assert_eq!((ours.status, ours.header("content-length"), ours.body.len()), (200, Some("5"), 0));
    });
}

#[test]
fn extensions_run_on_requests_answers_and_bodies() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .top(
            "extension headers { module \"client_headers.wasm\"
             config { request { \"x-client\" \"{client-ip} {listener}\" }; response { \"x-served-by\" \"tidegate\" } }
             allow [read-request, write-request-headers, write-response-headers] }",
        )
        .top(
            "extension bodies { module \"tidegate_hostile_guest.wasm\"; on-error deny
             config { body buffer 1024 }
             allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, route, respond, body, \
             vars, log, clock, random, metrics, store] }",
        );
    let (gateway, authority) = start(policy, "run headers\nrun bodies");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let response = client.send("POST", "/", &[], b"upper").await.unwrap();
        assert_eq!(response.header("x-served-by"), Some("tidegate"));
        let echo = response.echo();
        assert_eq!((echo.text().as_str(), echo.header("x-client")), ("UPPER", Some("127.0.0.1 fast")));
        let refused = client.send("POST", "/", &[], b"respond").await.unwrap();
        assert_eq!((refused.status, refused.text().as_str()), (403, "no"));
    });
}

#[test]
fn a_last_request_is_told_to_be_one() {
    let backend = Backend::echo();
    let (gateway, authority) = start(Policy::to(&backend), "limits { requests-per-connection 2 }");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.get("/1").await.status, 200);
        assert_eq!(client.get("/2").await.status, 200);
        let over = tokio::time::timeout(PATIENCE, client.over).await.unwrap().unwrap();
        assert!(over.contains("H3_NO_ERROR"), "{over}");
    });
}

#[test]
fn requests_without_progress_have_an_end() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, authority) = start(Policy::to(&backend), "request-timeout 1s");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let begun = Instant::now();
        assert_eq!(client.get("/no-answer").await.status, 504);
        assert!(begun.elapsed() >= Duration::from_secs(1));
        // A body that does not come.
        let mut stream = client.begin("POST", "/no-body", &[("content-length", "5")]).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().status, 408);
        // The head of a request that does not come: the connection goes on, the stream does not.
        let (mut send, mut receive) = client.quic.open_bi().await.unwrap();
        send.write_all(&[1, 20, 0]).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, receive.read_to_end(1000)).await.unwrap();
        assert!(ended.is_err() || ended.is_ok_and(|bytes| bytes.is_empty()));
        backend.behave(Behaviour::Echo);
        assert_eq!(client.get("/next").await.status, 200);
    });
    assert_eq!(gateway.access("/no-answer")["failure"], "upstream-timeout");
}

#[test]
fn grpc_is_carried_from_http3_to_a_backend_of_http2() {
    let backend = Http2Backend::start();
    let policy = Policy::new()
        .group("web", &format!("protocol grpc; server {}", backend.address()))
        .rule("refused", "when header \"x-refused\" present\nrespond 403 \"not for you\"");
    let (gateway, authority) = start(policy, "");
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let fields = [("content-type", "application/grpc"), ("te", "trailers")];
        let status = |response: &tidegate_tests::Response| {
            let trailer = response.trailers.iter().find(|(name, _)| name == "grpc-status");
            trailer.map(|(_, value)| value.clone()).or_else(|| response.header("grpc-status").map(str::to_owned))
        };
        let echo = client.send("POST", "/test/Echo", &fields, b"hello").await.unwrap();
        assert_eq!((echo.text().as_str(), status(&echo).as_deref()), ("hello", Some("0")), "{echo:?}");
        let failed = client.send("POST", "/test/Fail", &fields, b"x").await.unwrap();
        assert_eq!(status(&failed).as_deref(), Some("9"), "{failed:?}");
        // What breaks off ends with a status, and not with a reset.
        let broken = client.send("POST", "/test/Break", &fields, b"x").await.unwrap();
        assert_eq!(status(&broken).as_deref(), Some("14"), "{broken:?}");
        let refused =
            client.send("POST", "/test/Echo", &[fields[0], fields[1], ("x-refused", "1")], b"x").await.unwrap();
        assert_eq!((refused.status, status(&refused).as_deref()), (200, Some("7")), "{refused:?}");
    });
}

#[test]
fn requests_that_are_begun_to_be_given_up_end_the_connection() {
    const MORE_THAN_ENOUGH: usize = 3000;
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, authority) = start(Policy::to(&backend).rule("ours", "when path is \"/ours\"\nrespond 299"), "");
    run(async {
        let mut other = Http3::connect(gateway.port(), &authority).await;
        let mut client = Http3::connect(gateway.port(), &authority).await;
        for _ in 0..MORE_THAN_ENOUGH {
            let Ok(mut stream) = client.begin("GET", "/", &[]).await else { break };
            stream.stop_stream(h3::error::Code::H3_REQUEST_CANCELLED);
            stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
        }
        let closed = tokio::time::timeout(PATIENCE, client.quic.closed()).await.unwrap();
        // H3_EXCESSIVE_LOAD (RFC 9114, 8.1).
        assert!(
            matches!(&closed, quinn::ConnectionError::ApplicationClosed(close) if close.error_code == 0x107_u32.into()),
            "{closed:?}"
        );
        assert_eq!(other.get("/ours").await.status, 299);
    });
}

#[test]
fn an_answer_that_nobody_takes_is_given_up_however_often_the_client_is_heard() {
    let backend = Backend::start(Behaviour::Stream(64 * MIB));
    let (gateway, authority) = start(Policy::to(&backend), "idle-timeout 1s\nrequest-timeout 1s");
    run(async {
        let endpoint = quic_client_with(tls(&authority), |transport| {
            transport.stream_receive_window(1000_u32.into()).keep_alive_interval(Some(Duration::from_millis(50)));
        });
        let mut client = Http3::connect_from(&endpoint, gateway.port()).await;
        let mut stream = client.begin("GET", "/untaken", &[]).await.unwrap();
        stream.finish().await.unwrap();
        let over = tokio::time::timeout(PATIENCE, client.over).await.unwrap().unwrap();
        assert!(over.contains("H3_NO_ERROR"), "{over}");
    });
    assert_eq!(gateway.access("/untaken")["failure"], "client-timeout");
}
