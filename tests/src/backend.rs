//! Backends, most of which misbehave.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use crate::message::{Framing, Request, read_body, read_head};
use crate::{PATIENCE, listen, listen_on};

/// The way in which a backend treats a request.
#[derive(Debug, Clone)]
pub enum Behaviour {
    /// Answers with the request as JSON; [`crate::Response::echo`] reads it.
    Echo,
    /// Answers with this text.
    Text(&'static str),
    /// Answers with these bytes, whatever they are, and keeps the connection.
    Raw(String),
    /// Answers with these bytes, whatever they are, and closes the connection.
    RawThenClose(String),
    /// Answers in chunks, each written on its own.
    Chunks(Vec<&'static str>),
    /// Answers in chunks, each of which waits for [`Backend::release`].
    GatedChunks(Vec<&'static str>),
    /// Reads the request and is silent until [`Backend::release`]; then it is an echo.
    StallBeforeHead,
    /// Answers with `hello world`, and is silent after `hello` until [`Backend::release`].
    StallInBody,
    /// Reads the head and not the body until [`Backend::release`]; then it is an echo.
    StallBeforeUpload,
    /// Reads the request and closes.
    CloseWithoutAnswer,
    /// Announces 100 bytes, sends a few, and closes.
    CloseInBody,
    /// Answers, and closes the connection in the middle of a chunk.
    CloseInChunk,
    /// Answers with something that is no HTTP.
    Garbage,
    /// An echo that closes the connection after so many answers, without a word.
    CloseIdleAfter(usize),
    /// An echo that answers after the head and closes without reading the body.
    AnswerBeforeUpload,
    /// Reads everything, and answers with how many bytes there were.
    Swallow,
    /// Answers with so many bytes, as fast as they are taken.
    Stream(u64),
    /// Announces so many digits in no order, which compress to some half, sends only so many, and waits for
    /// [`Backend::release`].
    Digits(u64, u64),
}

/// A server on a port of its own. It stops when it is dropped.
pub struct Backend {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// For threads that wait, and
    changed: Condvar,
    /// for tasks.
    notify: Notify,
}

#[derive(Default)]
struct State {
    behaviour: Option<Behaviour>,
    /// Heads read.
    heads: Vec<Request>,
    /// Requests read to their end.
    requests: Vec<Request>,
    open: HashMap<usize, TcpStream>,
    connections: usize,
    /// Passes given and not yet used.
    passes: usize,
    stopped: bool,
}

/// The most of a body that is kept.
const KEPT: usize = 256 * 1024;

impl Backend {
    /// Starts a server that does this with every request.
    pub fn start(behaviour: Behaviour) -> Self {
        Self::serve(listen(), behaviour)
    }

    /// Starts a server on a port.
    ///
    /// # Panics
    /// The port is taken.
    pub fn start_on(port: u16, behaviour: Behaviour) -> Self {
        Self::serve(listen_on(port), behaviour)
    }

    fn serve(listener: TcpListener, behaviour: Behaviour) -> Self {
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared::default());
        shared.lock().behaviour = Some(behaviour);
        let ours = Arc::clone(&shared);
        let acceptor = Some(std::thread::spawn(move || accept(&listener, &ours)));
        Self { port, shared, acceptor }
    }

    /// A server that answers with the request.
    pub fn echo() -> Self {
        Self::start(Behaviour::Echo)
    }

    /// A server that answers with a text.
    pub fn text(text: &'static str) -> Self {
        Self::start(Behaviour::Text(text))
    }

    /// The port of the server.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address of the server, as a policy names it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Does something else with the requests to come.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.change(|state| state.behaviour = Some(behaviour));
    }

    /// Lets one stalled request go on; also one that comes later.
    pub fn release(&self) {
        self.shared.change(|state| state.passes += 1);
    }

    /// The number of open connections.
    pub fn open(&self) -> usize {
        self.shared.lock().open.len()
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.shared.lock().connections
    }

    /// Waits until this many connections are open.
    pub fn wait_open(&self, count: usize) {
        self.shared.wait(
            "open connections",
            count,
            |state| (state.open.len() == count).then_some(()),
            |state| state.open.len(),
        );
    }

    /// Waits until this many request heads have come, and returns the last of them.
    pub fn wait_head(&self, count: usize) -> Request {
        let head = |state: &State| state.heads.get(count - 1).cloned();
        self.shared.wait("request heads", count, head, |state| state.heads.len())
    }

    /// Waits until this many whole requests have come, and returns the last of them.
    pub fn wait_request(&self, count: usize) -> Request {
        let request = |state: &State| state.requests.get(count - 1).cloned();
        self.shared.wait("requests", count, request, |state| state.requests.len())
    }

    /// Waits until something holds of this server, while the clients of the same thread go on.
    ///
    /// # Panics
    /// The condition does not come to hold.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let held = async {
            loop {
                // Before the look, so that no change is missed.
                let changed = self.shared.notify.notified();
                if holds(self) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(PATIENCE, held).await.unwrap_or_else(|_| panic!("not in time: {what}"));
    }

    /// Every whole request so far.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.lock().requests.clone()
    }

    /// Closes every connection, as a restart would.
    pub fn close_connections(&self) {
        for stream in self.shared.lock().open.values() {
            // The gateway may have closed it already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.change(|state| state.stopped = true);
        self.close_connections();
        // Wakes the acceptor.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        self.notify.notify_waiters();
        changed
    }

    /// Takes a pass, if one is given soon. A thread cannot wait for a pass and for its socket at once: between two such waits it
    /// looks at the socket.
    fn pass(&self) -> bool {
        let soon = Duration::from_millis(5);
        let waited = self.changed.wait_timeout_while(self.lock(), soon, |state| state.passes == 0);
        let mut state = waited.map_or_else(|error| error.into_inner().0, |waited| waited.0);
        let passed = state.passes > 0;
        state.passes -= usize::from(passed);
        passed
    }

    fn wait<T>(
        &self,
        what: &str,
        count: usize,
        mut look: impl FnMut(&State) -> Option<T>,
        seen: impl Fn(&State) -> usize,
    ) -> T {
        let end = std::time::Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return found;
            }
            let left = end.saturating_duration_since(std::time::Instant::now());
            let seen = seen(&state);
            assert!(!left.is_zero(), "waited for {count} {what}; there are {seen}");
            state = self.changed.wait_timeout(state, left).map_or_else(|error| error.into_inner().0, |waited| waited.0);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.lock().stopped {
            return;
        }
        let Ok(handle) = stream.try_clone() else { continue };
        let number = shared.change(|state| {
            let number = state.connections;
            state.connections += 1;
            state.open.insert(number, handle);
            number
        });
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // How a connection ends is the test's business, and the gateway's.
            let _ = stream.set_nodelay(true);
            let _ = Conversation { stream: BufReader::new(stream), shared: &shared, number }.serve();
            shared.change(|state| {
                if let Some(handle) = state.open.remove(&number) {
                    let _ = handle.shutdown(Shutdown::Both);
                }
            });
        });
    }
}

/// One connection.
struct Conversation<'s> {
    stream: BufReader<TcpStream>,
    shared: &'s Shared,
    number: usize,
}

/// The fate of a connection after an answer.
#[derive(PartialEq, Eq)]
enum Then {
    Keep,
    Close,
}

impl Conversation<'_> {
    fn serve(&mut self) -> io::Result<()> {
        let mut answered = 0;
        while let Some((line, headers)) = read_head(&mut self.stream)? {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().unwrap_or_default();
            let (method, target, version) = (word(), word(), word());
            let head = Request { method, target, version, headers, connection: self.number, ..Request::default() };
            let behaviour = self.shared.change(|state| {
                state.heads.push(head.clone());
                state.behaviour.clone().unwrap_or(Behaviour::Echo)
            });
            answered += 1;
            if self.answer(head, behaviour, answered)? == Then::Close {
                return Ok(());
            }
        }
        Ok(())
    }

    fn answer(&mut self, head: Request, behaviour: Behaviour, answered: usize) -> io::Result<Then> {
        match behaviour {
            Behaviour::StallBeforeUpload => self.stall()?,
            Behaviour::AnswerBeforeUpload => {
                self.write(&response("text/plain", b"early"))?;
                return Ok(Then::Close);
            }
            _ => {}
        }
        let is_head = head.method == "HEAD";
        let request = self.finish(head)?;
        match behaviour {
            Behaviour::Echo | Behaviour::StallBeforeUpload => self.write_echo(&request)?,
            Behaviour::StallBeforeHead => {
                self.stall()?;
                self.write_echo(&request)?;
            }
            Behaviour::CloseIdleAfter(count) => {
                self.write_echo(&request)?;
                return Ok(if answered.is_multiple_of(count) { Then::Close } else { Then::Keep });
            }
            Behaviour::Text(text) if is_head => {
                let whole = response("text/plain", text.as_bytes());
                self.write(&whole[..whole.len() - text.len()])?;
            }
            Behaviour::Text(text) => self.write(&response("text/plain", text.as_bytes()))?,
            Behaviour::Raw(bytes) => self.write(bytes.as_bytes())?,
            Behaviour::RawThenClose(bytes) => {
                self.write(bytes.as_bytes())?;
                return Ok(Then::Close);
            }
            Behaviour::Chunks(chunks) => self.write_chunks(&chunks, false)?,
            Behaviour::GatedChunks(chunks) => self.write_chunks(&chunks, true)?,
            Behaviour::StallInBody => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello")?;
                self.stall()?;
                self.write(b" world")?;
            }
            Behaviour::CloseWithoutAnswer | Behaviour::AnswerBeforeUpload => return Ok(Then::Close),
            Behaviour::CloseInBody => {
                self.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\na few")?;
                return Ok(Then::Close);
            }
            Behaviour::CloseInChunk => {
                self.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\na few")?;
                return Ok(Then::Close);
            }
            Behaviour::Garbage => {
                self.write(b"220 mail.example ESMTP ready\r\n")?;
                return Ok(Then::Close);
            }
            Behaviour::Swallow => self.write(&response("text/plain", request.length.to_string().as_bytes()))?,
            Behaviour::Stream(length) => self.write_stream(length)?,
            Behaviour::Digits(length, sent) => {
                self.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
                self.write(&digits(sent))?;
                self.stall()?;
                return Ok(Then::Close);
            }
        }
        Ok(Then::Keep)
    }

    /// Reads the body.
    fn finish(&mut self, mut request: Request) -> io::Result<Request> {
        let framing = Framing::of(&request.headers, Framing::Length(0));
        let (mut body, mut length) = (Vec::new(), 0);
        request.trailers = read_body(&mut self.stream, framing, |bytes| {
            length += bytes.len() as u64;
            body.extend_from_slice(&bytes[..bytes.len().min(KEPT - body.len())]);
        })?;
        (request.body, request.length) = (body, length);
        self.shared.change(|state| state.requests.push(request.clone()));
        Ok(request)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    fn write_echo(&mut self, request: &Request) -> io::Result<()> {
        let pairs =
            |fields: &[(String, String)]| fields.iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>();
        let echo = json!({
            "method": request.method, "target": request.target, "version": request.version,
            "headers": pairs(&request.headers), "trailers": pairs(&request.trailers),
            "body": request.text(), "length": request.length, "connection": request.connection,
        });
        let body = echo.to_string();
        let whole = response("application/json", body.as_bytes());
        let end = if request.method == "HEAD" { whole.len() - body.len() } else { whole.len() };
        self.write(&whole[..end])
    }

    fn write_chunks(&mut self, chunks: &[&str], gated: bool) -> io::Result<()> {
        self.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for chunk in chunks {
            if gated {
                self.stall()?;
            }
            self.write(format!("{:x}\r\n{chunk}\r\n", chunk.len()).as_bytes())?;
        }
        self.write(b"0\r\n\r\n")
    }

    fn write_stream(&mut self, length: u64) -> io::Result<()> {
        self.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
        let block = vec![b'x'; 256 * 1024];
        let mut left = length;
        while left > 0 {
            let count = usize::try_from(left).unwrap_or(block.len()).min(block.len());
            self.write(&block[..count])?;
            left -= count as u64;
        }
        Ok(())
    }

    /// Waits for a pass, or for the gateway to close, which is an error.
    fn stall(&mut self) -> io::Result<()> {
        self.stream.get_ref().set_nonblocking(true)?;
        loop {
            let passed = self.shared.pass();
            let unread = !self.stream.buffer().is_empty();
            let ended = match self.stream.get_ref().peek(&mut [0]) {
                // A body that stands unread hides the end of the connection, which then comes with the write.
                Ok(0) => Some(io::ErrorKind::ConnectionAborted.into()),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock && !unread => Some(error),
                _ => None,
            };
            match (ended, passed) {
                (None, true) => break,
                (None, false) => {}
                (Some(error), passed) => {
                    // The pass is for somebody who waits.
                    self.shared.change(|state| state.passes += usize::from(passed));
                    return Err(error);
                }
            }
        }
        self.stream.get_ref().set_nonblocking(false)
    }
}

fn digits(count: u64) -> Vec<u8> {
    let mut x = 1_u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b'0' + (x % 10) as u8
    };
    (0..count).map(|_| next()).collect()
}

fn response(media_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut whole =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    whole.extend_from_slice(body);
    whole
}

impl Drop for Conversation<'_> {
    fn drop(&mut self) {
        // What stands unread would turn the close into a reset, which may overtake the answer.
        let _ = self.stream.get_ref().shutdown(Shutdown::Write);
        let _ = self.stream.get_ref().set_read_timeout(Some(Duration::from_millis(20)));
        let mut buffer = [0; 4096];
        while self.stream.get_mut().read(&mut buffer).is_ok_and(|count| count > 0) {
            if self.shared.lock().stopped {
                break;
            }
        }
    }
}
