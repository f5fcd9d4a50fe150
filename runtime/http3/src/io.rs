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

/// Both directions of a stream, as bytes.
pub struct Http3Io {
    sending: Sending,
    body: Http3Body,
    /// Bytes that were received, and not yet read.
    left: Bytes,
    /// The moment when the client wants no more.
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

/// No further piece: only what is under way is waited for.
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::testing::{Exchange, GET, Session, received, run};

    /// A stream as bytes, and the client's ends of it.
    async fn tunnel(session: &mut Session) -> (Http3Io, quinn::SendStream, quinn::RecvStream) {
        let Exchange { to_server, to_client, accepted, stream, .. } = session.request(&GET).await.unwrap();
        let (sender, receiver) = stream.split();
        (Http3Io::new(sender, Http3Body::new(receiver, None, false), accepted.stopped), to_server, to_client)
    }

    #[test]
    fn bytes_go_both_ways_to_the_end_of_each() {
        run(async {
            let mut session = Session::new().await;
            let (mut io, mut to_server, mut to_client) = tunnel(&mut session).await;
            to_server.write_all(&[0, 3, b'a', b'b', b'c', 0, 1, b'd']).await.unwrap();
            let mut first = [0; 2];
            io.read_exact(&mut first).await.unwrap();
            assert_eq!(&first, b"ab");
            to_server.finish().unwrap();
            let mut rest = Vec::new();
            io.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"cd");
            io.write_all(b"e").await.unwrap();
            io.write_all(b"fg").await.unwrap();
            io.flush().await.unwrap();
            io.shutdown().await.unwrap();
            assert_eq!(received(&mut to_client).await.unwrap(), [&[0, 1, b'e'][..], &[0, 2, b'f', b'g']].concat());
        });
    }

    #[test]
    fn a_reset_of_either_direction_is_one_of_the_connection() {
        run(async {
            let mut session = Session::new().await;
            let code = quinn::VarInt::from_u32(0x10c);
            let (mut io, mut to_server, _to_client) = tunnel(&mut session).await;
            to_server.reset(code).unwrap();
            assert_eq!(io.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let (mut io, _to_server, mut to_client) = tunnel(&mut session).await;
            to_client.stop(code).unwrap();
            assert_eq!(io.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        });
    }

    #[test]
    fn what_is_written_after_an_error_is_refused() {
        run(async {
            let mut session = Session::new().await;
            let (mut io, _to_server, _to_client) = tunnel(&mut session).await;
            session.client.close(quinn::VarInt::from_u32(0x100), b"");
            assert_eq!(io.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            let failed = async {
                loop {
                    io.write_all(b"late").await?;
                }
            };
            let failed: io::Result<()> = failed.await;
            assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::Other);
            assert_eq!(io.write(b"later").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
    }
}
