//! One client connection, from accept to close.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::TokioIo;
use tidegate_engine::exchange::{Connection as ConnectionInfo, Tls};

use super::body::{Incoming, ResponseBody};
use super::io::{ClientIo, ClientStream};
use super::state::{ConnectionState, Phase};
use crate::failure::Failure;
use crate::limits;
use crate::proxy;
use crate::worker::{Slot, Worker};

/// Whether HTTP/2 can be served: what cannot is not offered in a handshake.
pub const SERVES_HTTP2: bool = false;

/// What is known of a connection before its first request.
pub struct Opened {
    /// The client: the TCP peer, or whom a trusted peer speaks for.
    pub peer: SocketAddr,
    /// Where the client connected to.
    pub local: SocketAddr,
    /// What the handshake came to, if there was one.
    pub tls: Option<Tls>,
    /// Whether client and gateway agreed on HTTP/2 in it.
    pub http2: bool,
}

/// Serves HTTP on an open connection, to its end.
pub async fn serve<S: ClientStream>(stream: S, opened: Opened, slot: Rc<Slot>, worker: Rc<Worker>) {
    let Some(listener) = slot.with_listener(&worker, |_, name| Arc::clone(name)) else { return };
    let Some((header_bytes, headers)) =
        slot.with_listener(&worker, |listener, _| (listener.limits.header_bytes, listener.limits.headers))
    else {
        return;
    };
    let Opened { peer, local, tls, http2: _ } = opened;
    let info = Arc::new(ConnectionInfo { peer: canonical(peer), local: canonical(local), listener, tls });
    let state = Rc::new(ConnectionState::new(info, Rc::clone(&slot), Rc::clone(&worker)));
    let entry = Entry { key: worker.enter(Rc::clone(&state)), worker };
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&state)));
    let http = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(usize::try_from(header_bytes).unwrap_or(limits::CONNECTION_BUFFER))
        .max_headers(usize::try_from(headers).unwrap_or(usize::MAX))
        .serve_connection(io, service_fn(|request| proxy::serve(Rc::clone(&state), request)));
    ClientConnection { http: Some(http), state: Rc::clone(&state), told_to_finish: false }.await;
    drop(entry);
}

/// IPv4 addresses that came through an IPv6 socket are IPv4 addresses.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Takes the connection out of its worker.
struct Entry {
    worker: Rc<Worker>,
    key: usize,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.worker.leave(self.key);
    }
}

/// The connection's task: hyper's state machine, and the timeouts and orders from outside.
struct ClientConnection<I, S>
where
    S: HttpService<Incoming>,
{
    http: Option<http1::Connection<TokioIo<ClientIo<I>>, S>>,
    state: Rc<ConnectionState>,
    told_to_finish: bool,
}

impl<I, S> Future for ClientConnection<I, S>
where
    I: ClientStream,
    S: HttpService<Incoming, ResBody = ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<TokioIo<ClientIo<I>>, S>: Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.state.register(cx.waker());
        if this.state.is_aborted() || this.give_up() {
            return Poll::Ready(());
        }
        let Some(http) = &mut this.http else { return Poll::Ready(()) };
        // An error here is the peer's: the request in flight, if any, has logged it.
        if Pin::new(&mut *http).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if this.state.is_finishing() && !this.told_to_finish {
            // Only now, after a read: a request that had already arrived is served.
            this.told_to_finish = true;
            Pin::new(&mut *http).graceful_shutdown();
            return Pin::new(http).poll(cx).map(|_| ());
        }
        Poll::Pending
    }
}

impl<I, S> ClientConnection<I, S>
where
    I: ClientStream,
    S: HttpService<Incoming, ResBody = ResponseBody>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Acts on a passed deadline; true if the connection is to be closed.
    fn give_up(&mut self) -> bool {
        match self.state.phase() {
            // The request's own future looks at the deadline, and answers.
            Phase::Waiting => false,
            Phase::Idle => self.state.take_expired(),
            Phase::Answering => {
                let expired = self.state.take_expired();
                if expired {
                    let client = self.state.is_write_blocked();
                    self.state.set_ending(if client { Failure::ClientTimeout } else { Failure::UpstreamTimeout });
                }
                expired
            }
            Phase::Head => {
                let expired = self.state.take_expired();
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
