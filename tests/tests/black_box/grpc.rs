//! gRPC through the gateway: with a client and a server that know nothing of each other's HTTP, and frame by frame.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use serde_json::{Value, json};
use tidegate_tests::http2::{Http2, read, send_all};
use tidegate_tests::http3::run;
use tidegate_tests::pki::Authority;
use tidegate_tests::{Gateway, Http2Backend, Lines, Policy, Response, eventually, free_port, python};

const GRPC: (&str, &str) = ("content-type", "application/grpc");

/// A policy whose group `web` speaks gRPC with this server, and rules for what a gateway adds.
fn policy(server: &str) -> Policy {
    Policy::new()
        .group("web", &format!("protocol grpc; server {server}"))
        .group("nobody", &format!("protocol grpc; server 127.0.0.1:{}; connect-timeout 1s", free_port()))
        .rule("limited", "when header \"x-limited\" present\nlimit 1/m\nforward web")
        .rule("refused", "when header \"x-refused\" present\nrespond 403 \"not for you\"")
        .rule("nobody", "when header \"x-nobody\" present\nforward nobody")
        .rule("short", "when path under \"/short\"\ntimeout 1s\nforward web")
}

/// The server in Python. It ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn grpcio_makes_calls_of_all_kinds() {
    let port = free_port();
    let Some(mut server) = python("grpc_calls.py") else { return };
    let mut server = server.args(["serve", &port.to_string()]).stdout(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(server.stdout.take().unwrap());
    let _server = Server(server);
    lines.wait(0, |line| (line == "ready").then_some(())).expect("the server in Python starts");
    let authority = Authority::new("Root");
    let policy = policy(&format!("127.0.0.1:{port}"));
    let clear = Gateway::start(&policy);
    let secure = Gateway::start_with(&policy.https(), |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("root.pem"), authority.pem()).unwrap();
    });
    let roots = secure.folder().join("root.pem").display().to_string();
    for (port, trust) in [(clear.port(), None), (secure.port(), Some(roots.as_str()))] {
        let mut client = python("grpc_calls.py").unwrap();
        let output = client.args(["call", &format!("127.0.0.1:{port}")]).args(trust).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
        let wanted = json!({
            "unary": "hello",
            "initial": {"x-initial": "one"},
            "bytes": [[0, 255]],
            "trailing": "two",
            "metadata": ["1", [1, 2]],
            "server_stream": ["0", "1", "2", "3", "4"],
            "long_stream": 2000,
            "client_stream": "5",
            "bidi": (0..10).map(|number| number.to_string()).collect::<Vec<_>>(),
            "large": true,
            "many": 200,
            "fail": ["FAILED_PRECONDITION", "näh 100%"],
            "unknown": "UNIMPLEMENTED",
            "deadline": "DEADLINE_EXCEEDED",
            "deadline_at_server": true,
            "deadline_ends_call": true,
            "deadline_of_stream": "DEADLINE_EXCEEDED",
            "cancel": "CANCELLED",
            "cancel_at_server": true,
            "limited": ["OK", "RESOURCE_EXHAUSTED"],
            "refused": ["PERMISSION_DENIED", "not for you"],
            "nobody": ["UNAVAILABLE", "502 Bad Gateway: no server could be reached"],
        });
        for (name, wanted) in wanted.as_object().unwrap() {
            assert_eq!(&seen[name], wanted, "{name}");
        }
    }
}

/// A unary call whose message is this text.
async fn call(client: &mut Http2, path: &str, headers: &[(&str, &str)], message: &str) -> Result<Response, h2::Error> {
    let headers = [&[GRPC, ("te", "trailers")][..], headers].concat();
    client.send("POST", path, &headers, message.as_bytes()).await
}

/// The status of a call: `grpc-status` of the trailers, or of a head that is all there is.
fn status(answer: &Response) -> Option<&str> {
    let all = answer.trailers.iter().chain(&answer.headers);
    all.filter(|(name, _)| name == "grpc-status").map(|(_, value)| value.as_str()).next()
}

#[test]
fn a_call_keeps_its_shape() {
    let backend = Http2Backend::start();
    let gateway = Gateway::start(&policy(&backend.address()));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let answer =
            call(&mut client, "/test/Echo", &[("x-trailer", "mine"), ("grpc-timeout", "10S")], "hello").await.unwrap();
        assert_eq!((answer.status, answer.text().as_str(), status(&answer)), (200, "hello", Some("0")));
        assert_eq!(answer.header("content-type"), Some("application/grpc"));
        assert!(answer.trailers.contains(&("x-trailer".to_owned(), "mine".to_owned())));
        let (method, target, fields) = backend.seen().requests.pop().unwrap();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!((method.as_str(), target.as_str()), ("POST", "http://test/test/Echo"));
        assert_eq!((field("te"), field("grpc-timeout"), field("host")), (Some("trailers"), Some("10S"), None));
        // Trailers without a body stay what they are: a head that is all.
        let failed = call(&mut client, "/test/Fail", &[], "x").await.unwrap();
        assert_eq!((failed.header("grpc-status"), failed.header("grpc-message")), (Some("9"), Some("not now")));
        assert!(failed.body.is_empty() && failed.trailers.is_empty());
        // A backend that needs no more of the request.
        let request = client.request("POST", "/test/Early", &[GRPC]);
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        send_all(&mut stream, Bytes::from_static(b"some of it"), false).await.unwrap();
        let answer = read(answer).await.unwrap();
        assert_eq!((answer.text().as_str(), status(&answer)), ("early", Some("0")));
    });
    assert_eq!(backend.seen().connections, 1, "calls share a connection");
}

#[test]
fn what_goes_wrong_is_a_status_of_grpc() {
    let backend = Http2Backend::start();
    let gateway = Gateway::start(&policy(&backend.address()).listener("limits { body-bytes 1KiB; uri-bytes 1KiB }"));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let long = format!("/{}", "x".repeat(2000));
        for (path, headers, message, wanted) in [
            ("/test/Echo", &[("x-refused", "1")][..], "x", "7"),
            ("/test/Echo", &[("x-nobody", "1")], "x", "14"),
            ("/test/Echo", &[("x-limited", "1")], "x", "0"),
            ("/test/Echo", &[("x-limited", "1")], "x", "8"),
            ("/test/Stall", &[("grpc-timeout", "200m")], "x", "4"),
            ("/test/StallInBody", &[("grpc-timeout", "300m")], "x", "4"),
            ("/short/Stall", &[], "x", "4"),
            ("/test/Break", &[], "x", "14"),
            (&long, &[], "x", "8"),
            ("/../up", &[], "x", "13"),
        ] {
            let answer = call(&mut client, path, headers, message).await.unwrap();
            assert_eq!((answer.status, status(&answer)), (200, Some(wanted)), "{path:.20} {headers:?}: {answer:?}");
            assert_eq!(answer.header("content-type"), Some("application/grpc"), "{path:.20}");
            assert!(answer.header("grpc-message").is_none_or(|_| answer.body.is_empty()), "{path:.20}");
        }
        let large = "x".repeat(2000);
        let answer = call(&mut client, "/test/Echo", &[], &large).await.unwrap();
        assert_eq!(status(&answer), Some("8"));
        // Who speaks no gRPC gets HTTP.
        let answer = client.send("POST", "/test/Echo", &[("x-refused", "1")], b"x").await.unwrap();
        assert_eq!((answer.status, answer.header("grpc-status")), (403, None));
    });
    eventually("what took too long is given up", || {
        let cancelled = backend.seen().cancelled;
        if cancelled >= 3 { Ok(()) } else { Err(cancelled) }
    });
}

#[test]
fn a_call_that_is_given_up_is_given_up_at_the_backend() {
    let backend = Http2Backend::start();
    let gateway = Gateway::start(&policy(&backend.address()));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        for path in ["/test/Stall", "/test/StallInBody"] {
            let before = backend.seen();
            let (answer, mut stream) = client.begin(client.request("POST", path, &[GRPC]), false).await.unwrap();
            backend.until("the call", |seen| seen.requests.len() > before.requests.len()).await;
            stream.send_reset(Reason::CANCEL);
            drop(answer);
            backend.until("its end", |seen| seen.cancelled > before.cancelled).await;
        }
        assert_eq!(status(&call(&mut client, "/test/Echo", &[], "on").await.unwrap()), Some("0"));
    });
    assert_eq!(backend.seen().connections, 1, "one call is given up, and not its connection");
}

#[test]
fn a_stream_that_a_server_refused_is_sent_again() {
    let backend = Http2Backend::start();
    let gateway = Gateway::start(&policy(&backend.address()).top("gateway { workers 1 }"));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        // Without a body: one with a body would have to be kept for it.
        let answer = client.send("GET", "/test/RefuseOnce", &[GRPC], &[]).await.unwrap();
        assert_eq!(status(&answer), Some("0"), "{answer:?}");
        assert_eq!(backend.seen().requests.len(), 2);
        // Who refuses all is asked three times.
        let answer = client.send("GET", "/test/Refuse", &[GRPC], &[]).await.unwrap();
        assert_eq!(status(&answer), Some("14"), "{answer:?}");
        assert_eq!(backend.seen().requests.len(), 5);
        // GOAWAY: the next call takes another connection.
        for _ in 0..3 {
            assert_eq!(status(&call(&mut client, "/test/Leave", &[], "x").await.unwrap()), Some("0"));
        }
        assert!(backend.seen().connections >= 3, "{}", backend.seen().connections);
    });
}

#[test]
fn more_calls_than_a_server_takes_at_once_get_more_connections() {
    let mut settings = h2::server::Builder::new();
    settings.max_concurrent_streams(10);
    let backend = Http2Backend::with(&settings);
    let gateway = Gateway::start(&policy(&backend.address()).top("gateway { workers 1 }"));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let mut open = Vec::new();
        for _ in 0..35 {
            let request = client.request("POST", "/test/Echo", &[GRPC]);
            let (answer, mut stream) = client.begin(request, false).await.unwrap();
            send_all(&mut stream, Bytes::from_static(b"a"), false).await.unwrap();
            let mut answer = tokio::time::timeout(Duration::from_secs(20), answer).await.unwrap().unwrap();
            assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "a");
            open.push((answer, stream));
        }
        assert!((4..=8).contains(&backend.seen().connections), "{}", backend.seen().connections);
        for (mut answer, mut stream) in open {
            send_all(&mut stream, Bytes::from_static(b"b"), true).await.unwrap();
            assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "b");
            assert_eq!(answer.body_mut().trailers().await.unwrap().unwrap()["grpc-status"], "0");
        }
    });
}

#[test]
fn streams_are_not_held_up_and_not_gathered() {
    const MIB: usize = 1 << 20;
    let backend = Http2Backend::start();
    let gateway = Gateway::start(&policy(&backend.address()));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        // Each message comes back before the next one goes.
        let (answer, mut stream) = client.begin(client.request("POST", "/test/Echo", &[GRPC]), false).await.unwrap();
        let mut answer = answer.await.unwrap();
        for number in 0..200 {
            let message = Bytes::from(format!("message {number}"));
            send_all(&mut stream, message.clone(), false).await.unwrap();
            assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), message);
            answer.body_mut().flow_control().release_capacity(message.len()).unwrap();
        }
        // And 100 MiB there and back at the line rate.
        let (answer, mut stream) = client.begin(client.request("POST", "/test/Echo", &[GRPC]), false).await.unwrap();
        let began = Instant::now();
        let sender = tokio::spawn(async move {
            let block = Bytes::from(vec![b'x'; MIB]);
            for number in 1..=100 {
                send_all(&mut stream, block.clone(), number == 100).await.unwrap();
            }
        });
        let mut answer = answer.await.unwrap();
        assert_eq!(tidegate_tests::http2::count(answer.body_mut()).await.unwrap(), 100 * MIB as u64);
        sender.await.unwrap();
        println!("100 MiB there and back in {:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    });
    assert!(gateway.usage().peak < 128 * MIB as u64, "{}", gateway.usage().peak);
}
