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

#[cfg(test)]
mod tests {
    use crate::tests::{ANSWERS, Client, House, run};

    const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// A client of whose request the head has come.
    async fn asked(house: &House, fields: &str) -> Client {
        let mut client = house.client();
        client.send(&format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
        client
    }

    /// Whether the connection of a request with these fields ends with a response of the gateway's own.
    async fn ends(fields: &str) -> bool {
        let house = House::answering("");
        let mut client = asked(&house, fields).await;
        let (head, body) = client.response(5).await;
        assert!(head.starts_with("HTTP/1.1 200 ") && body == "hello", "nobody waits for the body: {head}");
        head.contains("\nconnection: close")
    }

    #[test]
    fn a_connection_goes_on_if_little_can_be_left_of_a_body_that_nobody_wants() {
        run(async {
            for (fields, over) in [
                ("content-length: 0\r\n", false),
                ("content-length: 65536\r\n", false),
                ("content-length: 65537\r\n", true),
                ("transfer-encoding: chunked\r\n", true),
                ("content-length: 5\r\nexpect: 100-continue\r\n", true),
            ] {
                assert_eq!(ends(fields).await, over, "{fields}");
            }
        });
    }

    #[test]
    fn the_rest_of_a_body_is_thrown_away_when_it_comes() {
        run(async {
            let house = House::answering("");
            let mut client = asked(&house, "content-length: 10\r\n").await;
            client.response(5).await;
            client.send("GET / HT").await;
            assert!(client.is_silent().await);
            client.send("TP").await;
            client.send(GET).await;
            assert_eq!(client.status(5).await, "HTTP/1.1 200 OK");
            assert_eq!(house.log().len(), 2);
        });
    }

    #[test]
    fn a_client_that_leaves_with_the_rest_of_its_body_leaves_alone() {
        run(async {
            let house = House::answering("");
            let mut client = asked(&house, "content-length: 10\r\n").await;
            client.response(5).await;
            client.send("abc").await;
            client.end().await;
            assert_eq!(client.rest().await, "");
            assert_eq!(house.log().len(), 1);
        });
    }

    #[test]
    fn a_server_that_refuses_an_upload_ends_it_and_one_that_agrees_does_not() {
        let (refuses, agrees, waits) = ("413 Payload Too Large", "200 OK", "100\r\nexpect: 100-continue");
        for (length, status, over) in
            [("100000", refuses, true), ("100000", agrees, false), ("100", refuses, false), (waits, refuses, true)]
        {
            run(async {
                let house = House::forwarding("", "otherwise { forward web }");
                let mut server = house.server(1);
                let mut client = asked(&house, &format!("content-length: {length}\r\n")).await;
                server.answer(&format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")).await;
                let mut head = client.response(0).await.0;
                if head.starts_with("HTTP/1.1 100 ") {
                    head = client.response(0).await.0;
                }
                assert_eq!(head.contains("\nconnection: close"), over, "{length}: {head}");
            });
        }
    }

    #[test]
    fn a_body_that_a_server_took_whole_leaves_the_connection_as_it_was() {
        for end in ["0\r\n\r\n", "0\r\nx-sum: 7\r\n\r\n"] {
            run(async {
                let house = House::forwarding("", "otherwise { forward web }");
                let mut server = house.server(1);
                let mut client = asked(&house, "transfer-encoding: chunked\r\ntrailer: x-sum\r\n").await;
                client.send(&format!("2\r\nhi\r\n{end}")).await;
                server.answer("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n").await;
                assert!(!client.response(0).await.0.contains("connection: close"), "{end:?}");
                client.send(GET).await;
                assert!(server.take(100).await.contains("GET / HTTP/1.1"), "{end:?}");
            });
        }
    }

    #[test]
    fn a_client_that_waits_is_told_to_go_on_when_a_server_wants_its_body() {
        run(async {
            let house = House::forwarding("", &format!("rule up {{ when path is \"/up\"; forward web }} {ANSWERS}"));
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n").await;
            server.request().await;
            assert_eq!(client.status(0).await, "HTTP/1.1 100 Continue");
            client.send("hi").await;
            assert_eq!(server.take(2).await, "hi");
            server.say("HTTP/1.1 204 No Content\r\n\r\n").await;
            assert_eq!(client.status(0).await, "HTTP/1.1 204 No Content");
            client.send(GET).await;
            assert_eq!(client.status(5).await, "HTTP/1.1 200 OK", "the connection goes on");
        });
    }
}
