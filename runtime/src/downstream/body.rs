//! Bodies on their way through: streamed both ways with back-pressure, counted and watched, never gathered.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
pub use hyper::body::Incoming;

use super::h3_body::Http3Body;
use super::state::StreamState;
use crate::failure::Failure;
use crate::http2;
use crate::telemetry::access_log::Record;
use crate::upstream::body::UpstreamBody;

/// The error of both bodies: the connection is closed, and the reason stands in the record.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A client's body as it arrives, in any version of HTTP.
pub enum ClientBody {
    /// There is none.
    Empty,
    /// HTTP/1; hyper tells a client that waits for it to go on.
    Http1(Incoming),
    /// HTTP/2.
    Http2 {
        /// Its stream.
        stream: h2::RecvStream,
        /// The client waits to be told to go on (RFC 9110, 10.1.1).
        waits: bool,
    },
    /// HTTP/3; in a box, because it is the largest.
    Http3(Box<Http3Body>),
}

impl ClientBody {
    /// Whether nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(incoming) => incoming.is_end_stream(),
            Self::Http2 { stream, .. } => stream.is_end_stream(),
            Self::Http3(body) => body.is_end_stream(),
        }
    }

    /// The stream that it comes on, if the connection has several.
    pub fn into_stream(self) -> Option<h2::RecvStream> {
        match self {
            Self::Http2 { stream, .. } => Some(stream),
            Self::Empty | Self::Http1(_) | Self::Http3(_) => None,
        }
    }

    fn poll(&mut self, state: &StreamState, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Http1(incoming) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| Failure::ClientBody)))
            }
            Self::Http2 { stream, waits } => {
                let polled = http2::poll_frame(stream, cx);
                if polled.is_pending() && std::mem::take(waits) {
                    state.want_continue();
                }
                polled.map(|frame| frame.map(|frame| frame.map_err(|error| client_failure(&error))))
            }
            Self::Http3(body) => {
                let polled = body.poll_frame(cx);
                if polled.is_pending() && body.take_waits() {
                    state.want_continue();
                }
                polled
            }
        }
    }
}

/// A client that resets a stream or closes the connection has left; everything else is a mistake in the body.
fn client_failure(error: &h2::Error) -> Failure {
    if error.is_remote() || error.is_io() { Failure::ClientClosed } else { Failure::ClientBody }
}

/// A client's body on its way to a backend.
pub struct RequestBody {
    incoming: ClientBody,
    state: Rc<StreamState>,
    /// Bytes that may still come.
    left: u64,
}

impl RequestBody {
    /// Passes on at most `limit` bytes.
    pub fn new(incoming: ClientBody, state: Rc<StreamState>, limit: Option<u64>) -> Self {
        let incoming = if incoming.is_end_stream() { ClientBody::Empty } else { incoming };
        Self { incoming, state, left: limit.unwrap_or(u64::MAX) }
    }

    /// A request without a body.
    pub fn empty(state: Rc<StreamState>) -> Self {
        Self { incoming: ClientBody::Empty, state, left: 0 }
    }

    fn fail(&self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.state.set_ending(failure);
        Poll::Ready(Some(Err(failure.row().text.into())))
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if matches!(this.incoming, ClientBody::Empty) {
            return Poll::Ready(None);
        }
        let polled = this.incoming.poll(&this.state, cx);
        this.state.set_body_due(polled.is_pending());
        match ready!(polled) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return this.fail(Failure::BodyTooLarge),
                }
                this.state.note_upstream();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(failure)) => this.fail(failure),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            ClientBody::Empty => SizeHint::with_exact(0),
            ClientBody::Http1(incoming) => incoming.size_hint(),
            // Its length, if it is known, stands in the head.
            ClientBody::Http2 { .. } | ClientBody::Http3(_) => SizeHint::default(),
        }
    }
}

/// An answer's body on its way to the client. Its end, however it comes, ends the request: the line is logged, the
/// backend's connection goes back to its pool, and the client's connection waits for the next request.
pub struct ResponseBody {
    source: Source,
    state: Rc<StreamState>,
    record: Option<Box<Record>>,
    sent: u64,
    done: bool,
}

enum Source {
    /// Made here.
    Ours(Option<Bytes>),
    /// From a backend.
    Upstream(UpstreamBody),
}

impl ResponseBody {
    /// An answer made here.
    pub fn ours(bytes: Bytes, state: Rc<StreamState>, record: Option<Box<Record>>) -> Self {
        Self { source: Source::Ours((!bytes.is_empty()).then_some(bytes)), state, record, sent: 0, done: false }
    }

    /// A backend's answer.
    pub fn upstream(body: UpstreamBody, state: Rc<StreamState>, record: Option<Box<Record>>) -> Self {
        Self { source: Source::Upstream(body), state, record, sent: 0, done: false }
    }

    fn finish(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if let Source::Upstream(body) = &mut self.source {
            body.finish(failure.is_none(), self.state.worker().now_ms());
        }
        self.state.end_request();
        if let Some(record) = self.record.take() {
            record.write(&self.state, self.sent, failure);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.source {
            Source::Ours(bytes) => bytes.take().map(|bytes| Ok(Frame::data(bytes))),
            Source::Upstream(body) => ready!(body.poll_frame(cx)),
        };
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.sent += u64::try_from(data.len()).unwrap_or(u64::MAX);
                }
                self.state.note_upstream();
                // A body of known length is not polled to its end.
                if self.is_end_stream() {
                    self.finish(None);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.finish(Some(Failure::UpstreamBody));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.finish(None);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ours(bytes) => bytes.is_none(),
            Source::Upstream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(Some(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Source::Ours(None) => SizeHint::with_exact(0),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let failure = (!self.is_end_stream()).then(|| self.state.ending().unwrap_or(Failure::ClientClosed));
        self.finish(failure);
    }
}
