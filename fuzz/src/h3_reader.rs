//! The `h3` crate's reading of a field section, without a network: the section comes in a HEADERS frame on a stream in memory.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h3::error::{Code, StreamError};
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use h3::server;
use http::{HeaderMap, Request};

/// What the library makes of a section.
#[derive(Debug)]
pub enum Reading<T> {
    /// It takes the section for this.
    Taken(T),
    /// It ends the stream.
    Malformed,
    /// It ends the connection.
    Undecodable,
}

/// The head of `GET https://a/`, in a HEADERS frame.
const GET: [u8; 10] = [1, 8, 0, 0, 0xd1, 0xd7, 0xc1, 0x50, 1, b'a'];

/// The request whose head is this section.
pub fn request(section: &[u8]) -> Reading<Request<()>> {
    match resolve(headers(section)) {
        Ok((request, _)) => Reading::Taken(request),
        Err(error) => refused(&error),
    }
}

/// The trailers that are this section, behind a request without a body.
pub fn trailers(section: &[u8]) -> Reading<HeaderMap> {
    let stream = [&GET[..], &headers(section)].concat();
    let Ok((_, mut stream)) = resolve(stream) else { panic!("the head is well-formed") };
    match now(stream.recv_data()) {
        Ok(None) => {}
        Ok(Some(_)) => panic!("there is no body"),
        Err(error) => return refused(&error),
    }
    match now(stream.recv_trailers()) {
        Ok(trailers) => Reading::Taken(trailers.unwrap_or_default()),
        Err(error) => refused(&error),
    }
}

type Resolved = (Request<()>, server::RequestStream<Memory, Bytes>);

fn resolve(stream: Vec<u8>) -> Result<Resolved, StreamError> {
    let mut builder = server::builder();
    builder.max_field_section_size(1 << 40).send_grease(false).enable_extended_connect(true);
    let memory = Memory(Some(stream.into()));
    let Ok(mut connection) = now(builder.build(memory)) else { panic!("nothing was received yet") };
    let Ok(Some(resolver)) = now(connection.accept()) else { panic!("there is a stream") };
    now(resolver.resolve_request())
}

fn refused<T>(error: &StreamError) -> Reading<T> {
    match error {
        StreamError::StreamError { code, .. } if *code == Code::H3_MESSAGE_ERROR => Reading::Malformed,
        // Of trailers, the library does not say it otherwise.
        StreamError::StreamError { .. } | StreamError::ConnectionError { .. } => Reading::Undecodable,
        error => panic!("{error:?}"),
    }
}

/// A HEADERS frame.
fn headers(section: &[u8]) -> Vec<u8> {
    let length = u32::try_from(section.len()).unwrap_or(u32::MAX) | 0x8000_0000;
    [&[1][..], &length.to_be_bytes(), section].concat()
}

/// The output of a future that waits for nobody.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it waits for somebody"),
    }
}

/// A connection with one stream, on which these bytes come; or that stream, or one of the server's. What is sent is forgotten.
struct Memory(Option<Bytes>);

impl quic::Connection<Bytes> for Memory {
    type RecvStream = Self;
    type OpenStreams = Self;

    fn poll_accept_recv(&mut self, _: &mut Context<'_>) -> Poll<Result<Self, ConnectionErrorIncoming>> {
        Poll::Pending
    }

    fn poll_accept_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Self, ConnectionErrorIncoming>> {
        self.0.take().map_or(Poll::Pending, |bytes| Poll::Ready(Ok(Self(Some(bytes)))))
    }

    fn opener(&self) -> Self {
        Self(None)
    }
}

impl quic::OpenStreams<Bytes> for Memory {
    type BidiStream = Self;
    type SendStream = Self;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Self, StreamErrorIncoming>> {
        Poll::Pending
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Self, StreamErrorIncoming>> {
        Poll::Ready(Ok(Self(None)))
    }

    fn close(&mut self, _: Code, _: &[u8]) {}
}

impl quic::RecvStream for Memory {
    type Buf = Bytes;

    fn poll_data(&mut self, _: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        Poll::Ready(Ok(self.0.take()))
    }

    fn stop_sending(&mut self, _: u64) {}

    fn recv_id(&self) -> StreamId {
        first()
    }
}

impl quic::SendStream<Bytes> for Memory {
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, _: T) -> Result<(), StreamErrorIncoming> {
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, _: u64) {}

    fn send_id(&self) -> StreamId {
        first()
    }
}

impl quic::BidiStream<Bytes> for Memory {
    type SendStream = Self;
    type RecvStream = Self;

    fn split(self) -> (Self, Self) {
        (Self(None), self)
    }
}

/// The number of a client's first request.
fn first() -> StreamId {
    StreamId::try_from(0).unwrap_or_else(|_| panic!("zero is a number of a stream"))
}
