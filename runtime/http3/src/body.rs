//! A client's body as it arrives on an HTTP/3 stream.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::{Code, StreamError};
use h3::server::RequestStream;
use http_body::Frame;
use tidegate_base::failure::Failure;

use crate::streams::RecvStream;

/// The rest of a request after its head.
pub struct Http3Body {
    stream: RequestStream<RecvStream, Bytes>,
    /// The frame that was read to see whether there is a body at all.
    first: Option<Frame<Bytes>>,
    /// Bytes that `Content-Length` announced and that have not come.
    announced: Option<u64>,
    /// The client waits to be told to go on (RFC 9110, 10.1.1).
    waits: bool,
    reading: Reading,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Data,
    Trailers,
    Done,
}

impl Http3Body {
    /// A body of the announced length, if one was announced.
    pub const fn new(stream: RequestStream<RecvStream, Bytes>, announced: Option<u64>, waits: bool) -> Self {
        Self { stream, first: None, announced, waits, reading: Reading::Data }
    }

    /// Looks whether the request ends with its head, as far as it has arrived. Nothing is lost by looking.
    ///
    /// # Errors
    /// The body is malformed from its first frame on.
    pub fn look(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if let Poll::Ready(Some(frame)) = self.poll_frame(cx) {
            self.first = Some(frame?);
        }
        Ok(())
    }

    /// Whether the body has ended.
    pub fn is_end_stream(&self) -> bool {
        self.reading == Reading::Done && self.first.is_none()
    }

    /// Whether the client waits to be told to go on; says so once.
    pub const fn take_waits(&mut self) -> bool {
        std::mem::replace(&mut self.waits, false)
    }

    /// The next part of the body: data, trailers, or its end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.reading == Reading::Data {
            match ready!(self.stream.poll_recv_data(cx)) {
                Ok(Some(mut data)) => {
                    // The library's buffer is one piece of `Bytes`: nothing is copied.
                    let data = data.copy_to_bytes(data.remaining());
                    return Poll::Ready(Some(self.count(data)));
                }
                Ok(None) => self.reading = Reading::Trailers,
                Err(error) => return Poll::Ready(Some(Err(self.fail(&error)))),
            }
        }
        if self.reading == Reading::Trailers {
            let trailers = match ready!(self.stream.poll_recv_trailers(cx)) {
                Ok(trailers) => trailers,
                Err(error) => return Poll::Ready(Some(Err(self.fail(&error)))),
            };
            self.reading = Reading::Done;
            if self.announced.is_some_and(|left| left > 0) {
                return Poll::Ready(Some(Err(self.malformed())));
            }
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        Poll::Ready(None)
    }

    /// Counts what came against what was announced (RFC 9114, 4.1.2).
    fn count(&mut self, data: Bytes) -> Result<Frame<Bytes>, Failure> {
        if let Some(left) = self.announced {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            match left.checked_sub(length) {
                Some(left) => self.announced = Some(left),
                None => return Err(self.malformed()),
            }
        }
        Ok(Frame::data(data))
    }

    fn malformed(&mut self) -> Failure {
        self.stream.stop_sending(Code::H3_MESSAGE_ERROR);
        self.reading = Reading::Done;
        Failure::ClientBody
    }

    /// A client that resets the stream or closes the connection has left; everything else is a mistake in the body.
    fn fail(&mut self, error: &StreamError) -> Failure {
        self.reading = Reading::Done;
        match error {
            StreamError::RemoteTerminate { .. } | StreamError::ConnectionError { .. } => Failure::ClientClosed,
            _ => Failure::ClientBody,
        }
    }
}

impl Drop for Http3Body {
    fn drop(&mut self) {
        if self.reading != Reading::Done {
            // The answer is what counts; the rest of the request need not be sent (RFC 9114, 4.1).
            self.stream.stop_sending(Code::H3_NO_ERROR);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::testing::{Exchange, GET, Session, run, stopped};

    /// `x-sum: 1`, as trailers.
    const TRAILERS: [u8; 12] = [1, 10, 0, 0, 0x25, b'x', b'-', b's', b'u', b'm', 1, b'1'];

    /// A request whose client has sent this behind its head, and its body.
    async fn begin(session: &mut Session, rest: &[u8], announced: Option<u64>) -> (quinn::SendStream, Http3Body) {
        let Exchange { to_server, stream, .. } = session.request(&[&GET[..], rest].concat()).await.unwrap();
        let (_, receive) = stream.split();
        (to_server, Http3Body::new(receive, announced, false))
    }

    async fn next(body: &mut Http3Body) -> Option<Result<Frame<Bytes>, Failure>> {
        poll_fn(|cx| body.poll_frame(cx)).await
    }

    async fn data(body: &mut Http3Body) -> Bytes {
        next(body).await.unwrap().unwrap().into_data().unwrap()
    }

    /// How the client sees its own stream end, once the body is dropped.
    async fn after(body: Http3Body, to_server: quinn::SendStream) -> Option<Code> {
        drop(body);
        stopped(&to_server).await
    }

    #[test]
    fn a_body_is_data_and_then_trailers() {
        run(async {
            let mut session = Session::new().await;
            let frames = [&[0, 2, b'a', b'b', 0, 0, 0, 1, b'c'][..], &TRAILERS].concat();
            let (mut to_server, mut body) = begin(&mut session, &frames, Some(3)).await;
            to_server.finish().unwrap();
            assert_eq!(data(&mut body).await, "ab");
            assert_eq!(data(&mut body).await, "c", "an empty frame is no end");
            assert!(!body.is_end_stream());
            let trailers = next(&mut body).await.unwrap().unwrap().into_trailers().unwrap();
            assert_eq!(trailers["x-sum"], "1");
            assert!(next(&mut body).await.is_none() && body.is_end_stream());
            assert_eq!(after(body, to_server).await, None, "all was taken");
        });
    }

    #[test]
    fn a_look_loses_nothing() {
        run(async {
            let mut session = Session::new().await;
            let (mut to_server, mut body) = begin(&mut session, &[0, 2, b'a', b'b'], None).await;
            while body.first.is_none() {
                poll_fn(|cx| Poll::Ready(body.look(cx))).await.unwrap();
                tokio::task::yield_now().await;
            }
            poll_fn(|cx| Poll::Ready(body.look(cx))).await.unwrap();
            assert!(!body.is_end_stream());
            assert_eq!(data(&mut body).await, "ab");
            to_server.finish().unwrap();
            assert!(next(&mut body).await.is_none() && body.is_end_stream());
        });
    }

    #[test]
    fn a_body_has_the_length_that_was_announced() {
        for (announced, right) in [(2, false), (3, true), (4, false)] {
            run(async {
                let mut session = Session::new().await;
                let (mut to_server, mut body) = begin(&mut session, &[0, 3, b'a', b'b', b'c'], Some(announced)).await;
                to_server.finish().unwrap();
                let mut end = Ok(());
                while let Some(frame) = next(&mut body).await {
                    end = frame.map(|_| ());
                }
                assert_eq!(end, if right { Ok(()) } else { Err(Failure::ClientBody) }, "{announced}");
                assert!(body.is_end_stream());
            });
        }
    }

    #[test]
    fn a_client_that_sends_too_much_is_stopped() {
        run(async {
            let mut session = Session::new().await;
            let (to_server, mut body) = begin(&mut session, &[0, 3, b'a', b'b', b'c'], Some(2)).await;
            assert_eq!(next(&mut body).await.unwrap().unwrap_err(), Failure::ClientBody);
            assert_eq!(after(body, to_server).await, Some(Code::H3_MESSAGE_ERROR));
        });
    }

    #[test]
    fn a_client_that_leaves_and_one_that_errs_are_told_apart() {
        run(async {
            let mut session = Session::new().await;
            let (mut to_server, mut body) = begin(&mut session, &[0, 3, b'a'], None).await;
            to_server.reset(quinn::VarInt::from_u32(0x10c)).unwrap();
            while let Some(Ok(frame)) = next(&mut body).await {
                assert!(frame.is_data());
            }
            let (mut to_server, mut body) = begin(&mut session, &[0, 3, b'a'], None).await;
            assert_eq!(data(&mut body).await, "a");
            to_server.reset(quinn::VarInt::from_u32(0x10c)).unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap_err(), Failure::ClientClosed);
            let (mut to_server, mut body) = begin(&mut session, &[0, 1, b'a'], None).await;
            assert_eq!(data(&mut body).await, "a");
            // Trailers with a pseudo-header field.
            to_server.write_all(&[1, 3, 0, 0, 0xc1]).await.unwrap();
            assert_eq!(next(&mut body).await.unwrap().unwrap_err(), Failure::ClientBody);
        });
    }

    #[test]
    fn the_rest_of_a_body_need_not_be_sent() {
        run(async {
            let mut session = Session::new().await;
            let (to_server, mut body) = begin(&mut session, &[0, 3, b'a', b'b', b'c'], None).await;
            assert_eq!(data(&mut body).await, "abc");
            assert_eq!(after(body, to_server).await, Some(Code::H3_NO_ERROR));
        });
    }

    #[test]
    fn a_client_that_waits_is_told_once() {
        run(async {
            let mut session = Session::new().await;
            let Exchange { stream, .. } = session.request(&GET).await.unwrap();
            let mut body = Http3Body::new(stream.split().1, None, true);
            assert!(body.take_waits());
            assert!(!body.take_waits());
        });
    }
}
