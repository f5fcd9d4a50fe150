//! A client and a server on the loopback interface, for tests: the client writes frames by hand.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::future::Future;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::server::{self, RequestResolver, RequestStream};
use http::Request;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ReadToEndError, ServerConfig};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{RootCertStore, version};

use crate::streams::BidiStream;
use crate::transport::{Accepted, SideChannel, Transport};

/// The head of `GET https://a/`, in a HEADERS frame.
pub(crate) const GET: [u8; 10] = [1, 8, 0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a'];

/// The length that a gathered frame may have.
pub(crate) const LONGEST: u64 = 4096;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test, not longer than it may take.
pub(crate) fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.unwrap() })
}

/// Two ends of a QUIC connection.
pub(crate) struct Pair {
    /// The client's end.
    pub(crate) client: Connection,
    /// The server's end.
    pub(crate) server: Connection,
    /// The sockets of both sides.
    _endpoints: [Endpoint; 2],
}

impl Pair {
    /// Connects.
    pub(crate) async fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (made.cert.der().clone(), PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let provider = Arc::new(default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).unwrap().with_no_client_auth();
        let tls = builder.with_single_cert(vec![certificate.clone()], key.into()).unwrap();
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        let listening = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_protocol_versions(&[&version::TLS13]).unwrap().with_root_certificates(roots);
        let config = QuicClientConfig::try_from(builder.with_no_client_auth()).unwrap();
        let connecting = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let config = ClientConfig::new(Arc::new(config));
        let client = connecting.connect_with(config, listening.local_addr().unwrap(), "localhost").unwrap();
        let server = async { listening.accept().await.unwrap().await.unwrap() };
        let (client, server) = tokio::join!(client, server);
        Self { client: client.unwrap(), server, _endpoints: [connecting, listening] }
    }
}

/// A server of HTTP/3, with a client that speaks QUIC alone.
pub(crate) struct Session {
    /// The client's end.
    pub(crate) client: Connection,
    /// The server.
    pub(crate) http: server::Connection<Transport, Bytes>,
    /// What the server and its transport tell each other.
    pub(crate) side: Rc<SideChannel>,
    _pair: Pair,
}

/// A request, at both ends.
pub(crate) struct Exchange {
    /// What the client sends on.
    pub(crate) to_server: quinn::SendStream,
    /// What the client receives on.
    pub(crate) to_client: quinn::RecvStream,
    /// The head, as the server reads it.
    pub(crate) request: Request<()>,
    /// What the transport knows of the stream.
    pub(crate) accepted: Accepted,
    /// The stream, as the library hands it to the server.
    pub(crate) stream: RequestStream<BidiStream, Bytes>,
}

impl Session {
    /// Connects.
    pub(crate) async fn new() -> Self {
        let pair = Pair::new().await;
        let side = Rc::new(SideChannel::default());
        let transport = Transport::new(Rc::new(pair.server.clone()), Rc::clone(&side), LONGEST);
        let mut builder = server::builder();
        builder.max_field_section_size(LONGEST).send_grease(false).enable_extended_connect(true);
        let http = builder.build(transport).await.unwrap();
        Self { client: pair.client.clone(), http, side, _pair: pair }
    }

    /// The client begins a request, and the server learns of it.
    pub(crate) async fn open(
        &mut self,
        frames: &[u8],
    ) -> (quinn::SendStream, quinn::RecvStream, RequestResolver<Transport, Bytes>) {
        let (mut to_server, to_client) = self.client.open_bi().await.unwrap();
        to_server.write_all(frames).await.unwrap();
        (to_server, to_client, self.http.accept().await.unwrap().unwrap())
    }

    /// The client begins a request with this head, and the server reads it.
    pub(crate) async fn request(&mut self, head: &[u8]) -> Result<Exchange, StreamError> {
        let (to_server, to_client, resolver) = self.open(head).await;
        let accepted = self.side.take_accepted().unwrap();
        let (request, stream) = resolver.resolve_request().await?;
        Ok(Exchange { to_server, to_client, request, accepted, stream })
    }

    /// The code with which the server closes the connection.
    pub(crate) async fn closed(&self) -> Code {
        match self.client.closed().await {
            quinn::ConnectionError::ApplicationClosed(close) => close.error_code.into_inner().into(),
            error => panic!("{error:?}"),
        }
    }
}

/// All that comes on a stream; or the code with which the server resets it.
pub(crate) async fn received(stream: &mut quinn::RecvStream) -> Result<Vec<u8>, Code> {
    match stream.read_to_end(1 << 20).await {
        Ok(bytes) => Ok(bytes),
        Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => Err(code.into_inner().into()),
        Err(error) => panic!("{error:?}"),
    }
}

/// The code with which the server stops a stream; nothing if it takes all.
pub(crate) async fn stopped(stream: &quinn::SendStream) -> Option<Code> {
    stream.stopped().await.unwrap().map(|code| code.into_inner().into())
}
