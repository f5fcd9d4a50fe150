//! A server's response as it arrives, with the connection that it comes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tidegate_base::failure::BodyError;

use crate::group::InFlight;
use crate::inbound::Inbound;
use crate::lease::{Lease, Switched};
use crate::multiplexed::StreamLease;

/// The body of a server's response. Dropping it before its end gives up the rest; until then its request is in flight.
pub struct UpstreamBody<B>(Carried<B>);

enum Carried<B> {
    /// HTTP/1: the connection carries nothing else meanwhile.
    Http1(Incoming, Option<Lease<B>>),
    /// HTTP/2: one stream of many.
    Http2(Inbound, Option<(StreamLease, InFlight<B>)>),
}

impl<B> Body for UpstreamBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Carried::Http1(incoming, _) => {
                Pin::new(incoming).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Carried::Http2(stream, lease) => {
                let polled = Pin::new(stream).poll_frame(cx);
                if let (Poll::Ready(Some(Ok(frame))), Some((lease, _))) = (&polled, lease) {
                    lease.note(frame);
                }
                polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Carried::Http1(incoming, _) => incoming.is_end_stream(),
            Carried::Http2(stream, _) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Carried::Http1(incoming, _) => incoming.size_hint(),
            // Its length, if it is known, stands in the head.
            Carried::Http2(..) => SizeHint::default(),
        }
    }
}

impl<B> UpstreamBody<B> {
    /// The body that comes on a connection of HTTP/1.
    pub(crate) const fn http1(incoming: Incoming, lease: Lease<B>) -> Self {
        Self(Carried::Http1(incoming, Some(lease)))
    }

    /// The body that comes on a stream of HTTP/2.
    pub(crate) const fn http2(inbound: Inbound, lease: StreamLease, in_flight: InFlight<B>) -> Self {
        Self(Carried::Http2(inbound, Some((lease, in_flight))))
    }

    /// Whether trailers can follow the body: not if its length is known.
    pub fn may_have_trailers(&self) -> bool {
        !self.is_end_stream() && self.size_hint().exact().is_none()
    }

    /// Ends the exchange: a connection that carried the response whole can carry another.
    pub fn finish(&mut self, whole: bool, now_ms: u64) {
        match &mut self.0 {
            Carried::Http1(_, lease) => {
                if let Some(lease) = lease.take()
                    && whole
                {
                    lease.give_back(now_ms);
                }
            }
            Carried::Http2(_, lease) => drop(lease.take()),
        }
    }

    /// The connection behind a response that agrees to switch protocols; `None` if it was not opened for that.
    pub fn into_switched(self) -> Option<Switched<B>> {
        match self.0 {
            Carried::Http1(_, lease) => lease?.into_switched(),
            Carried::Http2(..) => None,
        }
    }
}
