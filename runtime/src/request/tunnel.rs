//! A connection that has switched protocols (RFC 9110, 7.8): bytes both ways, until both sides have ended.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request::client_body::ClientBody;
use crate::request::context::Ending;
use crate::request::request_body::Switched;
use crate::request::state::StreamState;

/// What a connection becomes when the answer that agrees to it has been written.
pub struct Tunnel {
    /// The backend's side.
    pub upstream: Switched,
    /// What comes from the client, if the rest of its connection goes on without it (RFC 8441, RFC 9220).
    pub client: ClientBody,
    /// Whoever ends the request, which ends with the tunnel.
    pub ending: Option<Ending>,
    /// How long both sides may be silent.
    pub timeout: Duration,
}

impl Tunnel {
    /// What comes from the client.
    pub fn take_client(&mut self) -> ClientBody {
        std::mem::replace(&mut self.client, ClientBody::Empty)
    }

    /// Moves bytes between the client and the backend until both have ended, one of them fails, nothing moves for too
    /// long, or the gateway goes down. `early` is what the client sent before it had the answer.
    pub async fn run<C>(self, client: C, early: Bytes, stream: &Rc<StreamState>)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { mut upstream, mut ending, timeout, .. } = self;
        stream.begin_tunnel(timeout);
        let mut sent = 0;
        let failure = match stream.guard(pin!(upstream.bare())).await {
            Ok(Some((backend, first))) => {
                let (up, down) = (Way::new(early), Way::new(first));
                let mut pair = Pair { client, backend, up, down, timeout };
                let moved = stream.guard(pin!(poll_fn(|cx| pair.poll(stream, cx)))).await;
                sent = pair.down.moved;
                moved.and_then(|moved| moved).err()
            }
            Ok(None) => Some(Failure::UpstreamClosed),
            Err(failure) => Some(failure),
        };
        stream.end_request();
        if let Some(ending) = &mut ending {
            ending.end(sent, failure);
        }
    }
}

/// Two sockets, and what is under way between them.
struct Pair<C, B> {
    client: C,
    backend: B,
    up: Way,
    down: Way,
    timeout: Duration,
}

impl<C, B> Pair<C, B>
where
    C: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    fn poll(&mut self, stream: &StreamState, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut buffer = stream.worker().tunnel_buffer();
        let before = (self.up.moved, self.down.moved);
        let up = self.up.poll(&mut self.client, &mut self.backend, &mut buffer, cx);
        let down = self.down.poll(&mut self.backend, &mut self.client, &mut buffer, cx);
        if up.is_ready() != down.is_ready() {
            // One side has ended: the other has said most of what it has to say.
            self.timeout = self.timeout.min(limits::HALF_CLOSED);
            if stream.patience() > self.timeout {
                stream.begin_tunnel(self.timeout);
            }
        }
        if (self.up.moved, self.down.moved) != before {
            let cells = &stream.connection.cells;
            cells.received.add(self.up.moved - before.0);
            cells.sent.add(self.down.moved - before.1);
            stream.note_upstream();
        }
        match (up, down) {
            (Poll::Ready(Err(error)), _) => {
                Poll::Ready(Err(error.failure(Failure::ClientClosed, Failure::UpstreamBody)))
            }
            (_, Poll::Ready(Err(error))) => {
                Poll::Ready(Err(error.failure(Failure::UpstreamBody, Failure::ClientClosed)))
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

/// Which end of a way failed.
enum End {
    From,
    To,
}

impl End {
    const fn failure(&self, from: Failure, to: Failure) -> Failure {
        match self {
            Self::From => from,
            Self::To => to,
        }
    }
}

/// One direction.
struct Way {
    /// Read, and not yet taken by the other side.
    left: Bytes,
    /// Bytes that the other side took.
    moved: u64,
    /// Bytes were written that may wait in the other side's own buffer.
    unflushed: bool,
    /// The sender has ended.
    ended: bool,
    /// The receiver has been told so.
    closed: bool,
}

impl Way {
    const fn new(left: Bytes) -> Self {
        Self { left, moved: 0, unflushed: false, ended: false, closed: false }
    }

    /// Moves what there is. Ready when the sender has ended and the receiver knows, which leaves the other direction as
    /// it is.
    fn poll(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        buffer: &mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        let taken = |result: io::Result<usize>| match result {
            Ok(0) | Err(_) => Err(End::To),
            Ok(count) => Ok(count),
        };
        loop {
            while !self.left.is_empty() {
                let count = taken(ready!(Pin::new(&mut *to).poll_write(cx, &self.left)))?;
                self.moved += count as u64;
                self.unflushed = true;
                let _ = self.left.split_to(count);
            }
            if self.closed {
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| End::To)?;
                self.closed = true;
                return Poll::Ready(Ok(()));
            }
            let mut space = ReadBuf::new(buffer);
            match Pin::new(&mut *from).poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::From)),
                Poll::Pending => {
                    if std::mem::take(&mut self.unflushed)
                        && Pin::new(&mut *to).poll_flush(cx).map_err(|_| End::To)?.is_pending()
                    {
                        self.unflushed = true;
                    }
                    return Poll::Pending;
                }
            }
            let read = space.filled();
            if read.is_empty() {
                self.ended = true;
                continue;
            }
            let count = match Pin::new(&mut *to).poll_write(cx, read) {
                Poll::Ready(result) => taken(result)?,
                Poll::Pending => 0,
            };
            self.moved += count as u64;
            self.unflushed |= count > 0;
            if let Some(rest) = read.get(count..)
                && !rest.is_empty()
            {
                // Only what the other side does not take is kept, and nothing more is read until it does.
                self.left = Bytes::copy_from_slice(rest);
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::task::JoinHandle;

    use super::*;
    use crate::tests::{House, run, settle};

    const SECOND: Duration = Duration::from_secs(1);

    /// A tunnel under way: both its ends, and the task that moves the bytes.
    struct Open {
        client: DuplexStream,
        backend: DuplexStream,
        moving: JoinHandle<(Result<(), Failure>, u64, u64)>,
        stream: Rc<StreamState>,
    }

    fn open(house: &House, timeout: Duration, (early, first): (&'static str, &'static str)) -> Open {
        let (client, ours) = tokio::io::duplex(64);
        let (backend, theirs) = tokio::io::duplex(64);
        let stream = house.stream();
        stream.begin_tunnel(timeout);
        let (up, down) = (Way::new(early.into()), Way::new(first.into()));
        let mut pair = Pair { client: ours, backend: theirs, up, down, timeout };
        let state = Rc::clone(&stream);
        let moving = tokio::task::spawn_local(async move {
            let moved = state.guard(pin!(poll_fn(|cx| pair.poll(&state, cx)))).await;
            (moved.and_then(|moved| moved), pair.up.moved, pair.down.moved)
        });
        Open { client, backend, moving, stream }
    }

    async fn read(stream: &mut DuplexStream, length: usize) -> String {
        let mut bytes = vec![0; length];
        stream.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn bytes_go_both_ways_and_are_counted() {
        run(async {
            let mut open = open(&House::answering(""), SECOND, ("", ""));
            open.client.write_all(b"to the server").await.unwrap();
            open.backend.write_all(b"to you").await.unwrap();
            assert_eq!(read(&mut open.backend, 13).await, "to the server");
            assert_eq!(read(&mut open.client, 6).await, "to you");
            drop((open.client.shutdown().await, open.backend.shutdown().await));
            assert_eq!(open.moving.await.unwrap(), (Ok(()), 13, 6));
        });
    }

    #[test]
    fn what_came_before_the_tunnel_goes_first() {
        run(async {
            let mut open = open(&House::answering(""), SECOND, ("early ", "first "));
            open.client.write_all(b"late").await.unwrap();
            open.backend.write_all(b"second").await.unwrap();
            assert_eq!(read(&mut open.backend, 10).await, "early late");
            assert_eq!(read(&mut open.client, 12).await, "first second");
        });
    }

    #[test]
    fn a_side_that_has_ended_is_still_answered() {
        run(async {
            let mut open = open(&House::answering(""), SECOND, ("", ""));
            open.client.write_all(b"a question").await.unwrap();
            open.client.shutdown().await.unwrap();
            let mut all = String::new();
            open.backend.read_to_string(&mut all).await.unwrap();
            assert_eq!(all, "a question", "and its end is told");
            open.backend.write_all(b"an answer").await.unwrap();
            assert_eq!(read(&mut open.client, 9).await, "an answer");
            assert!(!open.moving.is_finished());
            open.backend.shutdown().await.unwrap();
            assert_eq!(open.moving.await.unwrap(), (Ok(()), 10, 9));
        });
    }

    #[test]
    fn a_half_open_tunnel_has_less_patience() {
        run(async {
            let mut open = open(&House::answering(""), limits::HALF_CLOSED * 10, ("", ""));
            settle().await;
            assert_eq!(open.stream.patience(), limits::HALF_CLOSED * 10);
            open.client.shutdown().await.unwrap();
            settle().await;
            assert_eq!(open.stream.patience(), limits::HALF_CLOSED);
        });
    }

    #[test]
    fn silence_ends_it_and_bytes_of_either_side_put_that_off() {
        run(async {
            let house = House::answering("");
            let mut open = open(&house, SECOND, ("", ""));
            for at in 0..4 {
                house.pass(SECOND * 8 / 10).await;
                let from = if at % 2 == 0 { &mut open.client } else { &mut open.backend };
                from.write_all(b"x").await.unwrap();
                settle().await;
            }
            assert!(!open.moving.is_finished());
            house.pass(SECOND * 12 / 10).await;
            assert_eq!(open.moving.await.unwrap(), (Err(Failure::TunnelTimeout), 2, 2));
        });
    }

    #[test]
    fn no_more_is_read_than_the_other_side_takes() {
        run(async {
            let mut open = open(&House::answering(""), SECOND, ("", ""));
            let mut sent = 0;
            while tokio::time::timeout(SECOND / 1000, open.client.write_all(&[b'x'; 16])).await.is_ok() {
                sent += 16;
                assert!(sent <= 64 * 4, "nobody reads, and all is taken");
            }
            assert_eq!(read(&mut open.backend, sent).await.len(), sent, "nothing is lost");
        });
    }

    #[test]
    fn the_side_that_breaks_is_named() {
        run(async {
            let mut broken = open(&House::answering(""), SECOND, ("", ""));
            drop(broken.client);
            broken.backend.write_all(b"x").await.unwrap();
            assert_eq!(broken.moving.await.unwrap().0, Err(Failure::ClientClosed));
            let mut broken = open(&House::answering(""), SECOND, ("", ""));
            drop(broken.backend);
            broken.client.write_all(b"x").await.unwrap();
            assert_eq!(broken.moving.await.unwrap().0, Err(Failure::UpstreamBody));
        });
    }
}
