//! The streams of an HTTP/3 connection, with their frames watched.

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, VarInt, WriteError};
use tidegate_base::flight::Flight;

use crate::field_section::SectionError;
use crate::frames::{FrameError, Frames};
use crate::transport::{of_connection, var_int};

/// The notes on a request's stream that its two directions and who serves it share.
#[derive(Default)]
pub struct StreamNotes {
    /// The code that the client is told if the answer's direction is dropped before its end; without one, that is the end.
    pub ends: Cell<Option<Code>>,
    /// The head names a protocol to switch to; it is in [`PROTOCOL`](crate::field_section::PROTOCOL).
    pub names_protocol: Cell<bool>,
    /// Small pieces of the answer that the client has not acknowledged.
    pub flight: Flight,
}

/// A request's stream.
pub struct BidiStream {
    send: SendStream,
    receive: RecvStream,
}

impl BidiStream {
    /// A stream of both directions.
    pub const fn new(send: SendStream, receive: RecvStream) -> Self {
        Self { send, receive }
    }
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream, RecvStream) {
        (self.send, self.receive)
    }
}

impl quic::RecvStream for BidiStream {
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

impl quic::SendStream<Bytes> for BidiStream {
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

/// The direction of a stream that a client sends on.
pub struct RecvStream {
    stream: quinn::RecvStream,
    frames: Frames,
    notes: Rc<StreamNotes>,
    connection: Rc<quinn::Connection>,
}

impl RecvStream {
    /// A stream whose frames are watched.
    pub const fn new(
        stream: quinn::RecvStream,
        frames: Frames,
        notes: Rc<StreamNotes>,
        connection: Rc<quinn::Connection>,
    ) -> Self {
        Self { stream, frames, notes, connection }
    }

    /// Looks at bytes that have come; what may be passed on.
    fn pass(&mut self, bytes: Bytes) -> Result<Bytes, StreamErrorIncoming> {
        let passed = self.frames.pass(bytes).map_err(|broken| match broken {
            FrameError::TooLong => self.refuse(Code::H3_EXCESSIVE_LOAD, "a frame is too long"),
            FrameError::Push => self.refuse(Code::H3_STREAM_CREATION_ERROR, "a client opened a push stream"),
            FrameError::Section(SectionError::Undecodable) => {
                self.refuse(Code::QPACK_DECOMPRESSION_FAILED, "a field section cannot be decoded")
            }
            FrameError::Section(SectionError::Malformed) => {
                // It ends this stream alone (RFC 9114, 4.1.2).
                self.notes.ends.set(Some(Code::H3_MESSAGE_ERROR));
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

impl quic::RecvStream for RecvStream {
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

/// The direction of a stream that we send on.
pub struct SendStream {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    /// A small frame that is written as one piece.
    small: Bytes,
    notes: Rc<StreamNotes>,
    finished: bool,
}

impl SendStream {
    /// A stream of which nothing was sent.
    pub const fn new(stream: quinn::SendStream, notes: Rc<StreamNotes>) -> Self {
        Self { stream, writing: None, small: Bytes::new(), notes, finished: false }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if let Some(code) = self.notes.ends.get().filter(|_| !self.finished) {
            quic::SendStream::reset(self, code.value());
        }
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(writing) = &mut self.writing {
            let length = writing.remaining();
            if length > 0 && Flight::is_small(length) {
                ready!(self.notes.flight.poll_room(cx));
                self.small = self.notes.flight.piece(writing.copy_to_bytes(length));
            }
            while !self.small.is_empty() {
                // Where the writing stands is in the piece, so that the future need not be kept.
                let writing = pin!(self.stream.write_chunks(std::slice::from_mut(&mut self.small)));
                ready!(writing.poll(cx)).map_err(of_write)?;
            }
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

#[expect(clippy::expect_used, reason = "both count to 2^62 - 1 (RFC 9000, 2.1)")]
fn stream_id(id: quinn::StreamId) -> StreamId {
    u64::from(VarInt::from(id)).try_into().expect("a stream's number is below 2^62")
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::future::poll_fn;

    use tidegate_base::limits;

    use super::*;
    use crate::testing::{GET, LONGEST, Session, received, run, stopped};

    /// A frame of this type and length, up to its payload.
    fn begin(kind: u8, length: u64) -> Vec<u8> {
        [&[kind][..], &(length | 0x8000_0000).to_be_bytes()[4..]].concat()
    }

    #[test]
    fn what_breaks_the_protocol_ends_the_connection_with_its_code() {
        let head = |more: &[u8]| [&GET[..], more].concat();
        for (stream, finish, code) in [
            (begin(1, LONGEST + 1), false, Code::H3_EXCESSIVE_LOAD),
            (head(&begin(0x21, LONGEST + 1)), false, Code::H3_EXCESSIVE_LOAD),
            (vec![1, 3, 0, 0, 0x80], false, Code::QPACK_DECOMPRESSION_FAILED),
            (head(&[1, 3, 0, 0, 0x80]), false, Code::QPACK_DECOMPRESSION_FAILED),
            (GET[..5].to_vec(), true, Code::H3_FRAME_ERROR),
            (head(&[0, 5, b'x']), true, Code::H3_FRAME_ERROR),
        ] {
            run(async {
                let mut session = Session::new().await;
                let (mut to_server, _to_client, resolver) = session.open(&stream).await;
                if finish {
                    to_server.finish().unwrap();
                }
                let served = async {
                    let (_, mut stream) = resolver.resolve_request().await?;
                    while stream.recv_data().await?.is_some() {}
                    stream.recv_trailers().await
                };
                assert!(served.await.is_err(), "{stream:?}");
                assert_eq!(session.closed().await, code, "{stream:?}");
            });
        }
    }

    #[test]
    fn a_frame_of_the_longest_length_is_taken() {
        run(async {
            let mut session = Session::new().await;
            let unknown = [&begin(0x21, LONGEST)[..], &vec![0; usize::try_from(LONGEST).unwrap()]].concat();
            let mut exchange = session.request(&[&GET[..], &unknown].concat()).await.unwrap();
            exchange.to_server.finish().unwrap();
            assert!(exchange.stream.recv_data().await.unwrap().is_none());
        });
    }

    #[test]
    fn streams_of_the_client_alone_are_watched() {
        for (bytes, code) in
            [(&[1, 0][..], Code::H3_STREAM_CREATION_ERROR), (&[0, 4, 0x80, 1, 0, 0], Code::H3_EXCESSIVE_LOAD)]
        {
            run(async {
                let mut session = Session::new().await;
                let mut stream = session.client.open_uni().await.unwrap();
                stream.write_all(bytes).await.unwrap();
                assert!(session.http.accept().await.is_err());
                assert_eq!(session.closed().await, code);
            });
        }
    }

    #[test]
    fn a_malformed_head_ends_its_stream_alone() {
        run(async {
            let mut session = Session::new().await;
            // Without `:path`.
            let (to_server, mut to_client, resolver) = session.open(&[1, 4, 0, 0, 0xd1, 0xd7]).await;
            let accepted = session.side.take_accepted().unwrap();
            assert!(resolver.resolve_request().await.is_err());
            assert_eq!(accepted.notes.ends.get(), Some(Code::H3_MESSAGE_ERROR));
            assert_eq!(stopped(&to_server).await, Some(Code::H3_MESSAGE_ERROR));
            assert_eq!(received(&mut to_client).await, Err(Code::H3_MESSAGE_ERROR));
            assert!(session.request(&GET).await.is_ok(), "the next one is served");
        });
    }

    #[test]
    fn a_protocol_is_noted_and_reaches_the_request_as_a_field() {
        run(async {
            let mut session = Session::new().await;
            let section =
                [&[0, 0, 0xcf, 0xd7, 0xc1, 0x50, 1, b'a', 0x27, 2][..], b":protocol", &[9], b"websocket"].concat();
            let head = [&[1, u8::try_from(section.len()).unwrap()][..], &section].concat();
            let exchange = session.request(&head).await.unwrap();
            assert!(exchange.accepted.notes.names_protocol.get());
            assert_eq!(exchange.request.headers()[crate::field_section::PROTOCOL], "websocket");
        });
    }

    #[test]
    fn a_stream_that_is_dropped_ends_as_its_notes_say() {
        for (ends, finish, expected) in [
            // Without a code, what was sent is all.
            (None, false, Ok(vec![0, 5, b'b', b'e', b'g', b'u', b'n'])),
            (Some(Code::H3_INTERNAL_ERROR), false, Err(Code::H3_INTERNAL_ERROR)),
            (Some(Code::H3_INTERNAL_ERROR), true, Ok(vec![0, 5, b'b', b'e', b'g', b'u', b'n'])),
        ] {
            run(async {
                let mut session = Session::new().await;
                let mut exchange = session.request(&GET).await.unwrap();
                exchange.stream.send_data(Bytes::from_static(b"begun")).await.unwrap();
                exchange.accepted.notes.ends.set(ends);
                if finish {
                    exchange.stream.finish().await.unwrap();
                }
                drop(exchange.stream);
                assert_eq!(received(&mut exchange.to_client).await, expected);
            });
        }
    }

    #[test]
    fn small_pieces_wait_for_those_that_are_under_way() {
        run(async {
            let mut session = Session::new().await;
            let mut exchange = session.request(&GET).await.unwrap();
            let flight = exchange.accepted.notes.flight.clone();
            let mut pieces: Vec<_> =
                (1..limits::UNSENT_PIECES).map(|_| flight.piece(Bytes::from_static(b"x"))).collect();
            exchange.stream.send_data(Bytes::from_static(b"one fits")).await.unwrap();
            // Until the client has it.
            poll_fn(|cx| flight.poll_room(cx)).await;
            pieces.push(flight.piece(Bytes::from_static(b"x")));
            {
                let mut sending = pin!(exchange.stream.send_data(Bytes::from_static(b"one does not")));
                let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx).is_pending())).await;
                assert!(polled, "as many as may be are under way");
                pieces.pop();
                sending.await.unwrap();
            }
            let large = Bytes::from(vec![7; limits::UNSENT_PIECE]);
            pieces.push(flight.piece(Bytes::from_static(b"x")));
            exchange.stream.send_data(large.clone()).await.unwrap();
            exchange.stream.finish().await.unwrap();
            let expected = [&[0, 8][..], b"one fits", &[0, 12], b"one does not", &[0, 0x44, 0], &large].concat();
            assert_eq!(received(&mut exchange.to_client).await.unwrap(), expected);
        });
    }

    #[test]
    fn a_client_that_stops_or_leaves_is_told_apart() {
        run(async {
            let mut session = Session::new().await;
            let mut exchange = session.request(&GET).await.unwrap();
            exchange.to_client.stop(VarInt::from_u32(0x10c)).unwrap();
            exchange.accepted.stopped.await.unwrap();
            let error = exchange.stream.send_data(Bytes::from_static(b"late")).await.unwrap_err();
            assert!(matches!(error, h3::error::StreamError::RemoteTerminate { code, .. } if code == Code::from(0x10c)));
            let mut exchange = session.request(&GET).await.unwrap();
            session.client.close(VarInt::from_u32(0x100), b"");
            exchange.accepted.stopped.await.unwrap_err();
            let error = exchange.stream.send_data(Bytes::from_static(b"late")).await.unwrap_err();
            assert!(matches!(error, h3::error::StreamError::ConnectionError { .. }), "{error:?}");
        });
    }
}
