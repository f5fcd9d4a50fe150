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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::HeaderMap;
    use http_body_util::BodyExt;

    use super::*;
    use crate::request::state::StreamState;
    use crate::request::tests;
    use crate::tests::{House, run, settle};

    /// A body that arrives, whoever sends it, and the stream that is told.
    async fn arriving(limit: Option<u64>) -> (h2::SendStream<Bytes>, RequestBody, Rc<StreamState>) {
        let (sender, stream) = tests::body().await;
        let state = House::answering("").stream();
        state.begin_request(std::time::Duration::from_secs(1));
        let incoming = ClientBody::Http2 { stream, waits: false };
        (sender, RequestBody::new(incoming, Rc::clone(&state) as Rc<dyn Progress>, limit), state)
    }

    #[test]
    fn a_body_below_and_at_the_limit_passes_and_one_above_does_not() {
        for (length, passes) in [(4, true), (5, true), (6, false)] {
            run(async {
                let (mut sender, body, state) = arriving(Some(5)).await;
                sender.send_data(Bytes::from(vec![b'x'; length]), true).unwrap();
                match body.collect().await {
                    Ok(whole) => assert!(passes && whole.to_bytes().len() == length, "{length}"),
                    Err(error) => {
                        assert!(!passes && error.to_string() == Failure::BodyTooLarge.row().text, "{length}: {error}");
                        assert_eq!(state.ending(), Some(Failure::BodyTooLarge));
                    }
                }
                assert_eq!(state.bytes_in(), length as u64);
            });
        }
    }

    #[test]
    fn the_limit_counts_all_pieces_together() {
        run(async {
            let (mut sender, body, state) = arriving(Some(5)).await;
            for piece in ["abc", "def"] {
                sender.send_data(piece.into(), false).unwrap();
                settle().await;
            }
            assert!(body.collect().await.is_err());
            assert_eq!(state.ending(), Some(Failure::BodyTooLarge));
        });
    }

    #[test]
    fn the_client_owes_what_has_not_come() {
        run(async {
            let (mut sender, mut body, state) = arriving(None).await;
            let pending = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_frame(cx).is_pending())).await;
            assert!(pending && state.silence() == Failure::ClientTimeout);
            sender.send_data("a".into(), false).unwrap();
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "a");
            assert!(state.silence() != Failure::ClientTimeout);
        });
    }

    #[test]
    fn trailers_that_mean_something_in_a_head_stay_behind() {
        run(async {
            let (mut sender, mut body, _) = arriving(None).await;
            let mut decided = Changed::watched();
            decided.note(&"decided".parse().unwrap());
            body.screen_trailers(decided);
            let trailers = [("x", "y"), ("host", "b"), ("decided", "z")];
            let trailers = trailers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            sender.send_trailers(HeaderMap::from_iter(trailers)).unwrap();
            let left = body.collect().await.unwrap();
            assert_eq!(left.trailers().unwrap().keys().collect::<Vec<_>>(), ["x"]);
        });
    }

    #[test]
    fn a_client_that_gives_its_body_up_has_left() {
        run(async {
            let (mut sender, body, state) = arriving(None).await;
            sender.send_reset(h2::Reason::CANCEL);
            assert!(body.collect().await.is_err());
            assert_eq!(state.ending(), Some(Failure::ClientClosed));
        });
    }

    #[test]
    fn what_was_read_ahead_comes_before_the_rest() {
        run(async {
            let (mut sender, mut body, _) = arriving(None).await;
            body.put_back("ahead, ".into());
            assert!(!body.is_end_stream());
            sender.send_data("and the rest".into(), true).unwrap();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "ahead, and the rest");
        });
    }

    #[test]
    fn a_body_that_is_known_whole_has_its_length() {
        let state: Rc<dyn Progress> = House::answering("").stream();
        let whole = RequestBody::whole("hello".into(), Rc::clone(&state));
        assert_eq!((whole.size_hint().exact(), whole.is_end_stream()), (Some(5), false));
        assert_eq!(run(whole.collect()).unwrap().to_bytes(), "hello");
        for empty in [RequestBody::empty(Rc::clone(&state)), RequestBody::whole(Bytes::new(), state)] {
            assert_eq!((empty.size_hint().exact(), empty.is_end_stream()), (Some(0), true));
        }
    }

    struct Refuses;

    impl BodyFilter for Refuses {
        fn piece(&mut self, _: Bytes, _: bool) -> Result<Bytes, Failure> {
            Err(Failure::Extension)
        }
    }

    #[test]
    fn whoever_looks_at_a_body_may_end_it() {
        let state = House::answering("").stream();
        let mut body = RequestBody::whole("hello".into(), Rc::clone(&state) as Rc<dyn Progress>);
        body.stack(Box::new(Refuses));
        assert!(run(body.collect()).is_err());
        assert_eq!(state.ending(), Some(Failure::Extension));
    }
}
