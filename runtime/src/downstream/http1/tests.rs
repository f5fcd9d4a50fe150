//! A client of HTTP/1 in memory: what it sends, and what it gets.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tests::{ANSWERS, Client, House, policy, run, settle};

const SECOND: Duration = Duration::from_secs(1);
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// What a client gets that sends this and no more, and the failures that are logged.
fn exchange(listener: &str, bytes: &str) -> (String, Vec<String>) {
    run(async {
        let house = House::answering(listener);
        let mut client = house.client();
        client.send(bytes).await;
        client.end().await;
        let failure = |line: serde_json::Value| line["failure"].as_str().unwrap_or("none").to_owned();
        (client.rest().await, house.log().into_iter().map(failure).collect())
    })
}

/// The status of the only response, and the failure of its line.
fn refused(listener: &str, bytes: &str) -> (String, String) {
    let (text, mut failures) = exchange(listener, bytes);
    assert_eq!((text.matches("HTTP/1.1 ").count(), failures.len()), (1, 1), "{text} {failures:?}");
    (text[9..12].to_owned(), failures.remove(0))
}

async fn asks(client: &mut Client, request: &str, length: usize) -> String {
    client.send(request).await;
    client.status(length).await
}

#[test]
fn an_answer_has_its_length_its_type_and_a_date() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send(GET).await;
        let (head, body) = client.response(5).await;
        assert_eq!(head, "HTTP/1.1 200 OK\ncontent-type: text/plain; charset=utf-8\ncontent-length: 5");
        assert_eq!(body, "hello");
    });
    let (text, _) = exchange("", GET);
    assert_eq!(text.matches("\r\ndate: ").count(), 1, "{text}");
}

#[test]
fn a_connection_carries_one_request_after_the_other() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        for _ in 0..3 {
            assert_eq!(asks(&mut client, GET, 5).await, "HTTP/1.1 200 OK");
            assert!(!client.is_over());
        }
        assert_eq!(house.log().len(), 3);
    });
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send(&format!("{GET}GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n{GET}")).await;
        assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
        assert_eq!(client.status(0).await, "HTTP/1.1 204 No Content");
        assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
        assert!(client.is_silent().await);
    });
}

#[test]
fn a_head_may_come_byte_by_byte() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        for byte in GET.chars() {
            assert!(client.is_silent().await, "before {byte:?}");
            client.send(&byte.to_string()).await;
        }
        assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
    });
}

#[test]
fn a_response_to_head_has_the_length_of_one_to_get_and_no_body() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let (head, _) = client.response(0).await;
        assert!(head.contains("\ncontent-length: 5"), "{head}");
        assert!(client.is_silent().await);
        let line = house.line();
        assert_eq!((&line["bytes"], &line["failure"]), (&0.into(), &serde_json::Value::Null), "{line}");
        assert_eq!(asks(&mut client, GET, 5).await, "HTTP/1.1 200 OK");
    });
}

#[test]
fn statuses_without_a_body_have_no_length() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        for (path, status) in [("/nothing", "204 No Content"), ("/same", "304 Not Modified")] {
            client.send(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let (head, _) = client.response(0).await;
            assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
            assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
            assert!(client.is_silent().await);
        }
    });
}

#[test]
fn the_client_decides_with_connection_whether_the_connection_goes_on() {
    for (head, goes_on) in [
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nhost: a\r\n\r\n", false),
        ("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", true),
    ] {
        run(async {
            let house = House::answering("");
            let mut client = house.client();
            client.send(head).await;
            client.response(5).await;
            settle().await;
            assert_eq!(client.is_over(), !goes_on, "{head:?}");
            if goes_on {
                assert!(client.is_silent().await, "{head:?}");
            } else {
                assert_eq!(client.rest().await, "", "{head:?}");
            }
        });
    }
}

#[test]
fn the_last_of_the_requests_of_a_connection_says_so() {
    run(async {
        let house = House::answering("limits { requests-per-connection 2 }");
        let mut client = house.client();
        client.send(&GET.repeat(3)).await;
        let (first, _) = client.response(5).await;
        let (second, _) = client.response(5).await;
        assert!(!first.contains("connection: close") && second.contains("connection: close"), "{first}\n{second}");
        assert_eq!(client.rest().await, "", "the third is not served");
        assert_eq!(house.log().len(), 2);
    });
}

#[test]
fn what_is_no_head_is_refused_and_logged() {
    assert_eq!(refused("", "GET\r\n\r\n"), ("400".into(), "bad-head".into()));
    assert_eq!(refused("", "GET / HTTP/1.1\r\nhost: a\r\nbad name: x\r\n\r\n"), ("400".into(), "bad-head".into()));
    let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "y".repeat(20_000));
    assert_eq!(refused("limits { header-bytes 16KiB }", &long), ("431".into(), "head-too-large".into()));
}

#[test]
fn the_number_of_fields_is_bounded() {
    let head = |fields: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(fields - 1));
    let (text, failures) = exchange("limits { headers 8 }", &head(8));
    assert!(text.starts_with("HTTP/1.1 200 ") && failures == ["none"], "at: {text}");
    assert_eq!(refused("limits { headers 8 }", &head(9)), ("431".into(), "head-too-large".into()));
}

#[test]
fn the_length_of_the_target_is_bounded() {
    let head = |length: usize| format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(length - 1));
    let (text, failures) = exchange("limits { uri-bytes 1KiB }", &head(1024));
    assert!(text.starts_with("HTTP/1.1 200 ") && failures == ["none"], "at: {text}");
    assert_eq!(refused("limits { uri-bytes 1KiB }", &head(1025)), ("414".into(), "uri-too-long".into()));
}

#[test]
fn a_request_names_one_host_and_the_connection_ends_if_it_does_not() {
    for hosts in ["", "host: a\r\nhost: b\r\n", "host: a b\r\n", "host: \r\n"] {
        let (text, failures) = exchange("", &format!("GET / HTTP/1.1\r\n{hosts}\r\n{GET}"));
        assert!(text.starts_with("HTTP/1.1 400 ") && text.contains("connection: close"), "{hosts:?}: {text}");
        assert_eq!(failures, ["bad-host"], "{hosts:?}: what follows is not served");
    }
}

#[test]
fn a_client_from_before_http_1_1_need_not_name_a_host() {
    let (text, failures) = exchange("", "GET / HTTP/1.0\r\n\r\n");
    assert!(text.ends_with("\r\n\r\nhello") && failures == ["none"], "{text}");
}

#[test]
fn connect_and_trace_are_not_carried() {
    for request in ["TRACE / HTTP/1.1\r\nhost: a\r\n\r\n", "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"] {
        let (text, failures) = exchange("", request);
        assert!(text.starts_with("HTTP/1.1 405 ") && text.contains("\r\nallow: GET, HEAD, "), "{text}");
        assert_eq!(failures, ["bad-method"]);
    }
}

#[test]
fn targets_that_are_no_path_are_refused() {
    for target in ["*", "ftp://a/", "a:80", "/%", "/a/../../b", "/%00"] {
        let (status, failure) = refused("", &format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n"));
        assert_eq!((&*status, &*failure), ("400", "bad-target"), "{target}");
    }
    assert!(exchange("", "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").0.starts_with("HTTP/1.1 200 "));
}

#[test]
fn codings_that_are_not_understood_are_refused_and_the_connection_ends() {
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n{GET}");
    let (text, failures) = exchange("", &request);
    assert!(text.starts_with("HTTP/1.1 501 ") && text.contains("connection: close"), "{text}");
    assert_eq!(failures, ["bad-coding"], "what follows is not served");
}

#[test]
fn the_policy_may_close_without_a_word() {
    let (text, failures) = exchange("", "GET /close HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!((&*text, failures), ("", vec!["closed".to_owned()]));
}

#[test]
fn a_little_body_that_nobody_wants_is_thrown_away() {
    let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc";
    let (text, failures) = exchange("", &format!("{post}{GET}"));
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), failures.len()), (2, 2), "{text}");
}

#[test]
fn a_large_body_that_nobody_wants_ends_the_connection() {
    let post = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 10_000_000);
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send(&post).await;
        let (head, body) = client.response(5).await;
        assert!(head.contains("connection: close") && body == "hello", "{head}");
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_connection_on_which_nothing_comes_ends_without_a_word() {
    run(async {
        let house = House::answering("idle-timeout 5s; request-timeout 60s");
        for asked in [false, true] {
            let mut client = house.client();
            settle().await;
            if asked {
                asks(&mut client, GET, 5).await;
                house.line();
            }
            house.pass(5 * SECOND).await;
            assert!(!client.is_over(), "the clock may be a tick behind");
            house.pass(SECOND / 5).await;
            assert!(client.is_over());
            assert_eq!(client.rest().await, "");
            assert!(house.log().is_empty());
        }
    });
}

#[test]
fn a_head_that_does_not_come_in_time_is_answered_with_408() {
    run(async {
        let house = House::answering("idle-timeout 60s; request-timeout 2s");
        let mut client = house.client();
        client.send("GET / HT").await;
        house.pass(SECOND).await;
        client.send("TP/1.1\r\n").await;
        house.pass(SECOND).await;
        assert!(client.is_silent().await, "the clock may be a tick behind");
        house.pass(SECOND / 5).await;
        let (head, body) = client.response("the request did not arrive in time\n".len()).await;
        assert_eq!(head, "HTTP/1.1 408 Request Timeout\nconnection: close\ncontent-length: 35");
        assert_eq!(body, "the request did not arrive in time\n");
        assert_eq!(client.rest().await, "");
        let line = house.line();
        assert_eq!(
            (&line["failure"], &line["status"], &line["bytes"]),
            (&"client-timeout".into(), &408.into(), &35.into())
        );
        assert!(line["method"].is_null() && line["uri"].is_null(), "{line}");
    });
}

#[test]
fn a_drain_ends_an_idle_connection_at_once() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        asks(&mut client, GET, 5).await;
        house.worker.each_connection(|connection| connection.finish());
        settle().await;
        assert!(client.is_over() && client.rest().await.is_empty());
        assert!(!house.worker.has_connections());
    });
}

#[test]
fn a_request_that_arrives_with_the_drain_is_served_as_the_last() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        settle().await;
        // Both before the connection's task has its turn.
        client.io.write_all(GET.as_bytes()).await.unwrap();
        house.worker.each_connection(|connection| connection.finish());
        assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn a_connection_that_opens_on_a_closed_listener_is_served_what_came_with_it() {
    run(async {
        let house = House::answering("");
        house.handle.close();
        let mut client = house.client();
        client.io.write_all(GET.as_bytes()).await.unwrap();
        assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
        assert_eq!(client.rest().await, "");
    });
}

#[test]
fn an_abort_closes_at_once_in_the_middle_of_a_head() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("GET / HT").await;
        house.worker.each_connection(|connection| connection.abort());
        settle().await;
        assert!(client.is_over() && client.rest().await.is_empty());
    });
}

#[test]
fn a_client_that_leaves_without_a_request_leaves_no_trace() {
    let (text, failures) = exchange("", "");
    assert_eq!((&*text, failures.len()), ("", 0));
}

#[test]
fn the_next_request_is_served_by_the_policy_in_service() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        assert_eq!(asks(&mut client, GET, 5).await, "HTTP/1.1 200 OK");
        house.reload(&policy("", "otherwise { respond 503 \"closed\" }"));
        assert_eq!(asks(&mut client, GET, 6).await, "HTTP/1.1 503 Service Unavailable");
        let generations: Vec<_> = house.log().iter().map(|line| line["generation"].clone()).collect();
        assert_eq!(generations, [1, 2]);
    });
}

#[test]
fn a_reload_that_refuses_the_client_lets_it_in_no_more() {
    run(async {
        let house = House::answering("");
        house.reload(&policy("deny-from 192.0.2.0/24", ANSWERS));
        let mut client = house.client();
        settle().await;
        assert!(client.is_over() && client.rest().await.is_empty());
    });
}

#[test]
fn a_line_tells_the_request_as_it_came() {
    run(async {
        let house = House::answering("label team \"shop\"");
        let mut client = house.client();
        let fields = "user-agent: t/1\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
        asks(&mut client, &format!("GET /a?b HTTP/1.1\r\nhost: A.example:81\r\n{fields}\r\n"), 5).await;
        let line = house.line();
        assert!(line["time"].is_string() && line["ms"].is_number(), "{line}");
        assert_eq!(line["request_id"].as_str().map(str::len), Some(32));
        for (name, value) in [
            ("listener", "main"),
            ("client_ip", "192.0.2.1"),
            ("peer", "192.0.2.1:4711"),
            ("method", "GET"),
            ("scheme", "http"),
            ("host", "a.example:81"),
            ("uri", "/a?b"),
            ("user_agent", "t/1"),
            ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
            ("span_id", "b7ad6b7169203331"),
        ] {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!((&line["status"], &line["bytes"], &line["retries"]), (&200.into(), &5.into(), &0.into()));
        assert_eq!(line["labels"]["team"], "shop");
        assert!(line["group"].is_null() && line["failure"].is_null(), "{line}");
    });
}

#[test]
fn a_listener_without_a_log_writes_no_lines() {
    run(async {
        let house = House::answering("access-log off");
        let mut client = house.client();
        asks(&mut client, GET, 5).await;
        client.send("GET\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
        assert!(house.log().is_empty());
    });
}

/// A gateway with an answer of this length at `/big`.
fn house_with_big(listener: &str, length: usize) -> House {
    House::new(
        listener,
        &format!("rule big {{ when path is \"/big\"; respond 200 \"{}\" }} {ANSWERS}", "x".repeat(length)),
    )
}

const BIG: &str = "GET /big HTTP/1.1\r\nhost: a\r\n\r\n";

#[test]
fn an_answer_goes_on_as_long_as_the_client_takes_some_of_it() {
    run(async {
        let house = house_with_big("idle-timeout 2s; request-timeout 2s", 20_000);
        let mut client = house.client_with(4096, |_| {});
        client.send(BIG).await;
        for _ in 0..4 {
            client.io.read_exact(&mut [0; 2048]).await.unwrap();
            house.pass(SECOND * 3 / 2).await;
            assert!(!client.is_over());
        }
        house.pass(SECOND * 7 / 10).await;
        assert!(client.is_over(), "it has not read for longer than it may");
        assert!(client.rest().await.len() < 20_000 - 4 * 2048, "what it has not taken is lost");
    });
}

#[test]
fn a_drain_lets_an_answer_end_and_an_abort_does_not() {
    for (abort, whole) in [(false, true), (true, false)] {
        run(async {
            let house = house_with_big("", 20_000);
            let mut client = house.client_with(4096, |_| {});
            client.send(BIG).await;
            house.worker.each_connection(|connection| if abort { connection.abort() } else { connection.finish() });
            settle().await;
            assert_eq!(client.is_over(), abort);
            let rest = client.rest().await;
            assert_eq!(rest.ends_with(&"x".repeat(20_000)), whole, "{} bytes", rest.len());
            assert!(!house.worker.has_connections());
        });
    }
}

#[test]
fn what_readers_could_read_in_two_ways_is_refused_and_nothing_behind_it_is_served() {
    let chunked = "transfer-encoding: chunked\r\n";
    for (line, fields) in [
        ("POST / HTTP/1.1", "content-length: 3\r\ncontent-length: 4\r\n"),
        ("POST / HTTP/1.1", "content-length: 3, 4\r\n"),
        ("POST / HTTP/1.1", "content-length: +3\r\n"),
        ("POST / HTTP/1.1", "content-length: -1\r\n"),
        ("POST / HTTP/1.1", "content-length: 99999999999999999999\r\n"),
        ("POST / HTTP/1.1", "content-length : 3\r\n"),
        ("POST / HTTP/1.1", "x: a\r\n content-length: 3\r\n"),
        ("POST / HTTP/1.1", "x: a\rcontent-length: 3\r\n"),
        ("POST / HTTP/1.1", "x: a\0\r\n"),
        ("POST / HTTP/1.1", ": a\r\n"),
        ("POST / HTTP/1.1", "transfer-encoding: identity\r\n"),
        ("POST / HTTP/1.1", "transfer-encoding: chunked, identity\r\n"),
        ("POST / HTTP/1.1", "transfer-encoding: xchunked\r\n"),
        ("POST / HTTP/1.0", chunked),
        ("POST  / HTTP/1.1", ""),
        ("POST /a b HTTP/1.1", ""),
        ("POST / HTTP/1.2", ""),
        ("POST / HTTP/2.0", ""),
        ("POST / http/1.1", ""),
    ] {
        let (text, failures) = exchange("", &format!("{line}\r\nhost: a\r\n{fields}\r\n{GET}"));
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{line} {fields:?}: {text}");
        assert!(text.starts_with("HTTP/1.1 400 ") || text.starts_with("HTTP/1.1 501 "), "{line} {fields:?}: {text}");
        assert_eq!(failures.len(), 1, "{line} {fields:?}");
    }
}

#[test]
fn a_body_with_two_framings_ends_the_connection() {
    // RFC 9112, 6.3: who takes the length for right sees a request in the body.
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n";
    let (text, failures) = exchange("", &format!("{post}{GET}"));
    assert_eq!((text.matches("HTTP/1.1 ").count(), failures.len()), (1, 1), "{text}");
}

#[test]
fn empty_lines_before_a_request_are_no_part_of_it() {
    let (text, failures) = exchange("", &format!("\r\n\r\n{GET}\r\n{GET}"));
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), failures), (2, vec!["none".to_owned(); 2]), "{text}");
}

#[test]
fn a_switch_to_http_2_is_not_made() {
    let upgrade = "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n";
    let (text, failures) = exchange("", &format!("GET / HTTP/1.1\r\nhost: a\r\n{upgrade}\r\n{GET}"));
    assert_eq!((text.matches("HTTP/1.1 200 OK").count(), failures.len()), (2, 2), "{text}");
}

#[test]
fn a_client_that_waits_for_leave_gets_the_answer_instead() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n").await;
        let (head, _) = client.response(5).await;
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("connection: close"), "{head}");
        // It may have sent the body meanwhile, and another request behind it.
        client.send(&format!("abc{GET}")).await;
        assert_eq!(client.rest().await, "");
        assert_eq!(house.log().len(), 1);
    });
}

#[test]
fn a_body_of_unknown_length_that_nobody_wants_ends_the_connection() {
    let post = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send(&format!("{post}1\r\nx\r\n")).await;
        let (head, body) = client.response(5).await;
        assert!(head.contains("connection: close") && body == "hello", "{head}");
        client.send(&format!("0\r\n\r\n{GET}")).await;
        assert_eq!((client.rest().await, house.log().len()), (String::new(), 1));
    });
}

/// A client that has its answer, and owes two of the three bytes of its body.
async fn owing(house: &House) -> Client {
    let mut client = house.client();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await;
    let (head, _) = client.response(5).await;
    assert!(!head.contains("connection: close"), "{head}");
    house.line();
    client
}

#[test]
fn the_rest_of_a_little_body_may_come_after_the_answer() {
    run(async {
        let house = House::answering("idle-timeout 10s; request-timeout 2s");
        let mut client = owing(&house).await;
        client.send("b").await;
        house.pass(SECOND).await;
        client.send("c").await;
        house.pass(SECOND * 3).await;
        assert!(!client.is_over(), "the body was no head: the time is that between requests");
        assert_eq!(asks(&mut client, GET, 5).await, "HTTP/1.1 200 OK");
    });
}

#[test]
fn the_rest_of_a_little_body_that_does_not_come_ends_the_connection_without_a_word() {
    run(async {
        let house = House::answering("idle-timeout 10s; request-timeout 2s");
        let mut client = owing(&house).await;
        client.send("b").await;
        house.pass(SECOND * 22 / 10).await;
        assert!(client.is_over());
        assert_eq!(client.rest().await, "", "an answer would be taken for that to a second request");
        assert!(house.log().is_empty());
    });
}

#[test]
fn a_client_that_was_refused_may_go_on_sending_for_a_while() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("GET\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.1 400 "));
        for _ in 0..3 {
            // A reset would take the answer from a client that has not read it.
            client.send(&"x".repeat(100_000)).await;
            assert!(!client.is_over());
        }
        client.end().await;
        assert!(client.is_over());
    });
}

#[test]
fn a_close_in_stages_ends_with_the_gateway() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("GET\r\n\r\n").await;
        assert!(!client.is_over());
        house.worker.each_connection(|connection| connection.abort());
        settle().await;
        assert!(client.is_over());
    });
}
