//! The PROXY protocol, as a load balancer before the gateway speaks it.

use std::io::Write;
use std::net::TcpStream;

use tidegate_tests::secure::{self, Secure};
use tidegate_tests::{Backend, Client, Gateway, Policy};

const LINE: &str = "PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: test\r\n\r\n";

/// The header of [`LINE`] in version 2, with an extension behind it.
fn block() -> Vec<u8> {
    let mut block = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10".to_vec();
    block.extend([203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 1, 0xbb, 4, 0, 1, 0]);
    block
}

fn trusting(networks: &str, backend: &Backend) -> Policy {
    Policy::to(backend)
        .listener(&format!("client-ip proxy-protocol trusted [{networks}]"))
        .rule("theirs", "when client-ip in 203.0.113.0/24\nset-header \"x-theirs\" \"${client-ip}\"\nforward web")
}

#[test]
fn both_versions_name_the_client() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&trusting("127.0.0.0/8", &backend));
    for header in [LINE.as_bytes().to_vec(), block()] {
        let mut client = gateway.client();
        client.send([&header[..], REQUEST.as_bytes()].concat());
        let echo = client.receive().echo();
        assert_eq!(echo.header("x-theirs"), Some("203.0.113.9"));
        assert_eq!(echo.header("x-forwarded-for"), Some("203.0.113.9"));
        assert_eq!(client.get("/again").echo().header("x-theirs"), Some("203.0.113.9"), "for the whole connection");
    }
    for header in [&b"PROXY UNKNOWN\r\n"[..], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = gateway.client();
        client.send([header, REQUEST.as_bytes()].concat());
        assert_eq!(client.receive().echo().header("x-forwarded-for"), Some("127.0.0.1"), "it speaks for itself");
    }
    assert_eq!(gateway.access("/again")["client_ip"], "203.0.113.9");
}

#[test]
fn a_trusted_peer_without_a_header_is_refused() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&trusting("127.0.0.0/8", &backend));
    for bytes in
        [REQUEST, "PROXY TCP4 203.0.113.9\r\n", "PROXY TCP4 203.0.113.9 10.0.0.1 5 6 7\r\nGET / HTTP/1.1\r\n\r\n"]
    {
        let mut client = gateway.client();
        client.send(bytes);
        assert!(client.is_closed(), "{bytes:?}");
    }
    gateway.wait_for(0, "has to begin with a PROXY header");
    assert!(backend.requests().is_empty());
}

#[test]
fn a_header_from_anybody_else_is_refused() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&trusting("10.0.0.0/8", &backend));
    for header in [LINE.as_bytes().to_vec(), block()] {
        let mut client = gateway.client();
        client.send([&header[..], REQUEST.as_bytes()].concat());
        let rest = client.rest();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400 "), "{rest}");
    }
    assert!(backend.requests().is_empty());
    assert_eq!(gateway.get("/").echo().header("x-forwarded-for"), Some("127.0.0.1"), "its own address counts");
}

#[test]
fn it_comes_before_the_handshake() {
    let backend = Backend::echo();
    let policy = trusting("127.0.0.0/8", &backend).https().listener("http2 off");
    let (gateway, authority) = Gateway::start_https(&policy);
    let config = Secure::trusting(&authority).config();
    for header in [LINE.as_bytes().to_vec(), block()] {
        let mut socket = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        socket.write_all(&header).unwrap();
        let (mut client, _): (Client, _) = secure::over(&config, socket, "shop.test").unwrap();
        assert_eq!(client.get("/").echo().header("x-theirs"), Some("203.0.113.9"));
    }
    let untold = secure::connect(&config, gateway.port(), "shop.test");
    assert!(untold.is_err());
}
