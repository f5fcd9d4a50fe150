//! Early data over TCP (RFC 8446, 2.3; RFC 8470): served before the handshake is complete, once, if it is safe.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, ClientSessionStore, Resumption};
use rustls::client::{Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, NamedGroup};
use tidegate_tests::frames::{self, END_HEADERS, END_STREAM};
use tidegate_tests::pki::Authority;
use tidegate_tests::secure::{self, Secure};
use tidegate_tests::{Backend, Behaviour, Gateway, PATIENCE, Policy, program};

/// The bytes of early data that the gateway takes on a connection.
const MOST: usize = 16 * 1024;

/// A gateway that takes early data, and a client that has tickets for it.
fn start(backend: &Backend) -> (Gateway, Arc<ClientConfig>) {
    start_with(&Policy::to(backend).https().listener("early-data on"), |_, secure| secure)
}

fn start_with(policy: &Policy, client: impl FnOnce(&Authority, Secure) -> Secure) -> (Gateway, Arc<ClientConfig>) {
    let authority = Authority::new("Root");
    let gateway = Gateway::start_with(policy, |folder| {
        authority.server(&["shop.test"]).sign().write(folder, "main");
        std::fs::write(folder.join("root.pem"), authority.pem()).unwrap();
    });
    let mut config = (*client(&authority, Secure::trusting(&authority)).config()).clone();
    config.enable_early_data = true;
    let config = Arc::new(config);
    ticket(&gateway, &config);
    (gateway, config)
}

/// A whole handshake. The tickets come with the answer.
fn ticket(gateway: &Gateway, config: &Arc<ClientConfig>) {
    if config.alpn_protocols.is_empty() {
        let (mut client, _) = secure::connect(config, gateway.port(), "shop.test").unwrap();
        assert_eq!(client.get("/first").status, 200);
    } else {
        let mut client = Early::connect(gateway, config);
        client.say(preface(&[(1, "GET", "/first")]));
        client.hear("the answer", |bytes| statuses(bytes).len() == 1);
    }
}

/// A client whose words are early as long as the handshake is not complete on its side.
struct Early {
    tls: ClientConnection,
    socket: TcpStream,
    /// The bytes that the gateway has sent.
    heard: Vec<u8>,
}

impl Early {
    fn connect(gateway: &Gateway, config: &Arc<ClientConfig>) -> Self {
        let tls = ClientConnection::new(Arc::clone(config), "shop.test".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { tls, socket, heard: Vec::new() }
    }

    /// Connects, and says something in early data; what went over the wire.
    fn begin(gateway: &Gateway, config: &Arc<ClientConfig>, early: impl AsRef<[u8]>) -> (Self, Vec<u8>) {
        let mut client = Self::connect(gateway, config);
        client.tls.early_data().expect("a ticket for early data").write_all(early.as_ref()).unwrap();
        let flight = client.take();
        client.socket.write_all(&flight).unwrap();
        (client, flight)
    }

    /// The bytes that TLS has to send.
    fn take(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight).unwrap();
        }
        flight
    }

    /// Says something after the handshake, whose end it sends, too.
    fn say(&mut self, words: impl AsRef<[u8]>) {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.socket).unwrap();
        }
        self.tls.writer().write_all(words.as_ref()).unwrap();
        let flight = self.take();
        self.socket.write_all(&flight).unwrap();
    }

    /// Reads until it is enough, and sends nothing meanwhile; what came since the last time.
    fn hear(&mut self, what: &str, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        while !enough(&self.heard) {
            let so_far = String::from_utf8_lossy(&self.heard).into_owned();
            let more = self.read().unwrap_or_else(|error| panic!("{what}: {error}, after {so_far}"));
            assert!(more, "{what}: the end comes after {so_far}");
        }
        std::mem::take(&mut self.heard)
    }

    /// Reads an answer of HTTP/1 that ends with these words.
    fn answer(&mut self, words: &str) -> String {
        let heard = self.hear(words, |heard| String::from_utf8_lossy(heard).contains(words));
        String::from_utf8(heard).unwrap()
    }

    /// Reads what is there; whether it is not the end.
    fn read(&mut self) -> Result<bool, String> {
        let mut piece = [0; 4096];
        match self.tls.reader().read(&mut piece) {
            Ok(count) => {
                self.heard.extend_from_slice(&piece[..count]);
                Ok(count > 0)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let count = self.tls.read_tls(&mut self.socket).map_err(|error| error.to_string())?;
                self.tls.process_new_packets().map_err(|error| error.to_string())?;
                Ok(count > 0)
            }
            Err(error) => Err(error.to_string()),
        }
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.test\r\n\r\n")
}

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: shop.test\r\ncontent-length: 0\r\n\r\n")
}

/// The values of `Early-Data` that a backend got with its only request for a target.
fn mark(backend: &Backend, target: &str) -> Vec<String> {
    let served = backend.requests();
    let of: Vec<_> = served.iter().filter(|request| request.target == target).collect();
    assert_eq!(of.len(), 1, "{target}: {served:?}");
    of[0].all("early-data").into_iter().map(str::to_owned).collect()
}

fn is_served(backend: &Backend, target: &str) -> bool {
    backend.requests().iter().any(|request| request.target == target)
}

#[test]
fn a_safe_request_is_served_before_the_handshake_is_complete_and_no_replay_of_it_is() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    let (mut client, flight) = Early::begin(&gateway, &config, get("/early"));
    let answer = client.answer("early-data");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(client.tls.is_early_data_accepted());
    client.say(post("/late"));
    client.answer("/late");
    let mut again = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    again.set_read_timeout(Some(PATIENCE)).unwrap();
    again.write_all(&flight).unwrap();
    assert!(again.read(&mut [0; 4096]).unwrap() > 0, "a whole handshake is asked for");
    drop(again);
    ticket(&gateway, &config);
    assert_eq!(mark(&backend, "/early"), ["1"], "once");
    assert!(mark(&backend, "/late").is_empty());
    assert_eq!(gateway.access("/early")["status"], 200);
}

#[test]
fn an_unsafe_request_is_to_come_again_after_the_handshake() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    // Behind a safe one, it is as early as that.
    let (mut client, _) = Early::begin(&gateway, &config, get("/one") + &post("/order"));
    let answer = client.answer("after the handshake");
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("HTTP/1.1 425"), "{answer}");
    assert!(!is_served(&backend, "/order"));
    client.say(post("/order"));
    client.answer("/order");
    assert!(mark(&backend, "/order").is_empty());
    assert_eq!(gateway.access("/order")["failure"], "too-early");
    // Whoever opens a WebSocket asks by GET, and does not mean what is safe.
    let upgrade = "GET /chat HTTP/1.1\r\nhost: shop.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let (mut client, _) = Early::begin(&gateway, &config, upgrade);
    assert!(client.answer("after the handshake").starts_with("HTTP/1.1 425"));
    assert!(!is_served(&backend, "/chat"));
}

#[test]
fn a_request_that_ends_after_the_handshake_is_an_ordinary_one() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    let request = post("/split");
    let (early, late) = request.split_at(20);
    let (mut client, _) = Early::begin(&gateway, &config, early);
    client.say(late);
    assert!(client.answer("/split").starts_with("HTTP/1.1 200"));
    assert!(client.tls.is_early_data_accepted());
    assert!(mark(&backend, "/split").is_empty());
}

/// The first bytes of a client of HTTP/2, with these requests.
fn preface(requests: &[(u32, &str, &str)]) -> Vec<u8> {
    let mut bytes = [frames::PREFACE, &frames::frame(frames::SETTINGS, 0, 0, &[])].concat();
    requests.iter().for_each(|request| bytes.extend(head(*request)));
    bytes
}

fn head((stream, method, path): (u32, &str, &str)) -> Vec<u8> {
    let fields = [(":method", method), (":scheme", "https"), (":authority", "shop.test"), (":path", path)];
    frames::frame(frames::HEADERS, END_HEADERS | END_STREAM, stream, &frames::block(&fields))
}

/// The answers in frames that came: stream and status.
fn statuses(mut bytes: &[u8]) -> Vec<(u32, u16)> {
    let mut found = Vec::new();
    while let Some(([a, b, c, kind, _, stream @ ..], rest)) = bytes.split_first_chunk::<9>() {
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        if *kind == frames::HEADERS {
            found.push((u32::from_be_bytes(*stream), frames::status(payload)));
        }
        bytes = rest;
    }
    found.sort_unstable();
    found
}

#[test]
fn streams_of_http2_come_in_early_data() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).https().listener("early-data on");
    let (gateway, config) = start_with(&policy, |_, secure| secure.offering(&["h2"]));
    let requests = [(1, "GET", "/early"), (3, "POST", "/order"), (5, "HEAD", "/head"), (7, "QUERY", "/query")];
    let (mut client, _) = Early::begin(&gateway, &config, preface(&requests));
    let heard = client.hear("four answers", |bytes| statuses(bytes).len() == 4);
    assert_eq!(statuses(&heard), [(1, 200), (3, 425), (5, 200), (7, 200)]);
    assert!(client.tls.is_early_data_accepted());
    client.say(head((9, "POST", "/order")));
    client.hear("one more", |bytes| statuses(bytes) == [(9, 200)]);
    for target in ["/early", "/head", "/query"] {
        assert_eq!(mark(&backend, target), ["1"]);
    }
    assert!(mark(&backend, "/order").is_empty());
}

#[test]
fn a_long_answer_does_not_wait_for_the_end_of_the_handshake() {
    const LENGTH: usize = 3_000_000;
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    backend.behave(Behaviour::Stream(u64::try_from(LENGTH).unwrap()));
    let (mut client, _) = Early::begin(&gateway, &config, get("/long"));
    client.hear("all of it", |bytes| bytes.len() > LENGTH);
    backend.behave(Behaviour::Echo);
    client.say(get("/next"));
    client.answer("/next");
    assert!(mark(&backend, "/next").is_empty());
}

#[test]
fn the_time_of_the_handshake_is_its_own() {
    let backend = Backend::start(Behaviour::Text("hello"));
    let (gateway, config) = start(&backend);
    backend.behave(Behaviour::StallBeforeHead);
    // What its client has sent lies in the socket while the answer is awaited: the second request is next to be read.
    let (mut patient, _) = Early::begin(&gateway, &config, get("/slow") + &get("/second"));
    while patient.tls.is_handshaking() {
        patient.tls.complete_io(&mut patient.socket).unwrap();
    }
    let (mut endless, _) = Early::begin(&gateway, &config, get("/early"));
    backend.wait_request(3);
    let waited = std::time::Instant::now();
    while endless.read().is_ok_and(|more| more) {}
    // It is ten seconds; a request may take sixty.
    assert!(waited.elapsed() < std::time::Duration::from_secs(14), "{:?}", waited.elapsed());
    assert!(endless.heard.is_empty());
    // Now nobody waits for that request any more, and the patient client is the next to be let go on.
    assert_eq!(gateway.access("/early")["failure"], "client-closed");
    backend.behave(Behaviour::Echo);
    backend.release();
    let answers = patient.answer("/second");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
}

#[test]
fn the_mark_of_a_client_stays_and_is_no_second_one() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    let marked = |path: &str, mark: &str| get(path).replace("\r\n\r\n", &format!("\r\nearly-data: {mark}\r\n\r\n"));
    let (mut client, _) = Early::begin(&gateway, &config, marked("/early", "0"));
    client.answer("/early");
    client.say(marked("/late", "1"));
    client.answer("/late");
    assert_eq!(mark(&backend, "/early"), ["1"]);
    assert_eq!(mark(&backend, "/late"), ["1"], "the client may be a gateway, too");
}

#[test]
fn a_client_does_not_name_the_mark_away() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    let request = get("/early").replace("\r\n\r\n", "\r\nconnection: early-data\r\n\r\n");
    let (mut client, _) = Early::begin(&gateway, &config, request);
    client.answer("/early");
    assert_eq!(mark(&backend, "/early"), ["1"]);
}

#[test]
fn sessions_outlive_a_reload_and_are_good_once() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).https().listener("early-data on");
    let (gateway, config) = start_with(&policy, |_, secure| secure);
    gateway.reload(&policy.clone().rule("more", "when path is \"/x\"\nrespond 204"));
    let (mut client, flight) = Early::begin(&gateway, &config, get("/early"));
    client.answer("early-data");
    gateway.reload(&policy);
    let mut again = TcpStream::connect(("127.0.0.1", gateway.port())).unwrap();
    again.set_read_timeout(Some(PATIENCE)).unwrap();
    again.write_all(&flight).unwrap();
    assert!(again.read(&mut [0; 4096]).unwrap() > 0, "a whole handshake is asked for");
    // Without early data now, what is early is passed over, and comes again.
    gateway.reload(&Policy::to(&backend).https());
    let (mut client, _) = Early::begin(&gateway, &config, post("/order"));
    client.say(post("/order"));
    client.answer("/order");
    assert!(!client.tls.is_early_data_accepted());
    assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Full));
    assert!(mark(&backend, "/order").is_empty());
    assert_eq!(mark(&backend, "/early"), ["1"], "once");
}

#[test]
fn no_ticket_is_for_early_data_unless_the_policy_says_so_and_asks_for_no_certificate() {
    let backend = Backend::echo();
    for (listener, shows) in [
        ("", false),
        ("early-data off", false),
        ("early-data on; client-ca partners optional", false),
        ("early-data on; client-ca partners optional", true),
        ("early-data on; client-ca partners required", true),
    ] {
        let top = "ca partners { bundle \"root.pem\" }";
        let policy = Policy::to(&backend).top(top).https().listener(listener);
        let (gateway, config) =
            start_with(
                &policy,
                |authority, secure| {
                    if shows { secure.showing(&authority.client("one").sign()) } else { secure }
                },
            );
        let mut client = Early::connect(&gateway, &config);
        assert!(client.tls.early_data().is_none(), "{listener}");
        client.say(post("/late"));
        client.answer("/late");
        assert_eq!(client.tls.handshake_kind(), Some(HandshakeKind::Resumed), "{listener}: {shows}");
    }
}

/// Tickets that say nothing of the most that the gateway takes.
#[derive(Debug)]
struct Boundless(ClientSessionMemoryCache);

impl ClientSessionStore for Boundless {
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(server)
    }

    fn set_tls12_session(&self, server: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(server, value);
    }

    fn tls12_session(&self, server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(server)
    }

    fn remove_tls12_session(&self, server: &ServerName<'static>) {
        self.0.remove_tls12_session(server);
    }

    fn insert_tls13_ticket(&self, server: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(server, value);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let mut ticket = self.0.take_tls13_ticket(server)?;
        assert_eq!(ticket.max_early_data_size(), u32::try_from(MOST).unwrap());
        ticket._private_set_max_early_data_size(u32::MAX);
        Some(ticket)
    }
}

#[test]
fn early_data_is_bounded() {
    let backend = Backend::echo();
    let (gateway, config) = start(&backend);
    let mut config = (*config).clone();
    config.resumption = Resumption::store(Arc::new(Boundless(ClientSessionMemoryCache::new(8))));
    let config = Arc::new(config);
    for (length, fits) in [(MOST - 1, true), (MOST, true), (MOST + 1, false)] {
        ticket(&gateway, &config);
        let head = format!("GET /{length} HTTP/1.1\r\nhost: shop.test\r\ncontent-length: ");
        // The number has five digits.
        let body = length - head.len() - 9;
        let request = format!("{head}{body}\r\n\r\n{}", "x".repeat(body));
        assert_eq!(request.len(), length);
        let (mut client, _) = Early::begin(&gateway, &config, request);
        if fits {
            client.answer(&format!("/{length}"));
        } else {
            let end = loop {
                match client.read() {
                    Ok(true) => {}
                    end => break end,
                }
            };
            assert_eq!(end, Err("received fatal alert: UnexpectedMessage".to_owned()));
        }
    }
}

#[test]
fn openssl_sends_early_data_once_with_a_session() {
    let backend = Backend::echo();
    let (gateway, _) = start(&backend);
    let client = |arguments: &[&str], words: &str| {
        let mut child = program("openssl")?
            .args(["s_client", "-servername", "shop.test", "-CAfile", "root.pem", "-verify_return_error", "-connect"])
            .arg(format!("127.0.0.1:{}", gateway.port()))
            .args(arguments)
            .current_dir(gateway.folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Its input stays open: at its end it would leave.
        let mut input = child.stdin.take().unwrap();
        input.write_all(words.as_bytes()).unwrap();
        let mut text = String::new();
        // The gateway closes after the last answer.
        child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        Some(text)
    };
    let closing = |path: &str| get(path).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let Some(_) = client(&["-sess_out", "session.pem"], &closing("/session")) else { return };
    std::fs::write(gateway.folder().join("early"), get("/openssl")).unwrap();
    let early = ["-sess_in", "session.pem", "-early_data", "early"];
    let text = client(&early, &closing("/rest")).unwrap();
    assert!(text.contains("Early data was accepted"), "{text}");
    assert_eq!(mark(&backend, "/openssl"), ["1"]);
    assert!(mark(&backend, "/rest").is_empty());
    let text = client(&early, &closing("/again")).unwrap();
    assert!(text.contains("Early data was rejected"), "{text}");
    assert_eq!(mark(&backend, "/openssl"), ["1"], "once");
    assert!(mark(&backend, "/again").is_empty());
}
