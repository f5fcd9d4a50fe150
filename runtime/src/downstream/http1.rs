//! A client connection that speaks HTTP/1: one request at a time.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http_body::Body;
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tidegate_base::failure::Failure;
use tidegate_base::limits;

use crate::downstream::io::{ClientIo, ClientStream};
use crate::downstream::linger::{is_sending, linger};
use crate::request::client_body::{ClientBody, Incoming};
use crate::request::handler::Served;
use crate::request::head::InEarlyData;
use crate::request::log_record;
use crate::request::response_body::ResponseBody;
use crate::request::rest::{Http1Body, Rest};
use crate::request::serve::serve;
use crate::request::state::{Phase, StreamState};

/// Serves a connection to its end, and as a tunnel beyond its last request if that was an upgrade.
pub async fn serve_http1<S>(io: ClientIo<S>, stream: &Rc<StreamState>)
where
    S: ClientStream,
{
    let connection = &stream.connection;
    let Some((header_bytes, headers)) = connection
        .handle
        .with_listener(&connection.worker, |listener, _| (listener.limits.header_bytes, listener.limits.headers))
    else {
        return;
    };
    let rest = Rc::new(Rest::default());
    let tunnel = Cell::new(None);
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(usize::try_from(header_bytes).unwrap_or(limits::CONNECTION_BUFFER));
    let headers = usize::try_from(headers).unwrap_or(usize::MAX);
    if headers != limits::HEADERS_ON_THE_STACK {
        builder.max_headers(headers);
    }
    let http = builder.serve_connection(
        TokioIo::new(io),
        service_fn(|request| {
            let request = received(request, stream, &rest);
            serve(stream, request, Some(&rest), |served| match served {
                Served::Response(response) => response,
                Served::Tunnel(head, becomes) => {
                    // It begins when the head has been written.
                    tunnel.set(Some(becomes));
                    head.map(|()| ResponseBody::ours(Bytes::new(), Rc::clone(stream), None))
                }
            })
        }),
    );
    let mut client = ClientConnection { http: Some(http), stream, rest: &rest, told_to_finish: false };
    let end = (&mut client).await;
    let Some(http) = client.http else { return };
    let parts = http.into_parts();
    let mut io = parts.io.into_inner();
    match (end, tunnel.take()) {
        // In a box: few connections become one.
        (_, Some(tunnel)) => Box::pin(tunnel.run(io, parts.read_buf, stream)).await,
        (End::Closed, None) => {}
        (End::Late, None) => {
            let failure = Failure::ClientTimeout;
            let text = failure.row().text;
            log_record::end_unread(stream, stream.patience(), failure, text.len() + 1);
            io.last_word(too_late(text).as_bytes());
            Box::pin(linger(io, stream)).await;
        }
        (End::Unread, None) => Box::pin(linger(io, stream)).await,
        (End::Complete, None) => {
            if !io.has_ended() && is_sending(&mut io).await {
                Box::pin(linger(io, stream)).await;
            }
        }
    }
}

/// A request as it came, with what is known of its connection.
fn received(mut request: http::Request<Incoming>, stream: &StreamState, rest: &Rc<Rest>) -> http::Request<ClientBody> {
    rest.begin();
    if stream.connection.is_early() {
        request.extensions_mut().insert(InEarlyData);
    }
    if request.body().is_end_stream() {
        return request.map(|_| ClientBody::Empty);
    }
    let waits = request.headers().contains_key(EXPECT);
    request.map(|incoming| ClientBody::Http1(Http1Body::new(incoming, rest, waits)))
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// At once: there is nobody to tell, or nothing.
    Closed,
    /// The client may still be sending, and has an answer to read.
    Unread,
    /// The client's head has not come in time, which it is yet to be told.
    Late,
    /// In order: as far as is known, the client has nothing more to send.
    Complete,
}

/// The connection's task: hyper's state machine, and the timeouts and orders from outside. It ends before the socket
/// does.
struct ClientConnection<'s, S, H>
where
    H: HttpService<Incoming>,
{
    /// The connection as hyper has it; nothing if it is to be closed at once.
    http: Option<http1::Connection<TokioIo<ClientIo<S>>, H>>,
    stream: &'s Rc<StreamState>,
    rest: &'s Rest,
    told_to_finish: bool,
}

impl<S, H> Future for ClientConnection<'_, S, H>
where
    S: ClientStream,
    H: HttpService<Incoming, ResBody = ResponseBody>,
    H::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<TokioIo<ClientIo<S>>, H>: Unpin,
{
    type Output = End;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        let this = &mut *self;
        let connection = &this.stream.connection;
        connection.register(cx.waker());
        this.stream.register(cx.waker());
        if connection.is_aborted() {
            this.http = None;
            return Poll::Ready(End::Closed);
        }
        if let Some(end) = this.give_up() {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = this.poll_http(cx) {
            return Poll::Ready(end);
        }
        if this.rest.poll_discard(cx).is_ready() && this.stream.phase() == Phase::Head {
            // What came was no head: the client has as long for the next one as ever.
            this.stream.stand_by(Phase::Idle);
        }
        if this.stream.connection.is_finishing() && !this.told_to_finish {
            // Only now, after a read: a request that had already arrived is served.
            this.told_to_finish = true;
            if let Some(http) = &mut this.http {
                Pin::new(http).graceful_shutdown();
            }
            return this.poll_http(cx);
        }
        Poll::Pending
    }
}

impl<S, H> ClientConnection<'_, S, H>
where
    S: ClientStream,
    H: HttpService<Incoming, ResBody = ResponseBody>,
    H::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Runs hyper's state machine.
    fn poll_http(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Some(http) = &mut self.http else { return Poll::Ready(End::Closed) };
        // An error here is the peer's: the request in flight, if any, has logged it.
        Pin::new(http).poll(cx).map(|result| match result {
            // The policy wants no answer.
            Err(error) if error.is_user() => End::Closed,
            // Such as a head that cannot be read, which hyper has answered.
            Err(error) => {
                if let Some(failure) = refused(&error).filter(|_| self.stream.is_between_requests()) {
                    log_record::end_unread(self.stream, Duration::ZERO, failure, 0);
                }
                End::Unread
            }
            Ok(()) if !self.rest.is_read() => End::Unread,
            Ok(()) => End::Complete,
        })
    }

    /// Acts on a passed deadline: how the connection ends, if it is to.
    fn give_up(&mut self) -> Option<End> {
        let stream = self.stream;
        match stream.phase() {
            // The request's own future looks at the deadline, and answers.
            Phase::Waiting | Phase::Flushing | Phase::Serving | Phase::Unused | Phase::Tunnel => None,
            Phase::Idle => self.end_if(stream.take_expired()),
            Phase::Responding => {
                let expired = stream.take_expired();
                if expired {
                    stream.set_ending(stream.silence());
                }
                self.end_if(expired)
            }
            // It has its answer, and owed the rest of a body that nobody wants.
            Phase::Head if !self.rest.is_read() => self.end_if(stream.take_expired()),
            Phase::Head => stream.take_expired().then_some(End::Late),
        }
    }

    /// Closes at once, if so.
    fn end_if(&mut self, over: bool) -> Option<End> {
        over.then(|| {
            self.http = None;
            End::Closed
        })
    }
}

/// The failure for which hyper has refused a head, with the status that it gave.
fn refused(error: &hyper::Error) -> Option<Failure> {
    if error.is_parse_too_large() {
        let target = error.to_string().contains("URI");
        return Some(if target { Failure::UriTooLong } else { Failure::HeadTooLarge });
    }
    error.is_parse().then_some(Failure::BadHead)
}

/// The answer to a client whose head has not come in time.
fn too_late(text: &str) -> String {
    let length = text.len() + 1;
    format!("HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{text}\n")
}

#[cfg(test)]
mod tests;
