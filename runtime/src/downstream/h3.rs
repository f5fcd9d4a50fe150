//! A client connection that speaks HTTP/3 (RFC 9114): a task for the connection, and one for each request.
//!
//! The `h3` crate speaks the protocol, over streams of ours (see [`crate::quic::transport`]) that see what it does not.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{self, RequestResolver, RequestStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT, HeaderName, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use quinn::crypto::rustls::HandshakeData;
use tidegate_dsl::plan::Bind;
use tidegate_engine::exchange::{Connection, Tls};

use super::body::ResponseBody;
use super::client_body::ClientBody;
use super::connection::{Entry, canonical};
use super::h3_body::Http3Body;
use super::head::InEarlyData;
use super::state::{ConnectionState, Phase, StreamState};
use crate::failure::Failure;
use crate::limits;
use crate::proxy::{self, Closed, fields};
use crate::quic::transport::{Accepted, Send, Side, Stopped, Transport, var_int};
use crate::worker::{Slot, Worker};

type Http = server::Connection<Transport, Bytes>;
type Resolver = RequestResolver<Transport, Bytes>;

/// The request came in 0-RTT data: it may be a replay (RFC 8470, 5.1).
const EARLY_DATA: HeaderName = HeaderName::from_static("early-data");

/// Serves a connection to its end.
pub async fn serve(quic: quinn::Connection, slot: Rc<Slot>, worker: Rc<Worker>) {
    let Some(listener) = slot.with_listener(&worker, |_, name| Arc::clone(name)) else { return };
    let quic = Rc::new(quic);
    let tls = Tls { sni: server_name(&quic), version: "tls1.3", cipher: String::new(), client_cert: None };
    let (peer, local) = (canonical(quic.remote_address()), canonical(local(&quic, slot.place.bind)));
    let info = Arc::new(Connection { peer, local, listener, tls: Some(tls) });
    let entry = Entry::new(Rc::new(ConnectionState::new(info, slot, worker)));
    let code = run(&quic, &entry.stream).await;
    quic.close(var_int(code.value()), b"");
}

/// The server name that the client asked for.
fn server_name(quic: &quinn::Connection) -> Option<String> {
    quic.handshake_data()?.downcast::<HandshakeData>().ok()?.server_name
}

/// The address that the client sends to.
fn local(quic: &quinn::Connection, bind: Bind) -> SocketAddr {
    let bound = match bind {
        Bind::Address(address) => address.ip(),
        Bind::Port(_) => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(quic.local_ip().unwrap_or(bound), bind.port())
}

/// Serves requests until there are to be no more; returns what to tell the client.
async fn run(quic: &Rc<quinn::Connection>, own: &Rc<StreamState>) -> Code {
    let connection = &own.connection;
    let bytes = connection.slot.with_listener(&connection.worker, |listener, _| listener.limits.header_bytes);
    let Some(bytes) = bytes else { return Code::H3_NO_ERROR };
    let side = Rc::new(Side::default());
    let transport = Transport::new(Rc::clone(quic), Rc::clone(&side), bytes.max(limits::QUIC_CONTROL_FRAME));
    own.stand_by(Phase::Unused);
    let mut builder = server::builder();
    builder.max_field_section_size(bytes).send_grease(false);
    let Some(Ok(http)) = within_deadline(own, builder.build(transport)).await else { return Code::H3_NO_ERROR };
    let shared = Rc::new(Shared {
        connection: Rc::clone(connection),
        active: Cell::new(0),
        resets: Cell::new(0),
        waker: RefCell::new(None),
    });
    let mut client = ClientConnection { http, quic, own, shared, side, told: false, acknowledged: 0 };
    loop {
        match client.next().await {
            Event::Request(resolver) => client.begin(*resolver),
            Event::Deadline => {
                if client.is_idle() {
                    return Code::H3_NO_ERROR;
                }
            }
            Event::Finish => {
                client.told = true;
                client.side.refuse();
                // Requests up to the next one were taken, which is none, because it would be refused.
                if client.http.shutdown(1).await.is_err() {
                    return Code::H3_NO_ERROR;
                }
            }
            Event::Finished => {
                linger(quic).await;
                return Code::H3_NO_ERROR;
            }
            Event::Flood => return Code::H3_EXCESSIVE_LOAD,
            Event::Over => return Code::H3_NO_ERROR,
        }
    }
}

/// Waits, but not beyond the stream's deadline, nor the connection's end.
async fn within_deadline<F: Future>(stream: &StreamState, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        stream.register(cx.waker());
        if stream.connection.is_aborted() || stream.take_expired() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Lets what was sent arrive: closing forgets it. Ends when the client closes, or acknowledges nothing any more.
async fn linger(quic: &quinn::Connection) {
    loop {
        let acknowledged = quic.stats().frame_rx.acks;
        let pause = (quic.rtt() * 3).clamp(limits::QUIC_LINGER_MIN, limits::QUIC_LINGER_MAX);
        let closed = tokio::time::timeout(pause, quic.closed()).await.is_ok();
        if closed || quic.stats().frame_rx.acks == acknowledged {
            return;
        }
    }
}

/// What the connection's task and those of its requests share.
struct Shared {
    connection: Rc<ConnectionState>,
    /// Requests whose tasks have not ended.
    active: Cell<usize>,
    /// Requests that the client gave up, less those that it let finish.
    resets: Cell<u32>,
    /// The connection's task.
    waker: RefCell<Option<Waker>>,
}

impl Shared {
    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

/// What a connection's task waits for.
enum Event {
    /// A request begins.
    Request(Box<Resolver>),
    /// Its time is up.
    Deadline,
    /// It is to take no more requests.
    Finish,
    /// It takes no more requests, and the last has ended.
    Finished,
    /// The client begins requests only to give them up.
    Flood,
    /// It has ended, or has to.
    Over,
}

struct ClientConnection<'c> {
    http: Http,
    quic: &'c quinn::Connection,
    own: &'c Rc<StreamState>,
    shared: Rc<Shared>,
    side: Rc<Side>,
    /// The client knows that it is to begin no more requests.
    told: bool,
    /// Acknowledgements when the connection was last looked at.
    acknowledged: u64,
}

impl ClientConnection<'_> {
    async fn next(&mut self) -> Event {
        let Self { http, own, shared, told, .. } = self;
        let mut accept = pin!(http.accept());
        poll_fn(|cx| {
            own.register(cx.waker());
            shared.connection.register(cx.waker());
            shared.waker.borrow_mut().get_or_insert_with(|| cx.waker().clone());
            if shared.connection.is_aborted() {
                return Poll::Ready(Event::Over);
            }
            if own.take_expired() {
                return Poll::Ready(Event::Deadline);
            }
            if shared.resets.get() > limits::RESET_REQUESTS {
                return Poll::Ready(Event::Flood);
            }
            match accept.as_mut().poll(cx) {
                Poll::Ready(Ok(Some(resolver))) => return Poll::Ready(Event::Request(Box::new(resolver))),
                Poll::Ready(_) => return Poll::Ready(Event::Over),
                Poll::Pending => {}
            }
            // Only now, after a read: requests that had already arrived are served.
            if shared.connection.is_finishing() && !*told {
                return Poll::Ready(Event::Finish);
            }
            let phase = if shared.active.get() > 0 { Phase::Serving } else { Phase::Unused };
            if *told && phase == Phase::Unused {
                return Poll::Ready(Event::Finished);
            }
            if own.phase() != phase {
                own.stand_by(phase);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether nothing happens any more. A client that still acknowledges is still reading its last answers.
    fn is_idle(&mut self) -> bool {
        let acknowledged = self.quic.stats().frame_rx.acks;
        let before = std::mem::replace(&mut self.acknowledged, acknowledged);
        if acknowledged != before {
            self.own.stand_by(Phase::Unused);
        }
        acknowledged == before
    }

    /// Starts a request's task.
    fn begin(&self, resolver: Resolver) {
        let Some(accepted) = self.side.take_accepted() else { return };
        self.shared.active.set(self.shared.active.get() + 1);
        let stream = StreamState::enter(&self.shared.connection);
        let served = ServedStream { shared: Rc::clone(&self.shared), stream };
        tokio::task::spawn_local(serve_stream(served, resolver, accepted));
    }
}

/// A request's stream. Dropping it lets the connection know that it has ended.
struct ServedStream {
    shared: Rc<Shared>,
    stream: Rc<StreamState>,
}

impl Drop for ServedStream {
    fn drop(&mut self) {
        self.stream.leave();
        let active = self.shared.active.get() - 1;
        self.shared.active.set(active);
        if active == 0 {
            self.shared.wake();
        }
    }
}

/// The task of one request.
async fn serve_stream(served: ServedStream, resolver: Resolver, Accepted { early, stopped }: Accepted) {
    let stream = &served.stream;
    stream.note_read();
    // What is malformed, the library has refused (RFC 9114, 4.1.2).
    let Some(Ok((request, both))) = within_deadline(stream, resolver.resolve_request()).await else { return };
    let (sender, receiver) = both.split();
    let mut answer = Answer { stream: sender, ends: Some(Code::H3_REQUEST_CANCELLED) };
    let (mut head, ()) = request.into_parts();
    let mut body = Http3Body::new(receiver, fields::content_length(&head.headers), waits(&head.headers));
    if poll_fn(|cx| Poll::Ready(body.look(cx))).await.is_err() || has_connection_fields(&head.headers) {
        answer.ends = Some(Code::H3_MESSAGE_ERROR);
        return;
    }
    let head_only = head.method == Method::HEAD;
    if early {
        head.headers.insert(EARLY_DATA, HeaderValue::from_static("1"));
        head.extensions.insert(InEarlyData);
    }
    let body = if body.is_end_stream() { ClientBody::Empty } else { ClientBody::Http3(Box::new(body)) };
    let work = pin!(respond(Request::from_parts(head, body), head_only, stream, &mut answer));
    let shared = &served.shared;
    if unless_given_up(work, stopped).await {
        shared.resets.set(shared.resets.get().saturating_sub(1));
    } else {
        shared.resets.set(shared.resets.get().saturating_add(1));
        if shared.resets.get() > limits::RESET_REQUESTS {
            shared.wake();
        }
    }
}

/// Does a request's work, unless the client gives the request up before: that drops the work, and so ends the request
/// to the backend. Returns whether the client let it finish.
async fn unless_given_up(mut work: Pin<&mut impl Future<Output = bool>>, mut stopped: Stopped) -> bool {
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(finished) => Poll::Ready(finished),
        Poll::Pending => stopped.as_mut().poll(cx).map(|_| false),
    })
    .await
}

fn waits(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether there are fields that only HTTP/1 has, which makes a request malformed (RFC 9114, 4.2).
fn has_connection_fields(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| match name.as_str() {
        "keep-alive" | "proxy-connection" => true,
        _ if *name == TE => headers.get_all(TE).iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"trailers")),
        _ => [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name),
    })
}

/// The way of the answer to the client. Dropping it before the answer is whole resets the stream, so that what was sent
/// is not taken for all.
struct Answer {
    stream: RequestStream<Send, Bytes>,
    /// How the stream ends, if not well.
    ends: Option<Code>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(code) = self.ends {
            self.stream.stop_stream(code);
        }
    }
}

/// Has the request served, and sends the answer; false if the client is gone.
async fn respond(request: Request<ClientBody>, head_only: bool, stream: &Rc<StreamState>, answer: &mut Answer) -> bool {
    let mut served = pin!(proxy::serve(Rc::clone(stream), request));
    let response = loop {
        let polled = poll_fn(|cx| {
            stream.register(cx.waker());
            match served.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if stream.take_continue() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        });
        match polled.await {
            Some(Ok(response)) => break response,
            Some(Err(Closed)) => return true,
            None => {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                if answer.stream.send_response(interim).await.is_err() {
                    return false;
                }
            }
        }
    };
    send(response, head_only, stream, answer).await.is_ok()
}

/// Sends an answer.
///
/// # Errors
/// The client wants no more of it, or the connection is gone.
async fn send(
    response: Response<ResponseBody>,
    head_only: bool,
    stream: &Rc<StreamState>,
    answer: &mut Answer,
) -> Result<(), StreamError> {
    let (mut head, body) = response.into_parts();
    // It is about HTTP/1 connections.
    head.headers.remove(CONNECTION);
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, stream.worker().http_date());
    }
    let bodiless = head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if !bodiless && let Some(length) = body.size_hint().exact() {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    answer.stream.send_response(Response::from_parts(head, ())).await?;
    let mut body = pin!(body);
    while !bodiless && !body.is_end_stream() {
        let frame = poll_fn(|cx| {
            stream.register(cx.waker());
            if stream.take_expired() {
                stream.set_ending(Failure::UpstreamTimeout);
                return Poll::Ready(Some(Err(())));
            }
            body.as_mut().poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| ())))
        });
        let Some(frame) = frame.await else { break };
        let Ok(frame) = frame else {
            answer.ends = Some(Code::H3_INTERNAL_ERROR);
            return Ok(());
        };
        let sent = match frame.into_data() {
            Ok(data) => written(stream, answer.stream.send_data(data)).await,
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => written(stream, answer.stream.send_trailers(trailers)).await,
                Err(_) => Some(Ok(())),
            },
        };
        match sent {
            Some(sent) => sent?,
            None => return Ok(()),
        }
    }
    answer.stream.finish().await?;
    answer.ends = None;
    Ok(())
}

/// Writes at the pace of the client, who may not be silent for longer than its time; nothing if it was.
async fn written<T>(stream: &StreamState, writing: impl Future<Output = T>) -> Option<T> {
    let mut writing = pin!(writing);
    poll_fn(|cx| {
        stream.register(cx.waker());
        let polled = writing.as_mut().poll(cx);
        stream.note_write(polled.is_pending());
        if polled.is_pending() && stream.take_expired() {
            stream.set_ending(Failure::ClientTimeout);
            return Poll::Ready(None);
        }
        polled.map(Some)
    })
    .await
}
