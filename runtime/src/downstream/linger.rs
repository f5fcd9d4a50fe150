//! The close of a connection whose client may still be sending (RFC 9112, 9.6): in stages, so that the last answer is not lost
//! to a reset.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::io::{ClientIo, ClientStream};
use super::state::StreamState;
use crate::limits;
use crate::telemetry::bounds::Bound;

/// Ends our side, and throws away what comes.
pub(super) async fn linger<S: ClientStream>(mut io: ClientIo<S>, stream: &StreamState) {
    // A client that is gone already says so again below.
    let _ = timeout(limits::LINGER, unless_aborted(stream, io.shutdown())).await;
    let discard = async || unless_aborted(stream, io.discard()).await.unwrap_or_default();
    if !drain(limits::LINGER_LONGEST, discard).await {
        Bound::Linger.met();
    }
}

/// Answers in clear text whoever has not opened a connection, and ends it.
pub(super) async fn answer_plain(stream: &mut TcpStream, answer: &[u8]) {
    let answered = async { stream.write_all(answer).await.is_ok() && stream.shutdown().await.is_ok() };
    if timeout(limits::LINGER, answered).await != Ok(true) {
        return;
    }
    let mut waste = [0; 4096];
    // Whoever sends on and on is cut off.
    drain(limits::LINGER, async || stream.read(&mut waste).await.unwrap_or_default()).await;
}

/// Throws away what comes until the client ends its side, is silent or slow, or has taken too long; whether it has not.
async fn drain(longest: Duration, mut discard: impl AsyncFnMut() -> usize) -> bool {
    let ending = async {
        let (began, mut bytes) = (Instant::now(), 0);
        while let Ok(count @ 1..) = timeout(limits::LINGER, discard()).await {
            bytes += count;
            if began.elapsed() > patience(bytes) {
                return;
            }
        }
    };
    timeout(longest, ending).await.is_ok()
}

/// The time that a client may take that has sent so many bytes.
fn patience(bytes: usize) -> Duration {
    let seconds = u64::try_from(bytes / limits::LINGER_RATE).unwrap_or(u64::MAX);
    limits::LINGER.saturating_add(Duration::from_secs(seconds))
}

/// Whether bytes of the client lie in the socket, unread: closing now would reset the connection.
pub(super) async fn is_sending<S: ClientStream>(io: &mut ClientIo<S>) -> bool {
    let mut piece = pin!(io.discard());
    poll_fn(|cx| Poll::Ready(matches!(piece.as_mut().poll(cx), Poll::Ready(1..)))).await
}

/// Waits, but not beyond the end of the gateway.
async fn unless_aborted<T>(stream: &StreamState, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| {
        stream.connection.register(cx.waker());
        if stream.connection.is_aborted() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

impl<S: ClientStream> ClientIo<S> {
    /// Waits for bytes, throws them away, and counts them; none at the client's end.
    async fn discard(&mut self) -> usize {
        poll_fn(|cx| {
            if self.has_ended() {
                return Poll::Ready(0);
            }
            let worker = Rc::clone(self.state().worker());
            let mut buffer = worker.tunnel_buffer();
            let mut space = ReadBuf::new(&mut buffer);
            Pin::new(&mut *self).poll_read(cx, &mut space).map(|result| result.map_or(0, |()| space.filled().len()))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_has_time_and_a_trickle_has_not() {
        assert_eq!(patience(0), limits::LINGER);
        assert_eq!(patience(limits::LINGER_RATE - 1), limits::LINGER);
        assert_eq!(patience(limits::LINGER_RATE), limits::LINGER + Duration::from_secs(1));
        assert!(patience(2_000_000) > limits::LINGER_LONGEST);
    }
}
