//! One client connection, from accept to close.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tidegate_engine::exchange::{Connection as ConnectionInfo, Tls};

use crate::downstream::io::{ClientIo, ClientStream};
use crate::downstream::{http1, http2};
use crate::request::admission::Admission;
use crate::request::connection_state::ConnectionState;
use crate::request::listener_handle::ListenerHandle;
use crate::request::state::StreamState;
use crate::request::worker::Worker;
use crate::telemetry::metrics::registry::{ClientProtocol, OpenConnection};
use crate::tls::early::EarlyBytes;

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
    /// The reasons that let it in.
    pub admission: Admission,
    /// Whether what is read comes in early data, if any may.
    pub early: Option<Rc<EarlyBytes>>,
}

/// Serves HTTP on an open connection, to its end.
///
/// The version is what the handshake agreed on. In clear text it is HTTP/2 if the client begins with its preface.
pub async fn serve<S: ClientStream>(stream: S, opened: Opened, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    let Some(listener) = handle.with_listener(&worker, |_, name| Arc::clone(name)) else { return };
    let Opened { peer, local, tls, http2: agreed, admission, early } = opened;
    let clear = tls.is_none();
    let info = Arc::new(ConnectionInfo { peer: canonical(peer), local: canonical(local), listener, tls });
    if !admission.holds(&info, &handle, &worker) {
        // A reload came between.
        return;
    }
    let entry = Entry::new(Rc::new(ConnectionState::new(info, admission, handle, worker).reading(early)));
    let mut io = ClientIo::new(stream, Rc::clone(&entry.stream));
    let http2 = if clear { unless_over(&entry.stream, io.begins_http2()).await } else { Some(agreed) };
    let protocol = if http2 == Some(true) { ClientProtocol::Http2 } else { ClientProtocol::Http1 };
    let _open = OpenConnection::new(&entry.stream.connection.cells, protocol);
    match http2 {
        Some(false) => http1::serve_http1(io, &entry.stream).await,
        // In a box: it is the larger of the two, and most connections are not it.
        Some(true) => Box::pin(http2::serve_http2(io, &entry.stream)).await,
        None => {}
    }
    drop(entry);
}

/// IPv4 addresses that came through an IPv6 socket are IPv4 addresses.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The connection's first bytes, unless it ends, or has to, before they are there.
async fn unless_over<T>(stream: &StreamState, first: impl Future<Output = std::io::Result<T>>) -> Option<T> {
    let mut first = pin!(first);
    let first = pin!(poll_fn(|cx| match first.as_mut().poll(cx) {
        Poll::Ready(first) => Poll::Ready(first.ok()),
        // Only now, after a read: a request that had already arrived is served.
        Poll::Pending if stream.connection.is_finishing() => Poll::Ready(None),
        Poll::Pending => Poll::Pending,
    }));
    stream.guard_connection(first).await.ok().flatten()
}

/// A connection among its worker's, with its own stream. Dropping it takes both out.
pub(super) struct Entry {
    pub(super) stream: Rc<StreamState>,
    key: usize,
}

impl Entry {
    pub(super) fn new(connection: Rc<ConnectionState>) -> Self {
        let stream = StreamState::enter(&connection);
        let key = stream.worker().enter(connection);
        Self { stream, key }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.stream.leave();
        self.stream.worker().leave(self.key);
    }
}
