//! A collector: where it is, the connection to it, and how it is asked to take spans.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HOST, TE, USER_AGENT};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tidegate_dsl::plan::{OtlpProtocol, Tracing};
use tidegate_upstream::tls;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, spawn_local};
use tokio_rustls::TlsConnector;

use super::delivery::Answer;
use super::wire::{Allowance, Io, Wire};

/// The path of the only service that is asked, behind that of the endpoint.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// The path of HTTP, behind that of the endpoint.
const HTTP_PATH: &str = "/v1/traces";

/// Where spans go, and the connection there.
pub struct Collector {
    protocol: OtlpProtocol,
    uri: Uri,
    host: String,
    port: u16,
    headers: HeaderMap,
    secure: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    open: Option<Open>,
}

/// A connection. Dropping it ends it.
struct Open {
    sender: Sender,
    allowance: Allowance,
    task: AbortHandle,
}

enum Sender {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(h2::client::SendRequest<Bytes>),
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    /// The collector of a policy, not connected to.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn of(tracing: &Tracing) -> Result<Self, String> {
        let bad = || format!("`{}` is no URL of a collector", tracing.endpoint);
        let endpoint: Uri = tracing.endpoint.parse().map_err(|_| bad())?;
        let authority = endpoint.authority().ok_or_else(bad)?.clone();
        let secure = endpoint.scheme() == Some(&Scheme::HTTPS);
        let path = match tracing.protocol {
            OtlpProtocol::Grpc => GRPC_PATH,
            OtlpProtocol::Http => HTTP_PATH,
        };
        let uri = Uri::builder()
            .scheme(endpoint.scheme_str().unwrap_or("http"))
            .authority(authority.clone())
            .path_and_query(format!("{}{path}", endpoint.path().trim_end_matches('/')))
            .build()
            .map_err(|_| bad())?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let alpn: &[u8] = if tracing.protocol == OtlpProtocol::Grpc { b"h2" } else { b"http/1.1" };
        let secure = if secure {
            let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
            let config = tls::client(alpn).map_err(|why| format!("the collector cannot be asked securely: {why}"))?;
            Some((config, name))
        } else {
            None
        };
        let port = authority.port_u16().unwrap_or(if secure.is_some() { 443 } else { 80 });
        let headers = headers(tracing, &authority)?;
        Ok(Self { protocol: tracing.protocol, uri, host, port, headers, secure, open: None })
    }

    /// Sends spans, encoded, and waits for the answer. One that takes too long is dropped by whoever waits, who then has it
    /// [forgotten](Self::forget).
    pub(super) async fn send(&mut self, spans: Bytes) -> Answer {
        match self.exchange(spans).await {
            Ok(answer) => answer,
            Err(why) => {
                self.forget();
                Answer::Later(why, None)
            }
        }
    }

    /// Ends the connection: what is sent next goes over a new one.
    pub(super) fn forget(&mut self) {
        self.open = None;
    }

    async fn exchange(&mut self, spans: Bytes) -> Result<Answer, String> {
        let open = match self.open.take() {
            Some(open) if open.is_usable() => open,
            _ => self.connect().await?,
        };
        let open = self.open.insert(open);
        open.allowance.renew();
        match &mut open.sender {
            Sender::Http(sender) => {
                let mut request = Request::new(Full::new(spans));
                *request.method_mut() = Method::POST;
                // The origin form (RFC 9112, 3.2.1).
                let path = self.uri.path_and_query().cloned();
                *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
                request.headers_mut().clone_from(&self.headers);
                sender.ready().await.map_err(|error| words(&error))?;
                let response = sender.send_request(request).await.map_err(|error| words(&error))?;
                let (head, body) = response.into_parts();
                let body = body.collect().await.map_err(|error| words(&error))?.to_bytes();
                Ok(Answer::of_http(head.status, &head.headers, &body, now()))
            }
            Sender::Grpc(sender) => {
                let mut request = Request::new(());
                *request.method_mut() = Method::POST;
                *request.uri_mut() = self.uri.clone();
                request.headers_mut().clone_from(&self.headers);
                call(sender, request, &spans).await.map_err(|error| words(&error))
            }
        }
    }

    async fn connect(&self) -> Result<Open, String> {
        let stream = TcpStream::connect((&*self.host, self.port)).await.map_err(|error| error.to_string())?;
        // A socket that is gone already fails at the first write, which says more.
        let _ = stream.set_nodelay(true);
        let io: Box<dyn Io> = match &self.secure {
            None => Box::new(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await.map_err(|error| tls::words(&error))?;
                if self.protocol == OtlpProtocol::Grpc && stream.get_ref().1.alpn_protocol() != Some(b"h2") {
                    return Err("it does not speak HTTP/2, which gRPC needs".to_owned());
                }
                Box::new(stream)
            }
        };
        let allowance = Allowance::new();
        let wire = Wire { io, allowance: allowance.clone() };
        let (sender, task) = match self.protocol {
            OtlpProtocol::Http => {
                let (sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(|error| words(&error))?;
                (Sender::Http(sender), spawn_local(async move { drop(connection.await) }))
            }
            OtlpProtocol::Grpc => {
                let mut builder = h2::client::Builder::new();
                let handshake = builder.enable_push(false).handshake(wire);
                let (sender, connection) = handshake.await.map_err(|error| words(&error))?;
                (Sender::Grpc(sender), spawn_local(async move { drop(connection.await) }))
            }
        };
        Ok(Open { sender, allowance, task: task.abort_handle() })
    }
}

impl Open {
    fn is_usable(&self) -> bool {
        !self.task.is_finished()
    }
}

/// The fields of each request.
fn headers(tracing: &Tracing, authority: &Authority) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let kind = match tracing.protocol {
        OtlpProtocol::Http => {
            let host = HeaderValue::from_str(authority.as_str());
            headers.insert(HOST, host.map_err(|_| "the collector's host cannot be written".to_owned())?);
            "application/x-protobuf"
        }
        OtlpProtocol::Grpc => {
            headers.insert(TE, HeaderValue::from_static("trailers"));
            "application/grpc"
        }
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
    for (name, value) in &tracing.headers {
        let bad = || format!("the collector's field `{name}` cannot be written");
        let mut value = HeaderValue::from_str(value).map_err(|_| bad())?;
        value.set_sensitive(true);
        headers.append(HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?, value);
    }
    Ok(headers)
}

/// A call of gRPC with one message (gRPC over HTTP/2, "Requests").
async fn call(
    sender: &mut h2::client::SendRequest<Bytes>,
    request: Request<()>,
    message: &Bytes,
) -> Result<Answer, h2::Error> {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.put_slice(message);
    let mut ready = sender.clone().ready().await?;
    let (response, mut stream) = ready.send_request(request, false)?;
    stream.send_data(body.freeze(), true)?;
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    let trailers = body.trailers().await?.unwrap_or(head.headers);
    Ok(Answer::of_grpc(head.status, &trailers, &bytes))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// The words of an error, and of what it comes from.
fn words(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        source = error.source();
    }
    words
}
