//! Servers and guests in memory.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, LazyLock};

use tidegate_base::failure::Failure;
use tidegate_upstream::{Refused, ServerIo};
use tidegate_wasm_host::{Host, HostOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::{House, policy, settle};
use crate::policy::prepare::{Reading, prepare};

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
