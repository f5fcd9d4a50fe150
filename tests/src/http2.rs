//! A client of HTTP/2 that keeps to the rules; [`crate::frames`] is one that does not.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::{Request, Version};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::pki::Authority;
use crate::secure::Secure;
use crate::{PATIENCE, Response};

/// A connection that speaks HTTP/2.
pub struct Http2 {
    requests: SendRequest<Bytes>,
    scheme: &'static str,
    ping: PingPong,
    /// Resolves at the connection's end: with nothing if it was in order, or with what the library says of it.
    pub over: JoinHandle<Result<(), h2::Error>>,
}

/// A request on its way: its answer, and its body to be sent.
pub type Exchange = (ResponseFuture, SendStream<Bytes>);

impl Http2 {
    /// Connects in clear text, by prior knowledge.
    pub async fn connect(port: u16) -> Self {
        Self::connect_as(port, &settings()).await
    }

    /// Connects in clear text, with settings of the client's own.
    ///
    /// # Panics
    /// Nobody listens there.
    pub async fn connect_as(port: u16, settings: &Builder) -> Self {
        Self::over(socket(port).await, "http", settings).await
    }

    /// Connects over TLS, as a client that trusts the authority and asks for `shop.test`.
    ///
    /// # Panics
    /// There is no connection, or no HTTP/2 on it.
    pub async fn connect_secure(port: u16, authority: &Authority) -> Self {
        let config = Secure::trusting(authority).offering(&["h2"]).config();
        let name = ServerName::try_from("shop.test").expect("a name");
        let stream = TlsConnector::from(config).connect(name, socket(port).await).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream, "https", &settings()).await
    }

    async fn over(
        io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        scheme: &'static str,
        how: &Builder,
    ) -> Self {
        let (requests, mut connection) = how.handshake(io).await.expect("a preface");
        let ping = connection.ping_pong().expect("the first to ask for it");
        Self { requests, scheme, ping, over: tokio::spawn(connection) }
    }

    /// A request for this connection's scheme and the host `test`.
    ///
    /// # Panics
    /// The parts make no request.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(format!("{}://test{path}", self.scheme));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.version(Version::HTTP_2).body(()).expect("a request")
    }

    /// Sends a request's head. A body follows unless it `ends`.
    ///
    /// # Errors
    /// The library's.
    pub async fn begin(&mut self, request: Request<()>, ends: bool) -> Result<Exchange, h2::Error> {
        self.requests = tokio::time::timeout(PATIENCE, self.requests.clone().ready()).await.expect("room in time")?;
        self.requests.send_request(request, ends)
    }

    /// Waits until everything has come that the gateway sent before it answers this: a PING.
    ///
    /// # Errors
    /// The library's, if the connection is over.
    pub async fn turn(&mut self) -> Result<(), h2::Error> {
        let pong = tokio::time::timeout(PATIENCE, self.ping.ping(Ping::opaque())).await;
        pong.expect("an answer in time").map(drop)
    }

    /// Whether the gateway takes an extended `CONNECT` (RFC 8441, 3), as it says in its settings, the first of all frames.
    pub async fn takes_extended_connect(&mut self) -> bool {
        let _ = self.turn().await;
        self.requests.is_extended_connect_protocol_enabled()
    }

    /// The number of requests that the gateway takes at once, as far as is known.
    pub fn streams(&self) -> usize {
        self.requests.current_max_send_streams()
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
    ) -> Result<Response, h2::Error> {
        let request = self.request(method, path, headers);
        let (answer, mut stream) = self.begin(request, body.is_empty()).await?;
        if !body.is_empty() {
            send_all(&mut stream, Bytes::copy_from_slice(body), true).await?;
        }
        read(answer).await
    }

    /// GET.
    ///
    /// # Panics
    /// There is no answer.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send("GET", path, &[], &[]).await.expect("an answer")
    }
}

/// The settings of a client of these tests: no push, and windows that are no bottleneck. Until it knows better it takes a
/// hundred requests at once for allowed, as browsers do.
pub fn settings() -> Builder {
    let mut settings = Builder::new();
    settings
        .initial_max_send_streams(100)
        .enable_push(false)
        .initial_window_size(1 << 20)
        .initial_connection_window_size(32 << 20);
    settings
}

async fn socket(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).await.expect("somebody listens");
    socket.set_nodelay(true).expect("a socket");
    socket
}

/// Sends as the windows allow.
///
/// # Errors
/// The library's.
///
/// # Panics
/// The windows stay shut.
pub async fn send_all(stream: &mut SendStream<Bytes>, mut data: Bytes, ends: bool) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let room =
            tokio::time::timeout(PATIENCE, poll_fn(|cx| stream.poll_capacity(cx))).await.expect("a window in time");
        let room = room.ok_or_else(|| h2::Error::from(h2::Reason::STREAM_CLOSED))??;
        let piece = data.split_to(room.min(data.len()));
        stream.send_data(piece, false)?;
    }
    if ends { stream.send_data(Bytes::new(), true) } else { Ok(()) }
}

/// Reads an answer to its end.
///
/// # Errors
/// The library's.
///
/// # Panics
/// Nothing comes within [`PATIENCE`].
pub async fn read(mut answer: ResponseFuture) -> Result<Response, h2::Error> {
    let reading = async {
        let mut interim = Vec::new();
        let head = poll_fn(|cx| {
            while let Poll::Ready(Some(head)) = answer.poll_informational(cx) {
                interim.push(head?.status().as_u16());
            }
            Pin::new(&mut answer).poll(cx)
        })
        .await?;
        let mut response = Response {
            version: "HTTP/2".to_owned(),
            status: head.status().as_u16(),
            headers: fields(head.headers()),
            interim,
            ..Response::default()
        };
        let mut body = head.into_body();
        response.body = read_body(&mut body).await?;
        response.trailers = body.trailers().await?.as_ref().map(fields).unwrap_or_default();
        Ok(response)
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time")
}

async fn read_body(body: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}

/// Reads a body to its end, and counts it.
///
/// # Errors
/// The library's.
pub async fn count(body: &mut RecvStream) -> Result<u64, h2::Error> {
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        length += data.len() as u64;
    }
    Ok(length)
}

/// Header fields as text.
pub fn fields(headers: &http::HeaderMap) -> crate::Fields {
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}
