//! A client of HTTP/2 in memory: its requests, and the frames that are not requests.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

mod frames;

use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use crate::tests::{House, policy, run, settle};

const SECOND: Duration = Duration::from_secs(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: &[u8] = b"\0\0\0\x04\0\0\0\0\0";

/// A client that has said hello, and the end of its connection.
async fn connect(house: &House) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = h2::client::handshake(house.client().io).await.unwrap();
    let ended = tokio::task::spawn_local(connection);
    settle().await;
    (sender.ready().await.unwrap(), ended)
}

async fn ask(sender: &mut SendRequest<Bytes>, request: Request<()>) -> Result<Response<RecvStream>, h2::Error> {
    sender.send_request(request, true).unwrap().0.await
}

async fn get(sender: &mut SendRequest<Bytes>, path: &str) -> Response<RecvStream> {
    ask(sender, Request::get(format!("http://a{path}")).body(()).unwrap()).await.unwrap()
}

async fn body(response: Response<RecvStream>) -> Bytes {
    let mut body = response.into_body();
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        whole.extend_from_slice(&data.unwrap());
    }
    whole.into()
}

#[test]
fn a_client_that_knows_begins_with_the_preface() {
    run(async {
        let house = House::answering("");
        let (mut sender, _ended) = connect(&house).await;
        let response = get(&mut sender, "/").await;
        assert_eq!((response.status().as_u16(), &response.headers()["content-length"]), (200, &"5".parse().unwrap()));
        assert!(response.headers().contains_key("date") && !response.headers().contains_key("connection"));
        assert_eq!(body(response).await, "hello");
        let line = house.line();
        assert_eq!((&line["protocol"], &line["bytes"], &line["host"]), (&"h2".into(), &5.into(), &"a".into()));
    });
}

#[test]
fn a_preface_may_come_byte_by_byte() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        for byte in PREFACE {
            assert!(client.is_silent().await);
            client.io.write_all(&[*byte]).await.unwrap();
        }
        client.io.write_all(SETTINGS).await.unwrap();
        let mut frame = [0; 9];
        client.io.read_exact(&mut frame).await.unwrap();
        assert_eq!(frame[3], 4, "SETTINGS");
    });
}

#[test]
fn a_preface_that_turns_out_to_be_none_is_http_1() {
    run(async {
        let house = House::answering("");
        let mut client = house.client();
        client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").await;
        assert!(client.rest().await.starts_with("HTTP/1.1 "));
    });
}

#[test]
fn a_preface_that_does_not_come_to_its_end_takes_no_longer_than_a_head() {
    run(async {
        let house = House::answering("request-timeout 2s; idle-timeout 60s");
        let mut client = house.client();
        client.send("PRI * HT").await;
        house.pass(SECOND * 21 / 10).await;
        assert!(client.is_over());
    });
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    run(async {
        let house = House::answering("");
        let (mut sender, _ended) = connect(&house).await;
        let head = ask(&mut sender, Request::head("http://a/").body(()).unwrap()).await.unwrap();
        assert_eq!(head.headers()["content-length"], "5");
        assert!(head.body().is_end_stream());
        for (path, status) in [("/nothing", 204), ("/same", 304)] {
            let response = get(&mut sender, path).await;
            assert_eq!(
                (response.status().as_u16(), response.headers().contains_key("content-length")),
                (status, false)
            );
            assert!(response.body().is_end_stream(), "{path}");
        }
        assert!(house.log().iter().all(|line| line["failure"].is_null() && line["bytes"] == 0));
    });
}

#[test]
fn a_policy_that_closes_resets_one_stream() {
    run(async {
        let house = House::answering("");
        let (mut sender, _ended) = connect(&house).await;
        let error = ask(&mut sender, Request::get("http://a/close").body(()).unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::CANCEL));
        assert_eq!(get(&mut sender, "/").await.status(), 200, "the others go on");
    });
}

#[test]
fn what_no_rule_may_see_is_refused_and_the_connection_goes_on() {
    run(async {
        let house = House::answering("limits { uri-bytes 1KiB; headers 8 }");
        let (mut sender, _ended) = connect(&house).await;
        let get = |path: &str| Request::get(format!("http://a{path}"));
        let mut many = get("/");
        for _ in 0..9 {
            many = many.header("x", "y");
        }
        let trace = Request::builder().method(Method::TRACE).uri("http://a/");
        let connect = Request::builder().method(Method::CONNECT).uri("a:443");
        for (request, status) in [
            (trace, 405),
            (connect, 405),
            (get("/../../a"), 400),
            (get("/").header("host", "b"), 400),
            (get(&format!("/{}", "x".repeat(1024))), 414),
            (many, 431),
        ] {
            let response = ask(&mut sender, request.body(()).unwrap()).await.unwrap();
            assert_eq!(response.status(), status);
            assert!(!response.headers().contains_key("connection"));
        }
        assert_eq!(get_status(&mut sender).await, 200);
    });
}

async fn get_status(sender: &mut SendRequest<Bytes>) -> u16 {
    get(sender, "/").await.status().as_u16()
}

#[test]
fn the_last_of_the_requests_of_a_connection_is_told_with_goaway() {
    run(async {
        let house = House::answering("limits { requests-per-connection 2 }");
        let (mut sender, ended) = connect(&house).await;
        assert_eq!(get_status(&mut sender).await, 200);
        assert!(!ended.is_finished());
        assert_eq!(get_status(&mut sender).await, 200);
        drop(sender);
        assert!(ended.await.unwrap().is_ok(), "in order");
    });
}

#[test]
fn a_drain_ends_an_idle_connection_in_order() {
    run(async {
        let house = House::answering("");
        let (mut sender, ended) = connect(&house).await;
        assert_eq!(get_status(&mut sender).await, 200);
        house.worker.each_connection(|connection| connection.finish());
        assert!(ended.await.unwrap().is_ok());
        assert!(sender.ready().await.is_err());
        settle().await;
        assert!(!house.worker.has_connections());
    });
}

#[test]
fn an_abort_ends_the_connection_at_once() {
    run(async {
        let house = House::answering("");
        let (_sender, ended) = connect(&house).await;
        house.worker.each_connection(|connection| connection.abort());
        settle().await;
        assert!(ended.is_finished() && !house.worker.has_connections());
    });
}

#[test]
fn a_connection_without_requests_ends_after_a_while_in_order() {
    run(async {
        let house = House::answering("idle-timeout 5s; request-timeout 60s");
        let (mut sender, ended) = connect(&house).await;
        house.pass(4 * SECOND).await;
        assert_eq!(get_status(&mut sender).await, 200);
        house.pass(4 * SECOND).await;
        assert!(!ended.is_finished(), "the time begins anew with each request");
        house.pass(2 * SECOND).await;
        assert!(ended.is_finished());
        assert!(ended.await.unwrap().is_ok(), "it is told with GOAWAY");
    });
}

#[test]
fn each_request_is_served_by_the_policy_in_service() {
    run(async {
        let house = House::answering("");
        let (mut sender, _ended) = connect(&house).await;
        assert_eq!(get_status(&mut sender).await, 200);
        house.reload(&policy("", "otherwise { respond 503 }"));
        assert_eq!(get_status(&mut sender).await, 503);
    });
}

#[test]
fn a_head_that_is_too_large_is_answered_and_the_connection_goes_on() {
    run(async {
        let house = House::answering("limits { header-bytes 1KiB }");
        let (mut sender, _ended) = connect(&house).await;
        for (length, status) in [(800, 200), (1024, 431), (800, 200)] {
            let request = Request::get("http://a/").header("x", "y".repeat(length)).body(()).unwrap();
            assert_eq!(ask(&mut sender, request).await.unwrap().status(), status, "{length}");
        }
    });
}

#[test]
fn a_tunnel_that_nobody_carries_is_refused_and_its_stream_ends() {
    run(async {
        let house = House::answering("");
        let (mut sender, _ended) = connect(&house).await;
        assert!(sender.is_extended_connect_protocol_enabled());
        for (protocol, status, failure) in [("connect-udp", 501, "no-upgrade"), ("websocket", 501, "no-upgrade")] {
            let connect = Request::builder().method(Method::CONNECT).uri("http://a/");
            let request = connect.extension(Protocol::from_static(protocol)).body(()).unwrap();
            let response = sender.send_request(request, false).unwrap().0.await.unwrap();
            assert_eq!((response.status().as_u16(), &house.line()["failure"]), (status, &failure.into()), "{protocol}");
            body(response).await;
        }
        assert_eq!(get_status(&mut sender).await, 200);
    });
}
