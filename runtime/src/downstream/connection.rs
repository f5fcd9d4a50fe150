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
use crate::telemetry::metrics::registry::{ClientProtocol, ConnectionCount};
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
    // In clear text, one that has said nothing yet is taken to speak HTTP/1.
    let mut count = ConnectionCount::new(&entry.stream.connection.cells, ClientProtocol::Http1);
    if entry.stream.connection.is_finishing() {
        // What lies in a new socket is known after a turn of the loop, and this connection is asked once.
        tokio::task::yield_now().await;
    }
    let mut io = ClientIo::new(stream, Rc::clone(&entry.stream));
    let http2 = if clear { unless_over(&entry.stream, io.begins_http2()).await } else { Some(agreed) };
    if http2 == Some(true) {
        count.speaks(ClientProtocol::Http2);
    }
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tests::{Client, House, run, settle};

    const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A client whose handshake agreed on HTTP/2, or on HTTP/1.1.
    fn secured(house: &House, http2: bool) -> Client {
        house.client_with(1 << 16, |opened| {
            let tls = Tls { sni: None, version: "tls1.3", cipher: String::new(), group: None, client_cert: None };
            (opened.tls, opened.http2) = (Some(tls), http2);
        })
    }

    #[test]
    fn a_client_of_ipv4_is_one_whatever_socket_it_came_through() {
        let mapped = |opened: &mut Opened| {
            opened.peer = "[::ffff:192.0.2.7]:4711".parse().unwrap();
            opened.admission = Admission::tcp(opened.peer.ip(), false);
        };
        run(async {
            let house = House::answering("allow-from 192.0.2.0/24");
            let mut client = house.client_with(1 << 16, mapped);
            client.send(GET).await;
            assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
            let line = house.line();
            assert_eq!((&line["client_ip"], &line["peer"]), (&"192.0.2.7".into(), &"192.0.2.7:4711".into()));
            let house = House::answering("deny-from 192.0.2.7");
            let mut client = house.client_with(1 << 16, mapped);
            client.send(GET).await;
            assert!(client.is_over() && client.rest().await.is_empty() && house.log().is_empty());
        });
    }

    #[test]
    fn over_tls_the_handshake_decides_about_the_version_and_not_the_first_bytes() {
        run(async {
            let house = House::answering("");
            let mut client = secured(&house, false);
            client.send(PREFACE).await;
            assert_eq!((client.rest().await, &house.line()["failure"]), (String::new(), &"bad-head".into()));
            let mut client = secured(&house, true);
            client.send(GET).await;
            let mut bytes = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut client.io, &mut bytes).await.unwrap();
            assert!(!bytes.starts_with(b"HTTP/1.1 ") && client.is_over() && house.log().is_empty());
        });
    }

    #[test]
    fn a_drain_does_not_wait_for_the_rest_of_a_preface() {
        run(async {
            let house = House::answering("");
            let mut client = house.client();
            client.send("PRI * ").await;
            house.worker.each_connection(|connection| connection.finish());
            settle().await;
            assert!(client.is_over() && client.rest().await.is_empty());
        });
    }

    #[test]
    fn a_connection_leaves_nothing_behind_however_it_ends() {
        for bytes in ["", "PRI * HT", PREFACE, "GET / HT", GET, "GET\r\n\r\n"] {
            for leaves in [false, true] {
                run(async {
                    let house = House::answering("idle-timeout 2s; request-timeout 2s");
                    let mut client = house.client();
                    client.send(bytes).await;
                    assert!(house.worker.has_connections());
                    if leaves {
                        client.end().await;
                    } else {
                        house.pass(Duration::from_secs(3)).await;
                    }
                    // What is left of it is the close in stages.
                    tokio::time::sleep(Duration::from_secs(60)).await;
                    assert!(client.is_over() && !house.worker.has_connections(), "{bytes:?}");
                });
            }
        }
    }
}
