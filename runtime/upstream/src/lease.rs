//! Connections of HTTP/1 in use.

use std::rc::Rc;

use bytes::Bytes;
use hyper::client::conn::http1::SendRequest;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::content::Content;
use crate::group::InFlight;
use crate::http1::{Bare, Http1};
use crate::io::ServerIo;
use crate::wire::Wire;

/// A connection in use, and the request that is in flight on it. Dropping it ends the connection, whatever is under way there.
pub(crate) struct Lease<B> {
    /// The way in for requests.
    pub(crate) sender: SendRequest<Content<B>>,
    /// The bound on what comes before a response.
    pub(crate) wire: Rc<Wire>,
    hold: Hold,
    in_flight: InFlight<B>,
    /// Whether the connection has carried a request before: it may then be closing without our knowing.
    pub(crate) reused: bool,
    /// The bytes of the connection, once it has switched protocols.
    switched: Option<oneshot::Receiver<Bare>>,
}

/// Ends a connection's task when it is dropped.
struct Hold(Option<JoinHandle<()>>);

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl<B> Lease<B> {
    /// A new connection for a request.
    pub(crate) fn new(Http1 { sender, wire, task }: Http1<B>, in_flight: InFlight<B>) -> Self {
        Self { sender, wire, hold: Hold(Some(task)), in_flight, reused: false, switched: None }
    }

    /// An idle connection for a request.
    pub(crate) fn again(Http1 { sender, wire, task }: Http1<B>, in_flight: InFlight<B>) -> Self {
        Self { sender, wire, hold: Hold(Some(task)), in_flight, reused: true, switched: None }
    }

    /// A new connection that may switch protocols; it carries one request only.
    pub(crate) fn for_upgrade(connection: Http1<B>, in_flight: InFlight<B>, switched: oneshot::Receiver<Bare>) -> Self {
        let mut lease = Self::new(connection, in_flight);
        lease.switched = Some(switched);
        lease
    }

    /// The bytes of a connection that was opened for an upgrade.
    pub(crate) fn into_switched(mut self) -> Option<Switched<B>> {
        let switched = self.switched?;
        // Its task hands them over, and ends.
        self.hold.0 = None;
        Some(Switched { bare: switched, _in_flight: self.in_flight })
    }

    /// Puts the connection back, if there is room and the server lets it live.
    ///
    /// The response has ended. If the request has not, because the server answered before it had read it, nothing is known
    /// of when it will: such a connection ends here. So does one that was opened for an upgrade.
    pub(crate) fn give_back(mut self, now_ms: u64) {
        if !self.sender.is_ready() {
            return;
        }
        let Some(task) = self.hold.0.take() else { return };
        let Some((pool, keep)) = self.in_flight.pool().filter(|_| self.switched.is_none()) else { return };
        pool.put(Http1 { sender: self.sender, wire: self.wire, task }, now_ms, keep);
    }
}

/// A connection that has agreed to switch protocols. Until it is dropped, its request is in flight.
pub struct Switched<B> {
    bare: oneshot::Receiver<Bare>,
    _in_flight: InFlight<B>,
}

impl<B> Switched<B> {
    /// What carries the connection, and what was read from it beyond the head; `None` if it broke before it was done with HTTP.
    pub async fn bare(&mut self) -> Option<(ServerIo, Bytes)> {
        (&mut self.bare).await.ok()
    }
}
