//! A collector of OpenTelemetry's traces: takes spans over gRPC or HTTP as OTLP says, and shows them. It can misbehave.
//!
//! The messages are written here anew, from the protocol's `.proto` files, so that a wrong number in the gateway is found.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use h2::RecvStream;
use http::{HeaderMap, HeaderValue, Response};
use prost::{Message, Oneof};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::message::{Framing, read_body, read_head};
use crate::{Fields, RawServer, eventually, http2, http3, listen};

/// The way in which a collector treats a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// Takes the spans.
    Take,
    /// Takes all but so many, and says why.
    TakePart(i64),
    /// Takes nothing now: `503`, or the gRPC status 14. Over HTTP it says when to come again, if it does.
    Later(Option<&'static str>),
    /// Takes nothing ever: `400`, or the gRPC status 3.
    Refuse,
    /// Reads the request, and does not answer.
    Freeze,
    /// Answers with these bytes, over and over, and does not stop.
    Babble(&'static [u8]),
    /// Closes without an answer.
    Close,
}

/// A span as the collector got it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// The trace, in hexadecimal digits.
    pub trace: String,
    /// The span, in hexadecimal digits.
    pub id: String,
    /// The span's parent, in hexadecimal digits; empty without one.
    pub parent: String,
    /// `tracestate`.
    pub state: String,
    /// The name.
    pub name: String,
    /// 1 is internal, 2 server, 3 client.
    pub kind: i32,
    /// Nanoseconds since 1970.
    pub start: u64,
    /// Nanoseconds since 1970.
    pub end: u64,
    /// Attributes, numbers as digits.
    pub attributes: BTreeMap<String, String>,
    /// Whether the span ended with an error.
    pub is_error: bool,
    /// Attributes of the process.
    pub resource: BTreeMap<String, String>,
}

impl Span {
    /// An attribute.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.attributes.get(key).map(String::as_str)
    }
}

/// What a collector has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Head fields of requests, and the path among them as `:path`.
    heads: Vec<Fields>,
    spans: Vec<Span>,
    /// How the next requests are treated; the last stays.
    reactions: Vec<Reaction>,
}

impl Seen {
    fn next(&mut self) -> Reaction {
        if self.reactions.len() > 1 { self.reactions.remove(0) } else { self.reactions[0].clone() }
    }
}

/// A collector on a port of its own.
pub struct Collector {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    /// What ends with it.
    held: Held,
}

enum Held {
    Http(#[expect(dead_code, reason = "it stops when it is dropped")] RawServer),
    Grpc { stop: Option<watch::Sender<()>>, thread: Option<std::thread::JoinHandle<()>> },
}

impl Collector {
    /// Takes spans over HTTP.
    pub fn http() -> Self {
        let seen = started();
        let ours = Arc::clone(&seen);
        let server = RawServer::start(move |socket, _| {
            // A gateway that leaves ends it.
            let _ = serve_http(socket, &ours);
        });
        let port = server.address().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Self { port, seen, held: Held::Http(server) }
    }

    /// Takes spans over gRPC, in clear text.
    pub fn grpc() -> Self {
        Self::grpc_over(None)
    }

    /// Takes spans over gRPC, secured so.
    ///
    /// # Panics
    /// There is no port.
    pub fn grpc_over(tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let seen = started();
        let (stop, stopped) = watch::channel(());
        let listener = listen();
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a socket");
        let ours = Arc::clone(&seen);
        let thread = std::thread::spawn(move || http3::run(accept(listener, ours, stopped, tls)));
        Self { port, seen, held: Held::Grpc { stop: Some(stop), thread: Some(thread) } }
    }

    /// The declaration of a policy that sends spans here; `words` are more of its block.
    pub fn tracing(&self, words: &str) -> String {
        let protocol = if matches!(self.held, Held::Http(_)) { "http" } else { "grpc" };
        format!("tracing otlp {{ endpoint \"http://127.0.0.1:{}\"; protocol {protocol}; {words} }}", self.port)
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Treats the next requests like this, one after the other, and all that follow like the last.
    pub fn react(&self, reactions: &[Reaction]) {
        self.seen().reactions = reactions.to_vec();
    }

    /// The head fields of each request so far.
    pub fn heads(&self) -> Vec<Fields> {
        self.seen().heads.clone()
    }

    /// The spans that were taken so far.
    pub fn spans(&self) -> Vec<Span> {
        self.seen().spans.clone()
    }

    /// Waits until something holds of the spans that were taken.
    ///
    /// # Panics
    /// It does not come to hold.
    pub fn wait(&self, what: &str, holds: impl Fn(&[Span]) -> bool) -> Vec<Span> {
        eventually(what, || {
            let spans = self.spans();
            if holds(&spans) { Ok(spans) } else { Err(spans.len()) }
        })
    }

    /// Waits for so many spans.
    pub fn wait_for(&self, count: usize) -> Vec<Span> {
        self.wait(&format!("{count} spans"), |spans| spans.len() >= count)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Held::Grpc { stop, thread } = &mut self.held {
            *stop = None;
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}

fn started() -> Arc<Mutex<Seen>> {
    Arc::new(Mutex::new(Seen { reactions: vec![Reaction::Take], ..Seen::default() }))
}

fn serve_http(mut socket: TcpStream, seen: &Mutex<Seen>) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    while let Some((first, mut fields)) = read_head(&mut reader)? {
        let mut body = Vec::new();
        read_body(&mut reader, Framing::of(&fields, Framing::Length(0)), |piece| body.extend_from_slice(piece))?;
        fields.push((":path".to_owned(), first));
        let reaction = take(seen, fields, &body);
        let empty = || "content-length: 0\r\n\r\n".to_owned();
        let head = match &reaction {
            Reaction::Take | Reaction::TakePart(_) => {
                let message = taken(&reaction);
                write!(
                    socket,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n",
                    message.len()
                )?;
                socket.write_all(&message)?;
                continue;
            }
            Reaction::Later(Some(after)) => format!("HTTP/1.1 503 Later\r\nretry-after: {after}\r\n{}", empty()),
            Reaction::Later(None) => format!("HTTP/1.1 503 Later\r\n{}", empty()),
            Reaction::Refuse => format!("HTTP/1.1 400 No\r\n{}", empty()),
            Reaction::Close => return Ok(()),
            Reaction::Freeze => {
                // Until the gateway leaves.
                let _ = read_head(&mut reader);
                return Ok(());
            }
            Reaction::Babble(bytes) => loop {
                socket.write_all(bytes)?;
            },
        };
        socket.write_all(head.as_bytes())?;
    }
    Ok(())
}

async fn accept(
    listener: std::net::TcpListener,
    seen: Arc<Mutex<Seen>>,
    mut stopped: watch::Receiver<()>,
    tls: Option<Arc<rustls::ServerConfig>>,
) {
    let listener = TcpListener::from_std(listener).expect("a socket");
    loop {
        tokio::select! {
            _ = stopped.changed() => return,
            Ok((socket, _)) = listener.accept() => {
                let (seen, tls) = (Arc::clone(&seen), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve_grpc(socket, seen).await,
                        Some(config) => {
                            let Ok(socket) = tokio_rustls::TlsAcceptor::from(config).accept(socket).await else { return };
                            serve_grpc(socket, seen).await;
                        }
                    }
                });
            }
        }
    }
}

async fn serve_grpc<S>(socket: S, seen: Arc<Mutex<Seen>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(socket).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move { answer(request, respond, &seen).await });
    }
}

async fn answer(
    request: http::Request<RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    seen: &Mutex<Seen>,
) -> Result<(), h2::Error> {
    let mut fields = http2::fields(request.headers());
    fields.push((":path".to_owned(), request.uri().path().to_owned()));
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        message.extend_from_slice(&piece);
    }
    let message = message.get(5..).unwrap_or_default();
    let reaction = take(seen, fields, message);
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let status =
        |code| HeaderMap::from_iter([(http::HeaderName::from_static("grpc-status"), HeaderValue::from_static(code))]);
    let code = match &reaction {
        Reaction::Take | Reaction::TakePart(_) => {
            let message = taken(&reaction);
            let length = u8::try_from(message.len()).expect("a short answer");
            let mut stream = respond.send_response(head, false)?;
            stream.send_data([&[0, 0, 0, 0, length], &*message].concat().into(), false)?;
            return stream.send_trailers(status("0"));
        }
        Reaction::Later(_) => "14",
        Reaction::Refuse => "3",
        Reaction::Freeze => return std::future::pending().await,
        Reaction::Close => {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
            return Ok(());
        }
        Reaction::Babble(bytes) => {
            let mut stream = respond.send_response(head, false)?;
            loop {
                stream.send_data(Bytes::from_static(bytes), false)?;
                tokio::task::yield_now().await;
            }
        }
    };
    head.headers_mut().extend(status(code));
    respond.send_response(head, true).map(drop)
}

/// Notes a request, and what is in it if it is taken.
fn take(seen: &Mutex<Seen>, head: Fields, body: &[u8]) -> Reaction {
    let mut seen = seen.lock().unwrap();
    seen.heads.push(head);
    let reaction = seen.next();
    if matches!(reaction, Reaction::Take | Reaction::TakePart(_)) {
        seen.spans.extend(spans(body));
    }
    reaction
}

fn taken(reaction: &Reaction) -> Vec<u8> {
    let part = match reaction {
        Reaction::TakePart(rejected) => Some(Part { rejected: *rejected, message: "too many".to_owned() }),
        _ => None,
    };
    ExportResponse { part }.encode_to_vec()
}

/// The spans of a request.
fn spans(body: &[u8]) -> Vec<Span> {
    let request = ExportRequest::decode(body).expect("a message of OTLP");
    let mut all = Vec::new();
    for process in request.processes {
        let resource = attributes(process.resource.unwrap_or_default().attributes);
        for scope in process.scopes {
            all.extend(scope.spans.into_iter().map(|span| Span {
                trace: hex(&span.trace),
                id: hex(&span.id),
                parent: hex(&span.parent),
                state: span.state,
                name: span.name,
                kind: span.kind,
                start: span.start,
                end: span.end,
                attributes: attributes(span.attributes),
                is_error: span.status.unwrap_or_default().code == 2,
                resource: resource.clone(),
            }));
        }
    }
    all
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value).expect("a value") {
        Value::Text(text) => text,
        Value::Number(number) => number.to_string(),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    processes: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtlpSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct OtlpSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    id: Vec<u8>,
    #[prost(string, tag = "3")]
    state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start: u64,
    #[prost(fixed64, tag = "8")]
    end: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Value", tags = "1, 3")]
    value: Option<Value>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Value {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    part: Option<Part>,
}

#[derive(Clone, PartialEq, Message)]
struct Part {
    #[prost(int64, tag = "1")]
    rejected: i64,
    #[prost(string, tag = "2")]
    message: String,
}
