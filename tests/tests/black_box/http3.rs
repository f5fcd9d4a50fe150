//! HTTP/3: requests and answers, limits, reloads, and clients that change their address.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tidegate_tests::http3::{Http3, answer, quic_client, run, tls};
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy, eventually};

/// A policy with a QUIC listener of these lines, and a gateway with more than one worker.
fn with_quic(policy: Policy, lines: &str) -> Policy {
    policy.top("gateway { workers 2; drain 5s }").quic(lines)
}

#[test]
fn a_request_goes_through_and_says_where_it_came_from() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), "forwarded [for, proto, port]"));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let response = client.send("GET", "/a?b=c", &[("x-one", "1")], b"").await.unwrap();
        assert_eq!(response.status, 200);
        assert!(response.header("date").is_some());
        let echo = response.echo();
        assert_eq!((echo.method.as_str(), echo.target.as_str()), ("GET", "/a?b=c"));
        assert_eq!(echo.header("host"), Some("localhost"));
        assert_eq!(echo.header("x-one"), Some("1"));
        assert_eq!(echo.header("x-forwarded-proto"), Some("https"));
        assert_eq!(echo.header("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(echo.length, 0);
        assert_eq!(echo.header("transfer-encoding"), None, "a request without a body has none at the backend");
        // The same connection serves the next one.
        assert_eq!(client.get("/again").await.echo().target, "/again");
    });
    let line = gateway.access("/a?b=c");
    assert_eq!((line["protocol"].as_str(), line["scheme"].as_str()), (Some("h3"), Some("https")));
    assert_eq!(line["listener"], "fast");
}

#[test]
fn rules_see_the_protocol() {
    let backend = Backend::start(Behaviour::Echo);
    let policy = with_quic(Policy::to(&backend), "").rule("new", "when protocol is h3\nrespond 299 \"three\"");
    let (gateway, authority) = Gateway::start_quic(&policy);
    assert_eq!(gateway.get("/").status, 200);
    let response = run(async { Http3::connect(gateway.port(), &authority).await.get("/").await });
    assert_eq!((response.status, response.text().as_str()), (299, "three"));
    assert_eq!(response.header("content-length"), Some("5"));
}

#[test]
fn bodies_stream_both_ways() {
    let backend = Backend::start(Behaviour::Swallow);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let upload = client.send("POST", "/up", &[], &vec![7; 10_000_000]).await.unwrap();
        assert_eq!(upload.text(), "10000000");
        let known = client.send("POST", "/up", &[("content-length", "100000")], &vec![7; 100_000]).await.unwrap();
        assert_eq!(known.text(), "100000");
        backend.behave(Behaviour::Stream(20_000_000));
        assert_eq!(client.get("/down").await.body.len(), 20_000_000);
        backend.behave(Behaviour::Chunks(vec!["one ", "two ", "three"]));
        assert_eq!(client.get("/chunks").await.text(), "one two three");
        let head = client.send("HEAD", "/head", &[], b"").await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0));
    });
}

#[test]
fn an_answer_begins_before_the_request_has_ended() {
    let backend = Backend::start(Behaviour::AnswerBeforeUpload);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut stream = client.begin("POST", "/", &[]).await.unwrap();
        stream.send_data(Bytes::from_static(b"first")).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().status, 200);
    });
}

#[test]
fn trailers_come_through() {
    let raw =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    let response = run(async { Http3::connect(gateway.port(), &authority).await.get("/").await });
    assert_eq!(response.text(), "body");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "42".to_owned())]);
}

#[test]
fn a_client_that_expects_continue_is_told_to_go_on() {
    let backend = Backend::start(Behaviour::Swallow);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut stream = client.begin("POST", "/", &[("expect", "100-continue")]).await.unwrap();
        let interim = tokio::time::timeout(PATIENCE, stream.recv_response()).await.unwrap().unwrap();
        assert_eq!(interim.status().as_u16(), 100);
        stream.send_data(Bytes::from_static(b"body")).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().text(), "4");
    });
}

#[test]
fn a_broken_answer_is_not_taken_for_a_whole_one() {
    let backend = Backend::start(Behaviour::CloseInChunk);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let error = client.send("GET", "/", &[], b"").await.unwrap_err();
        assert!(error.contains("H3_INTERNAL_ERROR"), "{error}");
        // The other streams of the connection are none the worse for it.
        backend.behave(Behaviour::Echo);
        assert_eq!(client.get("/next").await.status, 200);
    });
}

#[test]
fn a_request_that_the_client_gives_up_ends_at_the_backend() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut stream = client.begin("GET", "/given-up", &[]).await.unwrap();
        stream.finish().await.unwrap();
        backend.until("the backend has the request", |backend| backend.requests().len() == 1).await;
        stream.stop_sending(h3::error::Code::H3_REQUEST_CANCELLED);
        backend.until("the request ends at the backend", |backend| backend.open() == 0).await;
        assert_eq!(client.quic.close_reason(), None);
    });
    assert_eq!(gateway.access("/given-up")["failure"], "client-closed");
}

#[test]
fn what_is_malformed_is_a_stream_error_and_nothing_more() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        for header in [("connection", "close"), ("transfer-encoding", "chunked"), ("upgrade", "h2c"), ("te", "gzip")] {
            let error = client.send("GET", "/", &[header], b"").await.unwrap_err();
            assert!(error.contains("H3_MESSAGE_ERROR"), "{header:?}: {error}");
        }
        // `te: trailers` is what HTTP/3 allows.
        assert_eq!(client.send("GET", "/", &[("te", "trailers")], b"").await.unwrap().status, 200);
        // More, and less, than was announced.
        for length in ["2", "9"] {
            let refused = client.send("POST", "/", &[("content-length", length)], b"12345").await;
            assert!(refused.as_ref().map_or(true, |response| response.status == 400), "{refused:?}");
        }
        assert_eq!(client.get("/").await.status, 200);
    });
}

#[test]
fn connect_and_trace_are_not_carried() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.send("CONNECT", "/", &[], b"").await.unwrap().status, 405);
        assert_eq!(client.send("TRACE", "/", &[], b"").await.unwrap().status, 405);
        assert_eq!(client.send("GET", "/../..", &[], b"").await.unwrap().status, 400);
    });
}

#[test]
fn heads_have_limits() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) =
        Gateway::start_quic(&with_quic(Policy::to(&backend), "limits { header-bytes 8KiB; headers 20 }"));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        // The client's library heeds the announced limit itself, so that the test goes around it with many small fields.
        let many: Vec<_> = (0..30).map(|number| format!("x-{number}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(client.send("GET", "/", &many, b"").await.unwrap().status, 431);
        let long = "x".repeat(9000);
        let refused = client.send("GET", "/", &[("x-long", &long)], b"").await;
        assert!(refused.as_ref().map_or(true, |response| response.status == 431), "{refused:?}");
        assert_eq!(client.get("/").await.status, 200);
    });
}

#[test]
fn streams_and_connections_have_limits() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, authority) =
        Gateway::start_quic(&with_quic(Policy::to(&backend), "limits { streams 3; connections 2 }"));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let mut stream = client.begin("GET", "/", &[]).await.unwrap();
            stream.finish().await.unwrap();
            open.push(stream);
        }
        let fourth = tokio::time::timeout(Duration::from_millis(300), client.begin("GET", "/", &[])).await;
        assert!(fourth.is_err(), "a fourth request has to wait for one of the three");
        let _second = Http3::connect(gateway.port(), &authority).await;
        let third = quic_client(tls(&authority));
        let refused = third.connect(tidegate_tests::http3::address(gateway.port()), "localhost").unwrap().await;
        assert!(refused.is_err(), "a third connection is refused");
    });
}

#[test]
fn frames_have_limits_and_end_where_they_say() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    for (bytes, code) in [
        // HEADERS that announces 16 MiB: it would have to be gathered.
        (&[0x01, 0x81, 0x00, 0x00, 0x00, 0, 0][..], 0x107),
        // An unknown frame of the same length.
        (&[0x21, 0x81, 0x00, 0x00, 0x00, 0, 0][..], 0x107),
        // The stream ends within a frame.
        (&[0x01, 0x10, 0][..], 0x106),
        // DATA before HEADERS.
        (&[0x00, 0x01, 0][..], 0x105),
    ] {
        run(async {
            let client = Http3::connect(gateway.port(), &authority).await;
            let (mut send, _receive) = client.quic.open_bi().await.unwrap();
            send.write_all(bytes).await.unwrap();
            send.finish().unwrap();
            let closed = tokio::time::timeout(PATIENCE, client.quic.closed()).await.expect("the connection is closed");
            let quinn::ConnectionError::ApplicationClosed(close) = closed else { panic!("{closed:?}") };
            assert_eq!(close.error_code.into_inner(), code, "{bytes:?}: {close:?}");
        });
    }
}

#[test]
fn a_client_goes_on_after_its_port_has_changed() {
    const LENGTH: u64 = 50_000_000;
    let backend = Backend::start(Behaviour::Stream(LENGTH));
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let endpoint = quic_client(tls(&authority));
        let mut client = Http3::connect_from(&endpoint, gateway.port()).await;
        let mut stream = client.begin("GET", "/", &[]).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
        let (mut received, mut moves) = (0_u64, 0_u64);
        while let Some(mut data) =
            tokio::time::timeout(PATIENCE, stream.recv_data()).await.expect("data in time").unwrap()
        {
            received += data.remaining() as u64;
            data.advance(data.remaining());
            // Eight ports: the chance that the kernel gives all of them to one of two workers is one in 256.
            if received / 5_000_000 > moves && moves < 8 {
                moves += 1;
                endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            }
        }
        assert_eq!((received, moves), (LENGTH, 8));
        assert_eq!(client.quic.close_reason(), None);
    });
}

#[test]
fn a_thousand_connections_live_on_over_a_reload() {
    let backend = Backend::start(Behaviour::Echo);
    let policy = with_quic(Policy::to(&backend), "idle-timeout 120s");
    let (gateway, authority) = Gateway::start_quic(&policy);
    run(async {
        let (mut clients, mut endpoints) = (Vec::new(), Vec::new());
        let before = gateway.usage().resident;
        for _ in 0..20 {
            // A socket each: the kernel spreads them over the workers.
            let endpoint = quic_client(tls(&authority));
            for _ in 0..50 {
                clients.push(Http3::connect_from(&endpoint, gateway.port()).await);
            }
            endpoints.push(endpoint);
        }
        for client in &mut clients {
            assert_eq!(client.get("/before").await.status, 200);
        }
        let each = gateway.usage().resident.saturating_sub(before) / clients.len() as u64;
        eprintln!("{each} bytes for a connection that has served a request");
        assert!(each < 128 * 1024, "{each} bytes for each connection");
        gateway.reload(&policy.clone().rule("new", "when path is \"/after\"\nrespond 299"));
        for client in &mut clients {
            assert_eq!(client.get("/after").await.status, 299);
            assert_eq!(client.quic.close_reason(), None);
        }
        // All of them move, so that the kernel gives half of them to the worker that does not own them: only a packet
        // that is handed over to the owner is answered.
        for (endpoint, clients) in endpoints.iter().zip(clients.chunks_mut(50)) {
            endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
            for client in clients {
                assert_eq!(client.get("/after").await.status, 299);
                assert_eq!(client.quic.close_reason(), None);
            }
        }
    });
}

#[test]
fn a_removed_listener_finishes_its_requests() {
    let backend = Backend::start(Behaviour::StallInBody);
    let policy = with_quic(Policy::to(&backend), "");
    let (gateway, authority) = Gateway::start_quic(&policy);
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut stream = client.begin("GET", "/", &[]).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
        gateway.reload(&Policy::to(&backend));
        // New clients hear that nobody is there.
        let late = quic_client(tls(&authority));
        let connecting = late.connect(tidegate_tests::http3::address(gateway.port()), "localhost").unwrap();
        assert!(tokio::time::timeout(PATIENCE, connecting).await.expect("an answer").is_err());
        backend.release();
        let mut body = Vec::new();
        while let Some(mut data) = stream.recv_data().await.unwrap() {
            body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        assert_eq!(body, b"hello world");
        // And then it is closed, without an error.
        let over = tokio::time::timeout(PATIENCE, client.over).await.expect("the connection ends").unwrap();
        assert!(over.contains("H3_NO_ERROR"), "{over}");
    });
}

#[test]
fn a_listener_that_comes_back_while_it_drains_serves_old_and_new() {
    let backend = Backend::start(Behaviour::StallInBody);
    let policy = with_quic(Policy::to(&backend), "");
    let (gateway, authority) = Gateway::start_quic(&policy);
    run(async {
        let mut old = Http3::connect(gateway.port(), &authority).await;
        let mut stream = old.begin("GET", "/", &[]).await.unwrap();
        stream.finish().await.unwrap();
        assert_eq!(stream.recv_response().await.unwrap().status(), 200);
        gateway.reload(&Policy::to(&backend));
        gateway.reload(&policy.clone().rule("new", "when path is \"/new\"\nrespond 299"));
        // Old and new sockets share the port: the kernel gives packets of both to both.
        for _ in 0..20 {
            assert_eq!(Http3::connect(gateway.port(), &authority).await.get("/new").await.status, 299);
        }
        backend.release();
        let mut length = 0;
        while let Some(data) = stream.recv_data().await.unwrap() {
            length += data.remaining();
        }
        assert_eq!(length, "hello world".len());
    });
}

#[test]
fn sigterm_lets_requests_finish() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (mut gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut client = Http3::connect(gateway.port(), &authority).await;
        let mut idle = Http3::connect(gateway.port(), &authority).await;
        let mut stream = client.begin("GET", "/last", &[]).await.unwrap();
        stream.finish().await.unwrap();
        backend.until("the backend has the request", |backend| backend.requests().len() == 1).await;
        gateway.signal("TERM");
        let over = tokio::time::timeout(PATIENCE, &mut idle.over).await.expect("an idle connection ends").unwrap();
        assert!(over.contains("H3_NO_ERROR"), "{over}");
        backend.release();
        assert_eq!(answer(&mut stream).await.unwrap().echo().target, "/last");
    });
    assert!(gateway.wait_end().success());
}

#[test]
fn an_idle_connection_is_closed_and_a_waiting_one_is_not() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let (gateway, authority) =
        Gateway::start_quic(&with_quic(Policy::to(&backend), "idle-timeout 1s\nrequest-timeout 20s"));
    run(async {
        let begun = Instant::now();
        let mut idle = Http3::connect(gateway.port(), &authority).await;
        let mut waiting = Http3::connect(gateway.port(), &authority).await;
        let mut stream = waiting.begin("GET", "/", &[]).await.unwrap();
        stream.finish().await.unwrap();
        // Twice, so that the one that waits has waited for longer than the timeout by far.
        for _ in 0..2 {
            let over = tokio::time::timeout(PATIENCE, idle.over).await.expect("it is closed").unwrap();
            assert!(over.contains("H3_NO_ERROR"), "{over}");
            assert!(begun.elapsed() >= Duration::from_secs(1), "not before its time");
            idle = Http3::connect(gateway.port(), &authority).await;
        }
        backend.release();
        assert_eq!(answer(&mut stream).await.unwrap().status, 200);
    });
}

/// The delay with which this machine lets a thread go on that asked for a short sleep, at worst: until it is told to stop.
fn lateness(stop: &AtomicBool) -> Duration {
    const NAP: Duration = Duration::from_millis(5);
    let mut worst = Duration::ZERO;
    while !stop.load(Ordering::SeqCst) {
        let begun = Instant::now();
        // What is measured.
        std::thread::sleep(NAP);
        worst = worst.max(begun.elapsed().saturating_sub(NAP));
    }
    worst
}

#[test]
fn after_its_last_answer_a_connection_has_its_idle_timeout_once() {
    // Two ticks of the gateway, and the time that a client may keep an acknowledgement back (RFC 9000, 18.2).
    const LATE: Duration = Duration::from_millis(200 + 25);
    /// The gateway runs beside other tests, and its worker may be held up where this process is not.
    const ELSEWHERE: Duration = Duration::from_millis(500);
    let backend = Backend::start(Behaviour::Stream(3_000_000));
    let cases = [("", 15), ("idle-timeout 5s", 5), ("idle-timeout 2s", 2)];
    let started = cases.map(|(line, _)| {
        Gateway::start_quic(&with_quic(Policy::to(&backend), &format!("{line}\nrequest-timeout 20s")))
    });
    let stop = AtomicBool::new(false);
    let (waited, late) = std::thread::scope(|scope| {
        let late = scope.spawn(|| lateness(&stop));
        let waited = run(async {
            let mut connections = Vec::new();
            for (gateway, authority) in &started {
                let mut client = Http3::connect(gateway.port(), authority).await;
                // More than is on its way at once.
                assert_eq!(client.get("/").await.body.len(), 3_000_000);
                let begun = Instant::now();
                connections.push(tokio::spawn(async move {
                    // All of it, or the client would close the connection itself.
                    let client = client;
                    client.over.await.expect("it is closed");
                    begun.elapsed()
                }));
            }
            let mut waited = Vec::new();
            for over in connections {
                waited.push(tokio::time::timeout(2 * PATIENCE, over).await.expect("it is closed").unwrap());
            }
            waited
        });
        stop.store(true, Ordering::SeqCst);
        (waited, late.join().unwrap())
    });
    for ((_, limit), waited) in cases.into_iter().zip(waited) {
        let limit = Duration::from_secs(limit);
        eprintln!("{limit:?}: {waited:?}; this machine was {late:?} late");
        assert!(waited + late >= limit, "{waited:?}: not before {limit:?}");
        // The gateway and the client may both have been kept from going on.
        assert!(
            waited <= limit + LATE + ELSEWHERE + 2 * late,
            "{waited:?}: soon after {limit:?}, on a machine {late:?} late"
        );
    }
}

#[test]
fn early_data_is_for_safe_requests() {
    let backend = Backend::start(Behaviour::Echo);
    let policy = with_quic(Policy::to(&backend), "early-data on");
    let policy =
        policy.rule("early", "when header \"early-data\" is \"1\"\nset-header \"x-rule\" \"saw it\"\nforward web");
    let (gateway, authority) = Gateway::start_quic(&policy);
    run(async {
        let mut tls = tls(&authority);
        tls.enable_early_data = true;
        let endpoint = quic_client(tls);
        let mut first = Http3::connect_from(&endpoint, gateway.port()).await;
        assert_eq!(first.get("/").await.echo().header("early-data"), None);
        let early = |path: &'static str, method: &'static str| {
            let connecting = endpoint.connect(tidegate_tests::http3::address(gateway.port()), "localhost").unwrap();
            async move {
                let Ok((quic, accepted)) = connecting.into_0rtt() else { panic!("there is no ticket for early data") };
                let mut client = Http3::over(quic).await;
                let response = client.send(method, path, &[], b"").await.unwrap();
                (response, accepted.await, client)
            }
        };
        let (response, accepted, mut client) = early("/early", "GET").await;
        assert!(accepted, "the gateway takes early data");
        assert_eq!(response.echo().header("early-data"), Some("1"));
        assert_eq!(response.echo().header("x-rule"), Some("saw it"));
        // After the handshake nothing is early any more.
        assert_eq!(client.get("/late").await.echo().header("early-data"), None);
        let (response, accepted, _client) = early("/early", "POST").await;
        assert!(accepted);
        assert_eq!(response.status, 425);
    });
    assert!(backend.requests().iter().all(|request| request.method == "GET"));
}

#[test]
fn early_data_is_off_unless_the_policy_says_so() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        let mut tls = tls(&authority);
        tls.enable_early_data = true;
        let endpoint = quic_client(tls);
        Http3::connect_from(&endpoint, gateway.port()).await.get("/").await;
        let connecting = endpoint.connect(tidegate_tests::http3::address(gateway.port()), "localhost").unwrap();
        assert!(connecting.into_0rtt().is_err(), "no ticket allows early data");
    });
}

#[test]
fn connections_leave_nothing_behind() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority) = Gateway::start_quic(&with_quic(Policy::to(&backend), ""));
    run(async {
        Http3::connect(gateway.port(), &authority).await.get("/").await;
        let sockets = gateway.usage().descriptors;
        for _ in 0..20 {
            let client = Http3::connect(gateway.port(), &authority).await;
            client.quic.close(0_u32.into(), b"");
        }
        eventually("the descriptors", || {
            let now = gateway.usage().descriptors;
            if now <= sockets { Ok(()) } else { Err(now) }
        });
    });
}
