//! Servers that mean harm: what they can make the gateway read or hold is bounded, and others are served meanwhile.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use tidegate_tests::frames::*;
use tidegate_tests::http2::{Http2, settings};
use tidegate_tests::http3::run;
use tidegate_tests::{Gateway, PATIENCE, Policy, RawServer, eventually};

/// Reads a head, and then sends this without end.
fn endless(bytes: &'static [u8]) -> RawServer {
    RawServer::start(move |mut socket, _| {
        let _ = socket.read(&mut [0; 4096]);
        let block = bytes.repeat(64 * 1024 / bytes.len() + 1);
        while socket.write_all(&block).is_ok() {}
    })
}

/// Bytes that never become an answer.
const ENDLESS: [(&str, &[u8]); 4] = [
    ("interim answers", b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    ("empty lines", b"\r\n"),
    ("a field", b"HTTP/1.1 200 OK\r\nx: xxxxxxxxxxxxxxxxxxxxxxxxx"),
    ("no HTTP", b"no"),
];

#[test]
fn what_precedes_an_answer_is_bounded() {
    for (what, bytes) in ENDLESS {
        let server = endless(bytes);
        let gateway = Gateway::start(&Policy::new().group("web", &format!("server {}", server.address())));
        assert_eq!(gateway.get("/endless").status, 502, "{what}");
        assert_eq!(gateway.access("/endless")["failure"], "upstream-invalid", "{what}");
    }
}

#[test]
fn a_server_that_never_answers_holds_up_nobody_else() {
    let server = endless(ENDLESS[0].1);
    let policy = Policy::new()
        .top("gateway { workers 1 }")
        .group("web", &format!("server {}", server.address()))
        .rule("fine", "when path is \"/fine\"\nrespond 200 \"ok\"");
    let gateway = Gateway::start(&policy);
    let quiet = percentile(&waits(&gateway));
    let over = Arc::new(AtomicBool::new(false));
    let askers: Vec<_> = (0..2)
        .map(|_| {
            let (over, mut client) = (Arc::clone(&over), gateway.client());
            std::thread::spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(client.get("/endless").status, 502);
                }
            })
        })
        .collect();
    eventually("the server is asked", || if server.connections() >= 2 { Ok(()) } else { Err(server.connections()) });
    let busy = percentile(&waits(&gateway));
    over.store(true, Ordering::SeqCst);
    assert!(askers.into_iter().all(|asker| asker.join().is_ok()), "each of them gets its answer");
    println!("nine of ten requests took {quiet:?} without and {busy:?} with a server that never answers");
    assert!(busy < quiet * 20 + Duration::from_millis(200), "{busy:?}; without, {quiet:?}");
}

/// The time that each of a hundred requests takes.
fn waits(gateway: &Gateway) -> Vec<Duration> {
    let mut client = gateway.client();
    let wait = |_| {
        let began = Instant::now();
        assert_eq!(client.get("/fine").status, 200);
        began.elapsed()
    };
    (0..100).map(wait).collect()
}

/// The time that nine of ten requests did not exceed.
fn percentile(waits: &[Duration]) -> Duration {
    let mut sorted = waits.to_vec();
    sorted.sort();
    sorted[sorted.len() * 9 / 10]
}

#[test]
fn a_server_that_never_answers_is_unhealthy() {
    let server = endless(ENDLESS[0].1);
    let check = "health-check http { path \"/\"; every 20s; timeout 20s; healthy 1; unhealthy 1 }";
    let gateway = Gateway::start(&Policy::new().group("web", &format!("{check}; server {}", server.address())));
    let line = gateway.wait_for(0, "a server is unhealthy");
    assert!(line.contains("it sends bytes without end, and no answer"), "{line}");
}

/// Frames that move no request, by name; each is right.
fn idle_frames() -> Vec<(&'static str, Vec<u8>)> {
    let interim = [&[0x08, 3][..], b"103"].concat();
    vec![
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 16])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 3, &1_u32.to_be_bytes())),
        ("unknown", frame(0x77, 0, 1, b"?")),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[&0x7fff_ffff_u32.to_be_bytes()[..], &[0; 4]].concat())),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[])),
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("interim answers", frame(HEADERS, END_HEADERS, 1, &interim)),
    ]
}

/// A gRPC server that answers nothing and sends this without end: as soon as it is asked, or after its first answer. It says
/// when a connection is ended.
fn talking(bytes: Vec<u8>, answers: bool, ended: Sender<usize>) -> RawServer {
    RawServer::start(move |mut socket, number| {
        let mut asked = [0; 4096];
        if socket.write_all(&greeting()).is_err() || socket.read(&mut asked).is_err() {
            return;
        }
        let mut reader = socket.try_clone().unwrap();
        // The gateway's acknowledgements must not fill the socket.
        std::thread::spawn(move || while reader.read(&mut [0; 65536]).is_ok_and(|count| count > 0) {});
        if answers {
            let status = frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x88]);
            let _ = socket.write_all(&status);
        }
        let block = bytes.repeat(64 * 1024 / bytes.len() + 1);
        while socket.write_all(&block).is_ok() {}
        let _ = ended.send(number);
    })
}

fn grpc(server: &RawServer) -> Gateway {
    let policy = Policy::new()
        .top("gateway { workers 1 }")
        .group("web", &format!("protocol grpc; server {}", server.address()))
        .rule("fine", "when path is \"/fine\"\nrespond 200 \"ok\"");
    Gateway::start(&policy)
}

#[test]
fn a_grpc_server_that_only_talks_is_left() {
    for (what, bytes) in idle_frames() {
        let (ended, ends) = channel();
        let server = talking(bytes, false, ended);
        let gateway = grpc(&server);
        let answer = gateway.get("/asked");
        assert_eq!(answer.status, 502, "{what}");
        assert!(ends.recv_timeout(PATIENCE).is_ok(), "{what}: the connection is ended");
        assert_eq!(gateway.get("/fine").status, 200, "{what}");
        let failure = gateway.access("/asked")["failure"].clone();
        // GOAWAY may be taken for the end that it announces, and SETTINGS or PING for a peer that does not read.
        assert!(failure == "upstream-invalid" || failure == "upstream-closed", "{what}: {failure}");
    }
}

#[test]
fn a_grpc_server_that_talks_when_nobody_asks_is_left() {
    for (what, bytes) in idle_frames() {
        let (ended, ends) = channel();
        let server = talking(bytes, true, ended);
        let gateway = grpc(&server);
        // What comes with the answer may be too much already.
        let status = gateway.get("/asked").status;
        assert!(status == 200 || status == 502, "{what}: {status}");
        assert!(ends.recv_timeout(PATIENCE).is_ok(), "{what}: the connection is ended");
        assert_eq!(gateway.get("/fine").status, 200, "{what}");
    }
}

/// The bytes that a server may send on a stream before any of it is taken, as the gateway says in its settings.
const WINDOW: usize = 256 * 1024;

/// Bytes in an order that shows when some are missing or in the wrong place.
fn pattern() -> Vec<u8> {
    (0..WINDOW).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A gRPC server that answers each call with a window full of frames of one byte, and now and then a larger one. It says when the gateway has read them.
fn crumbling(read: Sender<()>) -> RawServer {
    RawServer::start(move |mut socket, _| {
        if socket.read_exact(&mut [0; PREFACE.len()]).is_err() || socket.write_all(&greeting()).is_err() {
            return;
        }
        while let Ok(Frame { kind, flags, stream: id, .. }) = Frame::read(&mut socket) {
            match kind {
                HEADERS => {
                    let mut answer = frame(HEADERS, END_HEADERS, id, &[0x88]);
                    let (all, mut at) = (pattern(), 0);
                    for number in 1.. {
                        let piece = if number % 1000 == 0 { 700 } else { 1 };
                        let Some(piece) = all.get(at..(at + piece).min(WINDOW)).filter(|piece| !piece.is_empty())
                        else {
                            break;
                        };
                        answer.extend(frame(DATA, 0, id, piece));
                        at += piece.len();
                    }
                    answer.extend(frame(DATA, END_STREAM, id, b""));
                    answer.extend(frame(PING, 0, 0, &[1; 8]));
                    let _ = socket.write_all(&answer);
                }
                PING if flags & ACK != 0 => {
                    let _ = read.send(());
                }
                _ => {}
            }
        }
    })
}

#[test]
fn what_nobody_takes_costs_by_byte_and_not_by_piece() {
    const CALLS: usize = 4;
    let (read, has_read) = channel();
    let server = crumbling(read);
    let gateway = grpc(&server);
    run(async {
        // A client that takes next to nothing until it reads.
        let mut client = Http2::connect_as(gateway.port(), settings().initial_window_size(1000)).await;
        assert_eq!(gateway.get("/fine").status, 200);
        let before = gateway.usage().resident;
        let mut calls = Vec::new();
        for _ in 0..CALLS {
            calls.push(client.begin(client.request("GET", "/call", &[]), true).await.unwrap().0.await.unwrap());
            assert!(has_read.recv_timeout(PATIENCE).is_ok(), "the gateway reads as much as the window allows");
        }
        let grown = gateway.usage().peak.saturating_sub(before) / 1024;
        println!("{CALLS} calls of {WINDOW} pieces: {grown} KiB more");
        assert!(grown < 24 * 1024, "{CALLS} calls of {WINDOW} pieces of a byte: {grown} KiB more");
        for call in calls {
            let (mut body, mut all) = (call.into_body(), Vec::new());
            while let Some(data) = body.data().await {
                let data = data.unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                all.extend(data);
            }
            assert!(all == pattern(), "all of it comes, in order");
        }
    });
}
