//! A client's body on its way to a server: streamed with back-pressure, counted and watched, never gathered.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tidegate_base::failure::{BodyError, Failure};
use tidegate_engine::exchange::Changed;

use crate::request::body_filter::{BodyFilter, BodyFilters, Refused};
use crate::request::client_body::{ClientBody, Progress};
use crate::request::fields::screened_trailers;

/// The body of a backend's answer.
pub type UpstreamBody = tidegate_upstream::UpstreamBody<RequestBody>;

/// A connection to a backend that has agreed to switch protocols.
pub type Switched = tidegate_upstream::Switched<RequestBody>;

/// A client's body on its way to a backend.
pub struct RequestBody {
    /// What was read ahead.
    prefix: Option<Bytes>,
    incoming: ClientBody,
    filter: Option<Box<BodyFilters>>,
    progress: Rc<dyn Progress>,
    /// Bytes that may still come.
    left: u64,
    /// Fields that the trailers cannot bring.
    decided: Changed,
}

impl RequestBody {
    /// Passes on at most `limit` bytes.
    pub fn new(incoming: ClientBody, progress: Rc<dyn Progress>, limit: Option<u64>) -> Self {
        let incoming = if incoming.is_end_stream() { ClientBody::Empty } else { incoming };
        Self {
            prefix: None,
            incoming,
            filter: None,
            progress,
            left: limit.unwrap_or(u64::MAX),
            decided: Changed::default(),
        }
    }

    /// A body that is known whole.
    pub fn whole(data: Bytes, progress: Rc<dyn Progress>) -> Self {
        Self { prefix: (!data.is_empty()).then_some(data), ..Self::empty(progress) }
    }

    /// Puts back what was read ahead.
    pub fn put_back(&mut self, data: Bytes) {
        self.prefix = (!data.is_empty()).then_some(data);
    }

    /// Shows what passes to somebody, after those who look already. It is done before the first frame.
    pub fn stack(&mut self, pieces: Box<dyn BodyFilter>) {
        match &mut self.filter {
            Some(filter) => filter.stack(pieces),
            None => self.filter = Some(Box::new(BodyFilters::new(pieces))),
        }
    }

    /// Keeps out of the trailers what was decided about in the head.
    pub fn screen_trailers(&mut self, decided: Changed) {
        self.decided = decided;
    }

    /// A request without a body.
    pub fn empty(progress: Rc<dyn Progress>) -> Self {
        Self { prefix: None, incoming: ClientBody::Empty, filter: None, progress, left: 0, decided: Changed::default() }
    }
}

impl RequestBody {
    fn broken(&self, refused: Refused) -> BodyError {
        match refused {
            Refused::Body(error) => error,
            Refused::Filter(failure) => self.error(failure),
        }
    }

    fn error(&self, failure: Failure) -> BodyError {
        self.progress.set_ending(failure);
        failure.row().text.into()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(mut filter) = self.filter.take() else { return self.poll_incoming(cx) };
        let polled = filter.poll(|| self.poll_incoming(cx));
        self.filter = Some(filter);
        polled.map(|frame| frame.map(|frame| frame.map_err(|refused| self.broken(refused))))
    }

    fn is_end_stream(&self) -> bool {
        self.filter.is_none() && self.prefix.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.filter.is_some() {
            return SizeHint::default();
        }
        let prefix = self.prefix.as_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
        match &self.incoming {
            ClientBody::Empty => SizeHint::with_exact(prefix),
            ClientBody::Http1(body) if prefix == 0 => body.size_hint(),
            // Its length, if it is known, stands in the head.
            ClientBody::Http1(_) | ClientBody::Http2 { .. } | ClientBody::Http3(_) => SizeHint::default(),
        }
    }
}

impl RequestBody {
    /// The next frame as the client sent it.
    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if matches!(self.incoming, ClientBody::Empty) {
            return Poll::Ready(None);
        }
        let polled = self.incoming.poll(&*self.progress, cx);
        self.progress.set_body_due(polled.is_pending());
        match ready!(polled) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                self.progress.count_body(length);
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return Poll::Ready(Some(Err(self.error(Failure::BodyTooLarge)))),
                }
                self.progress.note_upstream();
                Poll::Ready(if frame.is_data() {
                    Some(Ok(frame))
                } else {
                    screened_trailers(frame, &self.decided).map(Ok)
                })
            }
            Some(Err(failure)) => Poll::Ready(Some(Err(self.error(failure)))),
            None => Poll::Ready(None),
        }
    }
}
