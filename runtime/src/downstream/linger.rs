//! The close of a connection whose client may still be sending (RFC 9112, 9.6): in stages, so that the last answer is not lost
//! to a reset.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_base::standstill::within;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::downstream::io::{ClientIo, ClientStream};
use crate::request::state::StreamState;

/// Ends our side, and throws away what comes.
pub(super) async fn linger<S: ClientStream>(mut io: ClientIo<S>, stream: &StreamState) {
    // A client that is gone already says so again below.
    let _ = within(limits::LINGER, unless_aborted(stream, io.shutdown())).await;
    let discard = async || unless_aborted(stream, io.discard()).await.unwrap_or_default();
    if !drain(limits::LINGER_LONGEST, discard).await {
        Bound::Linger.met();
    }
}

/// Answers in clear text whoever has not opened a connection, and ends it.
pub(super) async fn answer_plain(stream: &mut TcpStream, answer: &[u8]) {
    let answered = async { stream.write_all(answer).await.is_ok() && stream.shutdown().await.is_ok() };
    if within(limits::LINGER, answered).await != Ok(true) {
        return;
    }
    let mut waste = [0; 4096];
    // Whoever sends on and on is cut off.
    drain(limits::LINGER, async || stream.read(&mut waste).await.unwrap_or_default()).await;
}

/// Throws away what comes until the client ends its side, is silent or slow, or has taken too long; whether it has not.
async fn drain(longest: Duration, mut discard: impl AsyncFnMut() -> usize) -> bool {
    let ending = async {
        let (mut took, mut bytes) = (Duration::ZERO, 0);
        loop {
            let began = Instant::now();
            let Ok(count @ 1..) = within(limits::LINGER, discard()).await else { return };
            bytes += count;
            // A wait that was longer than it may be was a standstill.
            took += Some(began.elapsed()).filter(|waited| *waited <= limits::LINGER).unwrap_or_default();
            if took > patience(bytes) {
                return;
            }
        }
    };
    within(longest, ending).await.is_ok()
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
    use std::cell::Cell;

    use super::*;
    use crate::tests::run;

    #[test]
    fn a_standstill_cuts_nobody_off() {
        let pieces = Cell::new(0);
        let discard = async || {
            pieces.set(pieces.get() + 1);
            match pieces.get() {
                // The whole thread stands, as it does when the process is stopped; then the client goes on.
                2 => {
                    tokio::time::advance(limits::LINGER + limits::STANDSTILL + limits::TICK).await;
                    tokio::time::sleep(limits::TICK).await;
                    1
                }
                5 => 0,
                _ => 1,
            }
        };
        assert!(run(drain(limits::LINGER, discard)), "it has ended its side");
        assert_eq!(pieces.get(), 5);
    }

    #[test]
    fn a_trickle_is_cut_off() {
        let pieces = Cell::new(0);
        let discard = async || {
            pieces.set(pieces.get() + 1);
            tokio::time::sleep(limits::LINGER / 3).await;
            1
        };
        assert!(run(drain(limits::LINGER_LONGEST, discard)), "before the longest time is up");
        assert!(pieces.get() <= 4, "{}", pieces.get());
    }

    #[test]
    fn an_upload_has_time_and_a_trickle_has_not() {
        assert_eq!(patience(0), limits::LINGER);
        assert_eq!(patience(limits::LINGER_RATE - 1), limits::LINGER);
        assert_eq!(patience(limits::LINGER_RATE), limits::LINGER + Duration::from_secs(1));
        assert!(patience(2_000_000) > limits::LINGER_LONGEST);
    }
}
