//! Certificates that are not accepted, of servers and of clients: the log says why, and what mends it.

use std::io::{Read, Write};
use std::sync::Arc;

use rustls::{ServerConnection, StreamOwned};
use tidegate_tests::pki::{Authority, Identity};
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Gateway, Policy, listen};

/// A server of this identity, which answers one request a connection with 200: its port.
fn server(identity: &Identity) -> u16 {
    let listener = listen();
    let port = listener.local_addr().unwrap().port();
    let config = identity.server_config();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), socket);
            if let Ok(1..) = stream.read(&mut [0; 4096]) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        }
    });
    port
}

/// As if it were signed with SHA-1: the algorithm's name is changed in both places, from `sha256WithRSAEncryption` to
/// `sha1WithRSAEncryption` (RFC 8017, A.2.4).
fn weak(der: &mut [u8]) {
    let sha256 = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];
    let places: Vec<usize> =
        der.windows(sha256.len()).enumerate().filter(|(_, window)| *window == sha256).map(|(at, _)| at).collect();
    assert_eq!(places.len(), 2);
    for at in places {
        der[at + 8] = 5;
    }
}

fn forged(der: &mut [u8]) {
    // Within the name of its own, which comes behind its issuer's: it still can be read, and its issuer is found.
    let at = der.windows(5).rposition(|window| window == b"Tests").unwrap();
    der[at] = b'R';
}

#[test]
fn the_log_says_why_the_certificate_of_a_server_is_not_accepted() {
    let authority = Authority::new("Root");
    let (foreign, namesake) = (Authority::new("Other"), Authority::new("Root"));
    let names = &["api.internal"][..];
    let good = || authority.server(names);
    let several: Vec<String> = (0..7).map(|at| format!("s{at}.internal")).collect();
    let several: Vec<&str> = several.iter().map(String::as_str).collect();
    let strong = Authority::of_rsa("Strong");
    let cases: Vec<(Identity, &[&str])> = vec![
        (good().expired().sign(), &["has expired, at 2002-01-01T00:00:00Z", "renewed"]),
        (good().early().sign(), &["is not valid yet, but from 2100-01-01T00:00:00Z", "clock"]),
        (foreign.server(names).sign(), &["was not signed by an authority that `verify` trusts", "`verify ca NAME`"]),
        (
            authority.server(&several).sign(),
            &["another name: it has `s0.internal`, ", " and 2 more, and not `api.internal`"],
        ),
        (authority.server(&[]).sign(), &["names no server, and has to be for `api.internal`", "`subjectAltName`"]),
        (good().authority().sign(), &["is that of an authority (`CA:TRUE`), which proves no server", "CA:FALSE"]),
        (authority.itself(), &["is that of an authority (`CA:TRUE`), which proves no server", "CA:FALSE"]),
        (authority.client("api.internal").sign(), &["is not meant for servers", "extendedKeyUsage=serverAuth"]),
        (namesake.server(names).sign(), &["has a wrong signature", "the `bundle` has another key of its issuer"]),
        (good().sign().changed(|der| forged(der)), &["has a wrong signature", "it was changed"]),
        (strong.server(names).sign().changed(|der| weak(der)), &["such as with SHA-1", "SHA-256"]),
        (good().critical().sign(), &["has a critical extension that is not known here"]),
    ];
    let mut policy = Policy::new().top("gateway { workers 1 }").top("ca root { bundle \"root.pem\" }");
    let group = |port| format!("protocol https; server 127.0.0.1:{port}; verify ca root; server-name \"api.internal\"");
    for (at, (identity, _)) in cases.iter().enumerate() {
        policy = policy
            .group(&format!("g{at}"), &group(server(identity)))
            .rule(&format!("r{at}"), &format!("when path is \"/{at}\"\nforward g{at}"));
    }
    let policy = policy.group("web", &group(server(&good().sign())));
    let gateway = Gateway::start_with(&policy, |folder| {
        std::fs::write(folder.join("root.pem"), authority.pem() + &strong.pem()).unwrap();
    });
    assert_eq!(gateway.get("/").status, 200, "what is right is accepted");
    for (at, (_, said)) in cases.iter().enumerate() {
        let mark = gateway.log().mark();
        assert_eq!(gateway.get(&format!("/{at}")).status, 502, "{said:?}");
        let line = gateway.wait_for(mark, "the server's certificate ");
        assert!(said.iter().all(|piece| line.contains(piece)), "{said:?}: {line}");
    }
}

#[test]
fn the_log_says_why_the_certificate_of_a_client_is_not_accepted() {
    let backend = Backend::echo();
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let (foreign, namesake) = (Authority::new("Others"), Authority::new("Partners"));
    let strong = Authority::of_rsa("Strong");
    let policy = Policy::to(&backend)
        .https()
        .top("ca partners { bundle \"partners.pem\" }")
        .listener("http2 off\nclient-ca partners required");
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("partners.pem"), partners.pem() + &strong.pem()).unwrap();
    });
    let good = || partners.client("alice");
    let shows = |identity: &Identity| {
        let (mut client, _) =
            Secure::trusting(&authority).showing(identity).connect(gateway.port(), "shop.test").ok()?;
        Some(client.try_get("/").ok()?.status)
    };
    assert_eq!(shows(&good().sign()), Some(200), "what is right is accepted");
    let cases: [(Identity, &[&str]); 10] = [
        (good().expired().sign(), &["has expired, at 2002-01-01T00:00:00Z", "renewed"]),
        (good().early().sign(), &["is not valid yet, but from 2100-01-01T00:00:00Z", "clock"]),
        (foreign.client("alice").sign(), &["was not signed by an authority of `client-ca`", "`bundle`"]),
        (good().authority().sign(), &["is that of an authority (`CA:TRUE`), which proves no client", "CA:FALSE"]),
        (partners.itself(), &["is that of an authority (`CA:TRUE`), which proves no client", "CA:FALSE"]),
        (partners.server(&["alice"]).sign(), &["is not meant for clients", "extendedKeyUsage=clientAuth"]),
        (namesake.client("alice").sign(), &["has a wrong signature", "the `bundle` has another key of its issuer"]),
        (good().sign().changed(|der| forged(der)), &["has a wrong signature", "it was changed"]),
        (strong.client("alice").sign().changed(|der| weak(der)), &["such as with SHA-1", "SHA-256"]),
        (good().critical().sign(), &["has a critical extension that is not known here"]),
    ];
    for (identity, said) in &cases {
        let mark = gateway.log().mark();
        assert_eq!(shows(identity), None, "{said:?}");
        let line = gateway.wait_for(mark, "the client's certificate ");
        assert!(said.iter().all(|piece| line.contains(piece)), "{said:?}: {line}");
    }
}
