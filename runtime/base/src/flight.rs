//! Small pieces of a body on their way to a peer.
//!
//! The libraries of HTTP/2 and QUIC count the bytes that a peer has not taken. A piece of one byte costs them some hundred more. So
//! small pieces are counted here until the library gives them up, and gathered while many are under way: who sends slowly is not
//! held up, and who does not read makes us hold no more than the bytes that are allowed.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use crate::failure::BodyError;
use crate::limits;

/// The small pieces of one stream that are under way. Copies share it.
#[derive(Debug, Clone, Default)]
pub struct Flight(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    pieces: AtomicUsize,
    /// The task that waits for room. The stream's task and the connection's, on the same thread, alone want the lock.
    waiting: Mutex<Option<Waker>>,
}

/// A piece under way; the library drops it when the peer has it.
struct Piece {
    data: Bytes,
    shared: Arc<Shared>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.shared.pieces.fetch_sub(1, Ordering::Relaxed);
        let waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waiting {
            waker.wake();
        }
    }
}

impl Flight {
    /// Whether a piece of this length is counted.
    pub const fn is_small(length: usize) -> bool {
        length < limits::UNSENT_PIECE
    }

    /// Ready when another small piece may leave.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<()> {
        if self.0.pieces.load(Ordering::Relaxed) < limits::UNSENT_PIECES {
            return Poll::Ready(());
        }
        *self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A piece to hand on: a small one is counted, in a copy, because it may be a part of a buffer that is much larger.
    pub fn piece(&self, data: Bytes) -> Bytes {
        if !Self::is_small(data.len()) || data.is_empty() {
            return data;
        }
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Piece { data: Bytes::copy_from_slice(&data), shared: Arc::clone(&self.0) })
    }
}

/// A body whose small pieces are gathered while too many are under way.
pub struct Gathering<B> {
    body: B,
    flight: Flight,
    /// Whether pieces are counted here; otherwise whoever writes them counts.
    counts: bool,
    gathered: BytesMut,
    /// The frame behind what was gathered: trailers, the end or an error.
    next: Option<Next>,
}

type Next = Option<Result<Frame<Bytes>, BodyError>>;

impl<B> Gathering<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Counts its small pieces.
    pub fn new(body: B) -> Self {
        Self { body, flight: Flight::default(), counts: true, gathered: BytesMut::new(), next: None }
    }

    /// Gathers by the count of somebody else.
    pub fn by(body: B, flight: Flight) -> Self {
        Self { flight, counts: false, ..Self::new(body) }
    }

    fn give(&self, data: Bytes) -> Poll<Next> {
        let data = if self.counts { self.flight.piece(data) } else { data };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn give_gathered(&mut self) -> Poll<Next> {
        let gathered = self.gathered.split().freeze();
        self.give(gathered)
    }
}

impl<B> Body for Gathering<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = &mut *self;
        if let Some(next) = this.next.take() {
            return Poll::Ready(next);
        }
        loop {
            let frame = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                Poll::Pending if this.gathered.is_empty() => return Poll::Pending,
                Poll::Pending => {
                    return if this.flight.poll_room(cx).is_ready() { this.give_gathered() } else { Poll::Pending };
                }
            };
            let next = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Ok(data),
                    Err(frame) => Err(Some(Ok(frame))),
                },
                other => Err(other),
            };
            let data = match next {
                Ok(data) => data,
                Err(next) if this.gathered.is_empty() => return Poll::Ready(next),
                Err(next) => {
                    this.next = Some(next);
                    return this.give_gathered();
                }
            };
            if this.gathered.is_empty() {
                if !Flight::is_small(data.len()) || this.body.is_end_stream() {
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                if this.flight.poll_room(cx).is_ready() {
                    return this.give(data);
                }
            }
            this.gathered.extend_from_slice(&data);
            if this.gathered.len() >= limits::GATHERED_PIECES {
                return this.give_gathered();
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.gathered.is_empty() && self.next.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.gathered.is_empty() { self.body.size_hint() } else { SizeHint::default() }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;
    use std::rc::Rc;

    use http::HeaderMap;

    use super::*;

    /// The frames that a test says come next; no frame is to wait.
    #[derive(Clone, Default)]
    struct Script(Rc<RefCell<VecDeque<Next>>>);

    impl Body for Script {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Next> {
            self.0.borrow_mut().pop_front().map_or(Poll::Pending, Poll::Ready)
        }
    }

    impl Script {
        fn data(&self, data: &str) {
            self.0.borrow_mut().push_back(Some(Ok(Frame::data(Bytes::copy_from_slice(data.as_bytes())))));
        }
    }

    fn poll(body: &mut Gathering<Script>) -> Poll<Next> {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn data(polled: Poll<Next>) -> Option<Bytes> {
        match polled {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
            _ => None,
        }
    }

    #[test]
    fn what_is_read_leaves_as_it_comes() {
        let script = Script::default();
        let mut body = Gathering::new(script.clone());
        for _ in 0..3 * limits::UNSENT_PIECES {
            script.data("x");
            assert_eq!(data(poll(&mut body)).unwrap(), "x", "it is dropped at once");
        }
        assert!(poll(&mut body).is_pending());
    }

    #[test]
    fn what_is_not_read_is_gathered() {
        let script = Script::default();
        let mut body = Gathering::new(script.clone());
        let mut under_way = Vec::new();
        for _ in 0..limits::UNSENT_PIECES {
            script.data("x");
            under_way.push(data(poll(&mut body)).unwrap());
        }
        script.data("y");
        script.data("z");
        assert!(poll(&mut body).is_pending(), "one too many");
        under_way.pop();
        let gathered = data(poll(&mut body)).unwrap();
        assert_eq!(gathered, "yz");
        under_way.push(gathered);
        // What is gathered is bounded, too.
        for _ in 0..limits::GATHERED_PIECES {
            script.data("x");
        }
        let large = data(poll(&mut body)).unwrap();
        assert_eq!(large.len(), limits::GATHERED_PIECES);
        script.data("end");
        assert!(poll(&mut body).is_pending());
        let trailers = Frame::trailers(HeaderMap::new());
        script.0.borrow_mut().extend([Some(Ok(trailers)), None]);
        assert_eq!(data(poll(&mut body)).unwrap(), "end", "the end does not wait");
        assert!(matches!(poll(&mut body), Poll::Ready(Some(Ok(frame))) if frame.is_trailers()));
        assert!(matches!(poll(&mut body), Poll::Ready(None)));
    }

    #[test]
    fn who_waits_is_woken() {
        struct Woken(AtomicUsize);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&woken));
        let flight = Flight::default();
        let pieces: Vec<_> = (0..limits::UNSENT_PIECES).map(|_| flight.piece(Bytes::from_static(b"x"))).collect();
        assert!(flight.poll_room(&Context::from_waker(&waker)).is_pending());
        drop(pieces);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert!(flight.poll_room(&Context::from_waker(&waker)).is_ready());
        let large = flight.piece(Bytes::from(vec![0; limits::UNSENT_PIECE]));
        assert!(flight.0.pieces.load(Ordering::Relaxed) == 0, "{} bytes count as bytes", large.len());
    }
}
