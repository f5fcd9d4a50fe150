//! What sending needs to know of whoever asks for it.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use tidegate_base::failure::{BodyError, Failure};
use tidegate_base::guard::guarded;
use tidegate_dsl::plan::{Server, ServerGroup};

use crate::content::Content;
use crate::dial::{Address, Refused, dial};
use crate::io::ServerIo;

/// Whoever sends a request and waits for its response: a client's stream, with the worker that it is on.
pub trait Caller {
    /// The body that follows the head of a request.
    type Body: Body<Data = Bytes, Error = BodyError> + Unpin + 'static;

    /// The time of the worker's clock, in milliseconds.
    fn now_ms(&self) -> u64;

    /// A random number that need not be secret.
    fn random(&self) -> u64;

    /// Whether the client's connection is secured, so that a cookie may say so.
    fn is_secure(&self) -> bool;

    /// Notes progress: the deadline of the request is put off.
    fn progress(&self);

    /// A try of the request begins at a server of a group. Whoever traces it tells the server in the head; `again` says that the
    /// same request was sent before.
    fn begin_try(
        &self,
        _group: &ServerGroup,
        _server: &Server,
        _again: bool,
        _request: &mut Request<Content<Self::Body>>,
    ) {
    }

    /// The try has ended: with the head of an answer, or without one.
    fn end_try(&self, _came: Result<StatusCode, Failure>) {}

    /// Counts one more try of the request.
    fn count_retry(&self);

    /// The reason why the request is about to fail, if the client's side knows better than the server's.
    fn ending(&self) -> Option<Failure>;

    /// The failure of a request whose deadline has passed, said once. The task is woken when the deadline passes.
    fn take_expired(&self) -> Option<Failure>;

    /// Whether another line about this kind of trouble may be written to the gateway's log now.
    fn may_log(&self, kind: &'static str) -> bool;

    /// A connection to a server, on which nothing has been sent.
    fn dial(&self, address: Address<'_>) -> impl Future<Output = Result<ServerIo, Refused>> {
        dial(address)
    }
}

/// Waits, but not beyond the caller's deadline. The future comes pinned, so that it is not moved again.
pub(crate) async fn within_deadline<F: Future>(
    caller: &impl Caller,
    future: Pin<&mut F>,
) -> Result<F::Output, Failure> {
    guarded(|_| caller.take_expired(), future).await
}
