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
use crate::request::context::Ending;
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
    ending: Option<Ending>,
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
    pub fn ours(bytes: Bytes, state: Rc<StreamState>, ending: Option<Ending>) -> Self {
        Self::new(Source::Ours((!bytes.is_empty()).then_some(bytes)), state, ending)
    }

    /// A backend's answer.
    pub fn upstream(body: UpstreamBody, state: Rc<StreamState>, ending: Option<Ending>) -> Self {
        Self::new(Source::Upstream(body), state, ending)
    }

    fn new(source: Source, state: Rc<StreamState>, ending: Option<Ending>) -> Self {
        let (sent, done, unread, decided) = (0, false, false, Changed::default());
        Self { prefix: None, trailers: None, source, filter: None, state, ending, sent, done, unread, decided }
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
        if let Some(mut ending) = self.ending.take() {
            ending.end(self.sent, failure);
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
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.sent += length;
                    self.state.connection.cells.sent.add(length);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http_body_util::BodyExt;
    use tidegate_base::failure::Failure;

    use super::*;
    use crate::request::state::Phase;
    use crate::request::tests::context;
    use crate::tests::{House, run};

    fn ours(house: &House, data: &'static str) -> (ResponseBody, Rc<StreamState>) {
        let stream = house.stream();
        stream.begin_response();
        let context = context(&stream, true);
        (ResponseBody::ours(data.into(), Rc::clone(&stream), Some(Ending::Told(context))), stream)
    }

    /// The bytes sent, and the failure, of the only line.
    fn ending(house: &House) -> (u64, String) {
        let line = house.line();
        (line["bytes"].as_u64().unwrap(), line["failure"].as_str().unwrap_or("none").to_owned())
    }

    struct Shouts;

    impl BodyFilter for Shouts {
        fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
            if data == "no" {
                return Err(Failure::Extension);
            }
            Ok(if last { "!".into() } else { data.to_ascii_uppercase().into() })
        }
    }

    #[test]
    fn the_last_byte_ends_the_request() {
        let house = House::answering("");
        let (mut body, stream) = ours(&house, "hello");
        assert_eq!(body.size_hint().exact(), Some(5));
        assert!(house.log().is_empty() && stream.phase() == Phase::Responding);
        let frame = run(async { body.frame().await.unwrap().unwrap() });
        assert_eq!(frame.into_data().unwrap(), "hello");
        assert!(body.is_end_stream() && stream.phase() == Phase::Idle);
        assert_eq!(ending(&house), (5, "none".into()), "it is not polled to its end");
        drop(body);
        assert!(house.log().is_empty());
    }

    #[test]
    fn a_body_that_is_dropped_unread_had_a_client_that_left() {
        let house = House::answering("");
        drop(ours(&house, "hello"));
        assert_eq!(ending(&house), (0, "client-closed".into()));
    }

    #[test]
    fn a_body_that_is_dropped_failed_as_the_connection_knows() {
        let house = House::answering("");
        let (body, stream) = ours(&house, "hello");
        stream.set_ending(Failure::ClientTimeout);
        drop(body);
        assert_eq!(ending(&house), (0, "client-timeout".into()));
    }

    #[test]
    fn a_body_of_which_only_the_head_is_sent_is_no_failure() {
        let house = House::answering("");
        let (mut body, _) = ours(&house, "hello");
        body.expect_unread();
        drop(body);
        assert_eq!(ending(&house), (0, "none".into()));
    }

    #[test]
    fn an_empty_body_has_ended_before_it_is_read() {
        let house = House::answering("");
        let (body, _) = ours(&house, "");
        assert!(body.is_end_stream());
        drop(body);
        assert_eq!(ending(&house), (0, "none".into()));
    }

    #[test]
    fn what_was_read_ahead_comes_first_and_its_trailers_are_screened() {
        let house = House::answering("");
        let (mut body, _) = ours(&house, "");
        let trailers = [("x", "y"), ("content-length", "3"), ("decided", "z")];
        let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        body.put_back_all("ahead".into(), Some(Box::new(HeaderMap::from_iter(trailers))));
        let mut decided = Changed::watched();
        decided.note(&"decided".parse().unwrap());
        body.screen_trailers(decided);
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        let collected = run(body.collect()).unwrap();
        let left: Vec<_> = collected.trailers().unwrap().keys().collect();
        assert_eq!(left, ["x"]);
        assert_eq!(collected.to_bytes(), "ahead");
        assert_eq!(ending(&house), (5, "none".into()));
    }

    #[test]
    fn whoever_looks_at_a_body_changes_what_leaves_and_what_is_counted() {
        let house = House::answering("");
        let (mut body, _) = ours(&house, "hello");
        body.stack(Box::new(Shouts));
        assert!(body.size_hint().exact().is_none());
        assert_eq!(run(body.collect()).unwrap().to_bytes(), "HELLO!");
        assert_eq!(ending(&house), (6, "none".into()));
    }

    #[test]
    fn whoever_looks_at_a_body_may_end_it() {
        let house = House::answering("");
        let (mut body, stream) = ours(&house, "no");
        body.stack(Box::new(Shouts));
        let error = run(async { body.frame().await.unwrap().unwrap_err() });
        assert_eq!(error.to_string(), Failure::Extension.row().text);
        assert_eq!((ending(&house), stream.phase()), ((0, "extension".into()), Phase::Idle));
    }
}
