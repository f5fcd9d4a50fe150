//! Bodies on their way through: streamed both ways with back-pressure, counted and watched, never gathered.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
pub use hyper::body::Incoming;

use super::state::ConnectionState;
use crate::failure::Failure;
use crate::telemetry::access_log::Record;
use crate::upstream::pool::Lease;

/// The error of both bodies: the connection is closed, and the reason stands in the record.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A client's body on its way to a backend.
pub struct RequestBody {
    incoming: Option<Incoming>,
    state: Rc<ConnectionState>,
    /// Bytes that may still come.
    left: u64,
}

impl RequestBody {
    /// Passes on at most `limit` bytes.
    pub fn new(incoming: Incoming, state: Rc<ConnectionState>, limit: Option<u64>) -> Self {
        let incoming = (!incoming.is_end_stream()).then_some(incoming);
        Self { incoming, state, left: limit.unwrap_or(u64::MAX) }
    }

    /// A request without a body.
    pub fn empty(state: Rc<ConnectionState>) -> Self {
        Self { incoming: None, state, left: 0 }
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
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        self.state.set_body_due(polled.is_pending());
        match ready!(polled) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return self.fail(Failure::BodyTooLarge),
                }
                self.state.note_upstream();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => self.fail(Failure::ClientBody),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

/// An answer's body on its way to the client. Its end, however it comes, ends the request: the line is logged, the
/// backend's connection goes back to its pool, and the client's connection waits for the next request.
pub struct ResponseBody {
    source: Source,
    state: Rc<ConnectionState>,
    record: Option<Box<Record>>,
    sent: u64,
    done: bool,
}

enum Source {
    /// Made here.
    Ours(Option<Bytes>),
    /// From a backend.
    Upstream(Incoming, Option<Lease>),
}

impl ResponseBody {
    /// An answer made here.
    pub fn ours(bytes: Bytes, state: Rc<ConnectionState>, record: Option<Box<Record>>) -> Self {
        Self { source: Source::Ours((!bytes.is_empty()).then_some(bytes)), state, record, sent: 0, done: false }
    }

    /// A backend's answer.
    pub fn upstream(incoming: Incoming, lease: Lease, state: Rc<ConnectionState>, record: Option<Box<Record>>) -> Self {
        Self { source: Source::Upstream(incoming, Some(lease)), state, record, sent: 0, done: false }
    }

    fn finish(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if let Source::Upstream(_, lease) = &mut self.source
            && let Some(lease) = lease.take()
            && failure.is_none()
        {
            lease.give_back(self.state.worker.now_ms());
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
            Source::Upstream(incoming, _) => ready!(Pin::new(incoming).poll_frame(cx)),
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
                Poll::Ready(Some(Err(error.into())))
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
            Source::Upstream(incoming, _) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ours(Some(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Source::Ours(None) => SizeHint::with_exact(0),
            Source::Upstream(incoming, _) => incoming.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let failure = (!self.is_end_stream()).then(|| self.state.ending().unwrap_or(Failure::ClientClosed));
        self.finish(failure);
    }
}
