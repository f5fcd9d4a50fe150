//! A server that does what a test says with each connection, byte by byte.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::listen;
use crate::waiting::patient;

/// A server on a port of its own. It takes no more connections when it is dropped.
pub struct RawServer {
    port: u16,
    connections: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl RawServer {
    /// Does this with every connection, each on a thread of its own. The number of the connection comes with it, from 0.
    /// Reading and writing fail after [`crate::PATIENCE`].
    ///
    /// # Panics
    /// There is no port.
    pub fn start(serve: impl Fn(TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = listen();
        let port = listener.local_addr().expect("an address").port();
        let (connections, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stop, serve) = (Arc::clone(&connections), Arc::clone(&stopped), Arc::new(serve));
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || {
                    // A socket that is gone already fails where it is used.
                    let _ = patient(&socket);
                    serve(socket, number);
                });
            }
        });
        Self { port, connections, stopped }
    }

    /// The address of the server, as a policy names it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the acceptor.
        let _ = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], self.port)));
    }
}
