//! What carries the bytes to and from a server.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tidegate_base::plain::Plain;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::talk::{Frames, Talk};
use crate::wire::Wire;

/// A socket, or TLS over one.
enum Carrier {
    /// In clear text.
    Plain(Plain),
    /// TLS, in a box: it is many times as large.
    Tls(Box<TlsStream<TcpStream>>),
    /// Neither: a test is at the other end.
    #[cfg(any(test, feature = "memory"))]
    Memory(tokio::io::DuplexStream),
}

/// The watch over what the server sends.
enum Watch {
    /// Nobody watches: it is not HTTP.
    Nobody,
    /// HTTP/1.
    Http1(Rc<Wire>),
    /// HTTP/2.
    Http2(Frames),
}

/// The bytes of a connection to a server.
pub struct ServerIo {
    carrier: Carrier,
    watch: Watch,
    /// The server takes no more: writing failed.
    deaf: bool,
}

impl ServerIo {
    const fn unwatched(carrier: Carrier) -> Self {
        Self { carrier, watch: Watch::Nobody, deaf: false }
    }

    /// The bytes of a socket, in clear text.
    pub(crate) const fn plain(stream: TcpStream) -> Self {
        Self::unwatched(Carrier::Plain(Plain(stream)))
    }

    /// The bytes that go over TLS.
    pub(crate) fn tls(stream: TlsStream<TcpStream>) -> Self {
        Self::unwatched(Carrier::Tls(Box::new(stream)))
    }

    /// The bytes of a test.
    #[cfg(any(test, feature = "memory"))]
    pub const fn memory(stream: tokio::io::DuplexStream) -> Self {
        Self::unwatched(Carrier::Memory(stream))
    }

    /// Has the connection watched as one that speaks HTTP/1.
    pub(crate) fn for_http1(self, wire: &Rc<Wire>) -> Self {
        Self { watch: Watch::Http1(Rc::clone(wire)), ..self }
    }

    /// Has the connection watched as one that speaks HTTP/2, from its first byte on.
    pub(crate) fn for_http2(self, talk: &Rc<Talk>) -> Self {
        Self { watch: Watch::Http2(Frames::new(talk)), ..self }
    }

    /// The result of a write. A server may answer and close while the request is still being sent: the write fails
    /// then, and the response lies in the socket (RFC 9112, 9.5). So nothing more is written, and reading says how it ended.
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

/// Does the same to whatever carries the bytes.
macro_rules! carried {
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
            #[cfg(any(test, feature = "memory"))]
            Carrier::Memory(stream) => {
                let $stream = Pin::new(stream);
                $does
            }
        }
    };
}

impl AsyncRead for ServerIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let others_turn = match &this.watch {
            Watch::Http1(wire) => wire.take_turn(),
            Watch::Http2(frames) => frames.take_turn(),
            Watch::Nobody => false,
        };
        if others_turn {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(carried!(this, stream => stream.poll_read(cx, buf)))?;
        Poll::Ready(match &mut this.watch {
            Watch::Http1(wire) => wire.count(buf.filled().len() - before),
            Watch::Http2(frames) => frames.count(buf.filled().get(before..).unwrap_or_default()),
            Watch::Nobody => Ok(()),
        })
    }
}

impl AsyncWrite for ServerIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.deaf {
            return Poll::Pending;
        }
        let result = carried!(this, stream => stream.poll_write(cx, buf));
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
        let result = carried!(this, stream => stream.poll_write_vectored(cx, bufs));
        this.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.carrier {
            Carrier::Plain(stream) => stream.is_write_vectored(),
            Carrier::Tls(stream) => stream.is_write_vectored(),
            #[cfg(any(test, feature = "memory"))]
            Carrier::Memory(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
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
        carried!(this, stream => stream.poll_shutdown(cx))
    }
}
