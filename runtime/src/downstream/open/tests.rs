//! Clients that connect over sockets: what they say before HTTP, and how they are refused.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::tests::{Certified, House, run_with_sockets, settle};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// A client that has connected to a listener in clear text or with TLS, and was counted in; the task that serves it.
async fn connect(house: &House, clear: bool) -> (TcpStream, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert!(house.handle.load.admit(u32::MAX));
    let (handle, worker) = (Rc::clone(&house.handle), Rc::clone(&house.worker));
    let served = if clear {
        tokio::task::spawn_local(plain(stream, handle, worker))
    } else {
        tokio::task::spawn_local(secured(stream, handle, worker))
    };
    (client, served)
}

/// What comes until the gateway ends its side, or breaks off.
async fn rest(client: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = client.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a client in clear text gets that sends this; its connection is over then, and counted out.
async fn exchange(house: &House, bytes: &[u8]) -> String {
    let (mut client, served) = connect(house, true).await;
    client.write_all(bytes).await.unwrap();
    let text = rest(&mut client).await;
    drop(client);
    served.await.unwrap();
    assert_eq!(house.handle.load.connections(), 0);
    text
}

/// How many handshakes of the listener failed for this reason.
fn failed(house: &House, kind: RefusedKind) -> u64 {
    let (view, id) = house.handle.view(&house.worker);
    view.meter(id).map_or(0, |meter| meter.cells.handshakes_failed[kind as usize].value())
}

#[test]
fn a_connection_is_counted_out_when_it_has_ended() {
    run_with_sockets(async {
        let house = House::answering("");
        let (mut client, served) = connect(&house, true).await;
        client.write_all(GET).await.unwrap();
        assert!(rest(&mut client).await.ends_with("hello"));
        assert_eq!(house.line()["client_ip"], "127.0.0.1");
        drop(client);
        served.await.unwrap();
        assert_eq!(house.handle.load.connections(), 0);
    });
}

#[test]
fn a_trusted_peer_says_for_whom_it_speaks() {
    run_with_sockets(async {
        let house = House::answering("client-ip proxy-protocol trusted [127.0.0.0/8]");
        for (header, client) in [
            ("PROXY TCP4 203.0.113.9 192.0.2.2 50000 443\r\n", "203.0.113.9"),
            ("PROXY TCP6 2001:db8::9 2001:db8::1 50000 443\r\n", "2001:db8::9"),
            ("PROXY UNKNOWN\r\n", "127.0.0.1"),
        ] {
            let text = exchange(&house, &[header.as_bytes(), GET].concat()).await;
            assert!(text.ends_with("hello"), "{header}: {text}");
            assert_eq!(house.line()["client_ip"], client);
        }
    });
}

#[test]
fn a_trusted_peer_that_does_not_say_so_gets_no_answer() {
    run_with_sockets(async {
        let house = House::answering("client-ip proxy-protocol trusted [127.0.0.0/8]");
        for bytes in [GET, b"PROXY TCP4 203.0.113.9\r\n", b"PROXY TCP4 203.0.113.9 192.0.2.2 50000 65536\r\n"] {
            assert_eq!(exchange(&house, bytes).await, "");
        }
        assert!(house.log().is_empty());
    });
}

#[test]
fn who_may_connect_is_asked_of_the_client_and_not_of_the_peer_that_speaks_for_it() {
    run_with_sockets(async {
        let house =
            House::answering("client-ip proxy-protocol trusted [127.0.0.0/8]; deny-from [203.0.113.0/24, 127.0.0.0/8]");
        let from = |source: &str| [format!("PROXY TCP4 {source} 192.0.2.2 50000 443\r\n").as_bytes(), GET].concat();
        assert_eq!(exchange(&house, &from("203.0.113.9")).await, "");
        assert!(exchange(&house, &from("198.51.100.7")).await.ends_with("hello"));
    });
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    run_with_sockets(async {
        let house =
            House::answering("client-ip proxy-protocol trusted [127.0.0.0/8]; request-timeout 60s; idle-timeout 60s");
        let (mut client, served) = connect(&house, true).await;
        client.write_all(b"PROXY TCP4 ").await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        tokio::time::pause();
        let began = tokio::time::Instant::now();
        served.await.unwrap();
        let waited = began.elapsed();
        assert!((limits::PROXY_HEADER_TIMEOUT / 2..=limits::PROXY_HEADER_TIMEOUT).contains(&waited), "{waited:?}");
        assert_eq!(house.handle.load.connections(), 0);
    });
}

/// A client of TLS that has connected, and the task that serves it.
async fn handshake(
    certified: &Certified,
    house: &House,
    protocols: &[&str],
) -> (std::io::Result<TlsStream<TcpStream>>, JoinHandle<()>) {
    let (client, served) = connect(house, false).await;
    let name = ServerName::try_from("localhost").unwrap();
    (TlsConnector::from(Arc::new(certified.client(protocols))).connect(name, client).await, served)
}

#[test]
fn the_handshake_agrees_on_the_version_of_http() {
    run_with_sockets(async {
        let certified = Certified::new();
        let house = certified.house("https", "");
        for (offers, agreed) in
            [(&["h2", "http/1.1"][..], Some(&b"h2"[..])), (&["http/1.1"], Some(b"http/1.1")), (&[], None)]
        {
            let (client, served) = handshake(&certified, &house, offers).await;
            let mut client = client.unwrap();
            assert_eq!(client.get_ref().1.alpn_protocol(), agreed);
            let version = if agreed == Some(b"h2") {
                let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
                tokio::task::spawn_local(connection);
                let request = http::Request::get("https://a/").body(()).unwrap();
                assert_eq!(sender.send_request(request, true).unwrap().0.await.unwrap().status(), 200);
                "h2"
            } else {
                client.write_all(GET).await.unwrap();
                assert!(rest(&mut client).await.ends_with("hello"));
                "http/1.1"
            };
            let line = house.line();
            assert_eq!((&line["protocol"], &line["tls_version"]), (&version.into(), &"tls1.3".into()));
            assert_eq!((&line["scheme"], &line["sni"]), (&"https".into(), &"localhost".into()));
            served.abort();
            let _ = served.await;
        }
        assert_eq!(house.handle.load.connections(), 0, "however the task ends");
    });
}

#[test]
fn http_2_is_not_offered_where_the_policy_says_so() {
    run_with_sockets(async {
        let certified = Certified::new();
        let house = certified.house("https", "http2 off");
        let (client, _served) = handshake(&certified, &house, &["h2", "http/1.1"]).await;
        assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (client, served) = handshake(&certified, &house, &["h2"]).await;
        assert!(client.is_err());
        served.await.unwrap();
        assert_eq!(failed(&house, RefusedKind::Incompatible), 1);
    });
}

#[test]
fn who_speaks_http_without_tls_is_told_so() {
    run_with_sockets(async {
        let house = Certified::new().house("https", "");
        let (mut client, served) = connect(&house, false).await;
        client.write_all(GET).await.unwrap();
        let text = rest(&mut client).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.ends_with("\r\nconnection: close"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{text}");
        drop(client);
        served.await.unwrap();
        assert_eq!(failed(&house, RefusedKind::Plain), 1);
    });
}

#[test]
fn a_handshake_that_fails_is_counted_by_its_reason_and_counted_out() {
    run_with_sockets(async {
        let house = Certified::new().house("https", "");
        for (bytes, kind) in [
            (&b""[..], RefusedKind::Left),
            (b"\x16\x03\x01\x02\x00", RefusedKind::Left),
            (b"\x16\x03\x01\x00\x04\xff\xff\xff\xff", RefusedKind::Malformed),
            (b"\x80\x2e\x01\x03\x01", RefusedKind::Malformed),
        ] {
            let before = failed(&house, kind);
            let (mut client, served) = connect(&house, false).await;
            client.write_all(bytes).await.unwrap();
            client.shutdown().await.unwrap();
            served.await.unwrap();
            assert_eq!(failed(&house, kind), before + 1, "{bytes:?}");
        }
        let (client, served) = handshake(&Certified::new(), &house, &[]).await;
        assert!(client.is_err(), "it trusts somebody else");
        served.await.unwrap();
        assert_eq!(failed(&house, RefusedKind::ByClient), 1);
        assert_eq!(house.handle.load.connections(), 0);
        assert!(house.log().is_empty() && !house.worker.has_connections());
    });
}

#[test]
fn a_handshake_that_stands_still_has_an_end_from_the_connection_on() {
    for bytes in [&b""[..], b"\x16\x03\x01"] {
        run_with_sockets(async {
            let house = Certified::new().house("https", "");
            let (mut client, served) = connect(&house, false).await;
            client.write_all(bytes).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            tokio::time::pause();
            let began = tokio::time::Instant::now();
            served.await.unwrap();
            let waited = began.elapsed();
            assert!((limits::HANDSHAKE_TIMEOUT / 2..=limits::HANDSHAKE_TIMEOUT).contains(&waited), "{waited:?}");
            assert_eq!(failed(&house, RefusedKind::Timeout), 1);
        });
    }
}

#[test]
fn the_oldest_handshake_gives_way_and_a_silent_connection_is_none() {
    run_with_sockets(async {
        let house = Certified::new().house("https", "");
        let (_silent, waits) = connect(&house, false).await;
        let (mut client, served) = connect(&house, false).await;
        client.write_all(b"\x16").await.unwrap();
        while !house.worker.has_connections() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let others: Vec<_> = (1..limits::HANDSHAKES).map(|_| house.worker.handshakes.enter()).collect();
        settle().await;
        assert!(!served.is_finished());
        let one_more = house.worker.handshakes.enter();
        served.await.unwrap();
        assert_eq!((failed(&house, RefusedKind::Crowded), waits.is_finished()), (1, false));
        drop((others, one_more));
    });
}

#[test]
fn a_handshake_has_the_settings_of_its_moment() {
    run_with_sockets(async {
        let certified = Certified::new();
        let house = certified.house("https", "");
        let (client, served) = connect(&house, false).await;
        settle().await;
        // The client has connected, and said nothing yet.
        certified.reload(&house, "https", "http2 off");
        let name = ServerName::try_from("localhost").unwrap();
        let client = TlsConnector::from(Arc::new(certified.client(&["h2", "http/1.1"]))).connect(name, client).await;
        assert_eq!(client.unwrap().get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        served.await.unwrap();
    });
}
