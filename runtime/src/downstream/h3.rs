//! A client connection that speaks HTTP/3 (RFC 9114): a task for the connection, and one for each request.
//!
//! The `h3` crate speaks the protocol, over streams of ours (see [`tidegate_http3::transport`]) that see what it does not.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h3::error::Code;
use h3::server::{self, RequestResolver};
use quinn::crypto::rustls::HandshakeData;
use tidegate_base::limits;
use tidegate_dsl::plan::Bind;
use tidegate_engine::exchange::{Connection, Tls};
use tidegate_http3::quiet::Quiet;
use tidegate_http3::transport::{SideChannel, Transport, var_int};

use crate::downstream::connection::{Entry, canonical};
use crate::downstream::h3_stream::{Ended, serve_stream};
use crate::downstream::requests::Requests;
use crate::request::admission::Admission;
use crate::request::connection_state::ConnectionState;
use crate::request::listener_handle::ListenerHandle;
use crate::request::state::{Phase, StreamState};
use crate::request::worker::Worker;
use crate::telemetry::metrics::registry::{ClientProtocol, ConnectionCount};

type Http = server::Connection<Transport, Bytes>;
pub(super) type Resolver = RequestResolver<Transport, Bytes>;

/// Serves a connection to its end.
pub async fn serve(quic: quinn::Connection, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    let Some(listener) = handle.with_listener(&worker, |_, name| Arc::clone(name)) else { return };
    let quic = Rc::new(quic);
    let tls = Tls { sni: server_name(&quic), version: "tls1.3", cipher: String::new(), group: None, client_cert: None };
    let (peer, local) = (canonical(quic.remote_address()), canonical(local(&quic, handle.key.bind)));
    let info = Arc::new(Connection { peer, local, listener, tls: Some(tls) });
    let admission = Admission::quic(peer.ip());
    if !admission.holds(&info, &handle, &worker) {
        // A reload came between.
        return close(&quic, Code::H3_NO_ERROR, b"");
    }
    let entry = Entry::new(Rc::new(ConnectionState::new(info, admission, handle, worker)));
    let _open = ConnectionCount::new(&entry.stream.connection.cells, ClientProtocol::Http3);
    run(&quic, &entry.stream).await;
    close(&quic, Code::H3_NO_ERROR, b"");
}

/// Tells the client why. What was said first counts: also the library says something when it is dropped.
fn close(quic: &quinn::Connection, code: Code, reason: &[u8]) {
    quic.close(var_int(code.value()), reason);
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

/// Serves requests until there are to be no more.
async fn run(quic: &Rc<quinn::Connection>, own: &Rc<StreamState>) {
    let connection = &own.connection;
    let bytes = connection.handle.with_listener(&connection.worker, |listener, _| listener.limits.header_bytes);
    let Some(bytes) = bytes else { return };
    let side = Rc::new(SideChannel::default());
    let transport = Transport::new(Rc::clone(quic), Rc::clone(&side), bytes.max(limits::QUIC_CONTROL_FRAME));
    own.stand_by(Phase::Unused);
    let mut builder = server::builder();
    builder.max_field_section_size(bytes).send_grease(false).enable_extended_connect(true);
    let Ok(Ok(http)) = own.guard(pin!(builder.build(transport))).await else { return };
    let requests = Requests::new(connection);
    let mut client = ClientConnection { http, quic, own, requests, side, told: false, quiet: None };
    loop {
        match client.next().await {
            Event::Request(resolver) => client.begin(*resolver),
            Event::Deadline | Event::Settled => {
                if client.is_idle() {
                    return;
                }
            }
            Event::Finish => {
                client.told = true;
                client.side.refuse();
                // Requests up to the next one were taken, which is none, because it would be refused.
                if client.http.shutdown(1).await.is_err() {
                    return;
                }
            }
            Event::Finished => return linger(quic, connection).await,
            Event::Flood => return close(quic, Code::H3_EXCESSIVE_LOAD, b"too many requests were given up"),
            Event::Over => return,
        }
    }
}

/// Lets what was sent arrive: closing forgets it. Ends when the client closes, or acknowledges nothing any more, or time
/// is up.
async fn linger(quic: &quinn::Connection, connection: &ConnectionState) {
    while !connection.is_aborted() {
        let acknowledged = quic.stats().frame_rx.acks;
        let pause = (quic.rtt() * 3).clamp(limits::QUIC_LINGER_MIN, limits::QUIC_LINGER_MAX);
        let closed = tokio::time::timeout(pause, quic.closed()).await.is_ok();
        if closed || quic.stats().frame_rx.acks == acknowledged {
            return;
        }
    }
}

/// What a connection's task waits for.
enum Event {
    /// A request begins.
    Request(Box<Resolver>),
    /// The time of the connection is up.
    Deadline,
    /// The last of its answers has arrived.
    Settled,
    /// The connection is to take no more requests.
    Finish,
    /// The connection takes no more requests, and the last has ended.
    Finished,
    /// The client begins requests only to give them up.
    Flood,
    /// The connection has ended, or has to.
    Over,
}

struct ClientConnection<'c> {
    http: Http,
    quic: &'c quinn::Connection,
    own: &'c Rc<StreamState>,
    requests: Rc<Requests>,
    side: Rc<SideChannel>,
    /// The client knows that it is to begin no more requests.
    told: bool,
    /// The time without a request; nothing if there was none yet, or there is one.
    quiet: Option<Quiet>,
}

impl ClientConnection<'_> {
    async fn next(&mut self) -> Event {
        let Self { http, quic, own, requests, told, quiet, .. } = self;
        let mut accept = pin!(http.accept());
        poll_fn(|cx| {
            own.register(cx.waker());
            requests.register(cx.waker());
            if requests.connection.is_aborted() {
                return Poll::Ready(Event::Over);
            }
            if own.take_expired() {
                return Poll::Ready(Event::Deadline);
            }
            if requests.resets.are_too_many() {
                return Poll::Ready(Event::Flood);
            }
            match accept.as_mut().poll(cx) {
                Poll::Ready(Ok(Some(resolver))) => return Poll::Ready(Event::Request(Box::new(resolver))),
                Poll::Ready(_) => return Poll::Ready(Event::Over),
                Poll::Pending => {}
            }
            // Only now, after a read: requests that had already arrived are served.
            if requests.connection.is_finishing() && !*told {
                return Poll::Ready(Event::Finish);
            }
            let phase = if requests.are_active() { Phase::Serving } else { Phase::Unused };
            if *told && phase == Phase::Unused {
                return Poll::Ready(Event::Finished);
            }
            if own.phase() != phase {
                own.stand_by(phase);
                *quiet = (phase == Phase::Unused).then(|| Quiet::new(own.worker().now_ms(), moved(quic)));
                if quiet.is_some() && !requests.are_settled() {
                    return Poll::Ready(Event::Deadline);
                }
            }
            if quiet.as_ref().is_some_and(Quiet::waits) && requests.are_settled() {
                return Poll::Ready(Event::Settled);
            }
            Poll::Pending
        })
        .await
    }

    /// Whether the connection has been idle for `idle-timeout`; if not, it is looked at again in time.
    fn is_idle(&mut self) -> bool {
        let Self { quic, own, requests, quiet, .. } = self;
        // A connection that has not had a request says nothing else.
        let Some(quiet) = quiet else { return true };
        // The timeout is that of the policy in service.
        own.stand_by(Phase::Unused);
        let idle_ms = u64::try_from(own.patience().as_millis()).unwrap_or(u64::MAX);
        match quiet.look(own.worker().now_ms(), requests.are_settled(), moved(quic), idle_ms) {
            Some(next_ms) => own.stand_by_until(Phase::Unused, next_ms),
            None => return true,
        }
        false
    }

    /// Starts a request's task.
    fn begin(&self, resolver: Resolver) {
        let Some(accepted) = self.side.take_accepted() else { return };
        let request = self.requests.begin();
        tokio::task::spawn_local(async move {
            let ended = serve_stream(&request.stream, resolver, accepted).await;
            request.note_end(!matches!(ended, Ended::GivenUp));
            if let Ended::Answered(arrived) = ended {
                let _unsettled = request.unsettled();
                // However it ends: there is nothing more to wait for.
                let _ = arrived.await;
            }
        });
    }
}

/// STREAM frames that were sent, and acknowledgements that came.
fn moved(quic: &quinn::Connection) -> (u64, u64) {
    let stats = quic.stats();
    (stats.frame_tx.stream, stats.frame_rx.acks)
}

#[cfg(test)]
mod tests;
