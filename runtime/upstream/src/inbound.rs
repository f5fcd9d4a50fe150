//! The body of a server's response over HTTP/2, while the client does not take it.
//!
//! A window bounds bytes, and what waits costs by piece: a byte in a frame of its own is held in a hundred. So when many
//! small pieces have come on a connection, they are gathered, and wait as bytes. Each goes back into the window only when it
//! is handed out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream};
use http_body::{Body, Frame};
use slab::Slab;
use tidegate_base::limits;

/// The bodies that are under way on a connection.
#[derive(Default)]
pub(crate) struct Inbounds(RefCell<Slab<Rc<RefCell<Held>>>>);

impl Inbounds {
    /// Gathers what waits in pieces.
    pub(crate) fn gather(&self) {
        for (_, held) in self.0.borrow().iter() {
            held.borrow_mut().gather();
        }
    }
}

/// One body that is under way.
pub(crate) struct Inbound {
    held: Rc<RefCell<Held>>,
    all: Rc<Inbounds>,
    key: usize,
}

/// The part of a body that has come, and who reads it.
struct Held {
    stream: RecvStream,
    /// What was gathered, in order, before what the stream has.
    whole: VecDeque<Bytes>,
    /// The last of what was gathered, which may still grow.
    tail: BytesMut,
    /// The failure of the stream, if it was met when its data were gathered.
    broken: Option<h2::Error>,
    reader: Option<Waker>,
}

impl Inbound {
    /// The body of a stream of a connection.
    pub(crate) fn new(stream: RecvStream, all: &Rc<Inbounds>) -> Self {
        let (whole, tail) = (VecDeque::new(), BytesMut::new());
        let held = Rc::new(RefCell::new(Held { stream, whole, tail, broken: None, reader: None }));
        let key = all.0.borrow_mut().insert(Rc::clone(&held));
        Self { held, all: Rc::clone(all), key }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        self.all.0.borrow_mut().try_remove(self.key);
    }
}

impl Body for Inbound {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let mut held = self.held.borrow_mut();
        let polled = held.poll(cx);
        if polled.is_pending() && !held.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker())) {
            held.reader = Some(cx.waker().clone());
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let held = self.held.borrow();
        held.whole.is_empty() && held.tail.is_empty() && held.broken.is_none() && held.stream.is_end_stream()
    }
}

impl Held {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let gathered = self.whole.pop_front().or_else(|| (!self.tail.is_empty()).then(|| self.tail.split().freeze()));
        let data = match gathered {
            Some(data) => Some(Ok(data)),
            None => match self.broken.take() {
                Some(error) => Some(Err(error)),
                None => ready!(self.stream.poll_data(cx)),
            },
        };
        match data {
            Some(Ok(data)) => {
                // Fails only for a stream that is gone, which the next poll says better.
                let _ = self.stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // As for any stream: see [`tidegate_base::http2::poll_frame`].
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => match ready!(self.stream.poll_trailers(cx)) {
                Ok(trailers) => Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers)))),
                Err(error) => Poll::Ready(Some(Err(error))),
            },
        }
    }

    /// Takes what the stream has. Whoever reads is woken for what comes after it, as if it had looked itself.
    fn gather(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let reader = self.reader.clone();
        let mut cx = Context::from_waker(reader.as_ref().unwrap_or(Waker::noop()));
        while let Poll::Ready(Some(data)) = self.stream.poll_data(&mut cx) {
            match data {
                Ok(data) if data.len() < limits::SMALL_PIECE => self.tail.extend_from_slice(&data),
                Ok(data) => {
                    if !self.tail.is_empty() {
                        self.whole.push_back(self.tail.split().freeze());
                    }
                    self.whole.push_back(data);
                }
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
        }
    }
}
