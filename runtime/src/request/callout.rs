//! Extensions that ask other servers: the guest waits, and the worker goes on.

use std::rc::Rc;
use std::time::Instant;

use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, StatusCode, Uri};
use http_body::Body;
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::permits::Permits;
use tidegate_base::standstill::within;
use tidegate_dsl::plan::ExtensionId;
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind, Verdict};
use tidegate_engine::passage;
use tidegate_engine::servers::PickRequest;
use tidegate_upstream::{Content, Outgoing, send};
use tidegate_wasm_host::limits::OUTBOUND_BODY_BYTES;
use tidegate_wasm_host::{Callout, CalloutFailure, CalloutOutcome, CalloutResponse, Step, SuspendedCall};

use crate::request::context::RequestContext;
use crate::request::fields;
use crate::request::gathered::{Unread, read};
use crate::request::handler::RequestHandler;
use crate::request::request_body::{RequestBody, UpstreamBody};
use crate::request::worker_snapshot::Group;

/// Calls a hook of an extension that may ask other servers. It is counted with the time that it waits; one whose client leaves
/// meanwhile is not.
pub(super) async fn run(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    id: ExtensionId,
    hook: Hook,
) -> Result<Verdict, HookFault> {
    let began = Instant::now();
    let verdict = call(handler, context, id, hook).await;
    handler.view.count_call(id, hook, began, &verdict);
    verdict
}

async fn call(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    id: ExtensionId,
    hook: Hook,
) -> Result<Verdict, HookFault> {
    if handler.view.is_foreign(id) {
        return run_in_steps(handler, context, id, hook).await;
    }
    let suspended = handler.view.begin(id, context.exchange.client_ip)?;
    let exchange = std::mem::replace(&mut context.exchange, Box::new(Exchange::blank()));
    let mut lent = Lent { suspended: Some(suspended), exchange: &mut context.exchange };
    let verdict = match &mut lent.suspended {
        Some(suspended) => suspended.call(hook, exchange, |asked| fetch(handler, id, asked)).await,
        None => Ok(Verdict::Next),
    };
    if let Some(suspended) = lent.give_back() {
        handler.view.end(id, suspended, &verdict);
    }
    verdict
}

/// Calls a hook of a foreign guest, and makes the calls that it asks for, one after the other. Its instance serves other
/// requests meanwhile.
async fn run_in_steps(
    handler: &RequestHandler<'_>,
    context: &mut RequestContext,
    id: ExtensionId,
    hook: Hook,
) -> Result<Verdict, HookFault> {
    let mut answer = None;
    loop {
        match handler.view.step(id, hook, &mut context.exchange, answer.take())? {
            Step::Ask(token, asked) => answer = Some((token, Box::pin(fetch(handler, id, *asked)).await?)),
            Step::Done(verdict) => return Ok(verdict),
        }
    }
}

/// An exchange that a guest has while it waits. However the wait ends, the request has the exchange again.
struct Lent<'c> {
    suspended: Option<SuspendedCall>,
    exchange: &'c mut Box<Exchange>,
}

impl Lent<'_> {
    fn give_back(&mut self) -> Option<SuspendedCall> {
        let mut suspended = self.suspended.take()?;
        if let Some(exchange) = suspended.exchange() {
            *self.exchange = exchange;
        }
        Some(suspended)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Makes a guest's call.
async fn fetch(handler: &RequestHandler<'_>, id: ExtensionId, asked: Callout) -> CalloutOutcome {
    let Some(group) = handler.view.group_named(&asked.group) else {
        return Err(HookFault {
            kind: HookFaultKind::UnknownGroup,
            message: format!("`outbound.fetch` names a server group that the policy does not have: `{}`", asked.group),
        });
    };
    // First the extension's own share, then the worker's bound.
    let share = handler.view.outbound(id).and_then(Permits::enter);
    let Some((_share, _place)) = share.zip(handler.state.worker().outbound.enter()) else {
        Bound::OutboundCalls.met();
        return Ok(Err(CalloutFailure::Busy));
    };
    let timeout = asked.timeout;
    let asking = Box::pin(ask(handler, group, asked));
    let answer = within(timeout, asking).await.unwrap_or(Err(CalloutFailure::Timeout));
    // However it went, the request has made progress.
    handler.state.note_upstream();
    Ok(answer)
}

async fn ask(
    handler: &RequestHandler<'_>,
    group: &Rc<Group>,
    asked: Callout,
) -> Result<CalloutResponse, CalloutFailure> {
    let Callout { method, authority, target, headers, body, .. } = asked;
    let mut request = Request::new(Content::of(RequestBody::whole(body.clone(), handler.state.clone())));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = headers;
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        request.headers_mut().insert(HOST, host);
    }
    if !body.is_empty() {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let mut outgoing = Outgoing { request: Some(request), authority, upgrade: false, pick: PickRequest::default() };
    let sent = send(group, &mut outgoing, None, &**handler.state).await;
    let answer = sent.map_err(|(failure, _)| of(failure))?;
    let (mut parts, mut body) = answer.response.into_parts();
    if parts.status == StatusCode::SWITCHING_PROTOCOLS || !fields::is_framed_once(&parts.headers, answer.kinds) {
        return Err(CalloutFailure::Broken);
    }
    if answer.kinds.end_here {
        passage::remove_hop_by_hop(&mut parts.headers);
    }
    let body = whole(handler, &mut body).await?;
    Ok(CalloutResponse { status: parts.status, headers: parts.headers, body })
}

/// The answer's body. One that is too large is given up as soon as that is known.
async fn whole(handler: &RequestHandler<'_>, body: &mut UpstreamBody) -> Result<bytes::Bytes, CalloutFailure> {
    if body.size_hint().lower() > OUTBOUND_BODY_BYTES as u64 {
        return Err(CalloutFailure::TooLarge);
    }
    match read(handler.state, body, OUTBOUND_BODY_BYTES).await {
        Ok((data, true)) => {
            body.finish(true, handler.state.worker().now_ms());
            Ok(data)
        }
        Ok((_, false)) => Err(CalloutFailure::TooLarge),
        Err(Unread::NoRoom) => Err(CalloutFailure::Busy),
        Err(Unread::Broken) => Err(CalloutFailure::Broken),
    }
}

const fn of(failure: Failure) -> CalloutFailure {
    match failure {
        Failure::NoServer | Failure::ConnectFailed | Failure::ConnectTimeout | Failure::UpstreamTls => {
            CalloutFailure::Unreachable
        }
        Failure::UpstreamTimeout | Failure::ClientTimeout => CalloutFailure::Timeout,
        _ => CalloutFailure::Broken,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, Method};
    use tidegate_base::limits::{GATHERED_BYTES_WORKER, OUTBOUND_CALLS};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::request::tests::guest::Act::{self, Call, Pause, Tell};
    use crate::request::tests::{guarded, handler};
    use crate::tests::{House, run, settle};

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const CALLS: &[(&str, &[Act])] =
        &[("proxy_on_request_headers", &[Call, Pause]), ("proxy_on_http_call_response", &[Tell])];

    /// A guest that calls the group `web` for each request, and says in the answer what came of it.
    fn house() -> House {
        guarded("", &[CALLS], "respond 200 \"called: ${header.called}\"")
    }

    fn call(body: &'static str) -> Callout {
        Callout {
            group: "web".to_owned(),
            method: Method::POST,
            authority: "called.example".parse().unwrap(),
            target: "/a?b".parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(body.as_bytes()),
            timeout: Duration::from_secs(1),
        }
    }

    /// What becomes of a call of the guest, and what the server gets of it.
    async fn called(house: &House, asked: Callout, response: Option<&str>) -> (CalloutOutcome, String) {
        let (stream, view) = (house.stream(), house.worker.view());
        let handler = handler(&view, &stream);
        let server = response.map(|response| (house.server(1), response));
        let got = async {
            let Some((mut server, response)) = server else { return String::new() };
            server.answer(response).await
        };
        tokio::join!(fetch(&handler, ExtensionId(0), asked), got)
    }

    fn failed((outcome, _): (CalloutOutcome, String)) -> CalloutFailure {
        outcome.unwrap().unwrap_err()
    }

    #[test]
    fn a_guest_waits_for_a_server_and_goes_on_with_its_answer() {
        run(async {
            let house = house();
            let (mut client, mut server) = (house.client(), house.server(1));
            for _ in 0..2 {
                client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
                assert_eq!(server.answer(OK).await, "GET / HTTP/1.1\nhost: called");
                assert_eq!(client.response(11).await.1, "called: 200");
            }
        });
    }

    #[test]
    fn a_guest_whose_call_fails_goes_on_without_an_answer() {
        run(async {
            let mut client = house().client();
            client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
            assert_eq!(client.response(8).await.1, "called: ");
        });
    }

    #[test]
    fn a_server_is_asked_as_the_guest_says() {
        run(async {
            let (outcome, got) = called(&house(), call("hi"), Some(OK)).await;
            assert_eq!(got, "POST /a?b HTTP/1.1\ncontent-length: 2\nhost: called.example");
            let answer = outcome.unwrap().unwrap();
            assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"ok"[..]));
            let (_, got) = called(&house(), call(""), Some(OK)).await;
            assert!(!got.contains("content-length"), "{got}");
        });
    }

    #[test]
    fn fields_of_the_servers_connection_are_not_for_the_guest() {
        const FIELDS: &str = "HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: 5\r\nx-end: 2\r\n\r\n";
        run(async {
            let answer = called(&house(), call(""), Some(FIELDS)).await.0.unwrap().unwrap();
            assert_eq!(answer.headers.keys().collect::<Vec<_>>(), ["x-end"]);
        });
    }

    #[test]
    fn a_call_fails_for_what_the_server_does() {
        let large = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", OUTBOUND_BODY_BYTES + 1);
        for (response, failure) in [
            (None, CalloutFailure::Unreachable),
            (Some(""), CalloutFailure::Broken),
            (Some("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok"), CalloutFailure::Broken),
            (Some("HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"), CalloutFailure::Broken),
            (
                Some("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"),
                CalloutFailure::Broken,
            ),
            (Some(&*large), CalloutFailure::TooLarge),
        ] {
            run(async { assert_eq!(failed(called(&house(), call(""), response).await), failure, "{response:?}") });
        }
    }

    #[test]
    fn an_answer_that_turns_out_too_large_is_given_up() {
        run(async {
            let house = house();
            let mut server = house.server(1);
            let (stream, view) = (house.stream(), house.worker.view());
            let handler = handler(&view, &stream);
            let sends = async {
                server.answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
                while server.io.write_all(chunk.as_bytes()).await.is_ok() {}
            };
            let (outcome, ()) = tokio::join!(fetch(&handler, ExtensionId(0), call("")), sends);
            assert_eq!(outcome.unwrap().unwrap_err(), CalloutFailure::TooLarge);
        });
    }

    #[test]
    fn a_call_lasts_no_longer_than_the_guest_says() {
        run(async {
            let house = house();
            let _server = house.server(1);
            let start = tokio::time::Instant::now();
            assert_eq!(failed(called(&house, call(""), None).await), CalloutFailure::Timeout);
            assert_eq!(start.elapsed().as_secs(), 1);
        });
    }

    #[test]
    fn a_group_that_the_policy_does_not_have_is_a_fault_of_the_guest() {
        let asked = Callout { group: "none".to_owned(), ..call("") };
        let (outcome, _) = run(async { called(&house(), asked, None).await });
        assert_eq!(outcome.unwrap_err().kind, HookFaultKind::UnknownGroup);
    }

    #[test]
    fn calls_are_bounded_for_the_extension_and_for_the_worker() {
        run(async {
            let house = house();
            let view = house.worker.view();
            let mine: Vec<_> =
                (0..OUTBOUND_CALLS / 2).map(|_| view.outbound(ExtensionId(0)).unwrap().enter().unwrap()).collect();
            assert_eq!(failed(called(&house, call(""), None).await), CalloutFailure::Busy, "the extension's own share");
            drop(mine);
            let all: Vec<_> = (0..OUTBOUND_CALLS).map(|_| house.worker.outbound.enter().unwrap()).collect();
            assert_eq!(failed(called(&house, call(""), None).await), CalloutFailure::Busy, "the worker's");
            drop(all);
            assert!(called(&house, call(""), Some(OK)).await.0.unwrap().is_ok(), "there is room again");
        });
    }

    #[test]
    fn an_answer_for_which_there_is_no_room_is_for_another_time() {
        run(async {
            let house = house();
            let mut taken = house.worker.gathered.share();
            assert!(taken.grow_to(GATHERED_BYTES_WORKER));
            assert_eq!(failed(called(&house, call(""), Some(OK)).await), CalloutFailure::Busy);
        });
    }

    #[test]
    fn a_client_that_leaves_while_a_guest_waits_takes_the_call_along() {
        run(async {
            let house = house();
            let (mut client, mut server) = (house.client(), house.server(1));
            client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
            server.request().await;
            drop(client);
            settle().await;
            assert_eq!(server.io.read_to_end(&mut Vec::new()).await.unwrap(), 0);
            let line = house.line();
            assert_eq!((&line["failure"], &line["uri"]), (&"client-closed".into(), &"/x".into()));
            assert!(
                (0..OUTBOUND_CALLS)
                    .map(|_| house.worker.outbound.enter())
                    .collect::<Vec<_>>()
                    .iter()
                    .all(Option::is_some)
            );
        });
    }

    #[test]
    fn two_requests_of_a_guest_wait_side_by_side() {
        run(async {
            let house = house();
            let mut servers = [house.server(1), house.server(1)];
            let mut clients = [house.client(), house.client()];
            for client in &mut clients {
                client.send("GET /x HTTP/1.1\r\nhost: a\r\n\r\n").await;
            }
            for (server, status) in servers.iter_mut().zip([202, 201]).rev() {
                server.answer(&format!("HTTP/1.1 {status} Done\r\ncontent-length: 0\r\n\r\n")).await;
            }
            for (client, status) in clients.iter_mut().zip(["called: 202", "called: 201"]) {
                assert_eq!(client.response(11).await.1, status);
            }
        });
    }
}
