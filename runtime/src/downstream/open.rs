//! From an accepted socket to a connection that HTTP can be served on.

use std::rc::Rc;

use tokio::net::TcpStream;

use super::connection::{self, Opened};
use crate::worker::{Slot, Worker};

/// Serves a connection that was counted in, and counts it out at the end.
pub async fn plain(stream: TcpStream, slot: Rc<Slot>, worker: Rc<Worker>) {
    let _counted = Counted(Rc::clone(&slot));
    let (Ok(peer), Ok(local)) = (stream.peer_addr(), stream.local_addr()) else { return };
    connection::serve(stream, Opened { peer, local, tls: None, http2: false }, slot, worker).await;
}

/// Counts the connection out of its listener.
struct Counted(Rc<Slot>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.load.release();
    }
}
