//! An HTTP/2 stream as bytes: what a tunnel moves (RFC 8441, 5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use tidegate_base::flight::Flight;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Both directions of a stream.
pub struct StreamIo {
    sender: SendStream<Bytes>,
    receiver: RecvStream,
    /// Received, and not yet read.
    left: Bytes,
    flight: Flight,
}

impl StreamIo {
    /// The bytes of a stream whose heads have been exchanged.
    pub fn new(sender: SendStream<Bytes>, receiver: RecvStream) -> Self {
        Self { sender, receiver, left: Bytes::new(), flight: Flight::default() }
    }
}

impl AsyncRead for StreamIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.left.is_empty() {
            match ready!(self.receiver.poll_data(cx)) {
                Some(Ok(data)) => self.left = data,
                // A peer that wants no more has ended in order (RFC 8441, 5: RST_STREAM with CANCEL is a TCP reset).
                Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left.split_to(count));
        // Fails only for a stream that is gone, which the next poll says better.
        let _ = self.receiver.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if let Poll::Ready(reset) = self.sender.poll_reset(cx) {
            return Poll::Ready(Err(broken(reset.map_or_else(|error| error, h2::Error::from))));
        }
        // What waits meanwhile comes as one piece.
        ready!(self.flight.poll_room(cx));
        self.sender.reserve_capacity(buf.len());
        let room = match self.sender.capacity() {
            0 => match ready!(self.sender.poll_capacity(cx)) {
                Some(room) => room.map_err(broken)?,
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            },
            room => room,
        };
        let piece = buf.get(..room.min(buf.len())).unwrap_or_default();
        let counted = self.flight.piece(Bytes::copy_from_slice(piece));
        self.sender.send_data(counted, false).map_err(broken)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The connection's task writes what was handed over.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.sender.send_data(Bytes::new(), true).map_err(broken))
    }
}

fn broken(error: h2::Error) -> io::Error {
    if error.is_io() {
        error.into_io().unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
    } else {
        io::Error::other(error)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::future::poll_fn;

    use http::{Request, Response};
    use tidegate_base::limits;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::tests::{run, settle};

    /// What a client may send before somebody reads it, unless it is told otherwise (RFC 9113, 6.9.2).
    const WINDOW: usize = 65_535;

    /// A stream whose heads have been exchanged.
    struct Open {
        to_us: SendStream<Bytes>,
        from_us: RecvStream,
        io: StreamIo,
        /// The client's connection.
        connection: JoinHandle<Result<(), h2::Error>>,
    }

    async fn open() -> Open {
        let (client, server) = tokio::io::duplex(1 << 20);
        let accepted = tokio::task::spawn_local(async {
            let mut connection = h2::server::handshake(server).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            tokio::task::spawn_local(async move { while connection.accept().await.is_some() {} });
            StreamIo::new(respond.send_response(Response::new(()), false).unwrap(), request.into_body())
        });
        let (sender, connection) = h2::client::handshake(client).await.unwrap();
        let connection = tokio::task::spawn_local(connection);
        let request = Request::post("http://a/").body(()).unwrap();
        let (response, to_us) = sender.ready().await.unwrap().send_request(request, false).unwrap();
        let from_us = response.await.unwrap().into_body();
        Open { to_us, from_us, io: accepted.await.unwrap(), connection }
    }

    impl Open {
        /// What can be read without waiting for more, in pieces of `size`.
        async fn read(&mut self, size: usize, length: usize) -> Vec<u8> {
            let mut all = Vec::new();
            while all.len() < length {
                let mut piece = vec![0; size];
                let count = self.io.read(&mut piece).await.unwrap();
                all.extend_from_slice(&piece[..count]);
            }
            all
        }

        /// The pieces of one byte that are taken at once.
        async fn written(&mut self) -> usize {
            let mut written = 0;
            poll_fn(|cx| {
                while let Poll::Ready(count) = Pin::new(&mut self.io).poll_write(cx, b"x") {
                    written += count.unwrap();
                }
                Poll::Ready(())
            })
            .await;
            written
        }
    }

    #[test]
    fn bytes_go_both_ways_in_pieces_of_the_readers_size() {
        run(async {
            let mut open = open().await;
            open.to_us.send_data("to the server".into(), false).unwrap();
            assert_eq!(open.read(2, 13).await, b"to the server");
            open.io.write_all(b"to you").await.unwrap();
            assert_eq!(open.from_us.data().await.unwrap().unwrap(), "to you");
        });
    }

    #[test]
    fn a_client_may_send_as_much_again_as_was_read() {
        run(async {
            let mut open = open().await;
            open.to_us.send_data(vec![b'x'; WINDOW].into(), false).unwrap();
            open.to_us.reserve_capacity(WINDOW);
            settle().await;
            assert_eq!(open.to_us.capacity(), 0, "nothing was read");
            open.read(1000, WINDOW / 2 + 1000).await;
            settle().await;
            assert!((WINDOW / 2..WINDOW).contains(&open.to_us.capacity()), "{}", open.to_us.capacity());
        });
    }

    #[test]
    fn each_side_may_end_before_the_other() {
        run(async {
            let mut open = open().await;
            open.io.shutdown().await.unwrap();
            assert!(open.from_us.data().await.is_none_or(|data| data.unwrap().is_empty()));
            assert!(open.from_us.is_end_stream());
            open.to_us.send_data("last".into(), true).unwrap();
            assert_eq!(open.read(8, 4).await, b"last");
            assert_eq!(open.io.read(&mut [0; 8]).await.unwrap(), 0);
        });
    }

    #[test]
    fn a_client_that_wants_no_more_ends_in_order_and_one_that_gives_up_breaks() {
        for (reason, in_order) in [(Reason::NO_ERROR, true), (Reason::CANCEL, false), (Reason::INTERNAL_ERROR, false)] {
            run(async {
                let mut open = open().await;
                open.to_us.send_reset(reason);
                settle().await;
                assert_eq!(open.io.read(&mut [0; 8]).await.ok(), in_order.then_some(0), "{reason}");
                assert!(open.io.write(b"x").await.is_err(), "nobody takes it after {reason}");
            });
        }
    }

    #[test]
    fn small_pieces_under_way_are_bounded_and_go_on_when_they_have_left() {
        run(async {
            let mut open = open().await;
            for _ in 0..3 {
                assert_eq!(open.written().await, limits::UNSENT_PIECES);
                assert_eq!(open.io.write(b"").await.unwrap(), 0, "nothing does not wait");
                settle().await;
            }
        });
    }

    #[test]
    fn a_client_that_does_not_read_holds_us_up() {
        run(async {
            let mut open = open().await;
            let sent = tokio::time::timeout(std::time::Duration::from_secs(1), open.io.write_all(&[b'x'; 2 * WINDOW]));
            assert!(sent.await.is_err());
            let mut received = 0;
            while let Ok(data) = tokio::time::timeout(std::time::Duration::from_secs(1), open.from_us.data()).await {
                received += data.unwrap().unwrap().len();
            }
            assert_eq!(received, WINDOW, "and no byte is lost");
        });
    }

    #[test]
    fn a_connection_that_is_gone_is_an_error_of_the_stream() {
        run(async {
            let mut open = open().await;
            open.connection.abort();
            settle().await;
            assert!(open.io.read(&mut [0; 8]).await.is_err());
            assert!(open.io.write(b"x").await.is_err());
        });
    }
}
