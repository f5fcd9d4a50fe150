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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::tests::{House, policy, run_with_sockets};

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    async fn listen() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    fn accept(house: &House, listener: TcpListener) -> JoinHandle<()> {
        tokio::task::spawn_local(run(listener, Rc::clone(&house.handle), Rc::clone(&house.worker)))
    }

    /// A client that asks something; the beginning of the answer, and nothing if the connection ends without one.
    async fn ask(client: &mut TcpStream) -> String {
        // Whoever is refused may be gone already.
        let _ = client.write_all(GET).await;
        let mut bytes = [0; 1024];
        let count = client.read(&mut bytes).await.unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn a_connection_too_many_is_closed_and_one_that_ends_makes_room() {
        run_with_sockets(async {
            let house = House::answering("limits { connections 2 }");
            let (listener, address) = listen().await;
            let _accepting = accept(&house, listener);
            let mut clients = Vec::new();
            for served in [true, true, false] {
                let mut client = TcpStream::connect(address).await.unwrap();
                assert_eq!(ask(&mut client).await.starts_with("HTTP/1.1 200"), served);
                clients.push(client);
            }
            assert_eq!(house.handle.load.connections(), 2);
            clients.remove(0);
            while house.handle.load.connections() == 2 {
                tokio::task::yield_now().await;
            }
            let mut client = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
        });
    }

    #[test]
    fn who_may_not_connect_takes_no_place() {
        run_with_sockets(async {
            let house = House::answering("limits { connections 1 }; deny-from 127.0.0.1");
            let (listener, address) = listen().await;
            let _accepting = accept(&house, listener);
            let mut client = TcpStream::connect(address).await.unwrap();
            assert_eq!(ask(&mut client).await, "");
            assert_eq!(house.handle.load.connections(), 0);
            house.reload(&policy("limits { connections 1 }", crate::tests::ANSWERS));
            let mut client = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"), "the next is asked by the policy in service");
        });
    }

    #[test]
    fn what_the_kernel_had_taken_is_served_when_the_listener_closes() {
        run_with_sockets(async {
            let house = House::answering("");
            let (listener, address) = listen().await;
            let mut clients = Vec::new();
            for _ in 0..3 {
                let mut client = TcpStream::connect(address).await.unwrap();
                client.write_all(GET).await.unwrap();
                clients.push(client);
            }
            house.handle.close();
            accept(&house, listener).await.unwrap();
            assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
            for client in &mut clients {
                let mut all = String::new();
                client.read_to_string(&mut all).await.unwrap();
                assert!(all.ends_with("hello"), "{all}");
            }
        });
    }

    #[test]
    fn a_listener_that_waits_hears_that_it_closes() {
        run_with_sockets(async {
            let house = House::answering("");
            let (listener, address) = listen().await;
            let accepting = accept(&house, listener);
            let mut client = TcpStream::connect(address).await.unwrap();
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"));
            house.handle.close();
            accepting.await.unwrap();
            assert!(TcpStream::connect(address).await.is_err());
            assert!(ask(&mut client).await.starts_with("HTTP/1.1 200"), "that is for others to end");
        });
    }
}
