//! A client connection that speaks HTTP/2 (RFC 9113): a task for the connection, and one for each request.
//!
//! The `h2` crate speaks the protocol. It is used directly, not through hyper: a deadline or a mistake must end one
//! stream and leave the others alone, and interim answers and tunnels need the stream itself.

use std::convert::identity;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream};
use http::header::EXPECT;
use http::{Method, Request, Response, StatusCode, Version};
use tidegate_base::failure::Failure;
use tidegate_base::flight::Gathering;
use tidegate_base::http2::{Broken, Sending};
use tidegate_base::limits;
use tidegate_dsl::plan::ListenerLimits;

use crate::downstream::io::{ClientIo, ClientStream};
use crate::downstream::requests::{InFlight, Requests};
use crate::downstream::response_head::{self, Ready};
use crate::downstream::stream_io::StreamIo;
use crate::request::client_body::ClientBody;
use crate::request::grpc;
use crate::request::handler::{Closed, Served};
use crate::request::head::InEarlyData;
use crate::request::response_body::ResponseBody;
use crate::request::serve::serve;
use crate::request::state::{Phase, StreamState};
use crate::request::tunnel::Tunnel;

/// Serves a connection to its end.
pub async fn serve_http2<S>(io: ClientIo<S>, own: &Rc<StreamState>)
where
    S: ClientStream,
{
    let connection = &own.connection;
    let Some(builder) = connection.handle.with_listener(&connection.worker, |listener, _| builder(&listener.limits))
    else {
        return;
    };
    own.stand_by(Phase::Unused);
    // The client's preface.
    let Ok(Ok(http)) = own.guard_connection(pin!(builder.handshake(io))).await else { return };
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

/// How far the end of the connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The connection takes requests.
    No,
    /// The connection takes no more requests than are under way, and the client knows.
    Graceful,
    /// The connection closes as soon as the client has been told why.
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
    let serving = pin!(serve(stream, request, None, identity));
    let taken = match answered(serving, stream, &mut respond).await {
        Some(Ok(Served::Response(response))) => send(response, head_only, stream, &mut respond).await,
        Some(Ok(Served::Tunnel(head, tunnel))) => run_tunnel(head, *tunnel, stream, &mut respond).await,
        Some(Err(Closed)) => {
            respond.send_reset(Reason::CANCEL);
            true
        }
        None => false,
    };
    in_flight.note_end(taken);
}

/// Lets the stream become a tunnel, to its end; false if the client gave it up before.
async fn run_tunnel(
    head: Response<()>,
    mut tunnel: Tunnel,
    stream: &Rc<StreamState>,
    respond: &mut SendResponse<Bytes>,
) -> bool {
    let Ok(sender) = respond.send_response(response_head::of_tunnel(head, stream), false) else { return false };
    if let ClientBody::Http2 { stream: receiver, .. } = tunnel.take_client() {
        Box::pin(tunnel.run(StreamIo::new(sender, receiver), Bytes::new(), stream)).await;
    }
    true
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
    let Ready { mut head, body, ends, errors_in_trailers } = Ready::of(response, head_only, stream);
    head.version = Version::HTTP_2;
    let Ok(sender) = respond.send_response(Response::from_parts(head, ()), ends) else { return false };
    if ends {
        return true;
    }
    let mut sending = Sending::new(sender);
    let mut body = pin!(Gathering::new(body));
    let progress = |blocked| {
        // The body's end is not the answer's: some of it still waits for the client.
        if stream.phase() == Phase::Idle {
            stream.begin_response();
        }
        stream.note_write(blocked);
    };
    let sent = stream.guard(pin!(poll_fn(|cx| sending.poll(body.as_mut(), cx, progress)))).await;
    match sent {
        Ok(Ok(())) => true,
        Ok(Err(Broken::Peer(_))) => false,
        Ok(Err(Broken::Body)) => {
            let failure = stream.ending().unwrap_or(Failure::UpstreamBody);
            break_off(&mut sending, errors_in_trailers.then_some(failure), Reason::INTERNAL_ERROR);
            true
        }
        Err(failure) => {
            stream.set_ending(failure);
            let told = errors_in_trailers && failure != Failure::ClientTimeout;
            break_off(&mut sending, told.then_some(failure), Reason::CANCEL);
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

#[cfg(test)]
mod tests;
