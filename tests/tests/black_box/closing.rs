//! Answers that are given before the request has been read: the client reads them, although it is still sending, and learns
//! whether the connection goes on (RFC 9112, 9.6).

use bytes::Bytes;
use tidegate_tests::http2::{Http2, read, send_all};
use tidegate_tests::http3::{Http3, answer, run};
use tidegate_tests::pki::Authority;
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Client, Gateway, Policy, eventually, free_port};

/// Each path is answered in its own way, without a look at the body.
fn policy() -> Policy {
    Policy::to(&Backend::echo())
        .listener("limits { body-bytes 1KiB }")
        .rule("forbidden", "when path is \"/403\"\nrespond 403 \"no\"")
        .rule("moved", "when path is \"/308\"\nredirect 308 \"/there\"")
        .rule("limited", "when path is \"/429\"\nlimit 1/h burst 1 status 429\nrespond 200 \"once\"")
}

/// A way to reach it.
enum Way {
    Plain,
    Tls(Box<Secure>),
}

impl Way {
    fn client(&self, gateway: &Gateway) -> Client {
        match self {
            Self::Plain => gateway.client(),
            Self::Tls(secure) => secure.connect(gateway.port(), "shop.test").unwrap().0,
        }
    }
}

fn ways() -> [(Gateway, Way); 2] {
    let authority = Authority::new("Root");
    let sign = |folder: &std::path::Path| authority.server(&["shop.test"]).sign().write(folder, "main");
    [
        (Gateway::start(&policy()), Way::Plain),
        (Gateway::start_with(&policy().https(), sign), Way::Tls(Box::new(Secure::trusting(&authority)))),
    ]
}

#[test]
fn who_sends_all_before_it_reads_gets_the_answer() {
    for (gateway, way) in ways() {
        assert_eq!(way.client(&gateway).get("/429").status, 200);
        for (status, rounds) in [(403, 20), (308, 3), (413, 3), (429, 3)] {
            for length in [70_000, 600_000, 2_000_000] {
                for round in 0..rounds {
                    let mut client = way.client(&gateway);
                    client.send(format!("POST /{status} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"));
                    client.send(vec![b'x'; length]);
                    let answer = client.receive();
                    assert_eq!(answer.status, status, "{length}, {round}");
                    assert_eq!(answer.header("connection"), Some("close"), "{status}, {length}");
                    assert!(client.is_closed(), "{status}, {length}");
                }
            }
        }
    }
}

#[test]
fn a_head_that_is_refused_is_answered_although_more_comes() {
    for (gateway, way) in ways() {
        let long = format!("GET / HTTP/1.1\r\nhost: test\r\nx: {}\r\n", "x".repeat(100_000));
        for (head, status) in [("POST / HTTP/1.1\r\nbad field\r\n\r\n", 400), (&*long, 431)] {
            for round in 0..10 {
                let mut client = way.client(&gateway);
                client.send(head).send(vec![b'x'; 600_000]);
                assert_eq!(client.receive_head().unwrap().status, status, "{round}");
            }
        }
    }
}

#[test]
fn a_little_that_nobody_wants_does_not_end_the_connection() {
    for (gateway, way) in ways() {
        let mut client = way.client(&gateway);
        for length in [1, 1000, 30_000, 65_536] {
            client.send(format!("POST /403 HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n"));
            // What comes after the answer counts as well.
            client.send(vec![b'x'; length / 2]);
            let answer = client.receive();
            assert_eq!((answer.status, answer.header("connection")), (403, None), "{length}");
            client.send(vec![b'x'; length - length / 2]);
        }
        assert_eq!(client.get("/403").status, 403, "on the same connection");
    }
}

#[test]
fn who_waits_to_be_told_to_go_on_is_told_that_the_connection_ends() {
    let gateway = Gateway::start(&policy());
    let mut client = gateway.client();
    client.send("POST /403 HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n");
    let answer = client.receive();
    assert_eq!((answer.status, answer.header("connection")), (403, Some("close")));
    assert!(answer.interim.is_empty() && client.is_closed());
}

#[test]
fn a_client_that_never_ends_is_left_in_time() {
    let gateway = Gateway::start(&policy());
    let before = gateway.usage().sockets;
    let mut client = gateway.client();
    client.send("POST /403 HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(client.receive().header("connection"), Some("close"));
    assert!(client.is_closed(), "its half of the connection ends at once");
    // The client neither sends nor closes.
    eventually("the gateway gives the socket back", || {
        let sockets = gateway.usage().sockets;
        if sockets <= before { Ok(()) } else { Err(sockets) }
    });
}

#[test]
fn over_http2_and_http3_the_stream_ends_and_the_connection_goes_on() {
    let authority = Authority::new("Root");
    let quic = free_port();
    let policy = policy().https().top(&format!(
        "listener quic three {{ port {quic}; certificate main; limits {{ body-bytes 1KiB }}; rules main }}"
    ));
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["shop.test", "localhost"]).sign().write(folder, "main");
    });
    run(async {
        let mut two = Http2::connect_secure(gateway.port(), &authority).await;
        let mut three = Http3::connect(quic, &authority).await;
        for round in 0..20 {
            for length in [30_000, 600_000, 2_000_000] {
                let request = two.request("POST", "/403", &[]);
                let (answered, mut stream) = two.begin(request, false).await.unwrap();
                // It ends early, which is as it should be: the answer is what counts.
                let _ = send_all(&mut stream, Bytes::from(vec![b'x'; length]), true).await;
                assert_eq!(read(answered).await.unwrap().status, 403, "{length}, {round}");
                let mut stream = three.begin("POST", "/403", &[]).await.unwrap();
                let _ = stream.send_data(Bytes::from(vec![b'x'; length])).await;
                let _ = stream.finish().await;
                assert_eq!(answer(&mut stream).await.unwrap().status, 403, "{length}, {round}");
            }
        }
        assert_eq!(two.get("/308").await.status, 308);
    });
}
