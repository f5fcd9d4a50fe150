//! Opens connections to backends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::downstream::body::RequestBody;
use crate::failure::Failure;
use crate::limits;
use crate::plain::Plain;
use crate::tls::upstream::{Secure, words};

/// Resolves, connects, secures, and starts the task that drives the connection. `timeout` is for all of it.
///
/// # Errors
/// [`Failure::ConnectFailed`], [`Failure::ConnectTimeout`] or [`Failure::UpstreamTls`], and why.
pub async fn connect(
    host: &str,
    port: u16,
    secure: Option<&Secure>,
    timeout: Duration,
) -> Result<SendRequest<RequestBody>, (Failure, String)> {
    let opening = async {
        let stream = dial(host, port).await.map_err(|error| (Failure::ConnectFailed, error.to_string()))?;
        // A socket that is gone already fails at the first write, which says more.
        let _ = stream.set_nodelay(true);
        match secure {
            None => speak(Plain(stream)).await,
            Some(Secure { config, name }) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let bounded = |connection: &mut ClientConnection| connection.set_buffer_limit(Some(limits::TLS_BUFFER));
                let secured = connector.connect_with(name.clone(), stream, bounded).await;
                speak(secured.map_err(|error| (Failure::UpstreamTls, words(&error)))?).await
            }
        }
    };
    let late = |_| Err((Failure::ConnectTimeout, format!("no connection within {timeout:?}")));
    tokio::time::timeout(timeout, opening).await.unwrap_or_else(late)
}

/// HTTP/1.1 on an open stream.
async fn speak<S>(stream: S) -> Result<SendRequest<RequestBody>, (Failure, String)>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_headers(limits::RESPONSE_HEADERS)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| (Failure::ConnectFailed, error.to_string()))?;
    tokio::task::spawn_local(async move {
        // Its errors reach the request that is on it; an idle connection may end as it likes.
        let _ = connection.await;
    });
    Ok(sender)
}

async fn dial(host: &str, port: u16) -> std::io::Result<TcpStream> {
    match host.parse::<IpAddr>() {
        Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await,
        Err(_) => TcpStream::connect((host, port)).await,
    }
}
