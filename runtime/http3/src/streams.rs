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

/// What both directions of a request's stream, and who serves it, know of it.
#[derive(Default)]
pub struct StreamNotes {
    /// What the client is told if the answer's direction is dropped before its end; otherwise that is the end.
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
    /// Both directions.
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

/// What a client sends on a stream.
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

/// What we send on a stream.
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
