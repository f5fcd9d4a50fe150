//! Answers that go on: server-sent events, bounded in number and in what waits for a slow reader.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tidegate_base::limits;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinHandle, spawn_local};

use super::answer::{Answer, Body};
use super::context::Context;

/// What a path answers.
pub enum Reply {
    /// An answer that is whole.
    Whole(Answer),
    /// One that goes on until somebody has enough.
    Events(Body),
}

impl Reply {
    /// The answer as HTTP has it.
    pub fn into_response(self, head_only: bool) -> Response<Body> {
        match self {
            Self::Whole(answer) => answer.into_response(head_only),
            Self::Events(body) => {
                let mut response = Response::new(body);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
                response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
                response
            }
        }
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Whole(answer)
    }
}

/// The end of a stream that events are put into.
pub struct Events(Sender<Bytes>);

/// Nobody reads any more.
#[derive(Debug)]
pub struct Gone;

impl Events {
    /// An answer whose events a task writes, until its reader has enough; it ends with the reader.
    pub fn stream<F>(context: &Context, write: impl FnOnce(Self) -> F) -> Reply
    where
        F: Future<Output = ()> + 'static,
    {
        let Ok(permit) = context.streams.clone().try_acquire_owned() else {
            let detail = format!("{} streams are open already; close one, or ask again later", limits::ADMIN_STREAMS);
            return Reply::Whole(Answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail));
        };
        let (sender, receiver) = channel(limits::ADMIN_EVENTS);
        let writing = write(Self(sender));
        let task = spawn_local(async move {
            let _permit = permit;
            writing.await;
        });
        Reply::Events(Stream { receiver, _task: Task(task) }.boxed_unsync())
    }

    /// Writes an event, once there is room for it.
    ///
    /// # Errors
    /// Nobody reads any more.
    pub async fn send(&mut self, name: Option<&str>, data: &str) -> Result<(), Gone> {
        let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
        // A line break would end the line (HTML, 9.2.6); JSON has none.
        let data = data.replace('\n', "\ndata: ");
        self.0.send(format!("{name}data: {data}\n\n").into()).await.map_err(|_| Gone)
    }
}

/// The task that writes; it ends with this.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Stream {
    receiver: Receiver<Bytes>,
    _task: Task,
}

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.receiver.poll_recv(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}
