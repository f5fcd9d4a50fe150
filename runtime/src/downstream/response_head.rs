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
