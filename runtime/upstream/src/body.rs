//! A backend's answer as it arrives, with the connection that it comes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tidegate_base::failure::BodyError;

use super::h2::StreamLease;
use super::inbound::Inbound;
use super::pool::Lease;

/// The body of a backend's answer. Dropping it before its end gives up the rest.
pub enum UpstreamBody<B> {
    /// HTTP/1: the connection carries nothing else meanwhile.
    Http1(Incoming, Option<Lease<B>>),
    /// HTTP/2: one stream of many.
    Http2(Inbound, Option<StreamLease>),
}

impl<B: Body + 'static> Body for UpstreamBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Http1(incoming, _) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Http2(stream, lease) => {
                let polled = Pin::new(stream).poll_frame(cx);
                if let (Poll::Ready(Some(Ok(frame))), Some(lease)) = (&polled, lease) {
                    lease.note(frame);
                }
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(incoming, _) => incoming.is_end_stream(),
            Self::Http2(stream, _) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Http1(incoming, _) => incoming.size_hint(),
            // Its length, if it is known, stands in the head.
            Self::Http2(..) => SizeHint::default(),
        }
    }
}

impl<B: Body + 'static> UpstreamBody<B> {
    /// Whether trailers can follow the body: not if its length is known.
    pub fn may_have_trailers(&self) -> bool {
        !self.is_end_stream() && self.size_hint().exact().is_none()
    }

    /// The answer has ended: a connection that carried it whole can carry another.
    pub fn finish(&mut self, whole: bool, now_ms: u64) {
        match self {
            Self::Http1(_, lease) => {
                if let Some(lease) = lease.take()
                    && whole
                {
                    lease.give_back(now_ms);
                }
            }
            Self::Http2(_, lease) => drop(lease.take()),
        }
    }
}
