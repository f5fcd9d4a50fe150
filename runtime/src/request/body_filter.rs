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
