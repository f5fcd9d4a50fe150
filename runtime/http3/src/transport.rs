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

/// The words that the server and its transport exchange past the library.
#[derive(Default)]
pub struct SideChannel {
    /// New requests are refused: the client was told that they would be (RFC 9114, 5.2).
    refusing: Cell<bool>,
    /// The request stream that was accepted last.
    accepted: RefCell<Option<Accepted>>,
}

/// A request stream, as far as the transport knows it.
pub struct Accepted {
    /// The stream was opened before the handshake was complete: what it says may be a replay (RFC 9001, 9.2).
    pub early: bool,
    /// The moment when the client loses interest.
    pub stopped: Stopped,
    /// The notes that are taken as the stream is read.
    pub notes: Rc<StreamNotes>,
}

impl SideChannel {
    /// Refuses new requests from now on.
    pub fn refuse(&self) {
        self.refusing.set(true);
    }

    /// The request stream that the library has just handed out.
    pub fn take_accepted(&self) -> Option<Accepted> {
        self.accepted.borrow_mut().take()
    }
}

/// A QUIC connection, as the library wants one.
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

/// The number that QUIC sends for a code: codes of HTTP/3 are far below the largest number of QUIC.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]
mod tests {
    use std::future::poll_fn;

    use h3::quic::{Connection as _, OpenStreams as _};

    use super::*;
    use crate::testing::{GET, Pair, Session, received, run, stopped};

    #[test]
    fn a_request_comes_with_what_is_known_of_its_stream() {
        run(async {
            let mut session = Session::new().await;
            let mut exchange = session.request(&GET).await.unwrap();
            assert_eq!(exchange.request.uri(), "https://a/");
            assert!(!exchange.accepted.early);
            assert!(!exchange.accepted.notes.names_protocol.get());
            assert!(session.side.take_accepted().is_none(), "it is taken once");
            // The client loses interest.
            exchange.to_client.stop(VarInt::from_u32(7)).unwrap();
            assert_eq!(exchange.accepted.stopped.await.unwrap(), Some(VarInt::from_u32(7)));
        });
    }

    #[test]
    fn stopped_resolves_when_the_client_has_all() {
        run(async {
            let mut session = Session::new().await;
            let mut exchange = session.request(&GET).await.unwrap();
            exchange.stream.finish().await.unwrap();
            assert_eq!(received(&mut exchange.to_client).await, Ok(Vec::new()));
            assert_eq!(exchange.accepted.stopped.await.unwrap(), None);
        });
    }

    #[test]
    fn a_connection_that_ends_takes_no_further_request() {
        run(async {
            let mut session = Session::new().await;
            session.request(&GET).await.unwrap();
            session.side.refuse();
            let (mut to_server, mut to_client) = session.client.open_bi().await.unwrap();
            to_server.write_all(&GET).await.unwrap();
            let rejected = Code::H3_REQUEST_REJECTED;
            tokio::select! {
                _ = session.http.accept() => panic!("nothing of it is read"),
                code = received(&mut to_client) => assert_eq!(code, Err(rejected)),
            }
            assert_eq!(stopped(&to_server).await, Some(rejected));
        });
    }

    #[test]
    fn a_server_opens_streams_of_its_own_and_no_requests() {
        run(async {
            let pair = Pair::new().await;
            let mut transport = Transport::new(Rc::new(pair.server.clone()), Rc::default(), 100);
            let mut opener = transport.opener();
            assert!(poll_fn(|cx| transport.poll_open_bidi(cx)).await.is_err());
            assert!(poll_fn(|cx| opener.poll_open_bidi(cx)).await.is_err());
            let ids = [
                quic::SendStream::send_id(&poll_fn(|cx| transport.poll_open_send(cx)).await.unwrap()),
                quic::SendStream::send_id(&poll_fn(|cx| opener.poll_open_send(cx)).await.unwrap()),
            ];
            // Unidirectional, of the server (RFC 9000, 2.1).
            assert_eq!(ids.map(|id| id.into_inner()), [3, 7]);
            opener.close(Code::H3_NO_ERROR, b"bye");
            let ConnectionError::ApplicationClosed(close) = pair.client.closed().await else { panic!() };
            assert_eq!(
                (Code::from(close.error_code.into_inner()), &close.reason[..]),
                (Code::H3_NO_ERROR, &b"bye"[..])
            );
        });
    }

    #[test]
    fn the_library_learns_how_a_connection_ended() {
        run(async {
            let pair = Pair::new().await;
            let mut transport = Transport::new(Rc::new(pair.server.clone()), Rc::default(), 100);
            pair.client.close(VarInt::from_u32(0x101), b"");
            let accepted = poll_fn(|cx| transport.poll_accept_bidi(cx)).await;
            assert!(matches!(accepted, Err(ConnectionErrorIncoming::ApplicationClose { error_code: 0x101 })));
            let accepted = poll_fn(|cx| transport.poll_accept_recv(cx)).await;
            assert!(matches!(accepted, Err(ConnectionErrorIncoming::ApplicationClose { error_code: 0x101 })));
        });
        assert!(matches!(of_connection(ConnectionError::TimedOut), ConnectionErrorIncoming::Timeout));
        assert!(matches!(of_connection(ConnectionError::Reset), ConnectionErrorIncoming::Undefined(_)));
    }

    #[test]
    fn no_code_is_too_large() {
        assert_eq!(var_int(Code::H3_NO_ERROR.value()).into_inner(), 0x100);
        assert_eq!(var_int(u64::MAX), VarInt::MAX);
    }
}
