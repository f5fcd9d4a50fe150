//! What a request's own span says, from what is known of the request at its end.

use std::sync::Arc;

use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::PathAndQuery;
use tidegate_base::failure::Failure;
use tidegate_engine::Walk;
use tidegate_engine::exchange::Exchange;

use crate::request::log_record::{End, LogRecord};
use crate::request::state::StreamState;
use crate::telemetry::spans::span::{RequestSpan, text, value};

/// The span of a request at its end.
pub(super) fn of(record: &LogRecord, exchange: &Exchange, walk: &Walk, state: &StreamState, end: &End) -> RequestSpan {
    let request = &exchange.request;
    RequestSpan {
        connection: Arc::clone(&exchange.connection),
        request_id: Some(exchange.request_id),
        method: request.method.clone(),
        version: request.version,
        authority: Some(text(request.original_authority.as_str())),
        path: Some(text(request.original_target.path())),
        query: request.original_target.query().map(text),
        client: exchange.client_ip,
        user_agent: record.user_agent.as_ref().map(value),
        rule: walk.rule_name(&record.view.snapshot.engine).map(Box::from),
        group: exchange.group.clone(),
        server: exchange.server.clone(),
        status: record.status.as_u16(),
        failure: end.failure,
        received: state.bytes_in(),
        sent: end.sent,
    }
}

/// The span of a request that was refused before any rule saw it.
pub(super) fn of_refused(state: &StreamState, head: &Parts, failure: Failure, bytes: usize) -> RequestSpan {
    let info = &state.connection.info;
    let target = head.uri.path_and_query();
    let host = head.headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()));
    let authority = head.uri.authority().map(|authority| authority.as_str()).or(host.as_deref());
    RequestSpan {
        connection: Arc::clone(info),
        request_id: None,
        method: head.method.clone(),
        version: head.version,
        authority: authority.map(|authority| text(without_user(authority))),
        path: target.map(|target| text(target.path())),
        query: target.and_then(PathAndQuery::query).map(text),
        client: info.peer.ip(),
        user_agent: head.headers.get(USER_AGENT).map(value),
        rule: None,
        group: None,
        server: None,
        status: failure.row().status,
        failure: Some(failure),
        received: state.bytes_in(),
        sent: u64::try_from(bytes).unwrap_or(u64::MAX),
    }
}

/// An authority without a user and a password, for which a request is refused, and which nobody is to read later.
pub(super) fn without_user(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_kept_out() {
        for (authority, shown) in
            [("a.example:81", "a.example:81"), ("u:p@a.example", "a.example"), ("u@v@a", "a"), ("", "")]
        {
            assert_eq!(without_user(authority), shown);
        }
    }
}
