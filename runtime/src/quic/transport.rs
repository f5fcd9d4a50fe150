//! A QUIC connection as the HTTP/3 library wants one: streams of quinn's, with their frames watched.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};

use super::frames::{Broken, Frames};
use super::section::Wrong;

type Accepting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectionError>>>>;
type Both = (quinn::SendStream, quinn::RecvStream);

/// Resolves when the client wants no more of an answer, or has all of it.
pub type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// What the server and its transport tell each other past the library.
#[derive(Default)]
pub struct Side {
    /// New requests are refused: the client was told that they would be (RFC 9114, 5.2).
    refusing: Cell<bool>,
    /// What is known of the request stream that was accepted last.
    accepted: RefCell<Option<Accepted>>,
}

/// What is known of a request stream.
pub struct Accepted {
    /// It was opened before the handshake was complete: what it says may be a replay (RFC 9001, 9.2).
    pub early: bool,
    /// When the client loses interest.
    pub stopped: Stopped,
    /// What is found out as it is read.
    pub notes: Rc<Notes>,
}

/// What both directions of a request's stream know of its field sections.
#[derive(Default)]
pub struct Notes {
    /// One was malformed.
    malformed: Cell<bool>,
    /// The head names a protocol to switch to; it is in [`PROTOCOL`](super::section::PROTOCOL).
    pub names_protocol: Cell<bool>,
}

impl Side {
    /// From now on, new requests are refused.
    pub fn refuse(&self) {
        self.refusing.set(true);
    }

    /// What is known of the request stream that the library has just handed out.
    pub fn take_accepted(&self) -> Option<Accepted> {
        self.accepted.borrow_mut().take()
    }
}

/// A connection.
pub struct Transport {
    connection: Rc<quinn::Connection>,
    side: Rc<Side>,
    /// The length of a gathered frame.
    longest: u64,
    requests: Option<Accepting<Both>>,
    incoming: Option<Accepting<quinn::RecvStream>>,
    opening: Option<Accepting<quinn::SendStream>>,
}

impl Transport {
    /// Frames that have to be gathered whole may have `longest` bytes.
    pub fn new(connection: Rc<quinn::Connection>, side: Rc<Side>, longest: u64) -> Self {
        Self { connection, side, longest, requests: None, incoming: None, opening: None }
    }

    fn receive(&self, stream: quinn::RecvStream, frames: Frames, notes: Rc<Notes>) -> Receive {
        Receive { stream, frames, notes, connection: Rc::clone(&self.connection) }
    }
}

/// Polls the future, which is made first if there is none, and forgets it when it is complete.
fn poll_kept<S>(
    kept: &mut Option<Accepting<S>>,
    make: impl FnOnce() -> Accepting<S>,
    cx: &mut Context<'_>,
) -> Poll<Result<S, ConnectionErrorIncoming>> {
    let result = ready!(kept.get_or_insert_with(make).as_mut().poll(cx));
    *kept = None;
    Poll::Ready(result.map_err(of_connection))
}

impl quic::Connection<Bytes> for Transport {
    type RecvStream = Receive;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Receive, ConnectionErrorIncoming>> {
        let connection = &self.connection;
        let make = || -> Accepting<quinn::RecvStream> {
            let connection = Rc::clone(connection);
            Box::pin(async move { connection.accept_uni().await })
        };
        let stream = ready!(poll_kept(&mut self.incoming, make, cx))?;
        Poll::Ready(Ok(self.receive(stream, Frames::unidirectional(self.longest), Rc::default())))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Request, ConnectionErrorIncoming>> {
        loop {
            let connection = &self.connection;
            let make = || -> Accepting<Both> {
                let connection = Rc::clone(connection);
                Box::pin(async move { connection.accept_bi().await })
            };
            let (mut send, mut receive) = ready!(poll_kept(&mut self.requests, make, cx))?;
            if self.side.refusing.get() {
                // The client may ask somebody else: nothing of the request was read.
                let code = var_int(Code::H3_REQUEST_REJECTED.value());
                let _ = (send.reset(code), receive.stop(code));
                continue;
            }
            let (early, stopped, notes) = (receive.is_0rtt(), Box::pin(send.stopped()), Rc::<Notes>::default());
            let receive = self.receive(receive, Frames::request(self.longest), Rc::clone(&notes));
            let send = Send::new(send, Rc::clone(&notes));
            *self.side.accepted.borrow_mut() = Some(Accepted { early, stopped, notes });
            return Poll::Ready(Ok(Request { send, receive }));
        }
    }

    fn opener(&self) -> Opener {
        Opener { connection: Rc::clone(&self.connection), opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = Request;
    type SendStream = Send;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Request, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Send, StreamErrorIncoming>> {
        poll_open(&self.connection, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(var_int(code.value()), reason);
    }
}

/// Opens streams of ours.
pub struct Opener {
    connection: Rc<quinn::Connection>,
    opening: Option<Accepting<quinn::SendStream>>,
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Request;
    type SendStream = Send;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Request, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Send, StreamErrorIncoming>> {
        poll_open(&self.connection, &mut self.opening, cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(var_int(code.value()), reason);
    }
}

fn poll_open(
    connection: &Rc<quinn::Connection>,
    opening: &mut Option<Accepting<quinn::SendStream>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Send, StreamErrorIncoming>> {
    let make = || -> Accepting<quinn::SendStream> {
        let connection = Rc::clone(connection);
        Box::pin(async move { connection.open_uni().await })
    };
    poll_kept(opening, make, cx)
        .map_ok(|stream| Send::new(stream, Rc::default()))
        .map_err(|connection_error| StreamErrorIncoming::ConnectionErrorIncoming { connection_error })
}

/// A server opens no request streams (RFC 9114, 6.1).
fn no_requests() -> StreamErrorIncoming {
    let error = "a server opens no request streams".to_owned();
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: ConnectionErrorIncoming::InternalError(error) }
}

/// A request's stream.
pub struct Request {
    send: Send,
    receive: Receive,
}

impl quic::BidiStream<Bytes> for Request {
    type SendStream = Send;
    type RecvStream = Receive;

    fn split(self) -> (Send, Receive) {
        (self.send, self.receive)
    }
}

impl quic::RecvStream for Request {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.receive.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl quic::SendStream<Bytes> for Request {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.send.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

/// What a client sends on a stream.
pub struct Receive {
    stream: quinn::RecvStream,
    frames: Frames,
    notes: Rc<Notes>,
    connection: Rc<quinn::Connection>,
}

impl Receive {
    /// Looks at bytes that have come; what may be passed on.
    fn pass(&mut self, bytes: Bytes) -> Result<Bytes, StreamErrorIncoming> {
        let passed = self.frames.pass(bytes).map_err(|broken| match broken {
            Broken::TooLong => self.refuse(Code::H3_EXCESSIVE_LOAD, "a frame is too long"),
            Broken::Push => self.refuse(Code::H3_STREAM_CREATION_ERROR, "a client opened a push stream"),
            Broken::Section(Wrong::Undecodable) => {
                self.refuse(Code::QPACK_DECOMPRESSION_FAILED, "a field section cannot be decoded")
            }
            Broken::Section(Wrong::Malformed) => {
                // It ends this stream alone: the answer's direction is reset when it is dropped.
                self.notes.malformed.set(true);
                quic::RecvStream::stop_sending(self, Code::H3_MESSAGE_ERROR.value());
                StreamErrorIncoming::Unknown("a field section is malformed".into())
            }
        })?;
        self.notes.names_protocol.set(self.frames.names_protocol());
        Ok(passed)
    }

    /// The client broke the protocol in a way that the library does not see.
    fn refuse(&self, code: Code, reason: &'static str) -> StreamErrorIncoming {
        self.connection.close(var_int(code.value()), reason.as_bytes());
        let error = of_connection(ConnectionError::LocallyClosed);
        StreamErrorIncoming::ConnectionErrorIncoming { connection_error: error }
    }
}

impl quic::RecvStream for Receive {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            // Where the reading stands is in the stream, so that the future need not be kept.
            let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(cx));
            match read {
                Ok(Some(chunk)) => {
                    let passed = self.pass(chunk.bytes)?;
                    if !passed.is_empty() {
                        return Poll::Ready(Ok(Some(passed)));
                    }
                }
                Ok(None) if !self.frames.is_between_frames() => {
                    return Poll::Ready(Err(self.refuse(Code::H3_FRAME_ERROR, "a stream ended within a frame")));
                }
                Ok(None) => return Poll::Ready(Ok(None)),
                Err(error) => return Poll::Ready(Err(of_read(error))),
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        // A stream that has ended already needs no stopping.
        let _ = self.stream.stop(var_int(error_code));
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// What we send on a stream.
pub struct Send {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    notes: Rc<Notes>,
    finished: bool,
}

impl Send {
    const fn new(stream: quinn::SendStream, notes: Rc<Notes>) -> Self {
        Self { stream, writing: None, notes, finished: false }
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        // Without an answer, the client is told why there is none (RFC 9114, 4.1.2).
        if self.notes.malformed.get() && !self.finished {
            quic::SendStream::reset(self, Code::H3_MESSAGE_ERROR.value());
        }
    }
}

impl quic::SendStream<Bytes> for Send {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(writing) = &mut self.writing {
            while writing.has_remaining() {
                let stream = Pin::new(&mut self.stream);
                let written = ready!(stream.poll_write(cx, writing.chunk())).map_err(of_write)?;
                writing.advance(written);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            let error = "a frame was sent before the last one was".to_owned();
            let connection_error = ConnectionErrorIncoming::InternalError(error);
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.finished = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, reset_code: u64) {
        // A stream that has ended already needs no reset.
        let _ = self.stream.reset(var_int(reset_code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

/// Codes of HTTP/3 are far below the largest number of QUIC.
pub fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

#[expect(clippy::expect_used, reason = "both count to 2^62 - 1 (RFC 9000, 2.1)")]
fn stream_id(id: quinn::StreamId) -> StreamId {
    u64::from(VarInt::from(id)).try_into().expect("a stream's number is below 2^62")
}

fn of_connection(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn of_read(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: of_connection(error) }
        }
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn of_write(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        WriteError::ConnectionLost(error) => {
            StreamErrorIncoming::ConnectionErrorIncoming { connection_error: of_connection(error) }
        }
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
