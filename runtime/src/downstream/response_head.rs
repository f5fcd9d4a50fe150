//! The head of a response for a client that has many streams on a connection (RFC 9113, 8.3.2; RFC 9114, 4.3.2).

use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::response::Parts;
use http::{HeaderValue, Response};
use http_body::Body;
use tidegate_engine::status::is_bodiless;

use crate::request::grpc;
use crate::request::response_body::ResponseBody;
use crate::request::state::StreamState;

/// A response whose head is ready to leave.
pub(super) struct Ready {
    pub(super) head: Parts,
    pub(super) body: ResponseBody,
    /// Whether the head is all of it.
    pub(super) ends: bool,
    /// Whether a body that breaks off is to end with trailers, as gRPC has it. With an announced length, less would be malformed
    /// (RFC 9113, 8.1.1; RFC 9114, 4.1.2).
    pub(super) errors_in_trailers: bool,
}

impl Ready {
    /// Makes the head of a response ready; `head_only` says that it is one to HEAD.
    pub(super) fn of(response: Response<ResponseBody>, head_only: bool, stream: &StreamState) -> Self {
        let (mut head, body) = response.into_parts();
        make_ready(&mut head, stream);
        let lengthless = is_bodiless(head.status);
        let ends = head_only || lengthless || body.is_end_stream();
        if !lengthless
            && let Some(length) = body.size_hint().exact()
            // A backend's response to HEAD has no body here, whatever it would have in response to GET.
            && (length > 0 || !head_only)
        {
            head.headers.entry(CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
        }
        let errors_in_trailers =
            head.extensions.get::<grpc::ErrorsInTrailers>().is_some() && !head.headers.contains_key(CONTENT_LENGTH);
        Self { head, body, ends, errors_in_trailers }
    }
}

/// Makes the head ready of a response after which the stream is a tunnel.
pub(super) fn of_tunnel(response: Response<()>, stream: &StreamState) -> Response<()> {
    let (mut head, ()) = response.into_parts();
    make_ready(&mut head, stream);
    Response::from_parts(head, ())
}

fn make_ready(head: &mut Parts, stream: &StreamState) {
    // It is about HTTP/1 connections.
    head.headers.remove(CONNECTION);
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, stream.worker().http_date());
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use http::HeaderMap;
    use http::response::Builder;

    use super::*;
    use crate::tests::House;

    fn status(status: u16) -> Builder {
        Response::builder().status(status)
    }

    /// A response of this body as it leaves.
    fn ready(head: Builder, body: &'static str, head_only: bool) -> Ready {
        let stream = House::answering("").stream();
        let body = ResponseBody::ours(body.into(), std::rc::Rc::clone(&stream), None);
        Ready::of(head.body(body).unwrap(), head_only, &stream)
    }

    /// A response whose length nobody knows.
    fn streamed(head: Builder, head_only: bool) -> Ready {
        let stream = House::answering("").stream();
        let mut body = ResponseBody::ours("".into(), std::rc::Rc::clone(&stream), None);
        body.put_back_all("some".into(), Some(Box::new(HeaderMap::new())));
        Ready::of(head.body(body).unwrap(), head_only, &stream)
    }

    fn length(ready: &Ready) -> Option<&str> {
        ready.head.headers.get(CONTENT_LENGTH).map(|length| length.to_str().unwrap())
    }

    #[test]
    fn the_head_says_how_long_the_body_is_and_whether_one_follows() {
        for (code, body, head_only, ends, says) in [
            (200, "hello", false, false, Some("5")),
            (200, "hello", true, true, Some("5")),
            (200, "", false, true, Some("0")),
            (200, "", true, true, None),
            (404, "no", false, false, Some("2")),
            (204, "", false, true, None),
            (304, "", false, true, None),
            (304, "hello", false, true, None),
        ] {
            let ready = ready(status(code), body, head_only);
            assert_eq!((ready.ends, length(&ready)), (ends, says), "{code} {body:?} {head_only}");
        }
    }

    #[test]
    fn a_length_that_is_there_stays_and_one_that_is_not_known_is_not_made_up() {
        let head = ready(status(200).header(CONTENT_LENGTH, 7), "", true);
        assert_eq!((head.ends, length(&head)), (true, Some("7")), "as in response to GET");
        assert_eq!(length(&ready(status(304).header(CONTENT_LENGTH, 7), "", false)), Some("7"));
        for head_only in [false, true] {
            let streamed = streamed(status(200), head_only);
            assert_eq!((streamed.ends, length(&streamed)), (head_only, None));
        }
    }

    #[test]
    fn nothing_is_said_of_the_connection_and_the_date_once() {
        let head = ready(status(200).header(CONNECTION, "close").header(DATE, "then"), "", false).head;
        assert!(!head.headers.contains_key(CONNECTION));
        assert_eq!(head.headers.get_all(DATE).iter().collect::<Vec<_>>(), ["then"]);
        assert!(ready(status(200), "", false).head.headers.contains_key(DATE));
        let stream = House::answering("").stream();
        let tunnel = of_tunnel(status(200).header(CONNECTION, "upgrade").body(()).unwrap(), &stream);
        assert!(!tunnel.headers().contains_key(CONNECTION) && tunnel.headers().contains_key(DATE));
    }

    #[test]
    fn errors_go_into_trailers_only_of_a_call_without_a_length() {
        let call = || status(200).extension(grpc::ErrorsInTrailers);
        assert!(streamed(call(), false).errors_in_trailers);
        assert!(!streamed(status(200), false).errors_in_trailers);
        assert!(!streamed(call().header(CONTENT_LENGTH, 9), false).errors_in_trailers, "less would be malformed");
        assert!(!ready(call(), "hello", false).errors_in_trailers);
    }
}
