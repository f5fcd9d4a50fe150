//! Who may connect: `allow-from`, `deny-from`, and what open connections see of a reload that decides anew.

use std::process::Command;
use std::time::Duration;

use tidegate_tests::http2::Http2;
use tidegate_tests::http3::{Http3, run};
use tidegate_tests::pki::Authority;
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Behaviour, Client, Gateway, PATIENCE, Policy, free_port, tidegate};

/// An HTTPS and a QUIC listener on the gateway's port, with these lines, these declarations, and what the last rule does.
fn policy(https: &str, quic: &str, top: &str, otherwise: &str) -> Policy {
    let quic = format!(
        "listener quic fast {{\n    address 127.0.0.1:@port\n    certificate main\n    {quic}\n    rules main\n}}\n{top}"
    );
    Policy::new().https_from("main.pem", "main.key").listener(https).top(&quic).otherwise(otherwise)
}

fn start(policy: &Policy, authority: &Authority, partners: &Authority) -> Gateway {
    Gateway::start_with(policy, |folder| {
        authority.server(&["shop.test", "localhost"]).sign().write(folder, "main");
        authority.server(&["shop.test", "localhost"]).sign().write(folder, "other");
        std::fs::write(folder.join("partners.pem"), partners.pem()).unwrap();
    })
}

/// An open connection of each kind.
struct Open {
    h1: Client,
    h2: Http2,
    h3: Http3,
}

impl Open {
    async fn to(gateway: &Gateway, authority: &Authority) -> Self {
        let port = gateway.port();
        let (h1, _) = Secure::trusting(authority).connect(port, "shop.test").unwrap();
        let h2 = Http2::connect_secure(port, authority).await;
        let h3 = Http3::connect(port, authority).await;
        let mut open = Self { h1, h2, h3 };
        assert_eq!(open.h1.get("/").status, 200);
        assert_eq!(open.h2.get("/").await.status, 200);
        assert_eq!(open.h3.get("/").await.status, 200);
        open
    }

    /// The view of each connection: `ends`, or what its next request is answered with.
    async fn see(mut self, ends: [bool; 3]) -> [String; 3] {
        let h1 = if ends[0] {
            if self.h1.is_closed() { "ends".to_owned() } else { "goes on".to_owned() }
        } else {
            seen(&self.h1.get("/"))
        };
        let h2 = if ends[1] {
            let ended = tokio::time::timeout(PATIENCE, &mut self.h2.over).await;
            assert!(ended.is_ok(), "HTTP/2 did not end in time");
            "ends".to_owned()
        } else {
            seen(&self.h2.get("/").await)
        };
        let h3 = if ends[2] {
            let ended = tokio::time::timeout(PATIENCE, self.h3.quic.closed()).await;
            assert!(ended.is_ok(), "QUIC did not end in time");
            "ends".to_owned()
        } else {
            seen(&self.h3.get("/").await)
        };
        [h1, h2, h3]
    }
}

fn seen(answer: &tidegate_tests::Response) -> String {
    let marked = answer.header("x-mark").map(|mark| format!(" {mark}")).unwrap_or_default();
    format!("{} {}{marked}", answer.status, answer.text())
}

/// The words of `plan` about a listener.
fn told(gateway: &Gateway, old: &Policy, new: &Policy, listener: &str) -> String {
    gateway.write_file("old.gate", gateway.fill(&old.text()).as_bytes());
    gateway.write_file("new.gate", gateway.fill(&new.text()).as_bytes());
    let command =
        Command::new(tidegate()).args(["plan", "old.gate", "new.gate"]).current_dir(gateway.folder()).output();
    let said = String::from_utf8(command.unwrap().stdout).unwrap();
    let of = |part: &&str| part.lines().next().is_some_and(|line| line.ends_with(&format!("listener {listener}")));
    said.split("\n\n").find(of).unwrap_or_default().to_owned()
}

/// A word of a listener: its line, what `plan` says, and what the three kinds of open connections really see.
struct Row {
    line: &'static str,
    /// Whether the word is of the QUIC listener; if not, of the HTTPS listener.
    quic: bool,
    says: &'static str,
    ends: [bool; 3],
}

const fn https(line: &'static str, says: &'static str, ends: [bool; 2]) -> Row {
    Row { line, quic: false, says, ends: [ends[0], ends[1], false] }
}

const fn quic(line: &'static str, says: &'static str, ends: bool) -> Row {
    Row { line, quic: true, says, ends: [false, false, ends] }
}

const NEXT: &str = "its connections stay, and their next request sees the change";
const FOR_NEW: &str = "counts for new connections; those that are open keep theirs";
const STAY: &str = "its connections stay: they would be let in, too";
const KEPT_OUT: &str = "ends the connections of those that `allow-from` and `deny-from` keep out now";
const OTHER_TLS: &str = "ends the connections with a version, suite or group that";

const ROWS: &[Row] = &[
    https("allow-from 127.0.0.0/8", KEPT_OUT, [false, false]),
    https("allow-from [10.0.0.0/8, 127.0.0.2]", KEPT_OUT, [true, true]),
    https("deny-from 127.0.0.1", KEPT_OUT, [true, true]),
    https("deny-from 10.0.0.0/8", KEPT_OUT, [false, false]),
    https("client-ca partners required", "ends the connections of clients that showed no certificate", [true, true]),
    https("client-ca partners optional", STAY, [false, false]),
    https("tls-policy old", OTHER_TLS, [true, true]),
    https("tls-policy narrow", OTHER_TLS, [false, false]),
    https("tls-policy tls_cipher_policy_1_2_strict_with_1_3", "", [false, false]),
    https("http2 off", "ends the connections that speak HTTP/2", [false, true]),
    https("client-ip proxy-protocol trusted 127.0.0.1", "ends the connections of peers whose word", [true, true]),
    https("client-ip x-forwarded-for trusted 127.0.0.1", NEXT, [false, false]),
    https("certificate other", FOR_NEW, [false, false]),
    https("limits { header-bytes 8KiB }", FOR_NEW, [false, false]),
    https("limits { headers 20 }", FOR_NEW, [false, false]),
    https("limits { connections 1 }", FOR_NEW, [false, false]),
    https("limits { streams 1 }", FOR_NEW, [false, false]),
    https("limits { uri-bytes 1KiB }", NEXT, [false, false]),
    https("limits { body-bytes 1KiB }", NEXT, [false, false]),
    https("limits { requests-per-connection 50 }", NEXT, [false, false]),
    https("idle-timeout 50s", NEXT, [false, false]),
    https("request-timeout 50s", NEXT, [false, false]),
    https("tunnel-timeout 50s", NEXT, [false, false]),
    https("compression [br]", NEXT, [false, false]),
    https("forwarded off", NEXT, [false, false]),
    https("forwarded-for replace", NEXT, [false, false]),
    https("paths strict", NEXT, [false, false]),
    https("access-log off", NEXT, [false, false]),
    https("label team \"shop\"", NEXT, [false, false]),
    https("quic-upgrade fast", NEXT, [false, false]),
    https("on-response { set-header \"x-mark\" \"new\" }", NEXT, [false, false]),
    https("state stopped", "ends the connections of", [true, true]),
    quic("deny-from [127.0.0.1, 10.0.0.0/8]", KEPT_OUT, true),
    quic("allow-from 10.0.0.0/8", KEPT_OUT, true),
    quic("allow-from 127.0.0.1", KEPT_OUT, false),
    quic("early-data on", FOR_NEW, false),
    quic("limits { streams 1 }", FOR_NEW, false),
    quic("limits { uri-bytes 1KiB }", NEXT, false),
    quic("idle-timeout 50s", NEXT, false),
    quic("on-response { set-header \"x-mark\" \"new\" }", NEXT, false),
    quic("state stopped", "ends the connections of", true),
];

const DECLARED: &str = "ca partners { bundle \"partners.pem\" }\ncertificate other { chain \"other.pem\"; key \"other.key\" }\n\
    tls-policy old { versions [tls1.2] }\n\
    tls-policy narrow { versions [tls1.3]; groups [x25519mlkem768, x25519] }\n";

#[test]
fn plan_tells_what_open_connections_see_of_each_word() {
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let before = policy("", "", DECLARED, "respond 200 \"ok\"");
    let gateway = start(&before, &authority, &partners);
    run(async {
        for Row { line, quic, says, ends } in ROWS {
            let open = Open::to(&gateway, &authority).await;
            let lines = if *quic { ("", *line) } else { (*line, "") };
            let after = policy(lines.0, lines.1, DECLARED, "respond 200 \"ok\"");
            let told = told(&gateway, &before, &after, if *quic { "fast" } else { "main" });
            assert!(told.contains(says) && told.is_empty() == says.is_empty(), "{line}: {told}");
            if told.is_empty() {
                continue;
            }
            gateway.reload(&after);
            let mark = if line.contains("x-mark") { " new" } else { "" };
            let (tcp, udp) = if *quic { ("", mark) } else { (mark, "") };
            let expected = [tcp, tcp, udp].map(|mark| format!("200 ok{mark}"));
            let expected: Vec<_> = expected
                .into_iter()
                .zip(ends)
                .map(|(answer, ends)| if *ends { "ends".to_owned() } else { answer })
                .collect();
            assert_eq!(open.see(*ends).await.to_vec(), expected, "{line}");
            gateway.reload(&before);
        }
        // Rules reach every kind.
        let open = Open::to(&gateway, &authority).await;
        gateway.reload(&policy("", "", DECLARED, "respond 200 \"new\""));
        assert_eq!(open.see([false; 3]).await, ["200 new", "200 new", "200 new"].map(str::to_owned));
    });
}

#[test]
fn requests_in_flight_are_finished_first() {
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let group = format!("server-group web {{ server {} }}\n{DECLARED}", backend.address());
    let gateway = start(&policy("", "", &group, "forward web"), &authority, &partners);
    run(async {
        let (mut h1, _) = Secure::trusting(&authority).connect(gateway.port(), "shop.test").unwrap();
        let mut h2 = Http2::connect_secure(gateway.port(), &authority).await;
        let mut h3 = Http3::connect(gateway.port(), &authority).await;
        h1.send("GET /h1 HTTP/1.1\r\nhost: test\r\n\r\n");
        let (on_h2, _body) = h2.begin(h2.request("GET", "/h2", &[]), true).await.unwrap();
        let mut on_h3 = h3.begin("GET", "/h3", &[]).await.unwrap();
        on_h3.finish().await.unwrap();
        backend.until("the requests", |backend| backend.requests().len() == 3).await;
        gateway.reload(&policy("deny-from 127.0.0.1", "deny-from 127.0.0.1", &group, "forward web"));
        (0..3).for_each(|_| backend.release());
        let first = h1.receive();
        assert_eq!((first.status, first.header("connection")), (200, Some("close")));
        assert!(h1.is_closed());
        assert_eq!(tidegate_tests::http2::read(on_h2).await.unwrap().status, 200);
        assert_eq!(tidegate_tests::http3::answer(&mut on_h3).await.unwrap().status, 200);
        let _ = tokio::time::timeout(PATIENCE, &mut h2.over).await.unwrap();
        tokio::time::timeout(PATIENCE, h3.quic.closed()).await.unwrap();
    });
}

#[test]
fn who_is_kept_out_gets_no_answer_and_others_do() {
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let plain = free_port();
    let lists = |list: &str| {
        let http = format!("listener http plain {{ address 127.0.0.1:{plain}; {list}; rules main }}");
        policy(list, list, &format!("{DECLARED}{http}"), "respond 200 \"ok\"")
    };
    let gateway = start(&lists("deny-from 10.0.0.0/8"), &authority, &partners);
    assert_eq!(Client::connect(plain).get("/").status, 200);
    let trusting = || Secure::trusting(&authority);
    assert_eq!(trusting().connect(gateway.port(), "shop.test").unwrap().0.get("/").status, 200);
    for list in ["deny-from [10.0.0.0/8, 127.0.0.0/16]", "allow-from 10.0.0.0/8"] {
        gateway.reload(&lists(list));
        // Closed before a byte was read, and without one.
        assert!(Client::connect(plain).is_closed(), "{list}");
        assert!(Client::connect(gateway.port()).is_closed(), "{list}");
        assert!(trusting().connect(gateway.port(), "shop.test").is_err(), "{list}");
        run(async {
            let client = tidegate_tests::http3::quic_client(tidegate_tests::http3::tls(&authority));
            let address = tidegate_tests::http3::address(gateway.port());
            let connecting = client.connect(address, "localhost").unwrap();
            // A refusal would come at once.
            let silent = tokio::time::timeout(Duration::from_millis(500), connecting).await;
            assert!(silent.is_err(), "{list}: {silent:?}");
        });
    }
    gateway.reload(&lists("allow-from 127.0.0.1"));
    assert_eq!(Client::connect(plain).get("/").status, 200);
    run(async { assert_eq!(Http3::connect(gateway.port(), &authority).await.get("/").await.status, 200) });
}

#[test]
fn with_the_proxy_protocol_it_is_about_whom_the_peer_names() {
    let policy = Policy::new()
        .listener("client-ip proxy-protocol trusted 127.0.0.1")
        .listener("allow-from 203.0.113.0/24")
        .listener("deny-from 203.0.113.9")
        .otherwise("respond 200 \"${client-ip}\"");
    let gateway = Gateway::start(&policy);
    let named = |source: &str| {
        let mut client = gateway.client();
        client.send(format!("PROXY TCP4 {source} 192.0.2.1 50000 80\r\n"));
        client
    };
    assert_eq!(named("203.0.113.8").get("/").text(), "203.0.113.8");
    assert!(named("203.0.113.9").is_closed());
    assert!(named("198.51.100.1").is_closed());
    // For itself, it comes from 127.0.0.1.
    let mut client = gateway.client();
    client.send("PROXY UNKNOWN\r\n");
    assert!(client.is_closed());
}

#[test]
fn certificates_are_held_against_new_authorities() {
    let (authority, partners, others) = (Authority::new("Root"), Authority::new("Partners"), Authority::new("Others"));
    let top = "ca partners { bundle \"partners.pem\" }";
    let policy = policy("client-ca partners required", "", top, "respond 200 \"ok\"");
    let gateway = start(&policy, &authority, &partners);
    let connect = |identity: &tidegate_tests::pki::Identity| {
        let secure = Secure::trusting(&authority).showing(identity);
        secure.connect(gateway.port(), "shop.test").map(|(client, _)| client)
    };
    let mut ours = connect(&partners.client("alice").sign()).unwrap();
    assert_eq!(ours.get("/").status, 200);
    // One authority more: who was let in by the first one stays.
    let mark = gateway.log().mark();
    gateway.write_file("partners.pem", format!("{}{}", partners.pem(), others.pem()).as_bytes());
    gateway.wait_for(mark, "certificates renewed");
    assert_eq!(ours.get("/").status, 200);
    let mut theirs = connect(&others.client("bob").sign()).unwrap();
    assert_eq!(theirs.get("/").status, 200);
    // The first one goes.
    let mark = gateway.log().mark();
    gateway.write_file("partners.pem", others.pem().as_bytes());
    gateway.wait_for(mark, "certificates renewed");
    assert!(ours.is_closed());
    assert_eq!(theirs.get("/").status, 200);
}

#[test]
fn attributes_of_names_are_told_from_what_looks_like_them() {
    let (authority, partners) = (Authority::new("Root"), Authority::new("Partners"));
    let top = "ca partners { bundle \"partners.pem\" }";
    let policy = policy("client-ca partners required", "", top, "respond 403 \"${header.x-none}\"")
        .rule("ours", "when client-cert subject \"O\" is \"Tests\"\nwhen client-cert subject \"CN\" like \"al*\"\nrespond 200 \"ok\"")
        .rule("trick", "when client-cert subject is \"CN=O\\\\=Tests\\\\,CN\\\\=alice,O=Tests\"\nrespond 202 \"named\"");
    let gateway = start(&policy, &authority, &partners);
    let status = |name: &str| {
        let identity = partners.client(name).sign();
        let (mut client, _) =
            Secure::trusting(&authority).showing(&identity).connect(gateway.port(), "shop.test").unwrap();
        client.get("/").status
    };
    assert_eq!(status("alice"), 200);
    assert_eq!(status("bob"), 403);
    assert_eq!(status("O=Tests,CN=alice"), 202);
}
