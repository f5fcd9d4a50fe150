//! A backend that speaks HTTP/2 in clear text, as gRPC servers do.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::http2::send_all;
use crate::{Fields, PATIENCE, http3, listen};

/// A server on a port of its own; what it does with a request says the last segment of its path:
///
/// - `Echo` sends the body back, piece by piece, with `grpc-status: 0` and the request's `x-trailer` as trailers;
/// - `Stall` never answers; `StallInBody` sends five bytes, and no more;
/// - `Break` sends five bytes, and resets the stream;
/// - `RefuseOnce` refuses the first stream (`REFUSED_STREAM`), and echoes the rest; `Refuse` refuses all;
/// - `Fail` answers with `grpc-status: 9` and nothing else;
/// - `Early` answers before the body has come, and wants no more of it;
/// - `Leave` echoes, and takes no more requests on this connection (GOAWAY).
pub struct Http2Backend {
    port: u16,
    seen: Arc<watch::Sender<Seen>>,
    stop: Option<watch::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// The traffic that a server has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The requests: method, target with scheme and host, fields.
    pub requests: Vec<(String, String, Fields)>,
    /// The number of connections so far.
    pub connections: usize,
    /// The number of requests that the gateway has given up.
    pub cancelled: usize,
    refused: bool,
}

impl Http2Backend {
    /// Starts.
    pub fn start() -> Self {
        Self::with(&Builder::new())
    }

    /// Starts with settings of its own.
    ///
    /// # Panics
    /// There is no port.
    pub fn with(settings: &Builder) -> Self {
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let (stop, stopped) = watch::channel(());
        let listener = listen();
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a socket");
        let (ours, settings) = (Arc::clone(&seen), settings.clone());
        let thread = std::thread::spawn(move || http3::run(accept(listener, settings, ours, stopped)));
        Self { port, seen, stop: Some(stop), thread: Some(thread) }
    }

    /// The address of the server, as a policy names it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The traffic that the server has seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until something holds of what this server has seen, while the clients of the same thread go on.
    ///
    /// # Panics
    /// The condition does not come to hold.
    pub async fn until(&self, what: &str, holds: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let held = tokio::time::timeout(PATIENCE, seen.wait_for(holds)).await;
        assert!(held.is_ok(), "not in time: {what}");
    }
}

impl Drop for Http2Backend {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    settings: Builder,
    seen: Arc<watch::Sender<Seen>>,
    mut stopped: watch::Receiver<()>,
) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            Ok((socket, _)) = listener.accept() => {
                seen.send_modify(|seen| seen.connections += 1);
                tokio::spawn(serve(socket, settings.clone(), Arc::clone(&seen)));
            }
        }
    }
}

async fn serve(socket: TcpStream, settings: Builder, seen: Arc<watch::Sender<Seen>>) {
    let _ = socket.set_nodelay(true);
    let Ok(mut connection) = settings.handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let target = request.uri().to_string();
        let fields = crate::http2::fields(request.headers());
        let method = request.method().to_string();
        seen.send_modify(|seen| seen.requests.push((method, target.clone(), fields)));
        if target.ends_with("/Leave") {
            connection.graceful_shutdown();
        }
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let name = target.rsplit('/').next().unwrap_or_default().to_owned();
            if answer(&name, request, respond, &seen).await.is_err() {
                seen.send_modify(|seen| seen.cancelled += 1);
            }
        });
    }
}

async fn answer(
    name: &str,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    seen: &watch::Sender<Seen>,
) -> Result<(), h2::Error> {
    let trailer = request.headers().get("x-trailer").cloned();
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    match name {
        "Stall" => {
            poll_fn(|cx| respond.poll_reset(cx)).await?;
            return Err(Reason::CANCEL.into());
        }
        "RefuseOnce" if seen.send_if_modified(|seen| !std::mem::replace(&mut seen.refused, true)) => {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        "Refuse" => {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        "Fail" => {
            head.headers_mut().insert("grpc-status", HeaderValue::from_static("9"));
            head.headers_mut().insert("grpc-message", HeaderValue::from_static("not now"));
            respond.send_response(head, true)?;
            return Ok(());
        }
        "Early" => {
            let mut stream = respond.send_response(head, false)?;
            send_all(&mut stream, Bytes::from_static(b"early"), false).await?;
            // What is dropped here ends the request with NO_ERROR when all has been sent (RFC 9113, 8.1).
            return stream.send_trailers(status("0", None));
        }
        _ => {}
    }
    let mut stream = respond.send_response(head, false)?;
    match name {
        "StallInBody" => {
            send_all(&mut stream, Bytes::from_static(b"hello"), false).await?;
            poll_fn(|cx| stream.poll_reset(cx)).await?;
            Err(Reason::CANCEL.into())
        }
        "Break" => {
            send_all(&mut stream, Bytes::from_static(b"hello"), false).await?;
            // The task of the connection has been woken, and sends what there is before this one goes on.
            tokio::task::yield_now().await;
            stream.send_reset(Reason::INTERNAL_ERROR);
            Ok(())
        }
        _ => echo(request.into_body(), stream, trailer).await,
    }
}

async fn echo(
    mut body: RecvStream,
    mut stream: SendStream<Bytes>,
    trailer: Option<HeaderValue>,
) -> Result<(), h2::Error> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        send_all(&mut stream, data, false).await?;
    }
    stream.send_trailers(status("0", trailer))
}

fn status(code: &'static str, trailer: Option<HeaderValue>) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailer.map(|value| trailers.insert("x-trailer", value));
    trailers
}
