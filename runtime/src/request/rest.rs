//! The rest of a request's body on an HTTP/1 connection when its answer is there, and what it means for the connection.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use tidegate_base::limits;

/// Shared by a connection and the bodies of its requests, one after the other.
///
/// A client may send on although it has its answer. A little is read and thrown away, so that the connection can carry
/// the next request. More than a little ends the connection, and the client is told so in time (RFC 9112, 9.6).
#[derive(Default)]
pub struct Rest {
    standing: Cell<Standing>,
    /// The body that is to be thrown away.
    body: RefCell<Option<Incoming>>,
    /// The connection's task, which stays the same for its life.
    task: RefCell<Option<Waker>>,
}

/// The standing of a request's body.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// There is none, or all of it was read.
    #[default]
    Read,
    /// Somebody reads it.
    Wanted {
        /// The most that may be left of the body is little enough to be thrown away.
        little: bool,
    },
    /// Nobody wants it any more, and what is left is thrown away.
    Discarded,
    /// Nobody wants it any more, and the connection cannot go on.
    Unread,
}

impl Rest {
    /// The connection's next request has come, so the last one has been read.
    pub fn begin(&self) {
        self.standing.set(Standing::Read);
        *self.body.borrow_mut() = None;
    }

    /// Whether the connection ends with an answer of this status, as far as the request's body is concerned.
    ///
    /// A server that agrees goes on reading; one that refuses an upload seldom does.
    pub fn ends_connection(&self, status: StatusCode) -> bool {
        match self.standing.get() {
            Standing::Read | Standing::Discarded => false,
            Standing::Wanted { little } => !little && status.as_u16() >= 300,
            Standing::Unread => true,
        }
    }

    /// Whether all of the body was read.
    pub fn is_read(&self) -> bool {
        self.standing.get() == Standing::Read
    }

    /// Throws away what has come; ready when that was the last of it.
    pub fn poll_discard(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.task.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        if self.standing.get() != Standing::Discarded {
            return Poll::Pending;
        }
        let mut body = self.body.borrow_mut();
        let Some(incoming) = &mut *body else { return Poll::Pending };
        loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(_))) if !incoming.is_end_stream() => {}
                Poll::Ready(Some(Err(_))) => {
                    *body = None;
                    self.standing.set(Standing::Unread);
                    return Poll::Pending;
                }
                Poll::Ready(_) => {
                    *body = None;
                    self.standing.set(Standing::Read);
                    return Poll::Ready(());
                }
            }
        }
    }
}

/// The body of a request over HTTP/1.
pub struct Http1Body {
    /// The body as hyper has it; nothing once this is dropped.
    incoming: Option<Incoming>,
    rest: Rc<Rest>,
    /// The client waits to be told to go on (RFC 9110, 10.1.1), which hyper does when the body is first read.
    waits: bool,
}

impl Http1Body {
    /// The body of a connection's next request, which has one.
    pub fn new(incoming: Incoming, rest: &Rc<Rest>, waits: bool) -> Self {
        rest.standing.set(Standing::Wanted { little: !waits && is_little(&incoming) });
        Self { incoming: Some(incoming), rest: Rc::clone(rest), waits }
    }

    /// Whether the body has ended.
    pub fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// The length of what comes, as far as it is known.
    pub fn size_hint(&self) -> http_body::SizeHint {
        self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default()
    }

    /// The next part.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        self.waits = false;
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        // Nothing follows trailers.
        let ended = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || incoming.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if ended {
            self.rest.standing.set(Standing::Read);
        }
        polled
    }
}

impl Drop for Http1Body {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        if !matches!(self.rest.standing.get(), Standing::Wanted { .. }) {
            return;
        }
        if !self.waits && is_little(&incoming) {
            *self.rest.body.borrow_mut() = Some(incoming);
            self.rest.standing.set(Standing::Discarded);
            if let Some(task) = &*self.rest.task.borrow() {
                task.wake_by_ref();
            }
        } else {
            self.rest.standing.set(Standing::Unread);
        }
    }
}

/// Whether so little is left of a body that the connection is worth more.
fn is_little(body: &Incoming) -> bool {
    body.size_hint().exact().is_some_and(|left| left <= limits::DISCARDED_BYTES)
}
