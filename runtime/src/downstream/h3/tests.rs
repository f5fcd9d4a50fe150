//! A client of HTTP/3 that writes its frames by hand, over the loopback interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::time::Duration;

use quinn::{ConnectionError, ReadError, RecvStream, SendStream, VarInt};

use super::*;
use crate::tests::{House, Quic, run_with_sockets};

const SECOND: Duration = Duration::from_secs(1);

/// A HEADERS frame of a GET to `a` with these fields behind it (RFC 9204, B).
fn get(path: &str, fields: &[u8]) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let section = [&[0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0x51, length], path.as_bytes(), fields].concat();
    [&[1, u8::try_from(section.len()).unwrap()], &section[..]].concat()
}

/// Asks, and ends the request.
async fn ask(client: &quinn::Connection, frames: &[u8]) -> (SendStream, RecvStream) {
    let (mut to_us, from_us) = client.open_bi().await.unwrap();
    to_us.write_all(frames).await.unwrap();
    to_us.finish().unwrap();
    (to_us, from_us)
}

/// The whole answer; or the code with which it is broken off.
async fn answer(from_us: &mut RecvStream) -> Result<Vec<u8>, Code> {
    let (mut all, mut piece) = (Vec::new(), [0; 1000]);
    loop {
        match from_us.read(&mut piece).await {
            Ok(Some(count)) => all.extend_from_slice(&piece[..count]),
            Ok(None) => return Ok(all),
            Err(ReadError::Reset(code)) => return Err(code.into_inner().into()),
            Err(error) => panic!("{error}"),
        }
    }
}

async fn status_is_200(client: &quinn::Connection) -> bool {
    // The static table's `:status: 200`, first in its section.
    answer(&mut ask(client, &get("/", &[])).await.1).await.unwrap()[4] == 0xd9
}

/// The code with which the gateway closes the connection.
async fn closed(client: &quinn::Connection) -> Code {
    match client.closed().await {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner().into(),
        error => panic!("{error}"),
    }
}

/// Lets the time of the gateway pass until this is there, and says how much of it that took.
async fn passing<T>(house: &House, what: impl Future<Output = T>) -> (T, Duration) {
    let (mut what, mut passed) = (pin!(what), Duration::ZERO);
    loop {
        // What is in the sockets goes first.
        if let Ok(done) = tokio::time::timeout(Duration::from_millis(1), what.as_mut()).await {
            return (done, passed);
        }
        house.pass(limits::TICK).await;
        passed += limits::TICK;
    }
}

/// Waits for what the gateway does when it has heard from the client.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_request_is_answered_and_logged() {
    run_with_sockets(async {
        let quic = Quic::start("");
        let client = quic.connect().await.unwrap();
        let answer = answer(&mut ask(&client, &get("/", &[])).await.1).await.unwrap();
        assert_eq!((answer[0], answer[4]), (1, 0xd9));
        assert!(answer.ends_with(b"\0\x05hello"), "{answer:?}");
        let line = quic.house.line();
        for (name, value) in [("protocol", "h3"), ("scheme", "https"), ("sni", "localhost"), ("client_ip", "127.0.0.1")]
        {
            assert_eq!(line[name], value, "{name}");
        }
        assert_eq!((&line["status"], &line["bytes"]), (&200.into(), &5.into()));
    });
}

#[test]
fn a_mistake_ends_one_stream_and_no_other() {
    run_with_sockets(async {
        let quic = Quic::start("");
        let client = quic.connect().await.unwrap();
        // `connection: x`, with a literal name.
        let wrong = [&[0x27, 3][..], b"connection", &[1, b'x']].concat();
        let wrong = answer(&mut ask(&client, &get("/", &wrong)).await.1).await;
        assert_eq!(wrong.unwrap_err(), Code::H3_MESSAGE_ERROR);
        assert_eq!(
            answer(&mut ask(&client, &get("/close", &[])).await.1).await.unwrap_err(),
            Code::H3_REQUEST_CANCELLED
        );
        assert!(status_is_200(&client).await);
        let failures: Vec<_> = quic.house.log().iter().map(|line| line["failure"].clone()).collect();
        assert_eq!(failures, ["closed".into(), serde_json::Value::Null], "no rule has seen the first");
    });
}

#[test]
fn an_answer_that_the_client_does_not_take_in_time_ends_alone() {
    run_with_sockets(async {
        let quic = Quic::start("request-timeout 2s; idle-timeout 60s");
        let client = quic.connect().await.unwrap();
        let (_to_us, mut slow) = ask(&client, &get("/big", &[])).await;
        assert!(status_is_200(&client).await, "others do not wait for it");
        slow.read_exact(&mut [0; 1500]).await.unwrap();
        // The client takes as much more as fills its window, and looks at none of it.
        let (code, passed) = passing(&quic.house, slow.received_reset()).await;
        assert_eq!(Code::from(code.unwrap().unwrap().into_inner()), Code::H3_REQUEST_CANCELLED);
        assert!(passed >= SECOND * 19 / 10, "{passed:?}");
        assert!(status_is_200(&client).await);
    });
}

#[test]
fn a_drain_lets_answers_end_and_takes_no_more_requests() {
    run_with_sockets(async {
        let quic = Quic::start("");
        let client = quic.connect().await.unwrap();
        let (_to_us, mut under_way) = ask(&client, &get("/big", &[])).await;
        under_way.read_exact(&mut [0; 100]).await.unwrap();
        quic.house.worker.each_connection(|connection| connection.finish());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let (_to_us, mut late) = ask(&client, &get("/", &[])).await;
        assert_eq!(answer(&mut late).await.unwrap_err(), Code::H3_REQUEST_REJECTED, "somebody else may be asked");
        assert!(client.close_reason().is_none());
        assert!(answer(&mut under_way).await.unwrap().ends_with(&[b'x'; 1000]));
        assert_eq!(closed(&client).await, Code::H3_NO_ERROR);
        until(|| !quic.house.worker.has_connections()).await;
    });
}

#[test]
fn an_abort_ends_answers_and_all() {
    run_with_sockets(async {
        let quic = Quic::start("");
        let client = quic.connect().await.unwrap();
        let (_to_us, mut under_way) = ask(&client, &get("/big", &[])).await;
        under_way.read_exact(&mut [0; 100]).await.unwrap();
        quic.house.worker.each_connection(|connection| connection.abort());
        assert_eq!(closed(&client).await, Code::H3_NO_ERROR);
        assert!(!quic.house.worker.has_connections());
    });
}

#[test]
fn a_connection_without_requests_ends_after_a_while() {
    for (asks, least) in [(false, SECOND * 19 / 10), (true, SECOND * 49 / 10)] {
        run_with_sockets(async {
            let quic = Quic::start("idle-timeout 5s; request-timeout 60s");
            let client = quic.connect().await.unwrap();
            until(|| quic.house.worker.has_connections()).await;
            quic.house.pass(SECOND * 3).await;
            if asks {
                assert!(status_is_200(&client).await, "the time begins anew");
            }
            let (code, passed) = passing(&quic.house, closed(&client)).await;
            assert!(code == Code::H3_NO_ERROR && passed >= least, "{passed:?}");
        });
    }
}

#[test]
fn a_client_that_begins_requests_only_to_give_them_up_is_sent_away() {
    run_with_sockets(async {
        let quic = Quic::start("");
        let client = quic.connect().await.unwrap();
        for _ in 0..limits::RESET_REQUESTS {
            let (mut to_us, _) = client.open_bi().await.unwrap();
            to_us.write_all(&[1, 8, 0]).await.unwrap();
            to_us.reset(VarInt::from_u32(0x10c)).unwrap();
        }
        assert!(status_is_200(&client).await);
        for _ in 0..2 {
            let (mut to_us, _) = client.open_bi().await.unwrap();
            to_us.write_all(&[1, 8, 0]).await.unwrap();
            to_us.reset(VarInt::from_u32(0x10c)).unwrap();
        }
        assert_eq!(closed(&client).await, Code::H3_EXCESSIVE_LOAD);
    });
}

#[test]
fn a_client_has_as_many_requests_at_once_as_the_policy_says() {
    run_with_sockets(async {
        let quic = Quic::start("limits { streams 1 }");
        let client = quic.connect().await.unwrap();
        let (_to_us, mut first) = ask(&client, &get("/big", &[])).await;
        assert!(tokio::time::timeout(Duration::from_millis(5), client.open_bi()).await.is_err());
        answer(&mut first).await.unwrap();
        assert!(status_is_200(&client).await);
    });
}

#[test]
fn the_last_of_the_requests_of_a_connection_ends_it_when_it_has_its_answer() {
    run_with_sockets(async {
        let quic = Quic::start("limits { requests-per-connection 2 }");
        let client = quic.connect().await.unwrap();
        assert!(status_is_200(&client).await);
        assert!(client.close_reason().is_none());
        assert!(status_is_200(&client).await);
        assert_eq!(closed(&client).await, Code::H3_NO_ERROR);
    });
}
