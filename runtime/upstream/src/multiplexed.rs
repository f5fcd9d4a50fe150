//! HTTP/2 to servers: connections that many requests share, by prior knowledge (RFC 9113, 3.3).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;

use bytes::Bytes;
use h2::client::{self, SendRequest};
use h2::{Reason, RecvStream};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version};
use http_body::{Body, Frame};
use tidegate_base::failure::{BodyError, Failure};
use tidegate_base::flight::Gathering;
use tidegate_base::http2::{Broken, Sending};
use tidegate_base::limits;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::cause::Cause;
use crate::dial::{Address, Refused};
use crate::inbound::{Inbound, Inbounds};
use crate::io::ServerIo;
use crate::talk::Talk;

/// The HTTP/2 connections to one server.
#[derive(Default)]
pub(crate) struct Multiplexed {
    open: RefCell<Vec<Rc<Connection>>>,
    /// Held by the one request that opens a connection; those that wait for it get a stream on it.
    opening: Mutex<()>,
    /// Connections that could not be opened, and why the last one could not.
    refused: RefCell<(u64, Option<Refused>)>,
}

/// An HTTP/2 connection, with what this worker has on it.
struct Connection {
    sender: SendRequest<Bytes>,
    /// The bound on what the server says beside responses, and the requests under way.
    talk: Rc<Talk>,
    /// The responses under way.
    inbounds: Rc<Inbounds>,
    /// When the last request on it ended.
    idle_since_ms: Cell<u64>,
    /// Whether the server said that it goes away, or the connection broke.
    closed: Cell<bool>,
}

impl Connection {
    /// How many more requests the connection takes.
    fn room(&self) -> usize {
        if self.closed.get() {
            return 0;
        }
        self.sender.current_max_send_streams().min(limits::UPSTREAM_STREAMS).saturating_sub(self.talk.requests())
    }
}

/// A request's stream on a connection. Dropping it ends what is not complete.
pub(crate) struct StreamLease {
    connection: Rc<Connection>,
    /// The task that sends the content of the request, while the response comes already.
    body: Option<JoinHandle<()>>,
    now_ms: u64,
}

impl Drop for StreamLease {
    fn drop(&mut self) {
        if let Some(body) = &self.body {
            body.abort();
        }
        self.connection.talk.end();
        self.connection.idle_since_ms.set(self.now_ms);
    }
}

impl StreamLease {
    fn on(connection: &Rc<Connection>, now_ms: u64) -> Self {
        connection.talk.begin();
        Self { connection: Rc::clone(connection), body: None, now_ms }
    }

    /// The body of the response, whose head has come.
    pub(crate) fn body(&self, stream: RecvStream) -> Inbound {
        Inbound::new(stream, &self.connection.inbounds)
    }

    /// Notes that a part of the body, or the trailers, has come.
    pub(crate) fn note(&self, frame: &Frame<Bytes>) {
        if frame.is_trailers() {
            self.connection.talk.answered();
        } else {
            self.connection.talk.moved();
        }
    }
}

impl Multiplexed {
    /// A stream on an open connection with room for it, or on a new connection, of which `opened` hears.
    ///
    /// # Errors
    /// Dialling failed, or the server does not speak HTTP/2.
    pub(crate) async fn stream(
        &self,
        caller: &impl Caller,
        address: Address<'_>,
        opened: impl FnOnce(),
    ) -> Result<StreamLease, Refused> {
        let now_ms = caller.now_ms();
        if let Some(lease) = self.with_room(now_ms) {
            return Ok(lease);
        }
        let before = self.refused.borrow().0;
        let _opening = self.opening.lock().await;
        if let Some(lease) = self.with_room(now_ms) {
            return Ok(lease);
        }
        if let (count, Some(refused)) = &*self.refused.borrow()
            && *count > before
        {
            // It was refused while this request waited for it.
            return Err(refused.clone());
        }
        if self.open.borrow().len() >= limits::UPSTREAM_H2_CONNECTIONS {
            // Waits for room on the emptiest.
            let emptiest = self.open.borrow().iter().min_by_key(|connection| connection.talk.requests()).cloned();
            return emptiest
                .map(|connection| StreamLease::on(&connection, now_ms))
                .ok_or((Cause::Unusable.failure(), "no connection is left".to_owned()));
        }
        match open(caller, address).await {
            Ok(connection) => {
                opened();
                self.open.borrow_mut().push(Rc::clone(&connection));
                Ok(StreamLease::on(&connection, now_ms))
            }
            Err(refused) => {
                let mut last = self.refused.borrow_mut();
                *last = (last.0 + 1, Some(refused.clone()));
                Err(refused)
            }
        }
    }

    fn with_room(&self, now_ms: u64) -> Option<StreamLease> {
        let mut open = self.open.borrow_mut();
        open.retain(|connection| !connection.closed.get());
        open.iter().find(|connection| connection.room() > 0).map(|connection| StreamLease::on(connection, now_ms))
    }

    /// The number of open connections that carry no request.
    pub(crate) fn idle(&self) -> usize {
        self.open.borrow().iter().filter(|connection| connection.talk.requests() == 0).count()
    }

    /// Closes connections that were idle for so long. Called once a [`limits::TICK`].
    pub(crate) fn prune(&self, now_ms: u64, idle_ms: u64) {
        self.open.borrow_mut().retain(|connection| {
            connection.talk.tick();
            let idle =
                connection.talk.requests() == 0 && now_ms.saturating_sub(connection.idle_since_ms.get()) >= idle_ms;
            !connection.closed.get() && !idle
        });
    }
}

async fn open(caller: &impl Caller, address: Address<'_>) -> Result<Rc<Connection>, Refused> {
    let talk = Talk::new();
    let stream = caller.dial(address).await?.for_http2(&talk);
    let (sender, connection) = client::Builder::new()
        .enable_push(false)
        .initial_window_size(limits::UPSTREAM_STREAM_WINDOW)
        .initial_connection_window_size(limits::UPSTREAM_CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits::RESPONSE_HEADER_BYTES).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits::STREAM_SEND_BUFFER)
        .handshake(stream)
        .await
        .map_err(|error| (Cause::Unusable.failure(), error.to_string()))?;
    let opened = Rc::new(Connection {
        sender,
        talk,
        inbounds: Rc::default(),
        idle_since_ms: Cell::new(caller.now_ms()),
        closed: Cell::new(false),
    });
    tokio::task::spawn_local(drive(connection, Rc::downgrade(&opened)));
    Ok(opened)
}

/// Drives a connection to its end. Its errors reach the requests that are on it.
async fn drive(mut connection: client::Connection<ServerIo, Bytes>, opened: std::rc::Weak<Connection>) {
    let gathering = opened.upgrade().map(|opened| (Rc::clone(&opened.talk), Rc::clone(&opened.inbounds)));
    poll_fn(|cx| {
        let polled = Pin::new(&mut connection).poll(cx);
        if let Some((talk, inbounds)) = &gathering
            && talk.take_pieces()
        {
            inbounds.gather();
        }
        polled.map(drop)
    })
    .await;
    if let Some(opened) = opened.upgrade() {
        opened.closed.set(true);
    }
}

/// Why a request got no response.
pub(crate) struct Unanswered {
    /// Whether the server has certainly not looked at the request (RFC 9113, 8.7), so it may be sent again.
    pub(crate) unseen: bool,
    /// The failure that it is, unless the client's side knows better.
    pub(crate) failure: Failure,
}

impl Unanswered {
    fn by(error: &h2::Error) -> Self {
        let refused = error.reason() == Some(Reason::REFUSED_STREAM);
        let gone = error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
        Self { unseen: refused || gone, failure: Cause::Http2(error).failure() }
    }
}

/// Sends a request on a stream, and waits for the head of its response. The body goes on by itself. The request stays in its place
/// if the connection does not even take it.
///
/// # Errors
/// The connection broke, or the server refused or reset the stream.
pub(crate) async fn exchange<B>(
    lease: &mut StreamLease,
    place: &mut Option<Request<B>>,
    authority: Authority,
) -> Result<Response<RecvStream>, Unanswered>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    let mut sender = lease.connection.sender.clone();
    if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
        lease.connection.closed.set(true);
        return Err(Unanswered { unseen: true, ..Unanswered::by(&error) });
    }
    let closed = Unanswered { unseen: false, failure: Cause::Closed.failure() };
    let (parts, body) = place.take().ok_or(closed)?.into_parts();
    let ends = body.is_end_stream();
    let sent = sender.send_request(head(parts, authority), ends);
    let (answer, stream) = sent.map_err(|error| Unanswered::by(&error))?;
    if !ends {
        let talk = Rc::clone(&lease.connection.talk);
        lease.body = Some(tokio::task::spawn_local(send_body(body, Sending::new(stream), talk)));
    }
    let answered = answer.await;
    lease.connection.talk.answered();
    answered.map_err(|error| {
        // After GOAWAY the connection takes no new streams.
        if error.is_go_away() || error.is_io() {
            lease.connection.closed.set(true);
        }
        let unanswered = Unanswered::by(&error);
        if lease.connection.talk.is_flooded() {
            return Unanswered { failure: Cause::Flood.failure(), ..unanswered };
        }
        unanswered
    })
}

/// The head of a request as HTTP/2 has it: the host is in the target (RFC 9113, 8.3.1).
fn head(mut parts: http::request::Parts, authority: Authority) -> Request<()> {
    parts.headers.remove(HOST);
    parts.version = Version::HTTP_2;
    let mut target = std::mem::take(&mut parts.uri).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(authority);
    // With all three parts it is a target.
    parts.uri = Uri::from_parts(target).unwrap_or_default();
    Request::from_parts(parts, ())
}

async fn send_body<B>(body: B, mut stream: Sending, talk: Rc<Talk>)
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let mut body = pin!(Gathering::new(body));
    let sent = poll_fn(|cx| stream.poll(body.as_mut(), cx, |_| talk.moved())).await;
    if let Err(Broken::Body) = sent {
        // The request's state has the reason; the server learns that the rest will not come.
        stream.reset(Reason::CANCEL);
    }
}
