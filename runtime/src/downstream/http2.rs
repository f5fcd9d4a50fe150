//! A client connection that speaks HTTP/2 (RFC 9113): a task for the connection, and one for each request.
//!
//! The `h2` crate speaks the protocol. It is used directly, not through hyper: a deadline or a mistake must end one
//! stream and leave the others alone, and interim answers and tunnels need the stream itself.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, EXPECT};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use tidegate_base::failure::Failure;
use tidegate_base::flight::Gathering;
use tidegate_base::http2::{Broken, Sending};
use tidegate_base::limits;
use tidegate_dsl::plan::ListenerLimits;
use tidegate_engine::status::is_bodiless;

use crate::downstream::io::ClientIo;
use crate::downstream::io::ClientStream;
use crate::downstream::requests::InFlight;
use crate::downstream::requests::Requests;
use crate::downstream::stream_io::StreamIo;
use crate::request;
use crate::request::body::ResponseBody;
use crate::request::client_body::ClientBody;
use crate::request::grpc;
use crate::request::head::InEarlyData;
use crate::request::serve::Closed;
use crate::request::state::Phase;
use crate::request::state::StreamState;

/// Serves a connection to its end.
pub async fn serve<S>(io: ClientIo<S>, own: &Rc<StreamState>)
where
    S: ClientStream,
{
    let connection = &own.connection;
    let Some(builder) = connection.handle.with_listener(&connection.worker, |listener, _| builder(&listener.limits))
    else {
        return;
    };
    own.stand_by(Phase::Unused);
    let Some(Ok(http)) = within_deadline(own, builder.handshake(io)).await else { return };
    let requests = Requests::new(connection);
    ClientConnection { http, own, requests, ending: Ending::No }.await;
}

/// The protocol with the listener's limits.
fn builder(limits: &ListenerLimits) -> server::Builder {
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(limits::STREAM_WINDOW)
        .initial_connection_window_size(limits::CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams)
        .max_send_buffer_size(limits::STREAM_SEND_BUFFER)
        .max_pending_accept_reset_streams(limits::RESET_UNSEEN)
        .max_local_error_reset_streams(Some(limits::RESET_MISTAKES))
        .enable_connect_protocol();
    builder
}

/// Waits for the client's preface, but not beyond the connection's deadline.
async fn within_deadline<F: Future>(own: &StreamState, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        own.register(cx.waker());
        own.connection.register(cx.waker());
        if own.connection.is_aborted() || own.take_expired() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// How far the end of the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It takes requests.
    No,
    /// It takes no more requests than are under way, and the client knows.
    Graceful,
    /// It closes as soon as the client has been told why.
    Abrupt,
}

/// The connection's task: the protocol, and the timeouts and orders from outside.
struct ClientConnection<'o, S> {
    http: server::Connection<ClientIo<S>, Bytes>,
    own: &'o Rc<StreamState>,
    requests: Rc<Requests>,
    ending: Ending,
}

impl<S> Future for ClientConnection<'_, S>
where
    S: ClientStream,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.own.register(cx.waker());
        this.requests.register(cx.waker());
        if this.requests.connection.is_aborted() || this.give_up() {
            return Poll::Ready(());
        }
        if this.requests.resets.are_too_many() {
            this.end_with(Reason::ENHANCE_YOUR_CALM);
        }
        if this.accept(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.requests.connection.is_finishing() && this.ending == Ending::No {
            // Only now, after a read: requests that had already arrived are served.
            this.ending = Ending::Graceful;
            this.http.graceful_shutdown();
            if this.accept(cx).is_ready() {
                return Poll::Ready(());
            }
        }
        this.note_phase();
        Poll::Pending
    }
}

impl<S> ClientConnection<'_, S>
where
    S: ClientStream,
{
    /// Takes the requests that have arrived; ready when the connection has ended.
    fn accept(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.http.poll_accept(cx) {
                Poll::Ready(Some(Ok((mut request, respond)))) => {
                    if self.own.connection.is_early() {
                        request.extensions_mut().insert(InEarlyData);
                    }
                    tokio::task::spawn_local(serve_stream(self.requests.begin(), request, respond));
                }
                // An error here is the peer's, and h2 has told it so; requests in flight log it.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether requests hold the connection, only what is left of their answers, or nothing.
    fn note_phase(&self) {
        let phase = if self.requests.are_active() {
            Phase::Serving
        } else if self.http.has_streams() || self.ending != Ending::No {
            Phase::Flushing
        } else {
            Phase::Unused
        };
        if self.own.phase() != phase {
            self.own.stand_by(phase);
        }
    }

    /// Acts on a passed deadline; true if the connection is to be closed.
    fn give_up(&mut self) -> bool {
        if !self.own.take_expired() {
            return false;
        }
        if self.own.phase() == Phase::Unused && self.ending != Ending::Abrupt {
            self.end_with(Reason::NO_ERROR);
            return false;
        }
        true
    }

    /// Tells the client why, and closes.
    fn end_with(&mut self, reason: Reason) {
        if self.ending != Ending::Abrupt {
            self.ending = Ending::Abrupt;
            self.http.abrupt_shutdown(reason);
        }
    }
}

/// The task of one request.
async fn serve_stream(in_flight: InFlight, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let stream = &in_flight.stream;
    let head_only = request.method() == Method::HEAD;
    let waits =
        request.headers().get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let request = request.map(|stream| ClientBody::Http2 { stream, waits });
    let answer = pin!(request::serve::serve(Rc::clone(stream), request, None));
    let answer = answered(answer, stream, &mut respond).await;
    let taken = match answer {
        Some(Ok(response)) => send(response, head_only, stream, &mut respond).await,
        Some(Err(Closed)) => {
            respond.send_reset(Reason::CANCEL);
            true
        }
        None => false,
    };
    in_flight.note_end(taken);
}

/// The answer, unless the client gives the request up before, which drops the future and so ends the request.
async fn answered<F: Future>(
    mut answer: Pin<&mut F>,
    stream: &StreamState,
    respond: &mut SendResponse<Bytes>,
) -> Option<F::Output> {
    poll_fn(|cx| {
        stream.register(cx.waker());
        let polled = answer.as_mut().poll(cx);
        if polled.is_pending() {
            if respond.poll_reset(cx).is_ready() {
                return Poll::Ready(None);
            }
            if stream.take_continue() {
                let mut interim = Response::new(());
                *interim.status_mut() = StatusCode::CONTINUE;
                // A stream that is gone says so at the next poll.
                let _ = respond.send_informational(interim);
            }
        }
        polled.map(Some)
    })
    .await
}

/// Sends an answer; false if the client gave it up.
async fn send(
    response: Response<ResponseBody>,
    head_only: bool,
    stream: &Rc<StreamState>,
    respond: &mut SendResponse<Bytes>,
) -> bool {
    let (mut head, body) = response.into_parts();
    head.version = Version::HTTP_2;
    // It is about HTTP/1 connections.
    head.headers.remove(CONNECTION);
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, stream.worker().http_date());
    }
    let tunnel = stream.take_tunnel();
    let lengthless = tunnel.is_some() || is_bodiless(head.status);
    let ends = tunnel.is_none() && (head_only || lengthless || body.is_end_stream());
    if !lengthless
        && let Some(length) = body.size_hint().exact()
        // A backend's answer to HEAD has no body here, whatever it would have in answer to GET.
        && (length > 0 || !head_only)
    {
        head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
    // With an announced length, less would be malformed (RFC 9113, 8.1.1).
    let grpc = head.extensions.get::<grpc::Answer>().is_some() && !head.headers.contains_key(CONTENT_LENGTH);
    let Ok(sender) = respond.send_response(Response::from_parts(head, ()), ends) else { return false };
    if let Some(mut tunnel) = tunnel {
        drop(body);
        if let ClientBody::Http2 { stream: receiver, .. } = tunnel.take_client() {
            Box::pin(tunnel.run(StreamIo::new(sender, receiver), Bytes::new(), stream)).await;
        }
        return true;
    }
    if ends {
        return true;
    }
    let mut sending = Sending::new(sender);
    let mut body = pin!(Gathering::new(body));
    let sent = poll_fn(|cx| {
        stream.register(cx.waker());
        if stream.take_expired() {
            let blocked = stream.is_write_blocked();
            stream.set_ending(if blocked { Failure::ClientTimeout } else { Failure::UpstreamTimeout });
            return Poll::Ready(None);
        }
        let progress = |blocked| {
            // The body's end is not the answer's: some of it still waits for the client.
            if stream.phase() == Phase::Idle {
                stream.begin_answer();
            }
            stream.note_write(blocked);
        };
        sending.poll(body.as_mut(), cx, progress).map(Some)
    })
    .await;
    match sent {
        Some(Ok(())) => true,
        Some(Err(Broken::Peer(_))) => false,
        Some(Err(Broken::Body)) => {
            let failure = stream.ending().unwrap_or(Failure::UpstreamBody);
            break_off(&mut sending, grpc.then_some(failure), Reason::INTERNAL_ERROR);
            true
        }
        None => {
            let failure = stream.ending().filter(|failure| *failure != Failure::ClientTimeout);
            break_off(&mut sending, failure.filter(|_| grpc), Reason::CANCEL);
            true
        }
    }
}

/// Ends an answer that cannot be completed: a gRPC call, whose client looks for it there, with a status in trailers.
fn break_off(sending: &mut Sending, grpc: Option<Failure>, reason: Reason) {
    if grpc.is_none_or(|failure| sending.end(grpc::trailers(failure)).is_err()) {
        sending.reset(reason);
    }
}
