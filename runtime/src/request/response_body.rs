//! A response's body on its way to the client: streamed with back-pressure, counted and watched, never gathered.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tidegate_base::failure::{BodyError, Failure};
use tidegate_engine::exchange::Changed;

use crate::request::body_filter::{BodyFilter, BodyFilters, Refused};
use crate::request::context::RequestContext;
use crate::request::fields::screened_trailers;
use crate::request::request_body::UpstreamBody;
use crate::request::state::StreamState;

/// How a body failed, and the error for the connection.
type Broken = (Failure, BodyError);

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
            return Poll::Ready(screened_trailers(Frame::trailers(*trailers), &self.decided).map(Ok));
        }
        match &mut self.source {
            Source::Ours(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Source::Upstream(body) => match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => Poll::Ready(screened_trailers(frame, &self.decided).map(Ok)),
                other => Poll::Ready(other),
            },
        }
    }

    /// The next frame, after whoever looks at it; the error is how the body failed.
    fn poll_passed(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let broken = |error: BodyError| (Failure::UpstreamBody, error);
        let Some(mut filter) = self.filter.take() else {
            return self.poll_source(cx).map(|frame| frame.map(|frame| frame.map_err(broken)));
        };
        let polled = filter.poll(|| self.poll_source(cx));
        self.filter = Some(filter);
        polled.map(|frame| {
            frame.map(|frame| {
                frame.map_err(|refused| match refused {
                    Refused::Body(error) => broken(error),
                    Refused::Filter(failure) => (failure, failure.row().text.into()),
                })
            })
        })
    }

    fn finish(&mut self, failure: Option<Failure>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        if let Source::Upstream(body) = &mut self.source {
            body.finish(failure.is_none(), self.state.worker().now_ms());
        }
        self.state.end_request();
        // Taken, so that it does not outlive the request while the last piece waits for the client.
        if let Some(mut context) = self.context.take() {
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
