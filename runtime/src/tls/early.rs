//! TLS of clients who may send a request before their handshake is complete: early data, or 0-RTT (RFC 8446, 2.3).
//!
//! tokio-rustls hands a server nothing before the end of the handshake. So this file makes the handshakes of listeners
//! with `early-data on`, gives early data to HTTP while the rest of the handshake is on its way, and leaves the
//! connection to tokio-rustls as soon as both are over.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{Error, PeerMisbehaved, ServerConfig, ServerConnection};
use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_base::standstill::Deadline;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, TlsAcceptor};

/// What TLS is spoken over: a socket, or a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Io for S {}

/// Makes a handshake as far as it takes to read the client's first request: to its end, or to accepted early data.
///
/// The time for that is the caller's to watch.
///
/// # Errors
/// It failed; the client got an alert that says why, as far as TLS has one.
pub async fn accept<S: Io>(socket: S, config: &Arc<ServerConfig>) -> io::Result<ClientTls<S>> {
    let mut tls = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    tls.set_buffer_limit(Some(limits::TLS_BUFFER));
    let mut early = Box::new(Early { socket, tls, config: Arc::clone(config), bytes: Rc::default(), deadline: None });
    poll_fn(|cx| {
        while early.tls.is_handshaking() && early.tls.early_data().is_none() {
            ready!(early.poll_handshake(cx))?;
        }
        // Our part of the handshake goes out before any answer does; what does not fit waits for the first write.
        Poll::Ready(early.poll_write_tls(cx).map(drop))
    })
    .await?;
    let is_early = early.tls.early_data().is_some();
    if is_early {
        early.deadline = Some(Deadline::after(limits::HANDSHAKE_TIMEOUT));
    }
    let mut stream = ClientTls::Early(early);
    if !is_early {
        stream.complete();
        poll_fn(|cx| stream.poll_open(cx)).await?;
    }
    Ok(stream)
}

/// The stream of a client with TLS, on which HTTP comes.
#[expect(clippy::large_enum_variant, reason = "nearly every connection is open, and would be read through a pointer")]
pub enum ClientTls<S = TcpStream> {
    /// The handshake is not over, or not all of the early data was read.
    Early(Box<Early<S>>),
    /// Both are over, and the end of our part of the handshake is on its way.
    Completing(Box<Accept<S>>),
    /// The handshake is complete.
    Open(TlsStream<S>),
    /// The connection broke between two of these.
    Gone,
}

impl<S: Io> ClientTls<S> {
    /// The state of the handshake so far.
    pub fn connection(&self) -> Option<&ServerConnection> {
        match self {
            Self::Early(early) => Some(&early.tls),
            Self::Open(stream) => Some(stream.get_ref().1),
            Self::Completing(_) | Self::Gone => None,
        }
    }

    /// Whether what is read of it comes in early data, if any may.
    pub fn early(&self) -> Option<Rc<EarlyBytes>> {
        match self {
            Self::Early(early) => Some(Rc::clone(&early.bytes)),
            _ => None,
        }
    }

    /// Leaves the connection to tokio-rustls.
    fn complete(&mut self) {
        if let Self::Early(early) = std::mem::replace(self, Self::Gone) {
            let Early { socket, mut tls, config, .. } = *early;
            // It takes no connection that it did not begin, but lets us change the one that it begins.
            let accept = TlsAcceptor::from(config).accept_with(socket, |fresh| std::mem::swap(fresh, &mut tls));
            *self = Self::Completing(Box::new(accept));
        }
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Self::Completing(accept) = self {
            match ready!(Pin::new(&mut **accept).poll(cx)) {
                Ok(stream) => *self = Self::Open(stream),
                Err(error) => {
                    *self = Self::Gone;
                    return Poll::Ready(Err(error));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Whether all that HTTP has read of a connection came in early data.
///
/// A request that was read so far, and nothing after it, is marked: the handshake may not be complete, and a replay
/// looks the same. Once anything else was read the handshake is complete, which no replay comes to (RFC 8470, 3).
#[derive(Debug, Default)]
pub struct EarlyBytes {
    over: Cell<bool>,
    /// HTTP has looked at all of it, and taken out the requests that are whole.
    settled: Cell<bool>,
}

impl EarlyBytes {
    /// Whether nothing else was read yet.
    pub fn is_all(&self) -> bool {
        !self.over.get()
    }

    /// The connection's task begins anew: it has looked at what it read before.
    pub fn settle(&self) {
        self.settled.set(true);
    }
}

/// A handshake whose early data is being read.
pub struct Early<S> {
    socket: S,
    tls: ServerConnection,
    config: Arc<ServerConfig>,
    bytes: Rc<EarlyBytes>,
    /// The end of the time for the rest of the handshake, once HTTP is served; up to then, the caller looks at the clock.
    deadline: Option<Deadline>,
}

impl<S: Io> Early<S> {
    /// Reads early data; false if there is no more, the handshake is complete, and HTTP has looked at all of it.
    fn poll_early(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<bool>> {
        loop {
            if let Some(mut data) = self.tls.early_data() {
                let count = data.read(buf.initialize_unfilled())?;
                if count > 0 || buf.remaining() == 0 {
                    buf.advance(count);
                    self.bytes.settled.set(false);
                    return Poll::Ready(Ok(true));
                }
            }
            if !self.tls.is_handshaking() {
                if self.bytes.settled.get() {
                    self.bytes.over.set(true);
                    return Poll::Ready(Ok(false));
                }
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(self.poll_handshake(cx))?;
        }
    }

    /// Waits for the end of the handshake, and drops what nobody reads any more.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_handshake(cx))?;
        }
        self.bytes.over.set(true);
        Poll::Ready(Ok(()))
    }

    /// Takes the next piece of the handshake from the client, who is late only if there is none.
    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What does not go out now goes out when there is room.
        let _ = self.poll_write_tls(cx)?;
        match self.tls.read_tls(&mut Socket { socket: &mut self.socket, cx }) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let Some(deadline) = &mut self.deadline else { return Poll::Pending };
                ready!(deadline.poll(cx));
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            Err(error) => return Poll::Ready(Err(error)),
        }
        let done = self.tls.process_new_packets();
        Poll::Ready(done.map(drop).map_err(|error| {
            if error == Error::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived) {
                Bound::EarlyData.met();
            }
            // The alert that says why, if it fits.
            let _ = self.poll_write_tls(cx);
            io::Error::new(io::ErrorKind::InvalidData, error)
        }))
    }

    /// Writes what TLS has to say; ready when all of it is written.
    fn poll_write_tls(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<()>> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Socket { socket: &mut self.socket, cx }) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Pending),
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Writes an answer, which may leave before the handshake is complete: our part of it was sent, and nobody but the
    /// client of this handshake can read what follows (RFC 8446, 2.3).
    fn poll_write(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        // Nobody may be reading now, and the time of the handshake runs.
        while self.tls.is_handshaking() {
            match self.poll_handshake(cx) {
                Poll::Ready(taken) => taken?,
                Poll::Pending => break,
            }
        }
        loop {
            let count = self.tls.writer().write_vectored(bufs)?;
            let sent = self.poll_write_tls(cx)?;
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            ready!(sent);
        }
    }
}

impl<S: Io> AsyncRead for ClientTls<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Open(stream) => return Pin::new(stream).poll_read(cx, buf),
                Self::Early(early) => {
                    if ready!(early.poll_early(cx, buf))? {
                        return Poll::Ready(Ok(()));
                    }
                    this.complete();
                }
                Self::Completing(_) => ready!(this.poll_open(cx))?,
                Self::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }
}

impl<S: Io> AsyncWrite for ClientTls<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Open(stream) => Pin::new(stream).poll_write(cx, buf),
            this => Pin::new(this).poll_write_vectored(cx, &[IoSlice::new(buf)]),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Open(stream) => return Pin::new(stream).poll_write_vectored(cx, bufs),
                Self::Early(early) => return early.poll_write(cx, bufs),
                Self::Completing(_) => ready!(this.poll_open(cx))?,
                Self::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Open(stream) => return Pin::new(stream).poll_flush(cx),
                Self::Early(early) => return early.poll_write_tls(cx)?.map(Ok),
                Self::Completing(_) => ready!(this.poll_open(cx))?,
                Self::Gone => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    /// Ends our side, once the handshake is complete: before that, the client still has something to send.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this {
                Self::Open(stream) => return Pin::new(stream).poll_shutdown(cx),
                Self::Early(early) => {
                    ready!(early.poll_end(cx))?;
                    this.complete();
                }
                Self::Completing(_) => ready!(this.poll_open(cx))?,
                Self::Gone => return Poll::Ready(Ok(())),
            }
        }
    }
}

/// A socket as rustls wants it: what would wait is an error.
struct Socket<'a, 'c, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'c>,
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl<S: Io> Read for Socket<'_, '_, S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        now(Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl<S: Io> Write for Socket<'_, '_, S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.socket).poll_flush(self.cx))
    }
}

#[cfg(test)]
mod tests;
