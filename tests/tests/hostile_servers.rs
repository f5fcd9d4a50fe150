//! Servers that mean harm: what they can make the gateway read or hold is bounded, and others are served meanwhile.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate_tests::{Gateway, Policy, RawServer};

/// Reads a head, and then sends this without end.
fn endless(bytes: &'static [u8]) -> RawServer {
    RawServer::start(move |mut socket, _| {
        let _ = socket.read(&mut [0; 4096]);
        let block = bytes.repeat(64 * 1024 / bytes.len() + 1);
        while socket.write_all(&block).is_ok() {}
    })
}

/// What never becomes an answer.
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
    let busy = percentile(&waits(&gateway));
    over.store(true, Ordering::SeqCst);
    assert!(askers.into_iter().all(|asker| asker.join().is_ok()), "each of them gets its answer");
    println!("nine of ten requests took {quiet:?} without and {busy:?} with a server that never answers");
    assert!(busy < quiet * 20 + Duration::from_millis(200), "{busy:?}; without, {quiet:?}");
}

/// How long each of a hundred requests takes.
fn waits(gateway: &Gateway) -> Vec<Duration> {
    let mut client = gateway.client();
    let wait = |_| {
        let began = Instant::now();
        assert_eq!(client.get("/fine").status, 200);
        began.elapsed()
    };
    (0..100).map(wait).collect()
}

/// Nine of ten took no longer.
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
