//! The bytes of a collector, of which there is a bound: whatever a collector sends without end, it ends its connection.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tidegate_base::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What carries bytes to a collector and back.
pub(super) trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// How many bytes a collector may still send.
#[derive(Debug, Clone)]
pub(super) struct Allowance(Rc<Cell<usize>>);

impl Allowance {
    pub(super) fn new() -> Self {
        Self(Rc::new(Cell::new(limits::COLLECTOR_BYTES)))
    }

    /// Spans are sent: the collector has to answer.
    pub(super) fn renew(&self) {
        self.0.set(limits::COLLECTOR_BYTES);
    }
}

/// A connection whose other side may send no more than it is allowed.
pub(super) struct Wire {
    pub(super) io: Box<dyn Io>,
    pub(super) allowance: Allowance,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let left = self.allowance.0.get().checked_sub(buf.filled().len() - before);
        self.allowance.0.set(left.unwrap_or(0));
        Poll::Ready(match left {
            Some(_) => Ok(()),
            None => Err(io::Error::new(io::ErrorKind::InvalidData, "it sends bytes without end")),
        })
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
