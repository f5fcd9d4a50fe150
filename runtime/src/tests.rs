//! A gateway without sockets, for the tests of several files: a policy as text, a worker whose clock is turned by hand, and
//! clients in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

mod certified;
mod servers;

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidegate_base::address::ListenerKey;
use tidegate_base::limits;
use tidegate_dsl::plan::Plan;
use tidegate_dsl::{OneText, compile};
use tidegate_engine::Engine;
use tidegate_engine::exchange::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::{JoinHandle, LocalSet};

use crate::downstream::connection::{Opened, serve};
use crate::policy::snapshot::Snapshot;
use crate::request::admission::Admission;
use crate::request::connection_state::ConnectionState;
use crate::request::listener_handle::ListenerHandle;
use crate::request::listener_load::ListenerLoad;
use crate::request::state::StreamState;
use crate::request::worker::{Shared, Worker};
use crate::telemetry::access_log::LogSender;
use crate::tls::Certificates;

pub(crate) use self::certified::{Certified, Quic, run_with_sockets};
pub(crate) use self::servers::{Server, Servers, forwarding};

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
