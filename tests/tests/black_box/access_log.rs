//! The access log: what its lines say, and that no client can say it for the gateway.

use tidegate_tests::pki::Authority;
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Gateway, Policy};

/// The line that contains these words.
fn line(gateway: &Gateway, words: &str) -> String {
    gateway.access_log().wait(0, |line| line.contains(words).then(|| line.to_owned())).unwrap()
}

#[test]
fn no_client_writes_a_field_of_the_text_format() {
    let gateway = Gateway::start(&Policy::new().top("access-log { format text }").otherwise("respond 200"));
    gateway.client().send("GET /x HTTP/1.1\r\nhost: evil 200 rule=admin\r\n\r\n").receive_head().unwrap();
    let line = line(&gateway, "evil");
    let fields: Vec<&str> = line.split(' ').collect();
    assert_eq!(fields[2..6], ["main", "GET", "evil\\x20200\\x20rule=admin", "/x"]);
    assert_eq!(
        fields[7..],
        ["400", fields[8], fields[9], "rule=-", "server=-", "upstream=-", "failure=bad-host", "side=client"]
    );
}

#[test]
fn a_template_lays_a_line_out() {
    let backend = Backend::text("twelve bytes");
    let layout = r#"access-log {
        format template "${status} ${method} ${host} ${original-uri} ${client-ip} ${protocol} \"${user-agent}\" \"${header.referer}\" ${bytes} ${bytes_in} ${upstream-status} ${retries} ${trace-id} ${span-id} ${rule} ${group} ${server} ${failure} ${side} ${var.tier} ${vars} ${sni} ${client-cert.verify} ${generation}"
    }"#;
    let policy =
        Policy::to(&backend).top(layout).rule("paid", "when method is POST\nset-var \"tier\" \"go ld\"\nforward web");
    let gateway = Gateway::start(&policy);
    let head = "POST /a%20b?c=d HTTP/1.1\r\nhost: shop.test\r\nuser-agent: a \"b\"\r\nreferer: http://x/ y\r\ncontent-length: 5\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\nhello";
    gateway.client().send(head).receive();
    let server = backend.address();
    assert_eq!(
        line(&gateway, "POST"),
        format!(
            r#"200 POST shop.test /a%20b?c=d 127.0.0.1 h1 "a \"b\"" "http://x/ y" 12 5 200 0 0af7651916cd43dd8448eb211c80319c b7ad6b7169203331 paid web {server} - - go\x20ld {{\"tier\":\"go\x20ld\"}} - NONE 1"#
        )
    );
    gateway.client().send("GET /refused HTTP/1.1\r\nhost: bad host\r\nuser-agent: z\r\n\r\n").receive_head().unwrap();
    assert_eq!(
        line(&gateway, "/refused"),
        r#"400 GET bad\x20host /refused 127.0.0.1 h1 "z" "-" 50 0 - 0 - - - - - bad-host client - - - - 1"#
    );
}

#[test]
fn json_shows_what_is_not_ascii_and_hides_nothing() {
    let gateway = Gateway::start(&Policy::new().listener("label team \"storefront\"").otherwise("respond 200"));
    let get = |target: &str, agent: &[u8]| {
        let mut bytes = format!("GET {target} HTTP/1.1\r\nhost: test\r\nuser-agent: ").into_bytes();
        bytes.extend_from_slice(agent);
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_eq!(gateway.client().send(&bytes).receive_head().unwrap().status, 200);
        gateway.access(target)
    };
    let seen = get("/utf-8", "caf\u{e9}\u{202e}\u{85}".as_bytes());
    assert_eq!(seen["user_agent"], "caf\u{e9}\u{202e}\u{85}");
    assert_eq!(seen["labels"]["team"], "storefront");
    assert!(!line(&gateway, "/utf-8").contains(['\u{202e}', '\u{85}']), "they are escaped");
    assert_eq!(get("/latin-1", b"caf\xe9")["user_agent"], "caf\u{fffd}");
}

#[test]
fn tries_and_bytes_are_counted() {
    let backend = Backend::echo();
    let dead = tidegate_tests::free_port();
    let servers = format!("server 127.0.0.1:{dead}; server {}; retries 1 on [connect-failure]", backend.address());
    // One worker, so that the servers take turns.
    let gateway = Gateway::start(&Policy::new().top("gateway { workers 1 }").group("web", &servers));
    for target in ["/1", "/2"] {
        gateway.client().post(target, "12345678");
    }
    let retries: Vec<_> = ["/1", "/2"].map(|target| gateway.access(target)["retries"].as_u64()).into();
    assert!(retries.contains(&Some(1)) && retries.contains(&Some(0)), "{retries:?}");
    assert_eq!(gateway.access("/1")["bytes_in"].as_u64(), Some(8));
    assert!(gateway.access("/1").get("trace_id").is_none());
}

#[test]
fn a_handshake_can_be_inserted_tested_and_logged() {
    let backend = Backend::echo();
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let policy = Policy::to(&backend)
        .https()
        .listener("http2 off")
        .top("ca partners { bundle \"partners.pem\" }")
        .listener("client-ca partners optional")
        .rule(
            "modern",
            "when tls-group is x25519\n\
             set-header \"x-tls\" \"${tls-version} ${tls-cipher} ${tls-group} ${sni} ${protocol} ${client-port}\"\n\
             set-header \"x-cert\" \"${client-cert.subject}|${client-cert.issuer}|${client-cert.serial}|${client-cert.verify}\"\n\
             set-header \"x-pem\" \"${client-cert.pem}\"\nforward web",
        )
        .otherwise("respond 404");
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("partners.pem"), partners.pem()).unwrap();
    });
    let secure = || Secure::trusting(&authority).groups(&[rustls::NamedGroup::X25519]);
    let (mut client, _) =
        secure().showing(&partners.client("alice").serial(0x0fa3).sign()).connect(gateway.port(), "shop.test").unwrap();
    let port = client.socket().local_addr().unwrap().port();
    let echo = client.get("/with").echo();
    let line = gateway.access("/with");
    assert_eq!(
        (&line["tls_version"], &line["tls_group"], &line["sni"]),
        (&"tls1.3".into(), &"x25519".into(), &"shop.test".into())
    );
    let cipher = line["tls_cipher"].as_str().unwrap();
    assert!(cipher.starts_with("TLS_"), "{cipher}");
    assert_eq!(echo.header("x-tls").unwrap(), format!("tls1.3 {cipher} x25519 shop.test h1 {port}"));
    assert_eq!(echo.header("x-cert"), Some("CN=alice,O=Tests|CN=Partners,O=Tests|0fa3|SUCCESS"));
    let pem = echo.header("x-pem").unwrap();
    assert!(
        pem.starts_with("-----BEGIN%20CERTIFICATE-----%0AMII") && pem.ends_with("-----END%20CERTIFICATE-----%0A"),
        "{pem}"
    );
    let (mut client, _) = secure().connect(gateway.port(), "shop.test").unwrap();
    assert_eq!(client.get("/without").echo().header("x-cert"), Some("|||NONE"));
}

#[test]
fn a_head_that_cannot_be_read_has_a_line() {
    let policy = Policy::new()
        .listener("request-timeout 1s")
        .listener("limits { header-bytes 4KiB; headers 20 }")
        .otherwise("respond 200");
    let gateway = Gateway::start(&policy);
    let long = "x".repeat(8192);
    let many = "a: b\r\n".repeat(30);
    for (head, status, failure) in [
        ("no http at all\r\n\r\n", 400, "bad-head"),
        (&*format!("GET / HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), 431, "head-too-large"),
        (&*format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n"), 431, "head-too-large"),
        ("GET / HTTP/1.1\r\nhost: a\r\n", 408, "client-timeout"),
    ] {
        let mark = gateway.access_log().mark();
        assert_eq!(gateway.client().send(head).receive_head().unwrap().status, status, "{failure}");
        let line =
            gateway.access_log().wait(mark, |line| serde_json::from_str::<serde_json::Value>(line).ok()).unwrap();
        assert_eq!((line["status"].as_u64(), &line["failure"]), (Some(status.into()), &failure.into()), "{line}");
        assert!(line["method"].is_null() && line["uri"].is_null() && line["rule"].is_null(), "{line}");
    }
    // A client that leaves between two requests has sent no bad head.
    let mut client = gateway.client();
    client.get("/fine");
    drop(client);
    gateway.access("/fine");
    let mark = gateway.access_log().mark();
    gateway.get("/next");
    gateway.access("/next");
    assert_eq!(gateway.access_log().since(mark - 1).iter().filter(|line| line.contains("bad-head")).count(), 0);
}
