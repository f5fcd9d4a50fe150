//! A client's body as it arrives, in any version of HTTP.

use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
pub use hyper::body::Incoming;
use tidegate_base::failure::Failure;
use tidegate_base::http2;
use tidegate_http3::body::Http3Body;

use crate::request::rest::Http1Body;

/// Whoever follows how a client's body moves.
pub trait Progress {
    /// So many bytes of the body came.
    fn count_body(&self, bytes: u64);

    /// Whether a server waits for a part of the body that the client has not sent.
    fn set_body_due(&self, due: bool);

    /// Somebody wants the body of a client that waits to be told so (RFC 9110, 10.1.1).
    fn want_continue(&self);

    /// Something moved: the time for silence begins anew.
    fn note_upstream(&self);

    /// The request is about to fail, and this is why.
    fn set_ending(&self, failure: Failure);
}

/// What a client sends after a request's head.
pub enum ClientBody {
    /// There is none.
    Empty,
    /// HTTP/1; hyper tells a client that waits for it to go on.
    Http1(Http1Body),
    /// HTTP/2.
    Http2 {
        /// The request's stream.
        stream: h2::RecvStream,
        /// The client waits to be told to go on (RFC 9110, 10.1.1).
        waits: bool,
    },
    /// HTTP/3; in a box, because it is the largest.
    Http3(Box<Http3Body>),
}

impl ClientBody {
    /// Whether nothing more comes.
    pub fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2 { stream, .. } => stream.is_end_stream(),
            Self::Http3(body) => body.is_end_stream(),
        }
    }

    /// Whether trailers can follow the body: not where its length says its end.
    pub fn may_have_trailers(&self) -> bool {
        match self {
            Self::Http1(incoming) => incoming.size_hint().exact().is_none(),
            other => !other.is_end_stream(),
        }
    }

    /// The next part. `progress` is told when a client that waits is to go on.
    pub fn poll(
        &mut self,
        progress: &dyn Progress,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match self {
            Self::Empty => Poll::Ready(None),
            Self::Http1(body) => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(|_| Failure::ClientBody)))
            }
            Self::Http2 { stream, waits } => {
                let polled = http2::poll_frame(stream, cx);
                if polled.is_pending() && std::mem::take(waits) {
                    progress.want_continue();
                }
                polled.map(|frame| frame.map(|frame| frame.map_err(|error| client_failure(&error))))
            }
            Self::Http3(body) => {
                let polled = body.poll_frame(cx);
                if polled.is_pending() && body.take_waits() {
                    progress.want_continue();
                }
                polled
            }
        }
    }
}

/// A client that resets a stream or closes the connection has left; everything else is a mistake in the body.
fn client_failure(error: &h2::Error) -> Failure {
    if error.is_remote() || error.is_io() { Failure::ClientClosed } else { Failure::ClientBody }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use super::*;
    use crate::request::tests::body;
    use crate::tests::{run, settle};

    /// Counts how often a client is told to go on.
    #[derive(Default)]
    struct Told(Cell<u32>);

    impl Progress for Told {
        fn count_body(&self, _: u64) {}
        fn set_body_due(&self, _: bool) {}
        fn want_continue(&self) {
            self.0.set(self.0.get() + 1);
        }
        fn note_upstream(&self) {}
        fn set_ending(&self, _: Failure) {}
    }

    async fn poll(body: &mut ClientBody, told: &Told) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        settle().await;
        poll_fn(|cx| Poll::Ready(body.poll(told, cx))).await
    }

    #[test]
    fn a_client_that_waits_is_told_once_and_only_if_nothing_has_come() {
        run(async {
            for (waits, sent, times) in [(true, false, 1), (false, false, 0), (true, true, 0)] {
                let (mut sender, stream) = body().await;
                let (mut body, told) = (ClientBody::Http2 { stream, waits }, Told::default());
                if sent {
                    sender.send_data("a".into(), false).unwrap();
                }
                assert_eq!(poll(&mut body, &told).await.is_ready(), sent);
                assert!(sent || poll(&mut body, &told).await.is_pending());
                assert_eq!(told.0.get(), times, "waits: {waits}, sent: {sent}");
            }
        });
    }

    #[test]
    fn whoever_breaks_a_body_off_has_left() {
        run(async {
            let (mut sender, stream) = body().await;
            let mut body = ClientBody::Http2 { stream, waits: false };
            sender.send_data("a".into(), false).unwrap();
            assert!(matches!(poll(&mut body, &Told::default()).await, Poll::Ready(Some(Ok(_)))));
            sender.send_reset(h2::Reason::INTERNAL_ERROR);
            let broken = poll(&mut body, &Told::default()).await;
            assert!(matches!(broken, Poll::Ready(Some(Err(Failure::ClientClosed)))));
        });
    }

    #[test]
    fn trailers_may_follow_what_has_not_ended() {
        run(async {
            let (mut sender, stream) = body().await;
            let mut body = ClientBody::Http2 { stream, waits: false };
            assert!(body.may_have_trailers() && !body.is_end_stream());
            sender.send_data("a".into(), true).unwrap();
            while let Poll::Ready(Some(frame)) = poll(&mut body, &Told::default()).await {
                assert!(frame.is_ok());
            }
            assert!(!body.may_have_trailers() && body.is_end_stream() && !ClientBody::Empty.may_have_trailers());
        });
    }
}
