//! An HTTP/3 stream as bytes: what a tunnel moves (RFC 9220, 3).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::StreamError;
use h3::server::RequestStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::body::Http3Body;
use crate::streams::SendStream;
use crate::transport::Stopped;

type Sender = RequestStream<SendStream, Bytes>;
type Sent = Pin<Box<dyn Future<Output = (Sender, Result<(), StreamError>)>>>;

/// Both directions of a stream.
pub struct Http3Io {
    sending: Sending,
    body: Http3Body,
    /// Received, and not yet read.
    left: Bytes,
    /// When the client wants no more.
    stopped: Option<Stopped>,
}

/// The library sends in futures, one at a time. A tunnel needs one for each piece that it moves.
#[expect(clippy::large_enum_variant, reason = "there is one for each tunnel, in a box")]
enum Sending {
    Idle(Sender),
    Busy(Sent),
    Broken,
}

impl Http3Io {
    /// The bytes of a stream whose heads have been exchanged.
    pub const fn new(sender: Sender, body: Http3Body, stopped: Stopped) -> Self {
        Self { sending: Sending::Idle(sender), body, left: Bytes::new(), stopped: Some(stopped) }
    }

    /// Waits for what is under way, and begins what comes next.
    fn poll_send(&mut self, cx: &mut Context<'_>, next: Option<impl FnOnce(Sender) -> Sent>) -> Poll<io::Result<()>> {
        if let Sending::Busy(sent) = &mut self.sending {
            let (sender, result) = ready!(sent.as_mut().poll(cx));
            self.sending = Sending::Idle(sender);
            if let Err(error) = result {
                self.sending = Sending::Broken;
                return Poll::Ready(Err(io::Error::other(error)));
            }
        }
        let Some(next) = next else { return Poll::Ready(Ok(())) };
        match std::mem::replace(&mut self.sending, Sending::Broken) {
            Sending::Idle(sender) => self.sending = Sending::Busy(next(sender)),
            Sending::Busy(_) | Sending::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
        Poll::Ready(Ok(()))
    }
}

/// Nothing comes next.
const NOTHING: Option<fn(Sender) -> Sent> = None;

impl AsyncRead for Http3Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(stopped) = &mut self.stopped
            && let Poll::Ready(stop) = stopped.as_mut().poll(cx)
        {
            self.stopped = None;
            // Without a code, the client has all that it was sent.
            if !matches!(stop, Ok(None)) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        while self.left.is_empty() {
            match ready!(self.body.poll_frame(cx)) {
                Some(Ok(frame)) => self.left = frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.left.len().min(buf.remaining());
        buf.put_slice(&self.left.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Http3Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let next = |mut sender: Sender| -> Sent {
            let data = Bytes::copy_from_slice(buf);
            Box::pin(async move {
                let result = sender.send_data(data).await;
                (sender, result)
            })
        };
        ready!(self.poll_send(cx, Some(next)))?;
        // It is on its way; what does not fit waits in the future, and whoever comes next waits for that.
        if let Poll::Ready(Err(error)) = self.poll_send(cx, NOTHING) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx, NOTHING)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let next = |mut sender: Sender| -> Sent {
            Box::pin(async move {
                let result = sender.finish().await;
                (sender, result)
            })
        };
        ready!(self.poll_send(cx, Some(next)))?;
        self.poll_send(cx, NOTHING)
    }
}
