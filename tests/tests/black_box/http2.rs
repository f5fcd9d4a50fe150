//! HTTP/2: requests and answers, limits, the end of a connection.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use tidegate_tests::frames::{DATA, END_STREAM, Frames, GOAWAY, HEADERS, Outcome, RST_STREAM, request};
use tidegate_tests::http2::{Http2, count, read, send_all, settings};
use tidegate_tests::http3::run;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, program, python};

const MIB: u64 = 1024 * 1024;

#[test]
fn many_requests_share_a_connection_in_clear_text_and_over_tls() {
    let backend = Backend::echo();
    let (gateway, authority) = Gateway::start_https(&Policy::to(&backend).https());
    let clear = Gateway::start(&Policy::to(&backend));
    run(async {
        for (mut client, scheme) in [
            (Http2::connect_secure(gateway.port(), &authority).await, "https"),
            (Http2::connect(clear.port()).await, "http"),
        ] {
            let mut waiting = Vec::new();
            for number in 0..300 {
                let body = format!("body {number}");
                let request = client.request("POST", &format!("/{number}"), &[("x-number", &number.to_string())]);
                let (answer, mut stream) = client.begin(request, false).await.unwrap();
                send_all(&mut stream, body.clone().into(), true).await.unwrap();
                waiting.push((number, body, tokio::spawn(read(answer))));
            }
            for (number, body, answer) in waiting {
                let echo = answer.await.unwrap().unwrap().echo();
                assert_eq!((echo.text(), echo.target), (body, format!("/{number}")));
                assert_eq!(echo.headers.iter().filter(|(name, _)| name == "x-number").count(), 1);
            }
            let echo = client.get("/last").await.echo();
            assert_eq!(echo.header("host"), Some("test"));
            assert_eq!(echo.header("x-forwarded-proto"), Some(scheme));
            assert_eq!(echo.version, "HTTP/1.1");
        }
    });
    let line = gateway.access("/last");
    assert_eq!((line["status"].as_u64(), line["protocol"].as_str()), (Some(200), Some("h2")), "{line}");
}

#[test]
fn large_bodies_go_both_ways_at_the_line_rate() {
    const SIZE: u64 = 100 * MIB;
    let backend = Backend::start(Behaviour::Stream(SIZE));
    let (gateway, authority) =
        Gateway::start_https(&Policy::to(&backend).https().listener("limits { body-bytes 1GiB }"));
    run(async {
        let mut client = Http2::connect_secure(gateway.port(), &authority).await;
        let began = Instant::now();
        let (answer, _) = client.begin(client.request("GET", "/", &[]), true).await.unwrap();
        let mut answer = answer.await.unwrap();
        assert_eq!(answer.headers()["content-length"], SIZE.to_string());
        assert_eq!(count(answer.body_mut()).await.unwrap(), SIZE);
        let down = began.elapsed();
        backend.behave(Behaviour::Swallow);
        let began = Instant::now();
        let (answer, mut stream) = client.begin(client.request("POST", "/", &[]), false).await.unwrap();
        let block = Bytes::from(vec![b'x'; 1 << 20]);
        for number in 1..=SIZE / MIB {
            send_all(&mut stream, block.clone(), number == SIZE / MIB).await.unwrap();
        }
        assert_eq!(read(answer).await.unwrap().text(), SIZE.to_string());
        let up = began.elapsed();
        println!("{} MiB: down in {down:?}, up in {up:?}", SIZE / MIB);
        // An unoptimised build of a client on a shared machine; windows that are too small would take minutes.
        assert!(down.max(up) < Duration::from_secs(15), "down in {down:?}, up in {up:?}");
    });
    assert!(gateway.usage().peak < 128 * MIB, "nothing gathers a body: {} MiB", gateway.usage().peak / MIB);
}

#[test]
fn a_slow_stream_holds_up_no_other() {
    let backend = Backend::start(Behaviour::Stream(64 * MIB));
    let gateway = Gateway::start(&Policy::to(&backend).rule("quick", "when path is \"/quick\"\nrespond 200 \"ok\""));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        // Nobody reads these.
        let mut slow = Vec::new();
        for _ in 0..8 {
            let (answer, _) = client.begin(client.request("GET", "/", &[]), true).await.unwrap();
            slow.push(answer.await.unwrap());
        }
        for _ in 0..20 {
            assert_eq!(client.get("/quick").await.text(), "ok");
        }
        assert_eq!(count(slow[3].body_mut()).await.unwrap(), 64 * MIB);
    });
    assert!(gateway.usage().peak < 128 * MIB);
}

#[test]
fn trailers_go_both_ways() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let request = client.request("POST", "/", &[("trailer", "x-sum")]);
        let (answer, mut stream) = client.begin(request, false).await.unwrap();
        send_all(&mut stream, Bytes::from_static(b"hello"), false).await.unwrap();
        stream.send_trailers([("x-sum".parse().unwrap(), "42".parse().unwrap())].into_iter().collect()).unwrap();
        let echo = read(answer).await.unwrap().echo();
        assert_eq!(echo.text(), "hello");
        assert_eq!(echo.trailers, [("x-sum".to_owned(), "42".to_owned())]);
        backend.behave(Behaviour::Raw(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n\r\n2\r\nok\r\n0\r\nx-end: yes\r\n\r\n"
                .to_owned(),
        ));
        let answer = client.get("/").await;
        assert_eq!((answer.text().as_str(), answer.header("trailer")), ("ok", Some("x-end")));
        assert_eq!(answer.trailers, [("x-end".to_owned(), "yes".to_owned())]);
    });
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let backend = Backend::text("hello");
    let gateway = Gateway::start(&Policy::to(&backend).rule("ours", "when path is \"/ours\"\nrespond 200 \"four\""));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        for (method, path, status, length) in [("HEAD", "/", 200, Some("5")), ("HEAD", "/ours", 200, Some("4"))] {
            let answer = client.send(method, path, &[], &[]).await.unwrap();
            assert_eq!(
                (answer.status, answer.header("content-length"), answer.body.len()),
                (status, length, 0),
                "{path}"
            );
            assert_eq!(gateway.access(path)["failure"], serde_json::Value::Null, "{}", gateway.access(path));
        }
        for (number, head) in
            ["204 No Content\r\n", "304 Not Modified\r\netag: \"x\"\r\ncontent-length: 5\r\n"].iter().enumerate()
        {
            backend.behave(Behaviour::Raw(format!("HTTP/1.1 {head}\r\n")));
            let path = format!("/bodiless/{number}");
            let answer = client.get(&path).await;
            assert_eq!((answer.status.to_string().as_str(), answer.body.len()), (&head[..3], 0));
            assert_eq!(answer.header("connection"), None);
            assert_eq!(gateway.access(&path)["failure"], serde_json::Value::Null);
        }
    });
}

#[test]
fn a_client_that_waits_to_send_its_body_is_told_to() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).rule("no", "when path is \"/no\"\nrespond 403 \"no\""));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let request = client.request("POST", "/", &[("expect", "100-continue")]);
        let (mut answer, mut stream) = client.begin(request, false).await.unwrap();
        let interim = std::future::poll_fn(|cx| answer.poll_informational(cx)).await.unwrap().unwrap();
        assert_eq!(interim.status(), 100);
        send_all(&mut stream, Bytes::from_static(b"now"), true).await.unwrap();
        let echo = read(answer).await.unwrap().echo();
        assert_eq!((echo.text().as_str(), echo.header("expect")), ("now", None));
        // Who is refused is not told to.
        let request = client.request("POST", "/no", &[("expect", "100-continue")]);
        let (answer, _stream) = client.begin(request, false).await.unwrap();
        let answer = read(answer).await.unwrap();
        assert_eq!((answer.status, answer.interim), (403, vec![]));
    });
}

#[test]
fn what_is_too_much_is_refused_and_the_connection_goes_on() {
    let backend = Backend::echo();
    let limits = "limits { header-bytes 4KiB; headers 20; uri-bytes 1KiB; body-bytes 1KiB; streams 5 }";
    let gateway = Gateway::start(&Policy::to(&backend).listener(limits));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        assert_eq!(client.get("/").await.status, 200);
        assert_eq!(client.streams(), 5);
        let long = "x".repeat(5000);
        assert_eq!(client.send("GET", "/long", &[("x-long", &long)], &[]).await.unwrap().status, 431);
        let names: Vec<_> = (0..30).map(|number| format!("x-{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        assert_eq!(client.send("GET", "/many", &many, &[]).await.unwrap().status, 431);
        assert_eq!(client.get(&format!("/{}", "x".repeat(1100))).await.status, 414);
        assert_eq!(
            client.send("POST", "/announced", &[("content-length", "1025")], &[b'x'; 1025]).await.unwrap().status,
            413
        );
        assert_eq!(client.send("POST", "/sent", &[], &[b'x'; 1025]).await.unwrap().status, 413);
        assert_eq!(client.send("POST", "/just", &[], &[b'x'; 1024]).await.unwrap().echo().length, 1024);
        assert!(!client.over.is_finished());
    });
}

#[test]
fn a_request_for_too_many_streams_waits_or_is_refused() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = Gateway::start(&Policy::to(&backend).listener("limits { streams 3 }"));
    run(async {
        // A client that cannot know the limit yet.
        let mut early = settings();
        early.initial_max_send_streams(10);
        let mut client = Http2::connect_as(gateway.port(), &early).await;
        let mut answers = Vec::new();
        for number in 0..6 {
            let (answer, _) = client.begin(client.request("GET", &format!("/{number}"), &[]), true).await.unwrap();
            answers.push(tokio::spawn(read(answer)));
        }
        let mut outcomes = Vec::new();
        for answer in answers.split_off(3) {
            outcomes.push(answer.await.unwrap().map(|answer| answer.status).map_err(|error| error.reason()));
        }
        assert_eq!(outcomes, [Err(Some(Reason::REFUSED_STREAM)); 3]);
        backend.wait_head(3);
        (0..3).for_each(|_| backend.release());
        for answer in answers {
            assert_eq!(answer.await.unwrap().unwrap().status, 200);
        }
    });
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn however_many_streams_are_too_many_the_connection_goes_on() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = Gateway::start(&Policy::to(&backend).listener("limits { streams 3 }"));
    // All of them before the gateway's settings are read.
    let mut client = Frames::connect(gateway.port());
    for number in 0..300 {
        client.headers(2 * number + 1, 0, &request("POST", "/", &[])).send(DATA, END_STREAM, 2 * number + 1, b"body");
    }
    backend.wait_request(3);
    (0..3).for_each(|_| backend.release());
    let (mut answered, mut refused) = (0, 0);
    while answered < 3 || refused < 297 {
        let frame = client.receive().unwrap();
        match frame.kind {
            HEADERS => answered += 1,
            RST_STREAM if frame.payload == 7_u32.to_be_bytes() => refused += 1,
            GOAWAY => unreachable!("{frame:?}"),
            _ => {}
        }
    }
    backend.behave(Behaviour::Echo);
    assert_eq!(client.get(601, "/").outcome(601), Outcome::Status(200));
    assert_eq!(backend.requests().len(), 4);
}

#[test]
fn a_limit_of_requests_ends_a_connection_in_order() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).listener("limits { requests-per-connection 3 }"));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert!(client.over.await.unwrap().is_ok());
    });
}

#[test]
fn a_reload_that_drops_the_listener_and_a_stop_finish_what_is_under_way() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    for reload in [true, false] {
        let mut gateway = Gateway::start(&Policy::to(&backend).top("gateway { drain 10s }"));
        run(async {
            let mut client = Http2::connect(gateway.port()).await;
            let before = backend.requests().len();
            let (answer, _) = client.begin(client.request("GET", "/", &[]), true).await.unwrap();
            let answer = tokio::spawn(read(answer));
            backend.until("the request", |backend| backend.requests().len() > before).await;
            if reload {
                let other = tidegate_tests::free_port();
                let text = std::fs::read_to_string(gateway.file()).unwrap();
                let mark = gateway.log().mark();
                gateway.write_file(
                    "policy.gate",
                    text.replace(&format!(":{}\n", gateway.port()), &format!(":{other}\n")).as_bytes(),
                );
                gateway.wait_for(mark, "reloaded generation=");
            } else {
                gateway.signal("TERM");
            }
            // GOAWAY: the client begins nothing more on it.
            let refused = loop {
                match client.begin(client.request("GET", "/late", &[]), true).await {
                    Err(error) => break error,
                    Ok((late, _)) => drop(late),
                }
                let _ = client.turn().await;
            };
            assert!(refused.is_go_away() && refused.reason() == Some(Reason::NO_ERROR), "{refused:?}");
            backend.release();
            assert_eq!(answer.await.unwrap().unwrap().status, 200, "what was under way");
            (0..50).for_each(|_| backend.release());
            let over = client.over.await.unwrap();
            assert!(over.is_ok(), "{over:?}");
        });
        if !reload {
            assert!(gateway.wait_end().success());
        }
    }
}

#[test]
fn a_policy_change_keeps_connections_and_reaches_their_next_request() {
    let gateway = Gateway::start(&Policy::new().otherwise("respond 200 \"one\""));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        assert_eq!(client.get("/").await.text(), "one");
        gateway.reload(&Policy::new().otherwise("respond 200 \"two\""));
        assert_eq!(client.get("/").await.text(), "two");
        assert!(!client.over.is_finished());
    });
}

#[test]
fn a_client_that_gives_up_ends_the_request_to_the_backend_and_no_other() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = Gateway::start(&Policy::to(&backend));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let (answer, mut stream) = client.begin(client.request("GET", "/left", &[]), true).await.unwrap();
        backend.until("the request", |backend| !backend.requests().is_empty()).await;
        stream.send_reset(Reason::CANCEL);
        drop(answer);
        backend.until("the end of the request", |backend| backend.open() == 0).await;
        backend.behave(Behaviour::Echo);
        assert_eq!(client.get("/").await.status, 200);
    });
    assert_eq!(gateway.access("/left")["failure"], "client-closed");
}

#[test]
fn a_backend_that_breaks_off_resets_one_stream() {
    let backend = Backend::start(Behaviour::CloseInBody);
    let gateway = Gateway::start(&Policy::to(&backend));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let broken = client.send("GET", "/", &[], &[]).await.unwrap_err();
        assert!(broken.is_reset() && broken.is_remote(), "{broken:?}");
        backend.behave(Behaviour::CloseWithoutAnswer);
        assert_eq!(client.get("/").await.status, 502);
        backend.behave(Behaviour::Echo);
        assert_eq!(client.get("/").await.status, 200);
    });
}

#[test]
fn silence_has_its_ends() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let policy = Policy::to(&backend).listener("request-timeout 1s").listener("idle-timeout 2s");
    let gateway = Gateway::start(&policy);
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let slow = client.get("/slow").await;
        assert_eq!(slow.status, 504);
        // A body that does not come.
        let (answer, _stream) = client.begin(client.request("POST", "/owed", &[]), false).await.unwrap();
        assert_eq!(read(answer).await.unwrap().status, 408);
        // No request, no connection.
        assert!(client.over.await.unwrap().is_ok());
    });
}

#[test]
fn a_cookie_in_crumbs_is_one_cookie() {
    let backend = Backend::echo();
    let gateway = Gateway::start(
        &Policy::to(&backend).rule("b", "when cookie \"b\" is \"2\"\nset-header \"x-b\" \"${cookie.b}\"\nforward web"),
    );
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let echo = client.send("GET", "/", &crumbs, &[]).await.unwrap().echo();
        assert_eq!(echo.all("cookie"), ["a=1; b=2; c=3"]);
        assert_eq!(echo.header("x-b"), Some("2"));
    });
}

#[test]
fn curl_and_nghttp_are_served() {
    let backend = Backend::echo();
    let (gateway, _authority) = Gateway::start_https(&Policy::to(&backend).https());
    let clear = Gateway::start(&Policy::to(&backend));
    std::fs::write(gateway.folder().join("body"), vec![b'x'; 300_000]).unwrap();
    let run = |name: &str, arguments: &[&str]| {
        let output = program(name)?.args(arguments).current_dir(gateway.folder()).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let secure = format!("https://shop.test:{}/post", gateway.port());
    let resolve = format!("shop.test:{}:127.0.0.1", gateway.port());
    let clear = format!("http://127.0.0.1:{}/post", clear.port());
    for target in [
        vec!["--http2", "--cacert", "root.pem", "--resolve", &resolve, &secure],
        vec!["--http2-prior-knowledge", &clear],
    ] {
        let mut arguments = vec!["-sS", "--data-binary", "@body", "-w", "\n%{http_version} %{http_code}"];
        arguments.extend(target);
        if let Some(answer) = run("curl", &arguments) {
            assert!(answer.ends_with("\n2 200") && answer.contains("\"length\":300000"), "{answer}");
        }
    }
    // Many streams with priorities, which say nothing here.
    let numbered = format!("https://127.0.0.1:{}/nghttp", gateway.port());
    if let Some(answer) = run("nghttp", &["-v", "-n", "-m", "40", "-p", "200", &numbered, "-d", "body"]) {
        assert_eq!(answer.matches(":status: 200").count(), 40, "{answer}");
    }
}

#[test]
fn python_clients_are_served() {
    let backend = Backend::echo();
    let (gateway, _authority) = Gateway::start_https(&Policy::to(&backend).https());
    let Some(mut command) = python("http2_requests.py") else { return };
    let output = command.arg(gateway.port().to_string()).arg(gateway.folder().join("root.pem")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "100 over HTTP/2");
}
