//! Bodies that somebody looks at on their way, piece by piece.

use std::task::{Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tidegate_base::failure::{BodyError, Failure};

/// Looks at a body's pieces, and may change them.
pub trait BodyFilter {
    /// What goes on in place of a piece. The last one may have no bytes.
    ///
    /// # Errors
    /// Why the body ends here.
    fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure>;
}

/// A body's frames, with somebody who looks at its data.
pub struct BodyFilters {
    /// In their order; each sees what the one before it gave.
    pieces: Vec<Box<dyn BodyFilter>>,
    /// The last piece was given.
    ended: bool,
    trailers: Option<HeaderMap>,
}

/// The reason why a body with filters ends before its time.
#[derive(Debug)]
pub enum Refused {
    /// The body itself failed.
    Body(BodyError),
    /// One of the filters lets it end.
    Filter(Failure),
}

/// What goes on for what came.
enum Passed {
    /// A frame goes on.
    Frame(Frame<Bytes>),
    /// No frame goes on yet: more must come.
    More,
    /// No frame goes on any more.
    End,
}

impl BodyFilters {
    /// Shows the data to `pieces`.
    pub fn new(pieces: Box<dyn BodyFilter>) -> Self {
        Self { pieces: vec![pieces], ended: false, trailers: None }
    }

    /// Shows what goes on to `pieces`, too. It is done before the first frame.
    pub fn stack(&mut self, pieces: Box<dyn BodyFilter>) {
        self.pieces.push(pieces);
    }

    fn piece(&mut self, mut data: Bytes, last: bool) -> Result<Bytes, Failure> {
        for pieces in &mut self.pieces {
            if !data.is_empty() || last {
                data = pieces.piece(data, last)?;
            }
        }
        Ok(data)
    }

    /// The next frame that goes on, of those that `next` polls. After the last piece nothing more is polled; what is left comes
    /// then.
    ///
    /// # Errors
    /// Why the body ends here.
    pub fn poll(
        &mut self,
        mut next: impl FnMut() -> Poll<Option<Result<Frame<Bytes>, BodyError>>>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        loop {
            let frame = if self.ended { None } else { ready!(next()) };
            let frame = match frame.transpose() {
                Ok(frame) => frame,
                Err(error) => return Poll::Ready(Some(Err(Refused::Body(error)))),
            };
            match self.pass(frame) {
                Ok(Passed::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Passed::More) => {}
                Ok(Passed::End) => return Poll::Ready(None),
                Err(failure) => return Poll::Ready(Some(Err(Refused::Filter(failure)))),
            }
        }
    }

    /// Passes a frame on; `None` is the end.
    fn pass(&mut self, frame: Option<Frame<Bytes>>) -> Result<Passed, Failure> {
        match frame.map(Frame::into_data) {
            Some(Ok(data)) => {
                let data = self.piece(data, false)?;
                Ok(if data.is_empty() { Passed::More } else { Passed::Frame(Frame::data(data)) })
            }
            Some(Err(frame)) => {
                self.trailers = frame.into_trailers().ok();
                self.end()
            }
            None => self.end(),
        }
    }

    fn end(&mut self) -> Result<Passed, Failure> {
        if !std::mem::replace(&mut self.ended, true) {
            let data = self.piece(Bytes::new(), true)?;
            if !data.is_empty() {
                return Ok(Passed::Frame(Frame::data(data)));
            }
        }
        Ok(self.trailers.take().map_or(Passed::End, |trailers| Passed::Frame(Frame::trailers(trailers))))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Puts a letter in front of every piece, and one behind the last.
    struct Marks(&'static str);

    impl BodyFilter for Marks {
        fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
            let data = String::from_utf8_lossy(&data).into_owned();
            let end = if last { "." } else { "" };
            Ok(format!("{}{data}{end}", self.0).into())
        }
    }

    /// Keeps everything back to the end.
    #[derive(Default)]
    struct Holds(Vec<u8>);

    impl BodyFilter for Holds {
        fn piece(&mut self, data: Bytes, last: bool) -> Result<Bytes, Failure> {
            self.0.extend_from_slice(&data);
            Ok(if last { std::mem::take(&mut self.0).into() } else { Bytes::new() })
        }
    }

    struct Refuses;

    impl BodyFilter for Refuses {
        fn piece(&mut self, _: Bytes, last: bool) -> Result<Bytes, Failure> {
            if last { Ok(Bytes::new()) } else { Err(Failure::Extension) }
        }
    }

    /// What goes on of these frames: data as text, trailers as their names, and how it ended.
    fn passed(mut filters: BodyFilters, frames: Vec<Result<Frame<Bytes>, BodyError>>) -> Vec<String> {
        let mut frames = VecDeque::from(frames);
        let mut seen = Vec::new();
        loop {
            let Poll::Ready(polled) = filters.poll(|| Poll::Ready(frames.pop_front())) else { return seen };
            match polled {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => seen.push(String::from_utf8(data.to_vec()).unwrap()),
                    Err(trailers) => seen.push(format!("{:?}", trailers.into_trailers().unwrap())),
                },
                Some(Err(Refused::Body(error))) => return [seen, vec![format!("body: {error}")]].concat(),
                Some(Err(Refused::Filter(failure))) => return [seen, vec![format!("filter: {failure:?}")]].concat(),
                None => return [seen, vec!["end".to_owned()]].concat(),
            }
        }
    }

    fn data(data: &'static str) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(data.into()))
    }

    fn trailers() -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::trailers(HeaderMap::from_iter([("x".parse().unwrap(), "y".parse().unwrap())])))
    }

    #[test]
    fn every_piece_is_shown_and_the_end_too() {
        assert_eq!(
            passed(BodyFilters::new(Box::new(Marks("a"))), vec![data("1"), data("2")]),
            ["a1", "a2", "a.", "end"]
        );
        assert_eq!(passed(BodyFilters::new(Box::new(Marks("a"))), vec![]), ["a.", "end"], "of an empty body");
    }

    #[test]
    fn each_filter_sees_what_the_one_before_it_gave() {
        let mut filters = BodyFilters::new(Box::new(Marks("a")));
        filters.stack(Box::new(Marks("b")));
        assert_eq!(passed(filters, vec![data("1")]), ["ba1", "ba..", "end"]);
    }

    #[test]
    fn a_filter_is_not_shown_what_the_one_before_it_held_back() {
        let mut filters = BodyFilters::new(Box::new(Holds::default()));
        filters.stack(Box::new(Marks("b")));
        assert_eq!(passed(filters, vec![data("1"), data("2")]), ["b12.", "end"], "one piece, the last");
    }

    #[test]
    fn trailers_come_behind_what_was_held_back() {
        let filters = BodyFilters::new(Box::new(Holds::default()));
        assert_eq!(passed(filters, vec![data("1"), trailers()]), ["1", r#"{"x": "y"}"#, "end"]);
        let filters = BodyFilters::new(Box::new(Holds::default()));
        assert_eq!(passed(filters, vec![trailers()]), [r#"{"x": "y"}"#, "end"]);
    }

    #[test]
    fn nothing_is_polled_after_the_last_piece() {
        let mut filters = BodyFilters::new(Box::new(Marks("a")));
        let end = filters.poll(|| Poll::Ready(None));
        assert!(matches!(end, Poll::Ready(Some(Ok(frame))) if frame.data_ref().unwrap() == "a."));
        let after = filters.poll(not_to_be_asked_for);
        assert!(matches!(after, Poll::Ready(None)));
    }

    /// A frame that nobody is to ask for: it would show as an error.
    fn not_to_be_asked_for() -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err("polled again".into())))
    }

    #[test]
    fn a_body_that_breaks_and_a_filter_that_refuses_are_told_apart() {
        let broken = vec![data("1"), Err("broken".into())];
        assert_eq!(passed(BodyFilters::new(Box::new(Marks("a"))), broken), ["a1", "body: broken"]);
        let refused = passed(BodyFilters::new(Box::new(Refuses)), vec![data("1")]);
        assert_eq!(refused, ["filter: Extension"]);
    }

    #[test]
    fn a_body_that_waits_waits() {
        let mut filters = BodyFilters::new(Box::new(Marks("a")));
        assert!(filters.poll(|| Poll::Pending).is_pending());
    }
}
