//! Takes connections from a listener's socket.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use tidegate_base::bounds::Bound;
use tidegate_base::descriptors::Shares;
use tidegate_base::limits;
use tidegate_dsl::plan::Protocol;
use tokio::net::{TcpListener, TcpStream};
use tracing::warn;

use crate::downstream;
use crate::request::listener_handle::ListenerHandle;
use crate::request::worker::Worker;

/// Accepts until the handle is closed; what the kernel had already taken is served, too.
pub async fn run(listener: TcpListener, handle: Rc<ListenerHandle>, worker: Rc<Worker>) {
    while !handle.is_closed() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = handle.closing.notified() => break,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer.ip(), &handle, &worker),
            Err(error) => {
                if worker.log_throttle.may_write("accept") {
                    warn!(bind = ?handle.key.bind, %error, "cannot accept connections; trying again");
                }
                tokio::time::sleep(limits::ACCEPT_PAUSE).await;
            }
        }
    }
    drain_backlog(listener, &handle, &worker);
}

/// Serves the connections that the kernel completed before the socket closes, which would reset them. They are no more than it
/// holds for a listener: clients who go on connecting do not hold up the worker.
fn drain_backlog(listener: TcpListener, handle: &Rc<ListenerHandle>, worker: &Rc<Worker>) {
    let Ok(listener) = listener.into_std() else { return };
    for _ in 0..=limits::ACCEPT_BACKLOG {
        let Ok((stream, peer)) = listener.accept() else { break };
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            admit(stream, peer.ip(), handle, worker);
        }
    }
}

fn admit(stream: TcpStream, peer: IpAddr, handle: &Rc<ListenerHandle>, worker: &Rc<Worker>) {
    if !handle.speaks_for_others(worker, peer) && !handle.takes(worker, peer) {
        // Before it takes a place among the connections.
        return;
    }
    let listeners = handle.view(worker).0.snapshot.plan().listeners.len();
    if !Shares::now().admits(stream.as_raw_fd(), handle.load.connections(), listeners) {
        Bound::Descriptors.met();
        if worker.log_throttle.may_write("descriptors") {
            warn!(bind = ?handle.key.bind, "a connection was refused: file descriptors run out, and some are kept for servers");
        }
        return;
    }
    let Some(limit) = handle.with_listener(worker, |listener, _| listener.limits.connections) else { return };
    if !handle.load.admit(limit) {
        if worker.log_throttle.may_write("connections") {
            warn!(bind = ?handle.key.bind, limit, "a connection was refused: the listener's `limits {{ connections }}` is reached");
        }
        return;
    }
    // Small writes must not wait for acknowledgements; a socket that is gone already fails later anyway.
    let _ = stream.set_nodelay(true);
    let (handle, worker) = (Rc::clone(handle), Rc::clone(worker));
    match handle.key.protocol {
        Protocol::Http => tokio::task::spawn_local(downstream::open::plain(stream, handle, worker)),
        Protocol::Https | Protocol::Quic => tokio::task::spawn_local(downstream::open::secured(stream, handle, worker)),
    };
}
