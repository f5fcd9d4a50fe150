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
