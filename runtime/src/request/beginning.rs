//! The first bytes of a server's answer, where its head depends on how long it is.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tidegate_base::failure::BodyError;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_engine::exchange::Exchange;
use tokio::time::{Instant, timeout_at};

use crate::request::fields;
use crate::request::handler::{RequestHandler, Source};
use crate::request::request_body::UpstreamBody;
use crate::request::response_body::ResponseBody;
use crate::request::state::StreamState;

/// The part of a body that was read before its head left.
#[derive(Debug, Default)]
pub(super) struct Beginning {
    data: Bytes,
    trailers: Option<Box<HeaderMap>>,
    /// Whether the body ended with it.
    whole: bool,
}

impl Beginning {
    /// The length of the whole body, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.whole.then(|| u64::try_from(self.data.len()).ok()).flatten()
    }

    /// Puts the beginning back before the rest of the body.
    pub(super) fn put_back(self, body: &mut ResponseBody) {
        if !self.data.is_empty() || self.trailers.is_some() {
            body.put_back_all(self.data, self.trailers);
        }
    }
}

/// Whether a server's response is worth compressing depends on its length, which is not known.
pub(super) fn decides(handler: &RequestHandler<'_>, exchange: &Exchange) -> bool {
    exchange.response.as_ref().is_some_and(|response| {
        handler.facts.accepted.depends_on_length(response.status, &response.headers)
            && fields::content_length(&response.headers).is_none()
    })
}

/// Reads so much of an answer that [it is clear](decides) whether it is worth compressing.
///
/// # Errors
/// The body broke off.
pub(super) async fn read(
    state: &StreamState,
    exchange: &Exchange,
    mut body: UpstreamBody,
) -> Result<(Source, Beginning), Failure> {
    let kind = exchange.response.as_ref().and_then(|response| response.headers.get(CONTENT_TYPE));
    // Who waits for events is to know at once that there will be some.
    let waits = !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let beginning = begin(&mut body, waits, state).await.map_err(|_| Failure::UpstreamBody)?;
    if beginning.whole && beginning.trailers.is_none() {
        body.finish(true, state.worker().now_ms());
        return Ok((Source::Ours(beginning.data), Beginning::default()));
    }
    Ok((Source::Upstream(body), beginning))
}

async fn begin(body: &mut UpstreamBody, waits: bool, state: &StreamState) -> Result<Beginning, BodyError> {
    let mut beginning = Beginning::default();
    let until = Instant::now() + limits::COMPRESSION_WAIT;
    while u64::try_from(beginning.data.len()).is_ok_and(|length| length <= limits::COMPRESSED_FROM) {
        let Some(next) = next(body, waits, until).await else { break };
        state.note_upstream();
        match next.transpose()?.map(Frame::into_data) {
            Some(Ok(data)) if beginning.data.is_empty() => beginning.data = data,
            Some(Ok(data)) => {
                let mut both = BytesMut::from(beginning.data);
                both.extend_from_slice(&data);
                beginning.data = both.freeze();
            }
            Some(Err(trailers)) => {
                beginning.trailers = trailers.into_trailers().ok().map(Box::new);
                beginning.whole = true;
                break;
            }
            None => {
                beginning.whole = true;
                break;
            }
        }
    }
    Ok(beginning)
}

/// The next frame of the body; `None` if it takes too long.
async fn next(body: &mut UpstreamBody, waits: bool, until: Instant) -> Option<Option<Result<Frame<Bytes>, BodyError>>> {
    if waits {
        return timeout_at(until, body.frame()).await.ok();
    }
    poll_fn(|cx| match Pin::new(&mut *body).poll_frame(cx) {
        Poll::Ready(next) => Poll::Ready(Some(next)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
