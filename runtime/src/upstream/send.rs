//! Sends a request to a server of a group, and waits for the head of its answer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use tracing::warn;

use super::connect::connect;
use super::group::Group;
use super::pool::Lease;
use crate::downstream::body::{Incoming, RequestBody};
use crate::downstream::state::ConnectionState;
use crate::failure::Failure;

/// A backend's answer.
pub struct Answer {
    /// Its head, and its body to come.
    pub response: Response<Incoming>,
    /// The connection that the body comes on.
    pub lease: Lease,
    /// Which server of the group answered.
    pub server: usize,
}

/// Tries the group's servers in turn until one takes the request.
///
/// A server that cannot be connected to is passed over, as often as `retries` says. A request that may have reached a server is sent again only
/// if it was lost on a reused connection, has no body and is idempotent (RFC 9110, 9.2.2 and RFC 9112, 9.3.1).
/// `kept` are its header fields, where the caller has them still: they need not be copied for that, then.
///
/// # Errors
/// The last server's failure and its index, or [`Failure::NoServer`].
pub async fn send(
    group: &Group,
    mut request: Request<RequestBody>,
    kept: Option<&HeaderMap>,
    state: &Rc<ConnectionState>,
) -> Result<Answer, (Failure, Option<usize>)> {
    let mut tried = Vec::new();
    let mut last = (Failure::NoServer, None);
    while let Some((server, plan, pool)) = group.pick(&tried) {
        loop {
            let mut lease = match pool.take(group.keep()) {
                Some(lease) => lease,
                // In a box: connecting is rare, and its state would make every request's larger.
                None => match within_deadline(
                    state,
                    Box::pin(connect(&plan.host, plan.port, pool.secure.as_ref(), group.plan.connect_timeout)).as_mut(),
                )
                .await
                {
                    Ok(Ok(sender)) => pool.lease(sender, group.keep()),
                    Ok(Err((failure, reason))) => {
                        if state.worker.trouble.may_write(failure.row().name) {
                            warn!(group = group.plan.name, host = plan.host, port = plan.port, %reason, "cannot connect to a server");
                        }
                        last = (failure, Some(server));
                        break;
                    }
                    Err(failure) => return Err((failure, Some(server))),
                },
            };
            match exchange(&mut lease, request, kept, state).await {
                Ok(response) => return Ok(Answer { response, lease, server }),
                Err((_, Some(again))) => request = *again,
                Err((failure, None)) => return Err((failure, Some(server))),
            }
        }
        tried.push(server);
        if tried.len() >= group.tries() {
            break;
        }
    }
    Err(last)
}

/// One try on one connection. The request comes back if it may be sent again.
async fn exchange(
    lease: &mut Lease,
    request: Request<RequestBody>,
    kept: Option<&HeaderMap>,
    state: &Rc<ConnectionState>,
) -> Result<Response<Incoming>, (Failure, Option<Box<Request<RequestBody>>>)> {
    let again = Again::of(lease, &request, kept);
    let reused = lease.is_reused();
    let sender = &mut lease.sender;
    let sent = pin!(async {
        // A connection fresh from the pool may have its last answer's end still to digest.
        if sender.is_ready() || sender.ready().await.is_ok() {
            sender.try_send_request(request).await.map_err(|mut error| {
                let unsent = error.take_message().map(Box::new);
                (Some(error.into_error()), unsent)
            })
        } else {
            Err((None, Some(Box::new(request))))
        }
    });
    match within_deadline(state, sent).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err((_, Some(unsent)))) if reused => Err((Failure::UpstreamClosed, Some(unsent))),
        Ok(Err((error, _))) => {
            let failure = state.ending().unwrap_or_else(|| classify(error.as_ref()));
            let lost = failure == Failure::UpstreamClosed;
            Err((failure, again.filter(|_| lost).and_then(|again| again.request(kept, state))))
        }
        Err(failure) => Err((failure, None)),
    }
}

/// What it takes to send a request a second time.
struct Again {
    method: Method,
    uri: Uri,
    /// A copy, unless the caller keeps one.
    headers: Option<HeaderMap>,
}

impl Again {
    /// For a request that may be sent twice, on a connection that may fail for its age.
    fn of(lease: &Lease, request: &Request<RequestBody>, kept: Option<&HeaderMap>) -> Option<Self> {
        let may = lease.is_reused() && request.method().is_idempotent() && request.body().is_end_stream();
        may.then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: kept.is_none().then(|| request.headers().clone()),
        })
    }

    fn request(self, kept: Option<&HeaderMap>, state: &Rc<ConnectionState>) -> Option<Box<Request<RequestBody>>> {
        let mut request = Box::new(Request::new(RequestBody::empty(Rc::clone(state))));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers.or_else(|| kept.cloned())?;
        Some(request)
    }
}

fn classify(error: Option<&hyper::Error>) -> Failure {
    match error {
        Some(error) if error.is_parse() => Failure::UpstreamInvalid,
        Some(error) if error.is_user() => Failure::ClientBody,
        _ => Failure::UpstreamClosed,
    }
}

/// Waits, but not beyond the connection's deadline. The future comes pinned, so that it is not moved again.
async fn within_deadline<F: Future>(state: &ConnectionState, mut future: Pin<&mut F>) -> Result<F::Output, Failure> {
    poll_fn(|cx| {
        if state.take_expired() {
            let client = state.is_body_due();
            return Poll::Ready(Err(if client { Failure::ClientTimeout } else { Failure::UpstreamTimeout }));
        }
        future.as_mut().poll(cx).map(Ok)
    })
    .await
}
