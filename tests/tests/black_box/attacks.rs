//! Clients that mean harm: what they can make the gateway hold is bounded, and others are served meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tidegate_tests::frames::*;
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, eventually, needed};

const MIB: u64 = 1024 * 1024;
const ENHANCE_YOUR_CALM: u32 = 11;

/// The memory that the gateway may hold at its worst, beyond what it held at first.
const GROWTH: u64 = 64 * MIB;

/// A gateway that is attacked, and the memory that it held at first.
struct Watch<'g> {
    gateway: &'g Gateway,
    before: u64,
}

impl<'g> Watch<'g> {
    fn of(gateway: &'g Gateway) -> Self {
        assert_eq!(gateway.get("/fine").status, 200);
        Self { gateway, before: gateway.usage().resident }
    }

    /// Others are served, soon, and memory has not grown.
    fn look(&self, what: &str) {
        let began = Instant::now();
        assert_eq!(self.gateway.get("/fine").status, 200, "{what}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{what}: another client waited {took:?}");
        let grown = self.gateway.usage().peak.saturating_sub(self.before);
        println!("{what}: {} KiB more, another client waited {took:?}", grown / 1024);
        assert!(grown < GROWTH, "{what}: {} MiB more", grown / MIB);
    }
}

/// A gateway that answers `/fine` itself; the rest goes to the backend.
fn gateway(backend: &Backend, policy: impl FnOnce(Policy) -> Policy) -> Gateway {
    Gateway::start(&policy(Policy::to(backend).rule("fine", "when path is \"/fine\"\nrespond 200 \"ok\"")))
}

/// Sends until the gateway takes no more, or often enough to show that it never will be too much.
fn flood(client: &mut Frames, rounds: usize, mut bytes: impl FnMut(usize) -> Vec<u8>) -> usize {
    (0..rounds).take_while(|round| client.try_raw(&bytes(*round)).is_ok()).count()
}

#[test]
fn rapid_resets_end_the_connection() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = gateway(&backend, |policy| policy);
    let watch = Watch::of(&gateway);
    for _ in 0..5 {
        let mut client = Frames::connect(gateway.port());
        // CVE-2023-44487: requests, each of them given up at once.
        let sent = flood(&mut client, 20_000, |round| {
            let stream = 2 * u32::try_from(round).unwrap() + 1;
            let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "/", &[])));
            [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        });
        assert_eq!(client.end().unwrap_or(ENHANCE_YOUR_CALM), ENHANCE_YOUR_CALM, "after {sent}");
    }
    watch.look("rapid reset");
    eventually("requests to the backend end", || if backend.open() == 0 { Ok(()) } else { Err(backend.open()) });
    let asked = backend.connections();
    assert!(asked < 5 * 500, "{asked} requests reached the backend");
}

#[test]
fn requests_that_the_gateway_has_to_reset_end_the_connection() {
    // CVE-2025-8671: the client makes mistakes, so that the gateway resets.
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = gateway(&backend, |policy| policy);
    let watch = Watch::of(&gateway);
    let mut client = Frames::connect(gateway.port());
    flood(&mut client, 20_000, |round| {
        let stream = 2 * u32::try_from(round).unwrap() + 1;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "/", &[])));
        [head, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    });
    assert!(client.end().is_none_or(|code| code != 0));
    watch.look("made you reset");
    assert!(backend.connections() < 500, "{} requests reached the backend", backend.connections());
}

#[test]
fn a_client_may_give_up_what_it_no_longer_wants() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = gateway(&backend, |policy| policy);
    let mut client = Frames::connect(gateway.port());
    // As often as it likes, if it takes answers, too.
    for round in 0..300_u32 {
        let stream = 4 * round + 1;
        client.get(stream, "/").send(RST_STREAM, 0, stream, &8_u32.to_be_bytes()).get(stream + 2, "/fine");
        assert_eq!(client.outcome(stream + 2), Outcome::Status(200), "round {round}");
    }
    // Or if it takes its time.
    let mut client = Frames::connect(gateway.port());
    for round in 0..112_u32 {
        if round == 90 {
            // What is tested: the gateway forgets with time.
            std::thread::sleep(Duration::from_millis(2500));
        }
        client.get(2 * round + 1, "/").send(RST_STREAM, 0, 2 * round + 1, &8_u32.to_be_bytes());
        // The gateway has begun with it.
        client.send(PING, 0, 0, &[1; 8]);
        while client.receive().is_some_and(|frame| frame.kind != PING) {}
    }
    assert_eq!(client.get(301, "/fine").outcome(301), Outcome::Status(200));
}

#[test]
fn endless_header_sections_end_the_connection() {
    let backend = Backend::echo();
    let gateway = gateway(&backend, |policy| policy);
    let watch = Watch::of(&gateway);
    for payload in [vec![], vec![0x82; 16384], [&[0, 1, b'x', 0x7f, 0xa1, 0x7e][..], &[b'y'; 16200]].concat()] {
        let mut client = Frames::connect(gateway.port());
        client.send(HEADERS, 0, 1, &block(&request("GET", "/", &[])));
        // More than the sockets of a busy machine hold, even of empty frames.
        let sent = flood(&mut client, 1_000_000, |_| frame(CONTINUATION, 0, 1, &payload));
        assert!(sent < 1_000_000, "CONTINUATION without end was taken");
        assert!(client.end().is_none_or(|code| code != 0));
    }
    watch.look("CONTINUATION flood");
}

#[test]
fn a_header_bomb_does_not_go_off() {
    let backend = Backend::echo();
    let gateway = gateway(&backend, |policy| policy);
    let watch = Watch::of(&gateway);
    // RFC 7541: one field of 4000 bytes in the table, and 10,000 references of one byte to it.
    let mut bomb = block(&request("GET", "/", &[]));
    bomb.extend([0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend([b'y'; 4000]);
    bomb.extend([0xbe; 10_000]);
    for _ in 0..20 {
        let mut client = Frames::connect(gateway.port());
        client.send(HEADERS, END_HEADERS | END_STREAM, 1, &bomb);
        match client.outcome(1) {
            Outcome::Status(431) => assert_eq!(client.get(3, "/fine").outcome(3), Outcome::Status(200)),
            // What the table would make of it is over what the gateway goes on to decode.
            outcome => assert_eq!(outcome, Outcome::GoAway(ENHANCE_YOUR_CALM)),
        }
    }
    watch.look("header bomb");
    assert!(backend.requests().is_empty());
}

#[test]
fn floods_of_small_frames_fill_nothing() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = gateway(&backend, |policy| policy);
    let watch = Watch::of(&gateway);
    let kinds: [(&str, Vec<u8>); 5] = [
        ("PING", frame(PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        ("empty DATA", frame(DATA, 0, 1, &[])),
        ("unknown frames", frame(0x77, 0, 0, &[1; 64])),
    ];
    for (name, one) in kinds {
        let mut client = Frames::connect(gateway.port());
        client.headers(1, 0, &request("POST", "/", &[]));
        // What is answered is not read: CVE-2019-9512, 9515, 9518.
        client.socket().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let block = one.repeat(1000);
        let sent = flood(&mut client, 500, |_| block.clone());
        watch.look(&format!("{sent} thousand of {name}"));
    }
}

#[test]
fn readers_that_do_not_read_hold_little() {
    let backend = Backend::start(Behaviour::Stream(64 * MIB));
    let gateway = gateway(&backend, |policy| policy.listener("request-timeout 2s").listener("idle-timeout 2s"));
    let watch = Watch::of(&gateway);
    let mut clients = Vec::new();
    for (number, shut) in [true, false].repeat(4).into_iter().enumerate() {
        let mut client = Frames::bare(gateway.port());
        // Either no window at all (CVE-2019-9517), or all of it and a socket that nobody reads.
        let window: u32 = if shut { 0 } else { 0x7fff_ffff };
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        client.raw(PREFACE).send(SETTINGS, 0, 0, &settings);
        client.send(WINDOW_UPDATE, 0, 0, &0x7ff0_0000_u32.to_be_bytes());
        (0..30_u32).for_each(|request| {
            client.get(2 * request + 1, "/");
        });
        backend.wait_head(30 * (number + 1));
        clients.push(client);
    }
    watch.look("240 answers that nobody reads");
    eventually("what nobody reads is given up", || if backend.open() == 0 { Ok(()) } else { Err(backend.open()) });
    drop(clients);
}

#[test]
fn answers_that_nobody_takes_are_not_kept_by_frames_that_come() {
    let backend = Backend::start(Behaviour::Stream(60_000));
    let policy = |policy: Policy| {
        policy.listener("request-timeout 2s").listener("idle-timeout 2s").listener("limits { streams 1000 }")
    };
    let gateway = gateway(&backend, policy);
    let mut client = Frames::bare(gateway.port());
    client.raw(PREFACE).send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    client.send(WINDOW_UPDATE, 0, 0, &0x7ff0_0000_u32.to_be_bytes());
    // More than the kernel holds, and little enough for each stream that its answer counts as sent.
    for number in 0..1000_u32 {
        client.get(2 * number + 1, "/");
        if number % 50 == 49 {
            backend.wait_head(usize::try_from(number).unwrap() + 1);
        }
    }
    let began = Instant::now();
    // What asks for no answer, so that the gateway goes on reading: a drip, far more often than either timeout.
    while client.try_raw(&frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])).is_ok() {
        assert!(began.elapsed() < Duration::from_secs(12), "the connection is held");
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(gateway.get("/fine").status, 200);
}

#[test]
fn a_head_that_drips_is_not_waited_for() {
    let backend = Backend::echo();
    let gateway = gateway(&backend, |policy| policy.listener("idle-timeout 1s"));
    let head = block(&request("GET", "/", &[("x-long", &"x".repeat(5000))]));
    let mut client = Frames::connect(gateway.port());
    client.send(HEADERS, END_STREAM, 1, &head[..10]);
    let began = Instant::now();
    let taken = head[10..].iter().take_while(|byte| {
        // A slow client: each byte well within the timeout.
        std::thread::sleep(Duration::from_millis(500));
        client.try_raw(&frame(CONTINUATION, 0, 1, &[**byte])).is_ok()
    });
    let taken = taken.count();
    assert!(began.elapsed() < Duration::from_secs(10), "{taken} bytes in {:?}", began.elapsed());
    assert_eq!(client.end().unwrap_or(0), 0, "time is up, and it was no flood yet");
    assert!(backend.requests().is_empty());
}

#[test]
fn slow_heads_and_bodies_have_their_end() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).https().listener("request-timeout 2s").listener("idle-timeout 2s");
    let (gateway, authority) = Gateway::start_https(&policy);
    let secure = Secure::trusting(&authority);
    let began = Instant::now();
    // A head, a byte at a time; a body that stops; an HTTP/2 preface that stops; a handshake that stops.
    let mut slow: Vec<_> = (0..20)
        .map(|number| {
            let offered: &[&str] = if number % 4 == 2 { &["h2"] } else { &[] };
            let (mut client, _) =
                Secure::trusting(&authority).offering(offered).connect(gateway.port(), "shop.test").unwrap();
            match number % 4 {
                0 => client.send("GET / HT"),
                1 => client.send("POST / HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nabc"),
                2 => client.send("PRI * HTTP/2.0\r\n"),
                _ => client.send("GET / HTTP/1.1\r\nhost: test\r\nx"),
            };
            client
        })
        .collect();
    let mut half = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    half.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    std::thread::scope(|scope| {
        let (drip, rest) = slow.split_at_mut(1);
        scope.spawn(move || {
            while began.elapsed() < Duration::from_secs(15) && drip[0].try_send("x").is_ok() {
                // A slow client.
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let (mut client, _) = secure.connect(gateway.port(), "shop.test").unwrap();
        assert_eq!(client.get("/").status, 200, "others are served meanwhile");
        for client in rest {
            let rest = client.rest();
            assert!(
                rest.is_empty() || rest.starts_with("HTTP/1.1 408") || rest.as_bytes().get(3) == Some(&4),
                "{rest}"
            );
        }
    });
    assert!(began.elapsed() < Duration::from_secs(12), "{:?}", began.elapsed());
    let mut client = tidegate_tests::Client::over(half);
    assert!(client.is_closed(), "a handshake has ten seconds");
}

#[test]
fn ten_thousand_idle_connections_cost_little() {
    const COUNT: usize = 10_000;
    // What tests of the same process may hold meanwhile.
    const OTHERS: u64 = 4000;
    let enough =
        |room| if room < COUNT as u64 + OTHERS { Err(format!("{room} a process are too few")) } else { Ok(()) };
    let Some(()) = needed("descriptors", || enough(rlimit())) else { return };
    let gateway = Gateway::start(
        &Policy::new()
            .listener("idle-timeout 120s")
            .listener("limits { connections 20000 }")
            .otherwise("respond 200 \"ok\""),
    );
    let watch = Watch::of(&gateway);
    let mut idle = Vec::with_capacity(COUNT);
    for number in 0..COUNT {
        let mut socket = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        match number % 3 {
            // Nothing; an HTTP/2 connection without a request; one that has been served.
            0 => {}
            1 => socket.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap(),
            _ => socket.write_all(b"GET / HTTP/1.1\r\nhost: test\r\n\r\n").unwrap(),
        }
        idle.push(socket);
    }
    eventually("all are accepted", || {
        let sockets = gateway.usage().sockets;
        if sockets >= COUNT { Ok(()) } else { Err(sockets) }
    });
    let began = Instant::now();
    assert_eq!(gateway.get("/").status, 200);
    assert!(began.elapsed() < Duration::from_secs(5));
    let each = gateway.usage().resident.saturating_sub(watch.before) / COUNT as u64;
    println!("{} KiB for each of {COUNT} idle connections", each / 1024);
    assert!(each < 64 * 1024, "{each} bytes each");
    drop(idle);
    eventually("all are closed", || {
        let sockets = gateway.usage().sockets;
        if sockets < 100 { Ok(()) } else { Err(sockets) }
    });
}

/// The number of descriptors that a process may have, this one and the gateway.
fn rlimit() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit of open files");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(u64::MAX)
}
