//! A client's connection as bytes, which tells its stream's state of every one.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request::state::StreamState;

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client's HTTP comes on: a socket, or TLS over one.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> ClientStream for S {}

/// The stream of a connection.
pub struct ClientIo<S> {
    stream: S,
    state: Rc<StreamState>,
    /// The first bytes, read to learn the version, and given out again.
    first: [u8; PREFACE.len()],
    /// Which of them wait to be given out.
    waiting: std::ops::Range<u8>,
    /// The client has ended, or the connection broke.
    ended: bool,
}

impl<S: ClientStream> ClientIo<S> {
    /// Wraps a connection.
    pub const fn new(stream: S, state: Rc<StreamState>) -> Self {
        Self { stream, state, first: [0; PREFACE.len()], waiting: 0..0, ended: false }
    }

    /// Whether the client begins with HTTP/2, by prior knowledge (RFC 9113, 3.3). Reads no further than it takes to
    /// know.
    ///
    /// # Errors
    /// The connection broke, or ended before that.
    pub async fn begins_http2(&mut self) -> io::Result<bool> {
        poll_fn(|cx| {
            loop {
                let known = usize::from(self.waiting.end);
                let mut space = ReadBuf::new(&mut self.first);
                space.set_filled(known);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
                let filled = space.filled().len();
                if filled == known {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                self.state.note_read();
                self.waiting.end = u8::try_from(filled).unwrap_or(0);
                if self.first.get(..filled) != PREFACE.get(..filled) {
                    return Poll::Ready(Ok(false));
                }
                if filled == PREFACE.len() {
                    return Poll::Ready(Ok(true));
                }
            }
        })
        .await
    }

    /// The state of the connection's own stream.
    pub const fn state(&self) -> &Rc<StreamState> {
        &self.state
    }

    /// Whether the client sends no more.
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Writes what fits without waiting: a last word before the connection is closed.
    pub fn last_word(&mut self, bytes: &[u8]) {
        let mut cx = Context::from_waker(Waker::noop());
        // Best effort: a client that cannot take even this gets the close alone.
        let _ = Pin::new(&mut self.stream).poll_write(&mut cx, bytes);
        let _ = Pin::new(&mut self.stream).poll_flush(&mut cx);
    }

    fn written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.state.note_write(result.is_pending());
        result
    }
}

impl<S: ClientStream> AsyncRead for ClientIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            let waiting = usize::from(self.waiting.start)..usize::from(self.waiting.end);
            let bytes = self.first.get(waiting).unwrap_or_default();
            let count = bytes.len().min(buf.remaining());
            buf.put_slice(bytes.get(..count).unwrap_or_default());
            self.waiting.start += u8::try_from(count).unwrap_or(0);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.state.note_read();
        } else if result.is_ready() {
            self.ended = true;
        }
        result
    }
}

impl<S: ClientStream> AsyncWrite for ClientIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = tidegate_base::plain::write(Pin::new(&mut self.stream), cx, bufs);
        self.written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use tidegate_base::failure::Failure;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::request::state::Phase;
    use crate::tests::{House, run};

    /// The client's end of a connection that has room for so many bytes, and ours.
    fn pair(house: &House, room: usize) -> (DuplexStream, ClientIo<DuplexStream>) {
        let (client, ours) = tokio::io::duplex(room);
        (client, ClientIo::new(ours, house.stream()))
    }

    /// Writes if there is room.
    fn write(io: &mut ClientIo<DuplexStream>, bytes: &[u8]) -> Option<usize> {
        match Pin::new(io).poll_write(&mut Context::from_waker(Waker::noop()), bytes) {
            Poll::Ready(written) => Some(written.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_bytes_that_tell_the_version_are_given_out_again() {
        let frames = [&PREFACE[..], b"and frames behind it"].concat();
        for (sent, begins) in [
            (&b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..], false),
            (b"G", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\0 and so on", false),
            (PREFACE, true),
            (&frames, true),
        ] {
            for size in [1, 7, 24, 100] {
                run(async {
                    let (mut client, mut io) = pair(&House::answering(""), 1024);
                    client.write_all(sent).await.unwrap();
                    assert_eq!(io.begins_http2().await.unwrap(), begins);
                    let mut read = Vec::new();
                    while read.len() < sent.len() {
                        let mut piece = vec![0; size];
                        let count = io.read(&mut piece).await.unwrap();
                        read.extend_from_slice(&piece[..count]);
                    }
                    assert_eq!(read, sent, "by {size}");
                });
            }
        }
    }

    #[test]
    fn who_ends_before_the_version_is_known_has_asked_for_nothing() {
        for sent in ["", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            run(async {
                let (mut client, mut io) = pair(&House::answering(""), 1024);
                client.write_all(sent.as_bytes()).await.unwrap();
                drop(client);
                assert_eq!(io.begins_http2().await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof, "{sent:?}");
            });
        }
    }

    #[test]
    fn bytes_begin_a_head_and_the_end_of_the_client_does_not() {
        run(async {
            let house = House::answering("");
            let (mut client, mut io) = pair(&house, 1024);
            client.shutdown().await.unwrap();
            assert_eq!(io.read(&mut [0; 8]).await.unwrap(), 0);
            assert!(io.has_ended() && io.state().phase() == Phase::Idle);
            let (mut client, mut io) = pair(&house, 1024);
            client.write_all(b"G").await.unwrap();
            assert_eq!(io.read(&mut [0; 8]).await.unwrap(), 1);
            assert!(!io.has_ended() && io.state().phase() == Phase::Head);
        });
    }

    #[test]
    fn a_client_that_does_not_read_is_the_silent_one() {
        run(async {
            let (mut client, mut io) = pair(&House::answering(""), 4);
            io.state().begin_response();
            assert_eq!(write(&mut io, b"answer"), Some(4));
            assert_eq!(io.state().silence(), Failure::UpstreamTimeout);
            assert_eq!(write(&mut io, b"er"), None);
            assert_eq!(io.state().silence(), Failure::ClientTimeout);
            client.read_exact(&mut [0; 4]).await.unwrap();
            assert_eq!(write(&mut io, b"er"), Some(2));
            assert_eq!(io.state().silence(), Failure::UpstreamTimeout);
        });
    }

    #[test]
    fn only_what_the_client_takes_puts_the_deadline_off() {
        for (reads, late) in [(true, false), (false, true)] {
            run(async {
                let house = House::answering("request-timeout 2s");
                let (mut client, mut io) = pair(&house, 4);
                let stream = Rc::clone(io.state());
                stream.begin_request(Duration::from_secs(2));
                stream.begin_response();
                assert_eq!(write(&mut io, b"answ"), Some(4));
                house.pass(Duration::from_millis(1500)).await;
                if reads {
                    client.read_exact(&mut [0; 4]).await.unwrap();
                }
                assert_eq!(write(&mut io, b"er").is_some(), reads);
                house.pass(Duration::from_secs(1)).await;
                assert_eq!(stream.take_expired(), late);
            });
        }
    }

    #[test]
    fn a_last_word_does_not_wait_for_room() {
        run(async {
            let (mut client, mut io) = pair(&House::answering(""), 4);
            io.last_word(b"too long");
            io.last_word(b"too late");
            drop(io);
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, b"too ");
        });
    }

    #[test]
    fn a_head_and_a_body_leave_together() {
        run(async {
            let (_client, mut io) = pair(&House::answering(""), 64);
            assert!(io.is_write_vectored());
            assert_eq!(io.write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).await.unwrap(), 8);
        });
    }
}
