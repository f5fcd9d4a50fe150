//! A client of HTTP/3.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use h3::client::{RequestStream, SendRequest};
use h3_quinn::{BidiStream, OpenStreams};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint};

use crate::http2::fields;
use crate::pki::Authority;
use crate::{PATIENCE, Response};

/// The TLS of a client that trusts the authority. Sessions are kept in it.
pub fn tls(authority: &Authority) -> rustls::ClientConfig {
    tls_for(authority.roots())
}

/// The TLS of a client that trusts these.
///
/// # Panics
/// There is no TLS 1.3.
pub fn tls_for(roots: Arc<rustls::RootCertStore>) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).expect("TLS 1.3");
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h3".to_vec()];
    config
}

/// A UDP socket of a client, with QUIC on it.
///
/// # Panics
/// There is no socket to be had. It has to be called within a tokio runtime.
pub fn quic_client(tls: rustls::ClientConfig) -> Endpoint {
    quic_client_with(tls, |_| ())
}

/// An endpoint like that of [`quic_client`], with other settings.
///
/// # Panics
/// There is no socket to be had. It has to be called within a tokio runtime.
pub fn quic_client_with(tls: rustls::ClientConfig, set: impl FnOnce(&mut quinn::TransportConfig)) -> Endpoint {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
    let runtime = Arc::new(quinn::TokioRuntime);
    let mut endpoint = Endpoint::new(quinn::EndpointConfig::default(), None, socket, runtime).expect("an endpoint");
    let crypto = QuicClientConfig::try_from(tls).expect("TLS 1.3");
    let mut config = ClientConfig::new(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.max_idle_timeout(Some(Duration::from_secs(120).try_into().expect("two minutes")));
    set(&mut transport);
    config.transport_config(Arc::new(transport));
    endpoint.set_default_client_config(config);
    endpoint
}

/// A stream of a request.
pub type Stream = RequestStream<BidiStream<Bytes>, Bytes>;

/// A connection that speaks HTTP/3.
pub struct Http3 {
    /// The connection below.
    pub quic: Connection,
    requests: SendRequest<OpenStreams, Bytes>,
    /// Resolves when the server says that it takes no more requests, or the connection ends.
    pub over: tokio::task::JoinHandle<String>,
}

impl Http3 {
    /// Connects from a socket of its own, as a client that trusts the authority and asks for `localhost`.
    pub async fn connect(port: u16, authority: &Authority) -> Self {
        Self::connect_from(&quic_client(tls(authority)), port).await
    }

    /// Connects from this socket.
    ///
    /// # Panics
    /// There is no connection within [`PATIENCE`].
    pub async fn connect_from(endpoint: &Endpoint, port: u16) -> Self {
        let connecting = endpoint.connect(address(port), "localhost").expect("an address");
        let quic =
            tokio::time::timeout(PATIENCE, connecting).await.expect("a connection in time").expect("a connection");
        Self::over(quic).await
    }

    /// Speaks HTTP/3 on a connection.
    ///
    /// # Panics
    /// The connection is closed.
    pub async fn over(quic: Connection) -> Self {
        let transport = h3_quinn::Connection::new(quic.clone());
        let (mut driver, requests) = h3::client::new(transport).await.expect("HTTP/3");
        let over = tokio::spawn(async move { format!("{}", std::future::poll_fn(|cx| driver.poll_close(cx)).await) });
        Self { quic, requests, over }
    }

    /// Sends a request's head; its body is still to come.
    ///
    /// # Errors
    /// The library's.
    ///
    /// # Panics
    /// The request is no request.
    pub async fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) -> Result<Stream, String> {
        let mut request = http::Request::builder().method(method).uri(format!("https://localhost{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request");
        self.requests.send_request(request).await.map_err(|error| format!("{error:?}"))
    }

    /// Sends a request with a body, and reads the answer.
    ///
    /// # Errors
    /// The library's.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, String> {
        let mut stream = self.begin(method, path, headers).await?;
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body)).await.map_err(|error| format!("{error:?}"))?;
        }
        stream.finish().await.map_err(|error| format!("{error:?}"))?;
        answer(&mut stream).await
    }

    /// GET.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], &[]).await.expect("an answer")
    }
}

/// Where a gateway of a test listens.
pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Reads an answer to its end.
///
/// # Errors
/// The library's, or that nothing came within [`PATIENCE`].
pub async fn answer(stream: &mut Stream) -> Result<Response, String> {
    let read = async {
        let mut response = Response { version: "HTTP/3".to_owned(), ..Response::default() };
        let head = loop {
            let head = stream.recv_response().await.map_err(|error| format!("{error:?}"))?;
            if !head.status().is_informational() {
                break head;
            }
            response.interim.push(head.status().as_u16());
        };
        response.status = head.status().as_u16();
        response.headers = fields(head.headers());
        while let Some(mut data) = stream.recv_data().await.map_err(|error| format!("{error:?}"))? {
            response.body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        if let Some(trailers) = stream.recv_trailers().await.map_err(|error| format!("{error:?}"))? {
            response.trailers = fields(&trailers);
        }
        Ok(response)
    };
    tokio::time::timeout(PATIENCE, read).await.map_err(|_| "no answer in time".to_owned())?
}

/// Runs a test's clients.
///
/// # Panics
/// There is no event loop to be had.
pub fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("an event loop").block_on(test)
}
