//! Dials servers: resolves, connects, secures.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustls::ClientConnection;
use tidegate_base::bounds::Bound;
use tidegate_base::descriptors::Shares;
use tidegate_base::disk::words as words_of;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_base::standstill::within;
use tidegate_dsl::plan::Server;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::cause::Cause;
use crate::io::ServerIo;
use crate::tls::{Secure, words};

/// Why a connection could not be opened: [`Failure::ConnectFailed`], [`Failure::ConnectTimeout`],
/// [`Failure::UpstreamTls`] or, by the gateway's own fault, [`Failure::NoDescriptor`], and the words for it.
pub type Refused = (Failure, String);

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
