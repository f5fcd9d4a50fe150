//! A QUIC connection as the HTTP/3 library wants one: streams of quinn's, with their frames watched.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming};
use quinn::{ConnectionError, StoppedError, VarInt};

use crate::frames::Frames;
use crate::streams::{BidiStream, RecvStream, SendStream, StreamNotes};

type Accepting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectionError>>>>;
type Both = (quinn::SendStream, quinn::RecvStream);

/// Resolves when the client wants no more of an answer, or has all of it.
pub type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// What the server and its transport tell each other past the library.
#[derive(Default)]
pub struct SideChannel {
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
    pub notes: Rc<StreamNotes>,
}

impl SideChannel {
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
    side: Rc<SideChannel>,
    /// The length of a gathered frame.
    longest: u64,
    requests: Option<Accepting<Both>>,
    incoming: Option<Accepting<quinn::RecvStream>>,
    opening: Option<Accepting<quinn::SendStream>>,
}

impl Transport {
    /// Frames that have to be gathered whole may have `longest` bytes.
    pub fn new(connection: Rc<quinn::Connection>, side: Rc<SideChannel>, longest: u64) -> Self {
        Self { connection, side, longest, requests: None, incoming: None, opening: None }
    }

    fn receive(&self, stream: quinn::RecvStream, frames: Frames, notes: Rc<StreamNotes>) -> RecvStream {
        RecvStream::new(stream, frames, notes, Rc::clone(&self.connection))
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
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let connection = &self.connection;
        let make = || -> Accepting<quinn::RecvStream> {
            let connection = Rc::clone(connection);
            Box::pin(async move { connection.accept_uni().await })
        };
        let stream = ready!(poll_kept(&mut self.incoming, make, cx))?;
        Poll::Ready(Ok(self.receive(stream, Frames::unidirectional(self.longest), Rc::default())))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
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
            let (early, stopped, notes) = (receive.is_0rtt(), Box::pin(send.stopped()), Rc::<StreamNotes>::default());
            let receive = self.receive(receive, Frames::request(self.longest), Rc::clone(&notes));
            let send = SendStream::new(send, Rc::clone(&notes));
            *self.side.accepted.borrow_mut() = Some(Accepted { early, stopped, notes });
            return Poll::Ready(Ok(BidiStream::new(send, receive)));
        }
    }

    fn opener(&self) -> Opener {
        Opener { connection: Rc::clone(&self.connection), opening: None }
    }
}

impl quic::OpenStreams<Bytes> for Transport {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
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
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        Poll::Ready(Err(no_requests()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
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
) -> Poll<Result<SendStream, StreamErrorIncoming>> {
    let make = || -> Accepting<quinn::SendStream> {
        let connection = Rc::clone(connection);
        Box::pin(async move { connection.open_uni().await })
    };
    poll_kept(opening, make, cx)
        .map_ok(|stream| SendStream::new(stream, Rc::default()))
        .map_err(|connection_error| StreamErrorIncoming::ConnectionErrorIncoming { connection_error })
}

/// A server opens no request streams (RFC 9114, 6.1).
fn no_requests() -> StreamErrorIncoming {
    let error = "a server opens no request streams".to_owned();
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: ConnectionErrorIncoming::InternalError(error) }
}

/// Codes of HTTP/3 are far below the largest number of QUIC.
pub fn var_int(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

pub(crate) fn of_connection(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}
