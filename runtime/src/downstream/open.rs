//! From an accepted socket to a connection that HTTP can be served on.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpStream;
use tracing::{debug, info};

use super::connection::{self, Opened};
use super::proxy_protocol::{self, Spoken};
use crate::limits;
use crate::standstill::within;
use crate::tls::endpoint::Endpoint;
use crate::tls::handshake::{self, Refused, RefusedKind, Secured};
use crate::worker::{Slot, Worker};

/// Serves a connection in clear text that was counted in, and counts it out at the end.
pub async fn plain(mut stream: TcpStream, slot: Rc<Slot>, worker: Rc<Worker>) {
    let _counted = Counted(Rc::clone(&slot));
    let Some((peer, local)) = addresses(&mut stream, &slot, &worker).await else { return };
    connection::serve(stream, Opened { peer, local, tls: None, http2: false }, slot, worker).await;
}

/// Serves a connection with TLS that was counted in, and counts it out at the end.
pub async fn secured(mut stream: TcpStream, slot: Rc<Slot>, worker: Rc<Worker>) {
    let _counted = Counted(Rc::clone(&slot));
    let Some((peer, local)) = addresses(&mut stream, &slot, &worker).await else { return };
    // In a box: its state is large, and gone when the connection is open.
    let made = Box::pin(within(limits::HANDSHAKE_TIMEOUT, handshake(stream, &slot, &worker))).await;
    let made = made.unwrap_or_else(|_| Err(Refused::new(RefusedKind::Timeout, "the handshake took too long")));
    match made {
        Ok(Secured { stream, tls, http2 }) => {
            connection::serve(stream, Opened { peer, local, tls: Some(tls), http2 }, slot, worker).await;
        }
        Err(refused) => report(&refused, peer, &slot, &worker),
    }
}

/// The client, and where it connected to: what the socket says, or what a trusted peer says first of all.
async fn addresses(stream: &mut TcpStream, slot: &Slot, worker: &Worker) -> Option<(SocketAddr, SocketAddr)> {
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return None };
    let (view, id) = slot.view(worker);
    if !view.snapshot.engine.expects_proxy_header(id, peer.ip()) {
        return Some((peer, local));
    }
    drop(view);
    // In a box: few listeners have it, and every connection's task would be larger.
    let read = Box::pin(within(limits::PROXY_HEADER_TIMEOUT, proxy_protocol::read(stream))).await;
    let why = match read {
        Ok(Ok(Spoken::For { source, destination })) => return Some((source, destination)),
        Ok(Ok(Spoken::ForItself)) => return Some((peer, local)),
        Ok(Err(unspoken)) => unspoken.words(),
        Err(_) => "the peer's PROXY header took too long",
    };
    if worker.trouble.may_write("proxy-header") {
        info!(%peer, bind = ?slot.place.bind, "a connection was refused: {why}");
    }
    None
}

/// From the first byte to the end of the handshake.
async fn handshake(mut stream: TcpStream, slot: &Rc<Slot>, worker: &Rc<Worker>) -> Result<Secured, Refused> {
    handshake::begin(&mut stream).await?;
    // Only now: the certificates are those of this moment.
    let Some(endpoint) = endpoint(slot, worker) else {
        return Err(Refused::new(RefusedKind::Left, "the listener is gone"));
    };
    let place = worker.handshakes.enter();
    tokio::select! {
        made = handshake::finish(stream, &endpoint) => made,
        () = place.lost() => Err(Refused::new(RefusedKind::Crowded, "too many handshakes at once; the oldest gave way")),
    }
}

fn endpoint(slot: &Slot, worker: &Worker) -> Option<Arc<Endpoint>> {
    let (view, id) = slot.view(worker);
    view.snapshot.tls.endpoint(id).cloned()
}

/// Counts a failed handshake, and says why it failed: what scanners do all day only to those who ask for it.
fn report(refused: &Refused, peer: SocketAddr, slot: &Slot, worker: &Worker) {
    slot.load.count_refused(refused.kind);
    let why = &refused.why;
    let kind = refused.kind.name();
    if refused.kind.is_notable() {
        if worker.trouble.may_write(kind) {
            info!(%peer, bind = ?slot.place.bind, kind, "no TLS connection: {why}");
        }
    } else {
        debug!(%peer, bind = ?slot.place.bind, kind, "no TLS connection: {why}");
    }
}

/// Counts the connection out of its listener.
pub struct Counted(pub Rc<Slot>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.load.release();
    }
}
