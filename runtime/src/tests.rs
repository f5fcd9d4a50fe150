//! A gateway without sockets, for the tests of several files: a policy as text, a worker whose clock is turned by hand, and
//! clients in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, TransportConfig};
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, version};
use tidegate_base::address::ListenerKey;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::Plan;
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, KeyAlgorithm, Loader, ModuleFacts, OneText, compile,
};
use tidegate_engine::Engine;
use tidegate_engine::exchange::Connection;
use tidegate_upstream::{Refused, ServerIo};
use tidegate_wasm_host::{Host, HostOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};

use crate::downstream::connection::{Opened, serve};
use crate::policy::prepare::{Reading, prepare};
use crate::policy::snapshot::Snapshot;
use crate::quic::config::crypto;
use crate::quic::shared_endpoint::SharedEndpoint;
use crate::request::admission::Admission;
use crate::request::connection_state::ConnectionState;
use crate::request::listener_handle::ListenerHandle;
use crate::request::listener_load::ListenerLoad;
use crate::request::state::StreamState;
use crate::request::worker::{Shared, Worker};
use crate::telemetry::access_log::LogSender;
use crate::tls::Certificates;
use crate::tls::files::ServerCertificate;
use crate::worker::quic::{QuicListener, WorkerEndpoint};

/// Rules that answer themselves.
pub(crate) const ANSWERS: &str = r#"
    rule nothing { when path is "/nothing"; respond 204 }
    rule same { when path is "/same"; respond 304 }
    rule close { when path is "/close"; close }
    otherwise { respond 200 "hello" }
"#;

/// Runs a test whose time passes only when nothing else is left to do. One that waits for what never comes fails.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(24 * 3600), test).await };
    LocalSet::new().block_on(&runtime, bounded).unwrap_or_else(|_| panic!("the test waits for what never comes"))
}

/// The text of a policy with one listener, `main`, of these words, and these rules.
pub(crate) fn policy(listener: &str, rules: &str) -> String {
    format!("tidegate 1\nlistener http main {{ port 8080; rules site; {listener} }}\nrules site {{ {rules} }}\n")
}

/// The plan of a policy that reads no files.
pub(crate) fn plan(policy: &str) -> Plan {
    let compiled = compile(Path::new("test.gate"), &OneText(policy.to_owned()));
    let said = compiled.diagnostics;
    compiled.plan.unwrap_or_else(|| panic!("{said:?}"))
}

/// What serves a policy after this one.
pub(crate) fn snapshot(policy: &str, previous: Option<&Snapshot>) -> Snapshot {
    let engine = Engine::build(Arc::new(plan(policy)), previous.map(|previous| &*previous.engine)).unwrap();
    Snapshot::build(Arc::new(engine), Vec::new(), Certificates::default(), previous).unwrap()
}

/// A worker with the first listener of a policy.
pub(crate) struct House {
    pub(crate) worker: Rc<Worker>,
    pub(crate) handle: Rc<ListenerHandle>,
    /// The time of the process, in milliseconds.
    elapsed_ms: Cell<u64>,
    /// Lines that were logged while time passed.
    logged: RefCell<String>,
}

impl House {
    /// Serves a policy whose listener `main` has these words, with these rules.
    pub(crate) fn new(listener: &str, rules: &str) -> Self {
        Self::of(&policy(listener, rules))
    }

    /// Serves [`ANSWERS`].
    pub(crate) fn answering(listener: &str) -> Self {
        Self::new(listener, ANSWERS)
    }

    /// Serves a policy.
    pub(crate) fn of(policy: &str) -> Self {
        Self::serving(snapshot(policy, None))
    }

    fn serving(snapshot: Snapshot) -> Self {
        let snapshot = Arc::new(snapshot);
        let key = ListenerKey::of(&snapshot.plan().listeners[0]);
        let worker = Worker::new(0, Arc::new(Shared::new(snapshot, LogSender::nowhere())));
        let handle = ListenerHandle::new(key, Arc::new(ListenerLoad::default()), worker.view()).unwrap();
        Self { worker, handle: Rc::new(handle), elapsed_ms: Cell::new(0), logged: RefCell::default() }
    }

    /// Puts another policy in service.
    pub(crate) fn reload(&self, policy: &str) {
        let shared = &self.worker.shared;
        shared.commit(Arc::new(snapshot(policy, Some(&shared.snapshot()))));
    }

    /// Lets time pass, tick by tick.
    pub(crate) async fn pass(&self, time: Duration) {
        for _ in 0..time.as_millis().div_ceil(limits::TICK.as_millis()) {
            self.elapsed_ms.set(self.elapsed_ms.get() + u64::try_from(limits::TICK.as_millis()).unwrap());
            self.worker.turn(self.elapsed_ms.get()).await;
            settle().await;
            // Before the next tick sends them to the writer, which there is none of.
            self.logged.borrow_mut().push_str(&self.worker.access_log.take());
        }
    }

    /// The lines that were logged since this was asked last.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let lines = self.logged.take() + &self.worker.access_log.take();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line that was logged since this was asked last.
    pub(crate) fn line(&self) -> serde_json::Value {
        let mut lines = self.log();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }

    /// A connection of 192.0.2.1 in clear text.
    pub(crate) fn connection(&self) -> Rc<ConnectionState> {
        let info = Connection {
            peer: "192.0.2.1:4711".parse().unwrap(),
            local: "192.0.2.2:8080".parse().unwrap(),
            listener: "main".into(),
            tls: None,
        };
        let admission = Admission::tcp(info.peer.ip(), false);
        let (handle, worker) = (Rc::clone(&self.handle), Rc::clone(&self.worker));
        Rc::new(ConnectionState::new(Arc::new(info), admission, handle, worker))
    }

    /// The own stream of a connection.
    pub(crate) fn stream(&self) -> Rc<StreamState> {
        StreamState::enter(&self.connection())
    }

    /// A client that has connected.
    pub(crate) fn client(&self) -> Client {
        self.client_with(256 * 1024, |_| {})
    }

    /// A client that has connected otherwise than in clear text from 192.0.2.1, or that has other room for bytes that it
    /// does not read.
    pub(crate) fn client_with(&self, room: usize, change: impl FnOnce(&mut Opened)) -> Client {
        let (ours, io) = tokio::io::duplex(room);
        let mut opened = Opened {
            peer: "192.0.2.1:4711".parse().unwrap(),
            local: "192.0.2.2:8080".parse().unwrap(),
            tls: None,
            http2: false,
            admission: Admission::tcp("192.0.2.1".parse().unwrap(), false),
            early: None,
        };
        change(&mut opened);
        let served = serve(ours, opened, Rc::clone(&self.handle), Rc::clone(&self.worker));
        Client { io, served: tokio::task::spawn_local(served) }
    }
}

/// Lets all tasks do what they can.
pub(crate) async fn settle() {
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
}

/// A client of HTTP/1, and the task that serves it.
pub(crate) struct Client {
    pub(crate) io: DuplexStream,
    served: JoinHandle<()>,
}

impl Client {
    pub(crate) async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
        settle().await;
    }

    /// Ends the client's side.
    pub(crate) async fn end(&mut self) {
        self.io.shutdown().await.unwrap();
        settle().await;
    }

    /// Whether the gateway serves the connection no more.
    pub(crate) fn is_over(&self) -> bool {
        self.served.is_finished()
    }

    /// What comes until the gateway ends its side.
    pub(crate) async fn rest(&mut self) -> String {
        let mut bytes = Vec::new();
        self.io.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The next response: its head without `date`, and `length` bytes of its body.
    pub(crate) async fn response(&mut self, length: usize) -> (String, String) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.io.read_u8().await.unwrap());
        }
        let mut body = vec![0; length];
        self.io.read_exact(&mut body).await.unwrap();
        let head = String::from_utf8(head).unwrap();
        let kept: Vec<_> = head.trim_end().split("\r\n").filter(|line| !line.starts_with("date: ")).collect();
        (kept.join("\n"), String::from_utf8(body).unwrap())
    }

    /// The status line of the next response, which says that it has so many bytes.
    pub(crate) async fn status(&mut self, length: usize) -> String {
        self.response(length).await.0.lines().next().unwrap_or_default().to_owned()
    }

    /// Whether the connection carries nothing now, and is open.
    pub(crate) async fn is_silent(&mut self) -> bool {
        settle().await;
        let mut byte = [0];
        tokio::time::timeout(Duration::from_millis(1), self.io.read(&mut byte)).await.is_err()
    }
}

/// The text of a policy with a group `web` of these words, one listener, `main`, and these rules.
pub(crate) fn forwarding(group: &str, listener: &str, rules: &str) -> String {
    format!("{}server-group web {{ {group} }}\n", policy(listener, rules))
}

/// Connections that servers accept, in their order, by the ports of the servers.
#[derive(Default)]
pub(crate) struct Servers(RefCell<HashMap<u16, VecDeque<DuplexStream>>>);

impl Servers {
    /// A connection to a server; one that accepts no more refuses it.
    pub(crate) fn dial(&self, port: u16) -> Result<ServerIo, Refused> {
        let next = self.0.borrow_mut().get_mut(&port).and_then(VecDeque::pop_front);
        next.map(ServerIo::memory).ok_or_else(|| (Failure::ConnectFailed, "nobody listens".to_owned()))
    }
}

/// What runs the guests of all tests: an engine takes longer to make than most of their modules to compile.
static HOST: LazyLock<Host> =
    LazyLock::new(|| Host::new(HostOptions { instances: 256, ..HostOptions::new(Arc::new(|_| {})) }).unwrap());

impl House {
    /// Serves what [`forwarding`] says, with a group of the server at port 1.
    pub(crate) fn forwarding(listener: &str, rules: &str) -> Self {
        Self::of(&forwarding("server 127.0.0.1:1", listener, rules))
    }

    /// Serves a policy beside which these modules lie.
    pub(crate) fn with_modules(policy: &str, modules: &[(String, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, module) in modules {
            std::fs::write(folder.path().join(name), module).unwrap();
        }
        let root = folder.path().join("test.gate");
        std::fs::write(&root, policy).unwrap();
        let prepared = prepare(Reading::of(&root, &HOST));
        Self::serving(prepared.snapshot.unwrap_or_else(|| panic!("{:?} {:?}", prepared.diagnostics, prepared.refusal)))
    }

    /// A connection that the server at this port accepts next.
    pub(crate) fn server(&self, port: u16) -> Server {
        let (io, theirs) = tokio::io::duplex(256 * 1024);
        self.worker.servers.0.borrow_mut().entry(port).or_default().push_back(theirs);
        Server { io }
    }
}

/// A server's end of a connection, which speaks HTTP/1.
pub(crate) struct Server {
    pub(crate) io: DuplexStream,
}

impl Server {
    /// The head of the next request, a line for each field in the order of their names.
    pub(crate) async fn request(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.io.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let (first, fields) = head.trim_end().split_once("\r\n").unwrap();
        let mut fields: Vec<_> = fields.split("\r\n").collect();
        fields.sort_unstable();
        [&[first], &*fields].concat().join("\n")
    }

    /// So many bytes of what comes next.
    pub(crate) async fn take(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.io.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    pub(crate) async fn say(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
        settle().await;
    }

    /// Reads the head of a request, and answers.
    pub(crate) async fn answer(&mut self, bytes: &str) -> String {
        let head = self.request().await;
        self.say(bytes).await;
        head
    }
}

/// Runs a test that has sockets, whose time passes as it does outside.
pub(crate) fn run_with_sockets<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    LocalSet::new().block_on(&runtime, bounded).unwrap_or_else(|_| panic!("the test waits for what never comes"))
}

/// The certificate of a listener for `localhost`, which signs itself, and so is its own authority.
pub(crate) struct Certified {
    /// Whom a client trusts.
    pub(crate) roots: Arc<RootCertStore>,
    /// What the gateway has read.
    certificates: Certificates,
    /// The rules that it serves.
    rules: String,
}

impl Certified {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let key = CertifiedKey::new(vec![made.cert.der().clone()], any_supported_type(&key).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let chain = ServerCertificate {
            key: Arc::new(key),
            names: vec!["localhost".to_owned()],
            algorithm: KeyAlgorithm::Ecdsa,
            not_before: Duration::ZERO,
            not_after: Duration::MAX,
            staple_until: None,
            gap: None,
        };
        let certificates = Certificates { chains: vec![Arc::new(chain)], ..Certificates::default() };
        Self { roots: Arc::new(roots), certificates, rules: ANSWERS.to_owned() }
    }

    /// The policy whose listener `main` speaks this protocol, with these words.
    fn snapshot(&self, protocol: &str, listener: &str, previous: Option<&Snapshot>) -> Snapshot {
        let policy = policy(&format!("certificate own; {listener}"), &self.rules);
        let policy = policy.replacen("listener http ", &format!("listener {protocol} "), 1)
            + "certificate own { chain \"own.pem\"; key \"own.key\" }\n";
        let compiled = compile(Path::new("test.gate"), &WithCertificate(OneText(policy)));
        let said = compiled.diagnostics;
        let plan = compiled.plan.unwrap_or_else(|| panic!("{said:?}"));
        let engine = Engine::build(Arc::new(plan), previous.map(|previous| &*previous.engine)).unwrap();
        Snapshot::build(Arc::new(engine), Vec::new(), self.certificates.clone(), previous).unwrap()
    }

    /// Serves the rules over TLS or QUIC.
    pub(crate) fn house(&self, protocol: &str, listener: &str) -> House {
        House::serving(self.snapshot(protocol, listener, None))
    }

    /// Puts a policy with other words of the listener in service.
    pub(crate) fn reload(&self, house: &House, protocol: &str, listener: &str) {
        let shared = &house.worker.shared;
        shared.commit(Arc::new(self.snapshot(protocol, listener, Some(&shared.snapshot()))));
    }

    /// A client that offers these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).unwrap();
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// A QUIC listener of one worker on the loopback interface, and a client who gets what he asks for in small pieces.
pub(crate) struct Quic {
    pub(crate) house: House,
    pub(crate) listener: Rc<QuicListener>,
    pub(crate) certified: Certified,
    client: Endpoint,
    address: SocketAddr,
}

impl Quic {
    /// Bytes of one answer that the client takes before it reads.
    pub(crate) const WINDOW: u32 = 2000;

    /// Serves [`ANSWERS`], and 10,000 bytes at `/big`.
    pub(crate) fn start(listener: &str) -> Self {
        let big = format!("rule big {{ when path is \"/big\"; respond 200 \"{}\" }} {ANSWERS}", "x".repeat(10_000));
        let certified = Certified { rules: big, ..Certified::new() };
        let house = certified.house("quic", listener);
        let (view, id) = house.handle.view(&house.worker);
        let crypto = crypto(view.snapshot.tls.endpoint(id).unwrap()).unwrap();
        let (shared, mut inboxes) = SharedEndpoint::new(1, crypto, Weak::new());
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let own = WorkerEndpoint { shared, socket, inbox: inboxes.remove(0) };
        let listener = QuicListener::start(own, &house.handle, &house.worker).unwrap();
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(Self::WINDOW.into());
        let tls = QuicClientConfig::try_from(certified.client(&["h3"])).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        client.set_default_client_config(config);
        Self { house, listener, certified, client, address }
    }

    /// Connects the client.
    pub(crate) async fn connect(&self) -> Result<quinn::Connection, ConnectionError> {
        self.client.connect(self.address, "localhost").unwrap().await
    }
}

/// A policy that is one text, in a world with one certificate.
struct WithCertificate(OneText);

impl Loader for WithCertificate {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.0.text(path)
    }

    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        self.0.glob(pattern)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }

    fn module(&self, extension: &tidegate_dsl::plan::Extension) -> Result<ModuleFacts, String> {
        self.0.module(extension)
    }

    fn certificate(&self, _: &tidegate_dsl::plan::Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Ok(CertificateFacts {
            names: vec!["localhost".to_owned()],
            key: KeyAlgorithm::Ecdsa,
            seconds_left: i64::from(u32::MAX),
            seconds_to_begin: 0,
            gap: None,
            staple_seconds_left: None,
        })
    }

    fn authority(&self, authority: &tidegate_dsl::plan::Ca) -> Result<AuthorityFacts, String> {
        self.0.authority(authority)
    }
}
