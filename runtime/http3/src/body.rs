//! A client's body as it arrives on an HTTP/3 stream.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http_body::Frame;
use tidegate_base::failure::Failure;

use crate::streams::RecvStream;

/// The rest of a request after its head.
pub struct Http3Body {
    stream: RequestStream<RecvStream, Bytes>,
    /// What was read to see whether there is a body at all.
    first: Option<Frame<Bytes>>,
    /// Bytes that `Content-Length` announced and that have not come.
    announced: Option<u64>,
    /// The client waits to be told to go on (RFC 9110, 10.1.1).
    waits: bool,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Data,
    Trailers,
    Done,
}

impl Http3Body {
    /// A body of the announced length, if one was announced.
    pub const fn new(stream: RequestStream<RecvStream, Bytes>, announced: Option<u64>, waits: bool) -> Self {
        Self { stream, first: None, announced, waits, reading: Reading::Data }
    }

    /// Looks whether the request ends with its head, as far as it has arrived. Nothing is lost by looking.
    ///
    /// # Errors
    /// The body is malformed from its first frame on.
    pub fn look(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Poll::Ready(Some(frame)) = self.poll_frame(cx) {
            self.first = Some(frame?);
        }
        Ok(())
    }

    /// Whether nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        self.reading == Reading::Done && self.first.is_none()
    }

    /// Whether the client waits to be told to go on; says so once.
    pub const fn take_waits(&mut self) -> bool {
        std::mem::replace(&mut self.waits, false)
    }

    /// The next part.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.reading == Reading::Data {
            match ready!(self.stream.poll_recv_data(cx)) {
                Ok(Some(mut data)) => {
                    // The library's buffer is one piece of `Bytes`: nothing is copied.
                    let data = data.copy_to_bytes(data.remaining());
                    return Poll::Ready(Some(self.count(data)));
                }
                Ok(None) => self.reading = Reading::Trailers,
                Err(error) => return Poll::Ready(Some(Err(self.fail(&error)))),
            }
        }
        if self.reading == Reading::Trailers {
            let trailers = match ready!(self.stream.poll_recv_trailers(cx)) {
                Ok(trailers) => trailers,
                Err(error) => return Poll::Ready(Some(Err(self.fail(&error)))),
            };
            self.reading = Reading::Done;
            if self.announced.is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(self.malformed())));
            }
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(None)
    }

    /// Counts what came against what was announced (RFC 9114, 4.1.2).
    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Failure> {
        if let Some(left) = self.announced {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            match left.checked_sub(length) {
                Some(left) => self.announced = Some(left),
                None => return Err(self.malformed()),
            }
        }
        Ok(Frame::data(data))
    }

    fn malformed(&mut self) -> Failure {
        self.stream.stop_sending(Code::H3_MESSAGE_ERROR);
        self.reading = Reading::Done;
        Failure::ClientBody
    }

    /// A client that resets the stream or closes the connection has left; everything else is a mistake in the body.
    fn fail(&mut self, error: &StreamError) -> Failure {
        self.reading = Reading::Done;
        match error {
            StreamError::RemoteTerminate { .. } | StreamError::ConnectionError { .. } => Failure::ClientClosed,
            _ => Failure::ClientBody,
        }
    }
}

impl Drop for Http3Body {
    fn drop(&mut self) {
        if self.reading != Reading::Done {
            // The answer is what counts; the rest of the request need not be sent (RFC 9114, 4.1).
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}
