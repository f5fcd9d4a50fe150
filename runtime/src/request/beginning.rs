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

#[cfg(test)]
mod tests {
    use tidegate_base::limits::{COMPRESSED_FROM, COMPRESSION_WAIT};
    use tokio::time::Instant;

    use crate::tests::{Client, House, Server, run, settle};

    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";

    /// A client that takes gzip and has asked, and the server that is about to answer.
    async fn asked(house: &House) -> (Client, Server) {
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\nte: trailers\r\n\r\n").await;
        server.request().await;
        (client, server)
    }

    fn house() -> House {
        House::forwarding("compression [gzip]", "otherwise { forward web }")
    }

    fn chunk(length: u64) -> String {
        format!("{length:x}\r\n{}\r\n", "x".repeat(usize::try_from(length).unwrap_or_default()))
    }

    /// The head of a response whose body comes in these pieces, and then ends.
    async fn head_of(pieces: &[u64]) -> String {
        let house = house();
        let (mut client, mut server) = asked(&house).await;
        server.say(HEAD).await;
        for length in pieces {
            assert!(client.is_silent().await, "before {length} in {pieces:?}");
            server.say(&chunk(*length)).await;
        }
        server.say("0\r\n\r\n").await;
        client.response(0).await.0
    }

    #[test]
    fn a_body_of_unknown_length_is_compressed_if_it_turns_out_long() {
        run(async {
            for pieces in [&[COMPRESSED_FROM + 1][..], &[COMPRESSED_FROM, 1], &[1, COMPRESSED_FROM]] {
                assert!(head_of(pieces).await.contains("\ncontent-encoding: gzip"), "{pieces:?}");
            }
        });
    }

    #[test]
    fn a_body_that_turns_out_short_has_its_length_and_is_as_it_was() {
        run(async {
            for (pieces, length) in [(&[COMPRESSED_FROM][..], COMPRESSED_FROM), (&[1, 2, 3], 6), (&[], 0)] {
                let head = head_of(pieces).await;
                assert!(!head.contains("content-encoding"), "{head}");
                assert!(head.contains(&format!("\ncontent-length: {length}")), "{head}");
            }
        });
    }

    #[test]
    fn the_pieces_of_a_beginning_stay_in_their_order() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            server.say(HEAD).await;
            for piece in ["one ", "two ", "three"] {
                server.say(&format!("{:x}\r\n{piece}\r\n", piece.len())).await;
            }
            server.say("0\r\n\r\n").await;
            assert_eq!(client.response(13).await.1, "one two three");
        });
    }

    #[test]
    fn trailers_come_after_what_was_read_ahead_of_them() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            server.say(&HEAD.replace("\r\n\r\n", "\r\ntrailer: x-sum\r\n\r\n")).await;
            server.say("2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n").await;
            let (head, body) = client.response(22).await;
            assert!(head.contains("\ntransfer-encoding: chunked"), "{head}");
            assert_eq!(body, "2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n");
        });
    }

    #[test]
    fn a_head_waits_for_a_slow_body_only_so_long() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            server.say(HEAD).await;
            server.say("2\r\nok\r\n").await;
            let start = Instant::now();
            assert!(client.is_silent().await);
            let head = client.response(0).await.0;
            assert!(head.contains("\ncontent-encoding: gzip"), "the rest may be long: {head}");
            let waited = start.elapsed();
            assert!(waited > COMPRESSION_WAIT / 2 && waited <= COMPRESSION_WAIT, "{waited:?}");
        });
    }

    #[test]
    fn an_event_stream_does_not_wait() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            let start = Instant::now();
            server.say(&HEAD.replace("text/plain", "text/event-stream")).await;
            client.response(0).await;
            assert!(start.elapsed() < COMPRESSION_WAIT);
        });
    }

    #[test]
    fn a_body_that_breaks_off_at_its_beginning_is_an_error_and_not_a_short_response() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            server.say(HEAD).await;
            server.say("5\r\nok").await;
            drop(server);
            settle().await;
            assert!(client.response(0).await.0.starts_with("HTTP/1.1 502 "));
            client.end().await;
            drop(client.rest().await);
            assert_eq!(house.line()["failure"], "upstream-body");
        });
    }

    #[test]
    fn the_connection_of_a_short_response_serves_the_next_request() {
        run(async {
            let house = house();
            let (mut client, mut server) = asked(&house).await;
            server.say(&format!("{HEAD}2\r\nok\r\n0\r\n\r\n")).await;
            client.response(2).await;
            client.send("GET /next HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert!(server.request().await.starts_with("GET /next "));
        });
    }
}
