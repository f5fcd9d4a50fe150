//! What carries the bytes to and from a backend.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tidegate_base::plain::Plain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::talk::{Frames, Talk};
use super::wire::Wire;

/// A socket, or TLS over one.
enum Carrier {
    /// In clear text.
    Plain(Plain),
    /// TLS, in a box: it is many times as large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The watch over what the backend sends.
enum Watch {
    /// Nobody watches: it is not HTTP.
    Nobody,
    /// HTTP/1.
    Http1(Rc<Wire>),
    /// HTTP/2.
    Http2(Frames),
}

impl Watch {
    /// Whether others have their turn before more is read.
    fn take_turn(&mut self) -> bool {
        match self {
            Self::Nobody => false,
            Self::Http1(wire) => wire.take_turn(),
            Self::Http2(frames) => frames.take_turn(),
        }
    }

    /// Counts what was read.
    fn count(&mut self, read: &[u8]) -> io::Result<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Http1(wire) => wire.count(read.len()),
            Self::Http2(frames) => frames.count(read),
        }
    }
}

/// The bytes of a connection to a backend.
pub struct ServerIo {
    carrier: Carrier,
    watch: Watch,
    /// The backend takes no more: writing failed.
    deaf: bool,
}

impl ServerIo {
    /// In clear text.
    pub const fn plain(stream: TcpStream) -> Self {
        Self { carrier: Carrier::Plain(Plain(stream)), watch: Watch::Nobody, deaf: false }
    }

    /// Over TLS.
    pub fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self { carrier: Carrier::Tls(Box::new(stream)), watch: Watch::Nobody, deaf: false }
    }

    /// Has the connection watched as one that speaks HTTP/1.
    pub fn for_http1(self, wire: &Rc<Wire>) -> Self {
        Self { watch: Watch::Http1(Rc::clone(wire)), ..self }
    }

    /// Has the connection watched as one that speaks HTTP/2, from its first byte on.
    pub fn for_http2(self, talk: &Rc<Talk>) -> Self {
        Self { watch: Watch::Http2(Frames::new(talk)), ..self }
    }

    /// The result of a write. A backend may answer and close while the request is still being sent: the write fails
    /// then, and the answer lies in the socket (RFC 9112, 9.5). So nothing more is written, and reading says how it ended.
    fn written<T>(&mut self, result: Poll<io::Result<T>>, cx: &Context<'_>) -> Poll<io::Result<T>> {
        match result {
            Poll::Ready(Err(_)) if matches!(self.watch, Watch::Http1(_)) => {
                self.deaf = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            result => result,
        }
    }
}

/// Does the same to either.
macro_rules! either {
    ($io:expr, $stream:ident => $does:expr) => {
        match &mut $io.carrier {
            Carrier::Plain(stream) => {
                let $stream = Pin::new(stream);
                $does
            }
            Carrier::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $does
            }
        }
    };
}

impl AsyncRead for ServerIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.watch.take_turn() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(either!(this, stream => stream.poll_read(cx, buf)))?;
        Poll::Ready(this.watch.count(buf.filled().get(before..).unwrap_or_default()))
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Pending;
        }
        let result = either!(this, stream => stream.poll_write(cx, buf));
        this.written(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Pending;
        }
        let result = either!(this, stream => stream.poll_write_vectored(cx, bufs));
        this.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Plain(stream) => stream.is_write_vectored(),
            Carrier::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Pending;
        }
        let Carrier::Tls(stream) = &mut this.carrier else {
            // What is written to a socket is on its way.
            return Poll::Ready(Ok(()));
        };
        let result = Pin::new(stream.as_mut()).poll_flush(cx);
        this.written(result, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        either!(this, stream => stream.poll_shutdown(cx))
    }
}
