//! Bodies on their way through: streamed both ways with back-pressure, counted and watched, never gathered.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tidegate_base::failure::{BodyError, Failure};
use tidegate_engine::exchange::Changed;
use tidegate_engine::passage;

use crate::request::body_filter::BodyFilter;
use crate::request::body_filter::BodyFilters;
use crate::request::body_filter::Passed;
use crate::request::client_body::ClientBody;
use crate::request::context::RequestContext;
use crate::request::state::StreamState;

/// The body of a backend's answer.
pub type UpstreamBody = tidegate_upstream::UpstreamBody<RequestBody>;

/// A connection to a backend that has agreed to switch protocols.
pub type Switched = tidegate_upstream::Switched<RequestBody>;

/// How a body failed, and the error for the connection.
type Broken = (Failure, BodyError);

/// A client's body on its way to a backend.
pub struct RequestBody {
    /// What was read ahead.
    prefix: Option<Bytes>,
    incoming: ClientBody,
    filter: Option<Box<BodyFilters>>,
    state: Rc<StreamState>,
    /// Bytes that may still come.
    left: u64,
    /// Fields that the trailers cannot bring.
    decided: Changed,
}

impl RequestBody {
    /// Passes on at most `limit` bytes.
    pub fn new(incoming: ClientBody, state: Rc<StreamState>, limit: Option<u64>) -> Self {
        let incoming = if incoming.is_end_stream() { ClientBody::Empty } else { incoming };
        Self {
            prefix: None,
            incoming,
            filter: None,
            state,
            left: limit.unwrap_or(u64::MAX),
            decided: Changed::default(),
        }
    }

    /// A body that is known whole.
    pub fn whole(data: Bytes, state: Rc<StreamState>) -> Self {
        Self { prefix: (!data.is_empty()).then_some(data), ..Self::empty(state) }
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
    pub fn empty(state: Rc<StreamState>) -> Self {
        Self { prefix: None, incoming: ClientBody::Empty, filter: None, state, left: 0, decided: Changed::default() }
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
        if this.filter.is_none() {
            return this.poll_incoming(cx);
        }
        loop {
            let ended = this.filter.as_ref().is_none_or(|filter| filter.has_ended());
            let frame = match if ended { None } else { ready!(this.poll_incoming(cx)) } {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => None,
            };
            let Some(filter) = &mut this.filter else { return Poll::Ready(None) };
            match filter.pass(frame) {
                Ok(Passed::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Passed::More) => {}
                Ok(Passed::End) => return Poll::Ready(None),
                Err(failure) => return this.fail(failure),
            }
        }
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
        let polled = self.incoming.poll(&self.state, cx);
        self.state.set_body_due(polled.is_pending());
        match ready!(polled) {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX));
                self.state.count_body(length);
                match self.left.checked_sub(length) {
                    Some(left) => self.left = left,
                    None => return self.fail(Failure::BodyTooLarge),
                }
                self.state.note_upstream();
                Poll::Ready(if frame.is_data() { Some(Ok(frame)) } else { screened(frame, &self.decided).map(Ok) })
            }
            Some(Err(failure)) => self.fail(failure),
            None => Poll::Ready(None),
        }
    }
}

/// The frame of trailers as it goes on: those that may; nothing if none are left.
fn screened(frame: Frame<Bytes>, decided: &Changed) -> Option<Frame<Bytes>> {
    let mut trailers = frame.into_trailers().ok()?;
    passage::screen_trailers(&mut trailers, decided);
    (!trailers.is_empty()).then(|| Frame::trailers(trailers))
}

/// An answer's body on its way to the client. Its end, however it comes, ends the request: the line is logged, the
/// backend's connection goes back to its pool, and the client's connection waits for the next request.
pub struct ResponseBody {
    /// What was read ahead.
    prefix: Option<Bytes>,
    /// Trailers that were read ahead.
    trailers: Option<Box<HeaderMap>>,
    source: Source,
    filter: Option<Box<BodyFilters>>,
    state: Rc<StreamState>,
    context: Option<Box<RequestContext>>,
    sent: u64,
    done: bool,
    /// Only its head is sent.
    unread: bool,
    /// Fields that the trailers cannot bring.
    decided: Changed,
}

enum Source {
    /// Made here.
    Ours(Option<Bytes>),
    /// From a backend.
    Upstream(UpstreamBody),
}

impl ResponseBody {
    /// An answer made here.
    pub fn ours(bytes: Bytes, state: Rc<StreamState>, context: Option<Box<RequestContext>>) -> Self {
        Self::new(Source::Ours((!bytes.is_empty()).then_some(bytes)), state, context)
    }

    /// A backend's answer.
    pub fn upstream(body: UpstreamBody, state: Rc<StreamState>, context: Option<Box<RequestContext>>) -> Self {
        Self::new(Source::Upstream(body), state, context)
    }

    fn new(source: Source, state: Rc<StreamState>, context: Option<Box<RequestContext>>) -> Self {
        let (sent, done, unread, decided) = (0, false, false, Changed::default());
        Self { prefix: None, trailers: None, source, filter: None, state, context, sent, done, unread, decided }
    }

    /// Keeps out of the trailers what was decided about in the head.
    pub fn screen_trailers(&mut self, decided: Changed) {
        self.decided = decided;
    }

    /// Only its head will be sent, as in an answer to HEAD (RFC 9110, 9.3.2): that nobody reads it is no failure.
    pub fn expect_unread(&mut self) {
        self.unread = match &self.source {
            Source::Ours(_) => true,
            Source::Upstream(body) => body.is_end_stream(),
        };
    }

    /// Puts back what was read ahead.
    pub fn put_back(&mut self, data: Bytes) {
        self.prefix = (!data.is_empty()).then_some(data);
    }

    /// Puts back what was read ahead to the end of the body.
    pub fn put_back_all(&mut self, data: Bytes, trailers: Option<Box<HeaderMap>>) {
        self.put_back(data);
        self.trailers = trailers;
    }

    /// Shows what passes to somebody, after those who look already. It is done before the first frame.
    pub fn stack(&mut self, pieces: Box<dyn BodyFilter>) {
        match &mut self.filter {
            Some(filter) => filter.stack(pieces),
            None => self.filter = Some(Box::new(BodyFilters::new(pieces))),
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(data) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(screened(Frame::trailers(*trailers), &self.decided).map(Ok));
        }
        match &mut self.source {
            Source::Ours(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(screened(frame, &self.decided).map(Ok)),
                other => Poll::Ready(other),
            },
        }
    }

    /// The next frame, after whoever looks at it; the error is how the body failed.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let broken = |error: BodyError| (Failure::UpstreamBody, error);
        if self.filter.is_none() {
            return self.poll_source(cx).map(|frame| frame.map(|frame| frame.map_err(broken)));
        }
        loop {
            let ended = self.filter.as_ref().is_none_or(|filter| filter.has_ended());
            let frame = match if ended { None } else { ready!(self.poll_source(cx)) } {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(broken(error)))),
                None => None,
            };
            let Some(filter) = &mut self.filter else { return Poll::Ready(None) };
            match filter.pass(frame) {
                Ok(Passed::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Passed::More) => {}
                Ok(Passed::End) => return Poll::Ready(None),
                Err(failure) => return Poll::Ready(Some(Err((failure, failure.row().text.into())))),
            }
        }
    }

    fn finish(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if let Source::Upstream(body) = &mut self.source {
            body.finish(failure.is_none(), self.state.worker().now_ms());
        }
        self.state.end_request();
        if let Some(context) = &mut self.context {
            context.end(self.sent, failure);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match ready!(self.poll_passed(cx)) {
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
            Some(Err((failure, error))) => {
                self.finish(Some(failure));
                Poll::Ready(Some(Err(error)))
            }
            None => {
                self.finish(None);
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none()
            && self.trailers.is_none()
            && self.filter.as_ref().is_none_or(|_| self.done)
            && match &self.source {
                Source::Ours(bytes) => bytes.is_none(),
                Source::Upstream(body) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        if self.filter.is_some() || self.prefix.is_some() || self.trailers.is_some() {
            return SizeHint::default();
        }
        match &self.source {
            Source::Ours(Some(bytes)) => SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX)),
            Source::Ours(None) => SizeHint::with_exact(0),
            Source::Upstream(body) => body.size_hint(),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        let whole = self.unread || self.is_end_stream();
        let failure = (!whole).then(|| self.state.ending().unwrap_or(Failure::ClientClosed));
        self.finish(failure);
    }
}
