//! What carries a client's bytes, which tells the connection's state of every one.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::state::ConnectionState;

/// What a client's HTTP comes on: a socket, or TLS over one.
pub trait ClientStream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> ClientStream for S {}

/// The stream of a connection.
pub struct ClientIo<S> {
    stream: S,
    state: Rc<ConnectionState>,
}

impl<S: ClientStream> ClientIo<S> {
    /// Wraps a stream.
    pub fn new(stream: S, state: Rc<ConnectionState>) -> Self {
        Self { stream, state }
    }

    /// Writes what fits without waiting: a last word before the connection is closed.
    pub fn last_word(mut self, bytes: &[u8]) {
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
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.state.note_read();
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
        let result = crate::plain::write(Pin::new(&mut self.stream), cx, bufs);
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
