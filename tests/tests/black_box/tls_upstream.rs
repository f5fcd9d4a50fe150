//! TLS towards backends.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{ServerConnection, StreamOwned};
use tidegate_tests::pki::{Authority, Identity};
use tidegate_tests::{Gateway, Policy, listen};

/// A server that answers with the name that it was asked for in the handshake, and counts its connections.
struct Server {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Server {
    fn start(identity: &Identity) -> Self {
        let listener = listen();
        let port = listener.local_addr().unwrap().port();
        let config = identity.server_config();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let count = Arc::clone(&count);
                std::thread::spawn(move || {
                    let mut stream = StreamOwned::new(connection, socket);
                    let mut seen = Vec::new();
                    let mut buffer = [0; 1024];
                    let mut counted = false;
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        if !std::mem::replace(&mut counted, true) {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        seen.extend_from_slice(&buffer[..read]);
                        if seen.ends_with(b"\r\n\r\n") {
                            let name = stream.conn.server_name().unwrap_or("none").to_owned();
                            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
                            stream.write_all(head.as_bytes()).unwrap();
                            seen.clear();
                        }
                    }
                });
            }
        });
        Self { port, connections }
    }
}

/// A gateway whose group has this body; `root.pem` is the authority.
fn gateway(authority: &Authority, body: &str) -> Gateway {
    let policy = Policy::new().top("gateway { workers 1 }").top("ca root { bundle \"root.pem\" }").group("web", body);
    Gateway::start_with(&policy, |folder| std::fs::write(folder.join("root.pem"), authority.pem()).unwrap())
}

/// The address of a server that answers every connection as one does that takes what comes for HTTP.
fn speaks_http() -> String {
    let listener = listen();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}

#[test]
fn a_server_has_to_prove_who_it_is() {
    let (authority, other) = (Authority::new("Root"), Authority::new("Other"));
    let good = Server::start(&authority.server(&["api.internal"]).sign());
    let expired = Server::start(&authority.server(&["api.internal"]).expired().sign());
    let foreign = Server::start(&other.server(&["api.internal"]).sign());
    let plain = speaks_http();
    let at = |server: &Server| format!("127.0.0.1:{}", server.port);
    let named = "server-name \"api.internal\"";
    for (server, lines, status, words) in [
        (at(&good), format!("verify ca root; {named}"), 200, ""),
        (at(&good), "verify ca root".to_owned(), 502, "is for another name"),
        (at(&good), "verify off".to_owned(), 200, ""),
        (at(&good), format!("verify system; {named}"), 502, "was not signed by an authority that `verify` trusts"),
        (at(&expired), format!("verify ca root; {named}"), 502, "has expired"),
        (at(&expired), "verify off".to_owned(), 200, ""),
        (at(&foreign), format!("verify ca root; {named}"), 502, "was not signed by an authority"),
        (plain, format!("verify ca root; {named}"), 502, "is not TLS"),
    ] {
        let gateway = gateway(&authority, &format!("protocol https; server {server}; {lines}"));
        let answer = gateway.get("/");
        assert_eq!(answer.status, status, "{server} {lines}");
        if status == 200 {
            let expected = if lines.contains("server-name") { "api.internal" } else { "none" };
            assert_eq!(answer.text(), expected);
        } else {
            gateway.wait_for(0, words);
            assert!(answer.text().contains("no server could be reached securely"), "{}", answer.text());
        }
    }
}

#[test]
fn connections_are_kept_and_shared_only_by_groups_that_trust_the_same() {
    let authority = Authority::new("Root");
    let server = Server::start(&authority.server(&["one.internal", "two.internal"]).sign());
    let body = |name: &str| {
        format!("protocol https; server 127.0.0.1:{}; verify ca root; server-name \"{name}\"", server.port)
    };
    let policy = Policy::new()
        .top("gateway { workers 1 }")
        .top("ca root { bundle \"root.pem\" }")
        .group("web", &body("one.internal"))
        .group("more", &body("one.internal"))
        .group("two", &body("two.internal"))
        .rule("more", "when path is \"/more\"\nforward more")
        .rule("two", "when path is \"/two\"\nforward two");
    let gateway =
        Gateway::start_with(&policy, |folder| std::fs::write(folder.join("root.pem"), authority.pem()).unwrap());
    for target in ["/", "/", "/more", "/"] {
        assert_eq!(gateway.get(target).text(), "one.internal");
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
    assert_eq!(gateway.get("/two").text(), "two.internal", "another name, another connection");
    assert_eq!(server.connections.load(Ordering::SeqCst), 2);
}
