//! Opens connections to backends.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::downstream::body::RequestBody;
use crate::failure::Failure;
use crate::limits;
use crate::plain::Plain;

/// Resolves, connects, and starts the task that drives the connection.
///
/// # Errors
/// [`Failure::ConnectFailed`] or [`Failure::ConnectTimeout`], and the system's words for it.
pub async fn connect(host: &str, port: u16, timeout: Duration) -> Result<SendRequest<RequestBody>, (Failure, String)> {
    let stream = match tokio::time::timeout(timeout, dial(host, port)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err((Failure::ConnectFailed, error.to_string())),
        Err(_) => return Err((Failure::ConnectTimeout, format!("no connection within {timeout:?}"))),
    };
    // A socket that is gone already fails at the first write, which says more.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(limits::CONNECTION_BUFFER)
        .max_headers(limits::RESPONSE_HEADERS)
        .max_header_size(limits::RESPONSE_HEADER_BYTES)
        .handshake(TokioIo::new(Plain(stream)))
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
