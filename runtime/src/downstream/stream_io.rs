//! An HTTP/2 stream as bytes: what a tunnel moves (RFC 8441, 5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tidegate_base::flight::Flight;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a stream.
pub struct StreamIo {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    /// Received, and not yet read.
    left: Bytes,
    flight: Flight,
}

impl StreamIo {
    /// The bytes of a stream whose heads have been exchanged.
    pub fn new(sender: SendStream<Bytes>, receiver: RecvStream) -> Self {
        Self { sender, receiver, left: Bytes::new(), flight: Flight::default() }
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receiver.poll_data(cx)) {
                Some(Ok(data)) => self.left = data,
                // A peer that wants no more has ended in order (RFC 8441, 5: RST_STREAM with CANCEL is a TCP reset).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left.split_to(count));
        // Fails only for a stream that is gone, which the next poll says better.
        let _ = self.receiver.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(reset) = self.sender.poll_reset(cx) {
            return Poll::Ready(Err(broken(reset.map_or_else(|error| error, h2::Error::from))));
        }
        // What waits meanwhile comes as one piece.
        ready!(self.flight.poll_room(cx));
        self.sender.reserve_capacity(buf.len());
        let room = match self.sender.capacity() {
            0 => match ready!(self.sender.poll_capacity(cx)) {
                Some(room) => room.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => room,
        };
        let piece = buf.get(..room.min(buf.len())).unwrap_or_default();
        let counted = self.flight.piece(Bytes::copy_from_slice(piece));
        self.sender.send_data(counted, false).map_err(broken)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes what was handed over.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.send_data(Bytes::new(), true).map_err(broken))
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}
