//! From an accepted socket to a connection that HTTP can be served on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tidegate_base::limits;
use tidegate_base::proxy_protocol::Spoken;
use tidegate_base::standstill::within;
use tokio::net::TcpStream;
use tracing::{debug, info};

use crate::downstream::connection::Opened;
use crate::downstream::linger::answer_plain;
use crate::downstream::{connection, proxy_protocol};
use crate::request::admission::Admission;
use crate::request::listener_handle::ListenerHandle;
use crate::request::worker::Worker;
use crate::tls::endpoint::Endpoint;
use crate::tls::handshake::{self, Refused, RefusedKind, Secured};

/// Serves a connection in clear text that was counted in, and counts it out at the end.
pub async fn plain(mut stream: TcpStream, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    let _counted = Counted(Rc::clone(&handle));
    let Some((peer, local, admission)) = addresses(&mut stream, &handle, &worker).await else { return };
    let opened = Opened { peer, local, tls: None, http2: false, admission, early: None };
    connection::serve(stream, opened, handle, worker).await;
}

/// Serves a connection with TLS that was counted in, and counts it out at the end.
pub async fn secured(mut stream: TcpStream, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    let _counted = Counted(Rc::clone(&handle));
    let Some((peer, local, admission)) = addresses(&mut stream, &handle, &worker).await else { return };
    // In a box: its state is large, and gone when the connection is open.
    let made = Box::pin(within(limits::HANDSHAKE_TIMEOUT, handshake(stream, &handle, &worker))).await;
    let made = made.unwrap_or_else(|_| Err(Refused::new(RefusedKind::Timeout, "the handshake took too long")));
    match made {
        Ok(Secured { stream, tls, terms, early }) => {
            let http2 = terms.http2();
            let admission = admission.with_terms(terms);
            let opened = Opened { peer, local, tls: Some(tls), http2, admission, early };
            connection::serve(stream, opened, handle, worker).await;
        }
        Err(refused) => report(&refused, peer, &handle, &worker),
    }
}

/// The client, where it connected to, and what lets it in: what the socket says, or what a trusted peer says first of all.
/// Nothing for those whom `allow-from` and `deny-from` keep out.
async fn addresses(
    stream: &mut TcpStream,
    handle: &ListenerHandle,
    worker: &Worker,
) -> Option<(SocketAddr, SocketAddr, Admission)> {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return None };
    let proxied = handle.speaks_for_others(worker, peer.ip());
    let (source, destination) =
        if proxied { spoken_for(stream, (peer, local), handle, worker).await? } else { (peer, local) };
    if !handle.takes(worker, source.ip()) {
        debug!(%peer, client = %source, bind = ?handle.key.bind, "a connection was refused: `allow-from` or `deny-from`");
        return None;
    }
    Some((source, destination, Admission::tcp(peer.ip(), proxied)))
}

/// The client and where it connected to, as a trusted peer says.
async fn spoken_for(
    stream: &mut TcpStream,
    own: (SocketAddr, SocketAddr),
    handle: &ListenerHandle,
    worker: &Worker,
) -> Option<(SocketAddr, SocketAddr)> {
    let (peer, local) = own;
    // In a box: few listeners have it, and every connection's task would be larger.
    let read = Box::pin(within(limits::PROXY_HEADER_TIMEOUT, proxy_protocol::read(stream))).await;
    let why = match read {
        Ok(Ok(Spoken::For { source, destination })) => return Some((source, destination)),
        Ok(Ok(Spoken::ForItself)) => return Some((peer, local)),
        Ok(Err(unspoken)) => unspoken.words(),
        Err(_) => "the peer's PROXY header took too long",
    };
    if worker.log_throttle.may_write("proxy-header") {
        info!(%peer, bind = ?handle.key.bind, "a connection was refused: {why}");
    }
    None
}

/// The answer to who speaks HTTP in clear text where TLS is spoken.
const PLAIN: &str = "HTTP/1.1 400 Bad Request\r\n\
                     content-type: text/plain; charset=utf-8\r\n\
                     content-length: 65\r\n\
                     connection: close\r\n\
                     \r\n\
                     400 Bad Request: this port speaks HTTPS; ask again with https://\n";

/// From the first byte to the end of the handshake.
async fn handshake(
    mut stream: TcpStream,
    handle: &Rc<ListenerHandle>,
    worker: &Rc<Worker>,
) -> Result<Secured, Refused> {
    if let Err(refused) = handshake::begin(&stream).await {
        if refused.kind == RefusedKind::Plain {
            answer_plain(&mut stream, PLAIN.as_bytes()).await;
        }
        return Err(refused);
    }
    // Only now: the certificates are those of this moment.
    let Some(endpoint) = endpoint(handle, worker) else {
        return Err(Refused::new(RefusedKind::Left, "the listener is gone"));
    };
    let place = worker.handshakes.enter();
    tokio::select! {
        made = handshake::finish(stream, &endpoint) => made,
        () = place.lost() => Err(Refused::new(RefusedKind::Crowded, "too many handshakes at once; the oldest gave way")),
    }
}

fn endpoint(handle: &ListenerHandle, worker: &Worker) -> Option<Arc<Endpoint>> {
    let (view, id) = handle.view(worker);
    view.snapshot.tls.endpoint(id).cloned()
}

/// Counts a failed handshake, and says why it failed: what scanners do all day only to those who ask for it.
fn report(refused: &Refused, peer: SocketAddr, handle: &ListenerHandle, worker: &Worker) {
    handle.count_refused(worker, refused.kind);
    let why = &refused.why;
    let kind = refused.kind.name();
    if refused.kind.is_notable() {
        if worker.log_throttle.may_write(kind) {
            info!(%peer, bind = ?handle.key.bind, kind, "no TLS connection: {why}");
        }
    } else {
        debug!(%peer, bind = ?handle.key.bind, kind, "no TLS connection: {why}");
    }
}

/// Counts the connection out of its listener.
pub struct Counted(pub Rc<ListenerHandle>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.load.release();
    }
}

#[cfg(test)]
mod tests;
