//! WebSocket through the gateway: over HTTP/1.1 and HTTP/2, in clear text and over TLS.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tidegate_tests::secure::Secure;
use tidegate_tests::websocket::{Http2Tunnels, Talk, WebSocketBackend, close, frame, socket};
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, eventually, python, settled};

fn policy(backend: &WebSocketBackend) -> Policy {
    Policy::new().group("web", &format!("server {}", backend.address()))
}

#[test]
fn a_handshake_goes_by_the_rules_and_reaches_the_backend_as_one() {
    let backend = WebSocketBackend::echo();
    let policy = policy(&backend)
        .rule("no", "when path is \"/chat\"\nwhen header \"x-who\" is \"mallory\"\nrespond 403 \"not you\"")
        .rule("yes", "when path is \"/chat\"\nset-header \"x-rule\" \"${rule}\"\nforward web");
    let gateway = Gateway::start(&policy);
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    for (number, over_http2) in [false, true].into_iter().enumerate() {
        let begin = |who: &str| {
            if over_http2 {
                tunnels.begin(&[("x-who", who), ("sec-websocket-protocol", "chat, superchat")]).unwrap().1
            } else {
                let lines = format!("x-who: {who}\r\nsec-websocket-protocol: chat, superchat\r\n");
                Talk::begin(Box::new(socket(gateway.port())), &lines).unwrap()
            }
        };
        let refused = begin("mallory");
        assert!(refused.head.0.contains("403"), "{:?}", refused.head);
        let mut talk = begin("alice");
        let field = |name: &str| talk.head.1.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(field("sec-websocket-protocol"), Some("chat"));
        assert_eq!(field("x-backend"), Some("echo"));
        assert_eq!(field("sec-websocket-accept").is_some(), !over_http2, "RFC 8441, 5.1");
        assert!(talk.head.0.contains(if over_http2 { "200" } else { "101" }), "{:?}", talk.head);
        let (line, fields) = backend.handshakes().pop().unwrap();
        let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(line, "GET /chat HTTP/1.1");
        assert_eq!((field("upgrade"), field("connection")), (Some("websocket"), Some("upgrade")));
        assert_eq!(
            (field("host"), field("x-rule"), field("x-forwarded-for")),
            (Some("test"), Some("yes"), Some("127.0.0.1"))
        );
        assert_eq!(field("sec-websocket-version"), Some("13"));
        assert_eq!(field("sec-websocket-key").map(str::len), Some(24));
        talk.echoes("hello");
        assert!(talk.send(&close(1000, b"bye")));
        assert_eq!(talk.receive(), Some((0x88, [&1000_u16.to_be_bytes()[..], b"bye"].concat())));
        assert_eq!(talk.receive(), None);
        assert_eq!(backend.handshakes().len(), number + 1, "who is refused reaches no backend");
    }
    eventually("all of them are logged", || {
        let lines = gateway.access_log().since(0);
        let count = |rule: &str, status: &str| {
            let is = |line: &&String| line.contains(rule) && line.contains(status) && !line.contains("\"failure\"");
            lines.iter().filter(is).count()
        };
        let refused = count("\"rule\":\"no\"", "\"status\":403");
        let tunnels = count("\"rule\":\"yes\"", "\"status\":101") + count("\"rule\":\"yes\"", "\"status\":200");
        if (refused, tunnels) == (2, 2) { Ok(()) } else { Err(lines) }
    });
}

#[test]
fn rules_know_who_asks_for_it_in_every_version() {
    let backend = WebSocketBackend::echo();
    let policy = policy(&backend)
        .rule("chat", "when upgrade is websocket\nset-header \"x-rule\" \"${rule}\"\nforward web")
        .rule("rest", "when path under \"/\"\nrespond 426");
    let gateway = Gateway::start(&policy);
    for spelt in ["websocket", "WebSocket"] {
        let mut stream = socket(gateway.port());
        let head = format!(
            "GET /chat HTTP/1.1\r\nhost: test\r\nupgrade: {spelt}\r\nconnection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 101", "{spelt}");
    }
    assert_eq!(Http2Tunnels::connect(gateway.port(), None).begin(&[]).unwrap().0, 200);
    assert_eq!(backend.handshakes().len(), 3);
    // A field that asks for nothing, since the connection does not name it (RFC 9110, 7.8).
    assert_eq!(gateway.client().get_with("/chat", "upgrade: websocket\r\n").status, 426);
    assert_eq!(gateway.get("/chat").status, 426);
}

#[test]
fn a_refusal_by_the_backend_is_an_answer_like_any_other() {
    let backend = Backend::text("no WebSocket here");
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get_with("/chat", "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: x\r\n");
        assert_eq!((answer.status, answer.text().as_str()), (200, "no WebSocket here"));
    }
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    for status in [403, 404, 426, 500, 503] {
        backend.behave(Behaviour::Raw(format!("HTTP/1.1 {status} No\r\ncontent-length: 2\r\n\r\nno")));
        let (answered, mut talk) = tunnels.begin(&[]).unwrap();
        assert_eq!((answered, talk.rest()), (status, b"no".to_vec()));
    }
}

#[test]
fn an_answer_that_opens_nothing_does_not_say_so_to_an_extended_connect() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).rule("own", "when header \"x-own\" present\nrespond 200 \"a page\"");
    let gateway = Gateway::start(&policy);
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    // RFC 8441, 5: any 2xx would say that the tunnel is open.
    for (count, status) in [200, 201, 204, 302].into_iter().enumerate() {
        let body = if status == 204 { "\r\n" } else { "content-length: 2\r\n\r\nno" };
        backend.behave(Behaviour::Raw(format!("HTTP/1.1 {status} So\r\nlocation: /\r\n{body}")));
        assert_eq!(tunnels.begin(&[]).unwrap().0, 502, "{status}");
        eventually("it is logged", || {
            let lines = gateway.access_log().since(0);
            let failed = lines.iter().filter(|line| line.contains("\"failure\":\"bad-upgrade\"")).count();
            if failed == count + 1 { Ok(()) } else { Err(lines) }
        });
    }
    // What a rule answers as to any `GET` opens nothing either.
    assert_eq!(tunnels.begin(&[("x-own", "1")]).unwrap().0, 501);
}

#[test]
fn other_protocols_are_not_carried() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    for lines in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket2\r\n",
    ] {
        let echo = gateway.client().get_with("/", lines).echo();
        assert_eq!((echo.header("upgrade"), echo.header("connection")), (None, None), "{lines}");
        assert_eq!(echo.header("http2-settings"), None);
    }
    // A backend that switches all the same.
    backend.behave(Behaviour::Raw(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n".to_owned(),
    ));
    assert_eq!(gateway.get("/").status, 502);
    backend.behave(Behaviour::Raw(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n".to_owned(),
    ));
    let asked = gateway.client().get_with("/", "connection: upgrade\r\nupgrade: websocket\r\n");
    assert_eq!(asked.status, 502);
}

#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    let backend = WebSocketBackend::start(|mut stream| {
        // With the head of the answer, if it comes to that.
        let _ = stream.write_all(b"\x81\x05first");
        let mut buffer = [0; 11];
        let _ = stream.read_exact(&mut buffer);
        let _ = stream.write_all(&buffer);
    });
    let gateway = Gateway::start(&policy(&backend));
    let mut stream = socket(gateway.port());
    let head = "GET /chat HTTP/1.1\r\nhost: test\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(&[head.as_bytes(), &frame(0x81, b"early")].concat()).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(&all[end..], [&b"\x81\x05first"[..], &frame(0x81, b"early")].concat());
}

#[test]
fn each_side_may_end_while_the_other_goes_on() {
    let backend = WebSocketBackend::start(|mut stream| {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        let _ = stream.write_all(format!("heard {}", said.len()).as_bytes());
    });
    let gateway = Gateway::start(&policy(&backend));
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    for mut talk in [Talk::on(gateway.port()), tunnels.begin(&[]).unwrap().1] {
        talk.send(&[b'x'; 1000]);
        talk.end();
        assert_eq!(talk.rest(), b"heard 1000");
    }
    let backend = WebSocketBackend::start(|mut stream| {
        let _ = stream.write_all(b"only this");
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        HEARD.store(said.len(), Ordering::SeqCst);
    });
    static HEARD: AtomicUsize = AtomicUsize::new(0);
    let gateway = Gateway::start(&policy(&backend));
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    for (length, mut talk) in [(5000, Talk::on(gateway.port())), (6000, tunnels.begin(&[]).unwrap().1)] {
        assert_eq!(talk.rest(), b"only this");
        assert!(talk.send(&vec![b'x'; length]));
        talk.end();
        drop(talk);
        eventually("the backend heard all", || {
            let heard = HEARD.load(Ordering::SeqCst);
            if heard == length { Ok(()) } else { Err(heard) }
        });
    }
}

#[test]
fn a_tunnel_has_its_own_timeout() {
    let backend = WebSocketBackend::echo();
    let lines = "tunnel-timeout 4s\n    idle-timeout 1s\n    request-timeout 1s";
    let gateway = Gateway::start(&policy(&backend).listener(lines));
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    let mut talks = [Talk::on(gateway.port()), tunnels.begin(&[]).unwrap().1];
    let began = Instant::now();
    for _ in 0..2 {
        // Longer than any other timeout of the listener.
        std::thread::sleep(Duration::from_millis(1800));
        talks.iter_mut().for_each(|talk| talk.echoes("still here"));
    }
    for talk in &mut talks {
        assert!(talk.rest().is_empty(), "silence ends it");
    }
    assert!(began.elapsed() > Duration::from_millis(7500), "{:?}", began.elapsed());
    let lines = gateway.access_log().since(0).join("\n");
    eventually("the log says so", || {
        let count = gateway.access_log().since(0).join("\n").matches("tunnel-timeout").count();
        if count == 2 { Ok(()) } else { Err(lines.clone()) }
    });
}

#[test]
fn tunnels_outlive_reloads_and_end_with_the_gateway() {
    let backend = WebSocketBackend::echo();
    let policy = policy(&backend).top("gateway { drain 3s }");
    let mut gateway = Gateway::start(&policy);
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    let mut talks = [Talk::on(gateway.port()), tunnels.begin(&[]).unwrap().1];
    talks.iter_mut().for_each(|talk| talk.echoes("one"));
    gateway.reload(&policy.rule("new", "when path under \"/chat\"\nrespond 403"));
    talks.iter_mut().for_each(|talk| talk.echoes("two"));
    assert!(
        Talk::begin(Box::new(socket(gateway.port())), "").unwrap().head.0.contains("403"),
        "new rules for new ones"
    );
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    talks.iter_mut().for_each(|talk| talk.echoes("until the end"));
    for talk in &mut talks {
        assert!(talk.rest().is_empty());
    }
    assert!(gateway.wait_end().success());
    let log = gateway.access_log().whole();
    assert_eq!(log.matches("\"failure\":\"drained\"").count(), 2, "{log}");
}

#[test]
fn a_side_that_is_gone_ends_the_other() {
    let backend = WebSocketBackend::echo();
    let gateway = Gateway::start(&policy(&backend).top("gateway { workers 1 }"));
    let open = || gateway.usage().sockets;
    drop(Talk::on(gateway.port()));
    let tunnels = Http2Tunnels::connect(gateway.port(), None);
    drop(tunnels.begin(&[]).unwrap());
    let before = open();
    for _ in 0..10 {
        let mut talk = Talk::on(gateway.port());
        talk.echoes("hello");
        let (_, mut stream) = tunnels.begin(&[]).unwrap();
        stream.echoes("hello");
    }
    eventually("the sockets are gone", || if open() <= before { Ok(()) } else { Err(open()) });
}

#[test]
fn a_large_message_flows_and_is_not_gathered() {
    let backend = WebSocketBackend::start(|mut stream| {
        let _ = std::io::copy(&mut stream.try_clone().unwrap(), &mut stream);
    });
    let (gateway, authority) = Gateway::start_https(&policy(&backend).https());
    let before = gateway.usage().resident;
    let tunnels = Http2Tunnels::connect(gateway.port(), Some(authority));
    let message = frame(0x82, &vec![7; 64 << 20]);
    let (_, mut talk) = tunnels.begin(&[]).unwrap();
    let mut sender = talk.sender();
    let sent = message.clone();
    let taken = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&taken);
    let sending = std::thread::spawn(move || {
        sent.chunks(64 * 1024).try_for_each(|piece| {
            let written = sender.write_all(piece);
            counted.fetch_add(piece.len() as u64, Ordering::SeqCst);
            written
        })
    });
    // The backend sends back while the client still sends and reads nothing: windows fill, and all waits.
    settled("what is taken of the message", 0, || taken.load(Ordering::SeqCst));
    let mut back = vec![0; message.len()];
    talk.read(&mut back);
    assert!(back == message);
    sending.join().unwrap().unwrap();
    let grown = gateway.usage().peak.saturating_sub(before) >> 20;
    assert!(grown < 32, "{grown} MiB more");
}

#[test]
fn python_clients_talk_over_wss() {
    let backend = WebSocketBackend::echo();
    let (gateway, _authority) = Gateway::start_https(&policy(&backend).https());
    let Some(mut command) = python("websocket_echo.py") else { return };
    let output = command.arg(gateway.port().to_string()).arg(gateway.folder().join("root.pem")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "all came back");
}

#[test]
fn other_backends_may_be_reached_over_tls() {
    // The gateway itself is the backend that speaks TLS.
    let backend = WebSocketBackend::echo();
    let (inner, authority) = Gateway::start_https(&policy(&backend).https());
    let group = format!("protocol https; server 127.0.0.1:{}; verify ca root; server-name \"shop.test\"", inner.port());
    let outer = Policy::new().top("ca root { bundle \"root.pem\" }").group("web", &group);
    let outer = Gateway::start_with(&outer, |folder| std::fs::write(folder.join("root.pem"), authority.pem()).unwrap());
    let mut talk = Talk::on(outer.port());
    talk.echoes("through two gateways");
    drop(talk);
}

/// Opens a tunnel of each kind, and reads to the end what a case comes to.
struct Ways {
    clear: Gateway,
    secure: Gateway,
    config: Arc<rustls::ClientConfig>,
    tunnels: Http2Tunnels,
}

impl Ways {
    fn to(backend: &WebSocketBackend) -> Self {
        let (secure, authority) = Gateway::start_https(&policy(backend).https());
        let clear = Gateway::start(&policy(backend));
        let config = Secure::trusting(&authority).config();
        let tunnels = Http2Tunnels::connect(secure.port(), Some(authority));
        Self { clear, secure, config, tunnels }
    }

    fn all(&self) -> [(&'static str, Talk); 3] {
        let (client, _) = tidegate_tests::secure::connect(&self.config, self.secure.port(), "shop.test").unwrap();
        [
            ("ws", Talk::on(self.clear.port())),
            ("wss", Talk::begin(client.into_wire(), "").unwrap()),
            ("wss over HTTP/2", self.tunnels.begin(&[]).unwrap().1),
        ]
    }
}

mod autobahn;

#[test]
fn autobahns_cases_have_the_verdicts_of_the_backend_alone() {
    let backend = WebSocketBackend::echo();
    let ways = Ways::to(&backend);
    let mut wrong = Vec::new();
    let cases = autobahn::cases();
    for case in &cases {
        let alone = case.run(Talk::on(backend.port()));
        assert!(!alone.is_empty(), "{}: the backend itself says nothing", case.name);
        for (way, talk) in ways.all() {
            let through = case.run(talk);
            if through != alone {
                wrong.push(format!("{} {way}: {} frames, not {}", case.name, through.len(), alone.len()));
            }
        }
    }
    println!("{} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
