//! A client connection that speaks HTTP/1: one request at a time.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;

use super::body::ResponseBody;
use super::client_body::{ClientBody, Incoming};
use super::io::{ClientIo, ClientStream};
use super::state::{Phase, StreamState};
use crate::failure::Failure;
use crate::limits;
use crate::proxy;

/// Serves a connection to its end, and as a tunnel beyond its last request if that was an upgrade.
pub async fn serve<S>(io: ClientIo<S>, stream: &Rc<StreamState>)
where
    S: ClientStream,
{
    let connection = &stream.connection;
    let Some((header_bytes, headers)) = connection
        .slot
        .with_listener(&connection.worker, |listener, _| (listener.limits.header_bytes, listener.limits.headers))
    else {
        return;
    };
    let http = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(usize::try_from(header_bytes).unwrap_or(limits::CONNECTION_BUFFER))
        .max_headers(usize::try_from(headers).unwrap_or(usize::MAX))
        .serve_connection(
            TokioIo::new(io),
            service_fn(|request: http::Request<Incoming>| {
                proxy::serve(Rc::clone(stream), request.map(ClientBody::Http1))
            }),
        );
    let mut client = ClientConnection { http: Some(http), stream, told_to_finish: false };
    (&mut client).await;
    if let (Some(tunnel), Some(http)) = (stream.take_tunnel(), client.http) {
        let parts = http.into_parts();
        // In a box: few connections become one.
        Box::pin(tunnel.run(parts.io.into_inner(), parts.read_buf, stream)).await;
    }
}

/// The connection's task: hyper's state machine, and the timeouts and orders from outside. It ends before the socket
/// does if the last answer was a switch of protocols.
struct ClientConnection<'s, S, H>
where
    H: HttpService<Incoming>,
{
    http: Option<http1::Connection<TokioIo<ClientIo<S>>, H>>,
    stream: &'s Rc<StreamState>,
    told_to_finish: bool,
}

impl<S, H> Future for ClientConnection<'_, S, H>
where
    S: ClientStream,
    H: HttpService<Incoming, ResBody = ResponseBody>,
    H::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<TokioIo<ClientIo<S>>, H>: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let connection = &this.stream.connection;
        connection.register(cx.waker());
        this.stream.register(cx.waker());
        if connection.is_aborted() || this.give_up() {
            this.http = None;
            return Poll::Ready(());
        }
        let Some(http) = &mut this.http else { return Poll::Ready(()) };
        // An error here is the peer's: the request in flight, if any, has logged it.
        if Pin::new(&mut *http).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.stream.connection.is_finishing() && !this.told_to_finish {
            // Only now, after a read: a request that had already arrived is served.
            this.told_to_finish = true;
            Pin::new(&mut *http).graceful_shutdown();
            return Pin::new(http).poll(cx).map(|_| ());
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
    /// Acts on a passed deadline; true if the connection is to be closed.
    fn give_up(&mut self) -> bool {
        let stream = self.stream;
        match stream.phase() {
            // The request's own future looks at the deadline, and answers.
            Phase::Waiting | Phase::Flushing | Phase::Serving | Phase::Unused | Phase::Tunnel => false,
            Phase::Idle => stream.take_expired(),
            Phase::Answering => {
                let expired = stream.take_expired();
                if expired {
                    stream.set_ending(if stream.is_write_blocked() {
                        Failure::ClientTimeout
                    } else {
                        Failure::UpstreamTimeout
                    });
                }
                expired
            }
            Phase::Head => {
                let expired = stream.take_expired();
                if expired && let Some(http) = self.http.take() {
                    let row = Failure::ClientTimeout.row();
                    let answer = format!(
                        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{}\n",
                        row.text.len() + 1,
                        row.text
                    );
                    http.into_parts().io.into_inner().last_word(answer.as_bytes());
                }
                expired
            }
        }
    }
}
