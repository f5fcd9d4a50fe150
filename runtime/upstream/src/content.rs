//! The content of a request on its way to a server (RFC 9110, 6.4).

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tidegate_base::failure::BodyError;

/// What follows the head of a request: nothing, or the caller's body.
///
/// A request moves a dozen times on its way into a connection, and most have no content. So the content is a pointer: those that have some
/// pay one allocation for it, and no request pays for the size of a body.
pub struct Content<B>(Option<Box<B>>);

impl<B: Body> Content<B> {
    /// The content that a body makes.
    pub fn of(body: B) -> Self {
        Self((!body.is_end_stream()).then(|| Box::new(body)))
    }

    /// The content of a request that ends with its head.
    pub(crate) const fn none() -> Self {
        Self(None)
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Content<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Some(body) => Pin::new(&mut **body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}
