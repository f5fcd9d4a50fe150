//! Opens connections to servers.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::io::Errno;
use rustls::ClientConnection;
use tidegate_base::bounds::Bound;
use tidegate_base::descriptors::Shares;
use tidegate_base::disk::words as words_of;
use tidegate_base::failure::{BodyError, Failure};
use tidegate_base::limits;
use tidegate_base::standstill::within;
use tidegate_dsl::plan::Server;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::caller::Caller;
use crate::cause::Cause;
use crate::content::Content;
use crate::group::InFlight;
use crate::io::ServerIo;
use crate::tls::{Secure, words};
use crate::wire::Wire;

/// Why a connection could not be opened: [`Failure::ConnectFailed`], [`Failure::ConnectTimeout`],
/// [`Failure::UpstreamTls`] or, by the gateway's own fault, [`Failure::NoDescriptor`], and the words for it.
pub type Refused = (Failure, String);

/// The bytes of a connection that has switched protocols, and what was read from it beyond the head of the response.
pub(crate) type Bare = (ServerIo, Bytes);

/// A connection that has agreed to switch protocols. Until it is dropped, its request is in flight.
pub struct Switched<B> {
    bare: oneshot::Receiver<Bare>,
    _in_flight: InFlight<B>,
}

impl<B> Switched<B> {
    /// The switched connection that is handed out here, of a request that is in flight.
    pub(crate) const fn new(bare: oneshot::Receiver<Bare>, in_flight: InFlight<B>) -> Self {
        Self { bare, _in_flight: in_flight }
    }

    /// What carries the connection, and what was read from it beyond the head; `None` if it broke before it was done with HTTP.
    pub async fn bare(&mut self) -> Option<(ServerIo, Bytes)> {
        (&mut self.bare).await.ok()
    }
}

/// A connection that speaks HTTP/1.1.
pub(crate) struct Http1<B> {
    /// The way in for requests.
    pub(crate) sender: SendRequest<Content<B>>,
    /// The bound on what comes before a response.
    pub(crate) wire: Rc<Wire>,
    /// The task that drives the connection. It goes on sending a request whose response has ended, so it is to be held.
    pub(crate) task: JoinHandle<()>,
}

/// How a server is connected to.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    /// Where the server is.
    pub server: &'a Server,
    /// What connections are secured with; `None` is in clear text.
    pub secure: Option<&'a Secure>,
    /// How long connecting may take, TLS included.
    pub timeout: Duration,
}

/// Opens a connection for HTTP/1.1, and starts the task that drives it.
///
/// # Errors
/// As [`dial`].
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
/// As [`dial`].
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
    http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_headers(limits::RESPONSE_HEADERS)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| (Cause::Unusable.failure(), error.to_string()))
}

/// Resolves, connects and secures.
///
/// # Errors
/// The failure as [`Cause`] has it, and the words for it.
pub(crate) async fn dial(Address { server, secure, timeout }: Address<'_>) -> Result<ServerIo, Refused> {
    let opening = async {
        let stream = resolve(&server.host, server.port).await.and_then(spare).map_err(|error| unconnected(&error))?;
        // A socket that is gone already fails at the first write, which says more.
        let _ = stream.set_nodelay(true);
        match secure {
            None => Ok(ServerIo::plain(stream)),
            Some(secure) => handshake(stream, secure).await.map(ServerIo::tls),
        }
    };
    let late = |_| Err((Cause::Late.failure(), format!("no connection within {timeout:?}")));
    within(timeout, opening).await.unwrap_or_else(late)
}

/// Leaves the last descriptors to what needs them more.
fn spare(stream: TcpStream) -> std::io::Result<TcpStream> {
    if Shares::now().serves(stream.as_raw_fd()) {
        return Ok(stream);
    }
    Bound::Descriptors.met();
    Err(Errno::MFILE.into())
}

/// The failure behind a socket that is not connected, and the words for it.
fn unconnected(error: &std::io::Error) -> Refused {
    let failure = Cause::Socket(error).failure();
    (failure, if failure == Failure::NoDescriptor { words_of(error) } else { error.to_string() })
}

async fn resolve(host: &str, port: u16) -> std::io::Result<TcpStream> {
    match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    }
}

/// Secures a connection, whatever carries it.
pub(crate) async fn handshake<S>(stream: S, Secure { config, name }: &Secure) -> Result<TlsStream<S>, Refused>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connector = TlsConnector::from(Arc::clone(config));
    let bounded = |connection: &mut ClientConnection| connection.set_buffer_limit(Some(limits::TLS_BUFFER));
    let secured = connector.connect_with(name.clone(), stream, bounded).await;
    secured.map_err(|error| (Cause::Tls.failure(), words(&error)))
}
