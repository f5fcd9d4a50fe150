//! What the tests stand in: a policy's group, a caller without a client, and servers that follow a script.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::path::Path;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use tidegate_base::failure::{BodyError, Failure};
use tidegate_dsl::OneText;
use tidegate_dsl::plan::{Plan, ServerGroup};
use tidegate_engine::affinity::CookieKeys;
use tidegate_engine::servers::PickRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use crate::meter::GroupMeter;
use crate::{Address, Caller, Content, Group, Outgoing, Pools, Refused, ServerIo, ServerResponse, send};

/// How long a request may stand still.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test. When all of it waits, time jumps to the next thing that waits for time.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, test)
}

/// The group `web` with these words in its block.
pub(super) fn plan(words: &str) -> ServerGroup {
    policy(words).groups.remove(0)
}

/// A policy with one group, `web`, and these words in its block.
pub(crate) fn policy(words: &str) -> Plan {
    let text = format!(
        "tidegate 1\nserver-group web {{ {words} }}\nlistener http main {{ port 8080; rules site }}\n\
         rules site {{ otherwise {{ forward web }} }}\n"
    );
    let compiled = tidegate_dsl::compile(Path::new("test.gate"), &OneText(text));
    let said = compiled.diagnostics;
    compiled.plan.unwrap_or_else(|| panic!("{said:?}"))
}

/// What a server does on a connection, step by step. At the end of its script it closes.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Reads to the end of a request's head.
    Head,
    /// Reads so many bytes.
    Take(usize),
    /// Sends these bytes.
    Say(&'static [u8]),
    /// Lets everybody else do what they can.
    Pause,
    /// Does nothing more, and keeps the connection open.
    Hold,
    /// Sends these bytes for as long as somebody takes them.
    Flood(&'static [u8]),
}

/// What a server of HTTP/2 does with a stream.
#[derive(Clone, Copy)]
pub(super) enum Reply {
    /// Answers with this body.
    Body(&'static str),
    /// Resets the stream.
    Reset(h2::Reason),
    /// Answers, and takes no new streams.
    Leave,
    /// Never answers.
    Hold,
}

/// A connection of a server.
#[derive(Clone, Copy)]
pub(super) enum Script {
    Http1(&'static [Act]),
    Http2(&'static [Reply]),
}

/// A response that agrees to switch protocols.
pub(super) const SWITCHES: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";

/// A response that closes nothing.
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Who asks, and whom: a port is a server, whose connections follow its scripts, one after the other. It refuses what it has no
/// script for.
#[derive(Default)]
pub(super) struct World {
    scripts: RefCell<HashMap<u16, VecDeque<Script>>>,
    /// The ports that were dialled.
    pub(super) dialled: RefCell<Vec<u16>>,
    /// The heads of requests that servers of HTTP/1 have read.
    pub(super) heads: Rc<RefCell<Vec<String>>>,
    pub(super) retries: Cell<u32>,
    pub(super) progress: Cell<u32>,
    pub(super) now_ms: Cell<u64>,
    pub(super) secure: Cell<bool>,
    pub(super) ending: Cell<Option<Failure>>,
    pub(super) expired: Cell<Option<Failure>>,
    pub(super) pools: Pools<Sent>,
}

impl World {
    /// A world with a server at a port, whose connections follow these scripts.
    pub(super) fn with(self, port: u16, scripts: impl IntoIterator<Item = Script>) -> Self {
        self.scripts.borrow_mut().entry(port).or_default().extend(scripts);
        self
    }

    /// A world with a server of HTTP/1 at a port that has one connection.
    pub(super) fn http1(self, port: u16, script: &'static [Act]) -> Self {
        self.with(port, [Script::Http1(script)])
    }

    /// The group with these words.
    pub(super) fn group(&self, words: &str) -> Rc<Group<Sent>> {
        self.group_of(plan(words))
    }

    /// The group of this plan.
    pub(super) fn group_of(&self, plan: ServerGroup) -> Rc<Group<Sent>> {
        let meter = GroupMeter::apart(plan.servers.len());
        Rc::new(Group::new(plan, None, &[], &CookieKeys::default(), &self.pools, meter))
    }

    /// Sends a request, and waits for the head of the response.
    pub(super) async fn send(
        &self,
        group: &Rc<Group<Sent>>,
        mut outgoing: Outgoing<Sent>,
    ) -> Result<ServerResponse<Sent>, Failure> {
        let mut sent = pin!(send(group, &mut outgoing, None, self));
        let mut deadline = pin!(sleep(PATIENCE));
        let sent = poll_fn(|cx| {
            while deadline.as_mut().poll(cx).is_ready() {
                self.expired.set(Some(Failure::UpstreamTimeout));
                deadline.as_mut().reset(Instant::now() + PATIENCE);
            }
            sent.as_mut().poll(cx)
        });
        sent.await.map_err(|(failure, _)| failure)
    }

    /// Sends a request, and reads the response to its end: its body, or how the exchange failed.
    pub(super) async fn ask(&self, group: &Rc<Group<Sent>>, outgoing: Outgoing<Sent>) -> Result<String, Failure> {
        self.read(self.send(group, outgoing).await?).await
    }

    /// Reads a response to its end.
    pub(super) async fn read(&self, response: ServerResponse<Sent>) -> Result<String, Failure> {
        let mut body = response.response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { return Err(Failure::UpstreamBody) };
            text.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        }
        body.finish(true, self.now_ms.get());
        Ok(String::from_utf8(text).unwrap())
    }

    /// How often each of these ports was dialled.
    pub(super) fn dials<const N: usize>(&self, ports: [u16; N]) -> [usize; N] {
        ports.map(|port| self.dialled.borrow().iter().filter(|dialled| **dialled == port).count())
    }
}

impl Caller for World {
    type Body = Sent;

    fn now_ms(&self) -> u64 {
        self.now_ms.get()
    }

    fn random(&self) -> u64 {
        4
    }

    fn is_secure(&self) -> bool {
        self.secure.get()
    }

    fn progress(&self) {
        self.progress.set(self.progress.get() + 1);
    }

    fn count_retry(&self) {
        self.retries.set(self.retries.get() + 1);
    }

    fn ending(&self) -> Option<Failure> {
        self.ending.get()
    }

    fn take_expired(&self) -> Option<Failure> {
        self.expired.take()
    }

    fn may_log(&self, _: &'static str) -> bool {
        false
    }

    async fn dial(&self, address: Address<'_>) -> Result<ServerIo, Refused> {
        let port = address.server.port;
        self.dialled.borrow_mut().push(port);
        tokio::task::yield_now().await;
        let script = self.scripts.borrow_mut().get_mut(&port).and_then(VecDeque::pop_front);
        let script = script.ok_or((Failure::ConnectFailed, "nobody listens".to_owned()))?;
        let (ours, theirs) = duplex(64 * 1024);
        match script {
            Script::Http1(acts) => drop(spawn_local(follow(theirs, acts, Rc::clone(&self.heads)))),
            Script::Http2(replies) => drop(spawn_local(serve(theirs, replies))),
        }
        Ok(ServerIo::memory(ours))
    }
}

async fn follow(mut stream: DuplexStream, acts: &[Act], heads: Rc<RefCell<Vec<String>>>) {
    for act in acts {
        match act {
            Act::Head => {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                heads.borrow_mut().push(String::from_utf8(head).unwrap());
            }
            Act::Take(bytes) => {
                let _ = stream.read_exact(&mut vec![0; *bytes]).await;
            }
            Act::Say(bytes) => {
                let _ = stream.write_all(bytes).await;
            }
            Act::Pause => sleep(Duration::from_millis(1)).await,
            Act::Hold => std::future::pending().await,
            Act::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
        }
    }
}

async fn serve(stream: DuplexStream, replies: &'static [Reply]) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    let mut held = Vec::new();
    let mut replies = replies.iter();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        let body = match replies.next() {
            Some(Reply::Body(body)) => *body,
            Some(Reply::Leave) => {
                connection.graceful_shutdown();
                "bye"
            }
            Some(Reply::Reset(reason)) => {
                respond.send_reset(*reason);
                continue;
            }
            Some(Reply::Hold) => {
                held.push(respond);
                continue;
            }
            None => return,
        };
        let mut send = respond.send_response(http::Response::new(()), false).unwrap();
        send.send_data(Bytes::from_static(body.as_bytes()), true).unwrap();
    }
}

/// A request with this method, without content.
pub(super) fn request(method: Method) -> Outgoing<Sent> {
    with(method, Sent(VecDeque::new()))
}

/// A `GET`.
pub(super) fn get() -> Outgoing<Sent> {
    request(Method::GET)
}

/// A request that asks to switch protocols.
pub(super) fn upgrade() -> Outgoing<Sent> {
    let mut outgoing = get();
    outgoing.upgrade = true;
    let fields = outgoing.request.as_mut().unwrap().headers_mut();
    fields.insert("connection", "upgrade".parse().unwrap());
    fields.insert("upgrade", "websocket".parse().unwrap());
    outgoing
}

/// A request with content.
pub(super) fn with(method: Method, body: Sent) -> Outgoing<Sent> {
    let request = Request::builder().method(method).uri("/").header("host", "test").body(Content::of(body)).unwrap();
    Outgoing {
        request: Some(request),
        authority: "test".parse().unwrap(),
        upgrade: false,
        pick: PickRequest::default(),
    }
}

/// The content of a request: what comes, and what does not.
pub(super) struct Sent(pub(super) VecDeque<Piece>);

pub(super) enum Piece {
    Data(&'static str),
    /// The client breaks off.
    Broken,
    /// The client says nothing more.
    Silent,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.0.front() {
            Some(Piece::Silent) => Poll::Pending,
            _ => Poll::Ready(match self.0.pop_front() {
                Some(Piece::Data(data)) => Some(Ok(Frame::data(Bytes::from_static(data.as_bytes())))),
                Some(_) => Some(Err("broken".into())),
                None => None,
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
