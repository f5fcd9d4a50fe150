//! HTTP/2 streams as bodies: what the client's side and the backend's side have in common.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use http::HeaderMap;
use http_body::{Body, Frame};

/// The next part of a body that arrives on a stream. What is handed out counts as read (RFC 9113, 5.2): the sender
/// may send as much again, so a reader that pauses is what holds it back.
pub fn poll_frame(stream: &mut RecvStream, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
    match ready!(stream.poll_data(cx)) {
        Some(Ok(data)) => {
            // Fails only for a stream that is gone, which the next poll says better.
            let _ = stream.flow_control().release_capacity(data.len());
            Poll::Ready(Some(Ok(Frame::data(data))))
        }
        // A peer that has its answer, or no more interest, ends the rest of the body with NO_ERROR (RFC 9113, 8.1).
        Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
        Some(Err(error)) => Poll::Ready(Some(Err(error))),
        None => match ready!(stream.poll_trailers(cx)) {
            Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
            Err(error) => Poll::Ready(Some(Err(error))),
        },
    }
}

/// Why a body did not reach its peer whole.
#[derive(Debug)]
pub enum Broken {
    /// The peer wants no more of it, or the connection is gone.
    Peer(h2::Error),
    /// The body itself failed.
    Body,
}

/// A body on its way into a stream, at the pace that the peer's windows allow.
pub struct Sending {
    stream: SendStream<Bytes>,
    /// Read from the body, and not yet sent.
    chunk: Bytes,
}

impl Sending {
    /// Sends into this stream.
    pub fn new(stream: SendStream<Bytes>) -> Self {
        Self { stream, chunk: Bytes::new() }
    }

    /// Ends the stream at once.
    pub fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }

    /// Ends the body here, with these trailers.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn end(&mut self, trailers: HeaderMap) -> Result<(), h2::Error> {
        self.stream.send_trailers(trailers)
    }

    /// Sends what is there; ready when all is sent, or nothing more can be. `progress` hears of every piece, and whether
    /// the peer's window holds it back.
    pub fn poll<B>(
        &mut self,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
        progress: impl Fn(bool),
    ) -> Poll<Result<(), Broken>>
    where
        B: Body<Data = Bytes>,
    {
        loop {
            if self.chunk.is_empty() {
                if let Poll::Ready(reset) = self.stream.poll_reset(cx) {
                    return Poll::Ready(Err(Broken::Peer(reset.map_or_else(|error| error, h2::Error::from))));
                }
                match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) if data.is_empty() && !body.is_end_stream() => continue,
                        Ok(data) => {
                            self.stream.reserve_capacity(data.len());
                            self.chunk = data;
                        }
                        Err(frame) => {
                            let trailers = frame.into_trailers().unwrap_or_default();
                            return Poll::Ready(self.stream.send_trailers(trailers).map_err(Broken::Peer));
                        }
                    },
                    Some(Err(_)) => return Poll::Ready(Err(Broken::Body)),
                    None => return Poll::Ready(self.stream.send_data(Bytes::new(), true).map_err(Broken::Peer)),
                }
            }
            let room = match self.stream.capacity() {
                _ if self.chunk.is_empty() => 0,
                0 => match self.stream.poll_capacity(cx) {
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Broken::Peer(error))),
                    Poll::Ready(None) => return Poll::Ready(Err(Broken::Peer(Reason::CANCEL.into()))),
                    Poll::Pending => {
                        progress(true);
                        return Poll::Pending;
                    }
                },
                room => room,
            };
            let piece = self.chunk.split_to(room.min(self.chunk.len()));
            let last = self.chunk.is_empty() && body.is_end_stream();
            self.stream.send_data(piece, last).map_err(Broken::Peer)?;
            progress(false);
            if last {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
