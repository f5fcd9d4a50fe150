//! Bodies that somebody looks at on their way, piece by piece.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tidegate_base::failure::Failure;

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

/// What goes on for what came.
pub enum Passed {
    /// This.
    Frame(Frame<Bytes>),
    /// Nothing yet: more must come.
    More,
    /// Nothing any more.
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

    /// Whether no frame may be asked for any more; what is left comes with [`BodyFilters::pass`] of nothing.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Passes a frame on; `None` is the end.
    ///
    /// # Errors
    /// Why the body ends here.
    pub fn pass(&mut self, frame: Option<Frame<Bytes>>) -> Result<Passed, Failure> {
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
