//! Answers that are made here.

use std::rc::Rc;

use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, Version};
use tidegate_base::failure::Failure;
use tidegate_engine::exchange::{Exchange, Response as ResponseHead};
use tidegate_engine::field_names::{self, Class};
use tidegate_engine::hook::Reply;
use tidegate_engine::passage;

use crate::request::handler::{RequestHandler, Source};
use crate::request::response_body::ResponseBody;
use crate::request::{grpc, log_record, request_span};

/// The answer to a failure.
pub(super) fn of(failure: Failure) -> Reply {
    let row = failure.row();
    let status = failure.status();
    let reason = status.canonical_reason().unwrap_or("Error");
    let mut headers = HeaderMap::with_capacity(2);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if failure == Failure::BadMethod {
        // RFC 9110, 15.5.6: 405 says what is allowed.
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"));
    }
    Reply { status, headers, body: format!("{} {reason}: {}\n", row.status, row.text).into() }
}

/// Puts a reply's head into the exchange. Framing is ours: what a reply says of it is taken out.
pub(super) fn take(exchange: &mut Exchange, reply: Reply) -> Source {
    let Reply { status, mut headers, body } = reply;
    passage::remove_where(&mut headers, |name| field_names::class(name.as_str()).is_some_and(Class::is_reserved));
    exchange.response = Some(ResponseHead::new(status, headers));
    Source::Ours(body)
}

/// Refuses a request whose head no rule may see.
pub(super) fn refuse(handler: &RequestHandler<'_>, head: &Parts, failure: Failure) -> Response<ResponseBody> {
    let reply = of(failure);
    let took = handler.facts.started.elapsed();
    if let Some(sampling) = handler.listener.tracing {
        handler.trace(sampling, &head.headers);
    }
    log_record::end_refused(handler.state, handler.view, handler.id, Some(head), took, failure, reply.body.len());
    if handler.state.trace.is_recorded() {
        let span = || request_span::of_refused(handler.state, head, failure, reply.body.len());
        handler.state.trace.end(span, &handler.state.worker().spans);
    }
    let Reply { mut status, mut headers, mut body } = reply;
    if head.version >= Version::HTTP_2 && grpc::is_call(&head.headers) {
        grpc::translate(&mut status, &mut headers, &mut body, false);
    }
    let mut response = Response::new(ResponseBody::ours(body, Rc::clone(handler.state), None));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    if failure.poisons_connection() && head.version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_failure_says_its_status_and_its_reason() {
        let Reply { status, headers, body } = of(Failure::BodyTooLarge);
        assert_eq!(status, 413);
        assert_eq!(headers[CONTENT_TYPE], "text/plain; charset=utf-8");
        assert_eq!(body, "413 Payload Too Large: the request body is too large\n");
        assert!(!headers.contains_key(ALLOW));
    }

    #[test]
    fn a_method_that_is_not_carried_is_told_which_are() {
        assert_eq!(of(Failure::BadMethod).headers[ALLOW], "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    }

    #[test]
    fn a_status_without_a_reason_of_its_own_is_an_error() {
        assert_eq!(of(Failure::ClientClosed).body, "499 Error: the client left\n");
    }

    #[test]
    fn what_a_reply_says_of_its_framing_is_taken_out() {
        let mut headers = HeaderMap::new();
        for name in ["content-length", "transfer-encoding", "connection", "x"] {
            headers.insert(name, HeaderValue::from_static("7"));
        }
        let mut exchange = Exchange::blank();
        let reply = Reply { status: http::StatusCode::OK, headers, body: "hello".into() };
        assert!(matches!(take(&mut exchange, reply), Source::Ours(body) if body == "hello"));
        let left = exchange.response.map(|response| response.headers.keys().cloned().collect::<Vec<_>>());
        assert_eq!(left, Some(vec![http::HeaderName::from_static("x")]));
    }
}
