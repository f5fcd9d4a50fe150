//! Opens connections to backends.

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
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::caller::Caller;
use super::io::ServerIo;
use super::wire::Wire;
use crate::tls::{Secure, words};

/// Why a connection could not be opened: [`Failure::ConnectFailed`], [`Failure::ConnectTimeout`],
/// [`Failure::UpstreamTls`] or, by the gateway's own fault, [`Failure::NoDescriptor`], and the words for it.
pub type Refused = (Failure, String);

/// What carries the bytes of a connection that has switched protocols, and what was read from it beyond the answer's
/// head.
pub type Switched = oneshot::Receiver<(ServerIo, Bytes)>;

/// A connection that speaks HTTP/1.1.
pub struct Http1<B> {
    /// The way in for requests.
    pub sender: SendRequest<B>,
    /// Knowledge of the connection beside its bytes.
    pub wire: Rc<Wire>,
    /// The task that drives it. It goes on sending a request whose answer has ended, so it is to be held.
    pub task: JoinHandle<()>,
}

/// How a server is connected to.
#[derive(Clone, Copy)]
pub struct Address<'a> {
    /// Where it is.
    pub server: &'a Server,
    /// What connections are secured with; `None` is in clear text.
    pub secure: Option<&'a Secure>,
    /// How long it may take, TLS included.
    pub timeout: Duration,
}

/// Opens a connection for HTTP/1.1, and starts the task that drives it.
///
/// # Errors
/// As [`dial`].
pub async fn connect<C: Caller>(caller: &C, address: Address<'_>) -> Result<Http1<C::Body>, Refused> {
    let wire = Wire::new();
    let (sender, connection) = speak(caller.dial(address).await?.for_http1(&wire)).await?;
    let task = tokio::task::spawn_local(async move {
        // Its errors reach the request that is on it; an idle connection may end as it likes.
        let _ = connection.await;
    });
    Ok(Http1 { sender, wire, task })
}

/// The same for a request that may switch protocols (RFC 9110, 7.8): when the connection is done with HTTP, what carries
/// it is handed out.
///
/// # Errors
/// As [`dial`].
pub async fn connect_for_upgrade<C: Caller>(
    caller: &C,
    address: Address<'_>,
) -> Result<(Http1<C::Body>, Switched), Refused> {
    let wire = Wire::new();
    let (sender, mut connection) = speak(caller.dial(address).await?.for_http1(&wire)).await?;
    let (switched, socket) = oneshot::channel();
    let task = tokio::task::spawn_local(async move {
        if std::future::poll_fn(|cx| Pin::new(&mut connection).poll_without_shutdown(cx)).await.is_ok() {
            let parts = connection.into_parts();
            // Nobody waits for it any more if the answer was no switch.
            let _ = switched.send((parts.io.into_inner(), parts.read_buf));
        }
    });
    Ok((Http1 { sender, wire, task }, socket))
}

async fn speak<B>(stream: ServerIo) -> Result<(SendRequest<B>, Connection<TokioIo<ServerIo>, B>), Refused>
where
    B: Body<Data = Bytes, Error = BodyError> + 'static,
{
    http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_headers(limits::RESPONSE_HEADERS)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| (Failure::ConnectFailed, error.to_string()))
}

/// Resolves, connects and secures.
///
/// # Errors
/// [`Failure::ConnectFailed`], [`Failure::ConnectTimeout`] or [`Failure::UpstreamTls`], and why.
pub async fn dial(Address { server, secure, timeout }: Address<'_>) -> Result<ServerIo, Refused> {
    let opening = async {
        let stream = resolve(&server.host, server.port).await.and_then(spare).map_err(|error| unconnected(&error))?;
        // A socket that is gone already fails at the first write, which says more.
        let _ = stream.set_nodelay(true);
        match secure {
            None => Ok(ServerIo::plain(stream)),
            Some(Secure { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let bounded = |connection: &mut ClientConnection| connection.set_buffer_limit(Some(limits::TLS_BUFFER));
                let secured = connector.connect_with(name.clone(), stream, bounded).await;
                secured.map(ServerIo::tls).map_err(|error| (Failure::UpstreamTls, words(&error)))
            }
        }
    };
    let late = |_| Err((Failure::ConnectTimeout, format!("no connection within {timeout:?}")));
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

/// The failure behind a socket that is not connected, by whose fault it is, and the words for it.
fn unconnected(error: &std::io::Error) -> Refused {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => (Failure::NoDescriptor, words_of(error)),
        _ => (Failure::ConnectFailed, error.to_string()),
    }
}

async fn resolve(host: &str, port: u16) -> std::io::Result<TcpStream> {
    match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    }
}
