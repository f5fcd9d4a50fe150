//! Connections that speak HTTP/1.1.

use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tidegate_base::failure::BodyError;
use tidegate_base::limits;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::caller::Caller;
use crate::cause::Cause;
use crate::content::Content;
use crate::dial::{Address, Refused};
use crate::io::ServerIo;
use crate::wire::Wire;

/// The bytes of a connection that has switched protocols, and what was read from it beyond the head of the response.
pub(crate) type Bare = (ServerIo, Bytes);

/// A connection that speaks HTTP/1.1.
pub(crate) struct Http1<B> {
    /// The way in for requests.
    pub(crate) sender: SendRequest<Content<B>>,
    /// The bound on what comes before a response.
    pub(crate) wire: Rc<Wire>,
    /// The task that drives the connection. It goes on sending a request whose response has ended, so it is to be held.
    pub(crate) task: JoinHandle<()>,
}

/// Opens a connection for HTTP/1.1, and starts the task that drives it.
///
/// # Errors
/// As dialling says.
pub(crate) async fn connect<C: Caller>(caller: &C, address: Address<'_>) -> Result<Http1<C::Body>, Refused> {
    let wire = Wire::new();
    let (sender, connection) = speak(caller.dial(address).await?.for_http1(&wire)).await?;
    let task = tokio::task::spawn_local(async move {
        // Its errors reach the request that is on it; an idle connection may end as it likes.
        let _ = connection.await;
    });
    Ok(Http1 { sender, wire, task })
}

/// Opens a connection for a request that may switch protocols (RFC 9110, 7.8): when the connection is done with HTTP, what
/// carries it is handed out.
///
/// # Errors
/// As dialling says.
pub(crate) async fn connect_for_upgrade<C: Caller>(
    caller: &C,
    address: Address<'_>,
) -> Result<(Http1<C::Body>, oneshot::Receiver<Bare>), Refused> {
    let wire = Wire::new();
    let (sender, mut connection) = speak(caller.dial(address).await?.for_http1(&wire)).await?;
    let (switched, bare) = oneshot::channel();
    let task = tokio::task::spawn_local(async move {
        if std::future::poll_fn(|cx| Pin::new(&mut connection).poll_without_shutdown(cx)).await.is_ok() {
            let parts = connection.into_parts();
            // Nobody waits for it any more if the response was no switch.
            let _ = switched.send((parts.io.into_inner(), parts.read_buf));
        }
    });
    Ok((Http1 { sender, wire, task }, bare))
}

type Spoken<B> = (SendRequest<Content<B>>, Connection<TokioIo<ServerIo>, Content<B>>);

async fn speak<B>(stream: ServerIo) -> Result<Spoken<B>, Refused>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
{
    // The bound on fields is hyper's own: see [`limits::RESPONSE_HEADERS`].
    http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| (Cause::Unusable.failure(), error.to_string()))
}
