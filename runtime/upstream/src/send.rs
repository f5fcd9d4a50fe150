//! Sends a request to a server of a group, and waits for the head of its answer.

use std::pin::pin;
use std::rc::Rc;

use http::header::SET_COOKIE;
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::Body;
use hyper::body::Incoming;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::{GroupProtocol, Server};
use tidegate_engine::passage::FieldKinds;
use tidegate_engine::servers::Wish;
use tidegate_engine::{method, passage};
use tracing::warn;

use super::body::UpstreamBody;
use super::caller::{Caller, within_deadline};
use super::connect::{Address, Refused, connect, connect_for_upgrade};
use super::group::Group;
use super::h2::{self, Unanswered};
use super::pool::{Lease, ServerPool};

/// A request on its way to a group.
pub struct Outgoing<B> {
    /// As HTTP/1.1 has it.
    pub request: Request<B>,
    /// Its host.
    pub authority: Authority,
    /// It asks to switch protocols.
    pub upgrade: bool,
    /// What it asks of the choice of a server.
    pub wish: Wish,
}

/// A backend's answer.
pub struct Answer<B> {
    /// Its head, and its body to come.
    pub response: Response<UpstreamBody<B>>,
    /// The kinds of fields that its head came with.
    pub kinds: FieldKinds,
    /// Which server of the group answered.
    pub server: usize,
}

/// How one server did not answer.
enum Unserved<B> {
    /// It could not be connected to: another can try.
    Unreachable(Failure, Box<Request<B>>),
    /// It may have begun to work on the request.
    Failed(Failure),
}

/// Tries the group's servers in turn until one takes the request.
///
/// `retries` says after what another server is tried, and how often. A request that may have reached a server is sent again only if it has no
/// body and is idempotent (RFC 9110, 9.2.2), and then as `retries` says, or to the same server if it was lost on a reused
/// connection (RFC 9112, 9.3.1); or if the server has certainly not looked at it (RFC 9113, 8.7).
/// `kept` are its header fields, where the caller has them still: they need not be copied for that, then.
///
/// # Errors
/// The last server's failure and its index, or [`Failure::NoServer`].
pub async fn send<C: Caller>(
    group: &Rc<Group<C::Body>>,
    outgoing: Outgoing<C::Body>,
    kept: Option<&HeaderMap>,
    caller: &Rc<C>,
) -> Result<Answer<C::Body>, (Failure, Option<usize>)> {
    let Outgoing { mut request, authority, upgrade, wish } = outgoing;
    let mut tried = Vec::new();
    let mut last = (Failure::NoServer, None);
    let again_may_be = group.retries_seen() && !upgrade && method::is_idempotent(request.method());
    let again = again_may_be.then(|| Again::of(&request, kept)).flatten();
    while let Some((server, plan, pool)) = group.pick(wish, caller.random(), &tried) {
        caller.set_busy(group.busy(server));
        if !tried.is_empty() {
            caller.count_retry();
        }
        let is_last = tried.len() + 1 >= group.tries();
        let once_more = || again.as_ref().filter(|_| !is_last).and_then(|again| again.request(kept, caller));
        let target = Target { group, server: plan, pool, caller };
        let sent = match group.plan.protocol {
            // In a box: its state would make every request's larger.
            GroupProtocol::Grpc => Box::pin(target.send_http2(request, kept, &authority)).await,
            _ => target.send_http1(request, kept, upgrade).await,
        };
        match sent {
            Ok(mut response) => {
                if group.retries_status(response.status())
                    && group.has_another(server, &tried)
                    && let Some(next) = once_more()
                {
                    request = *next;
                    tried.push(server);
                    continue;
                }
                // What the server says of its connection takes out nothing that is written here.
                let kinds = FieldKinds::of(response.headers());
                if kinds.connection {
                    passage::remove_nominated(response.headers_mut());
                }
                if let Some(cookie) = group.tell(wish, server, caller.is_secure()) {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                return Ok(Answer { response, kinds, server });
            }
            Err(Unserved::Failed(failure)) => {
                let next = group.retries_after(failure).then(once_more).flatten();
                request = *next.ok_or((failure, Some(server)))?;
                last = (failure, Some(server));
                // Each try has its own time.
                caller.progress();
            }
            Err(Unserved::Unreachable(failure, unsent)) => {
                last = (failure, Some(server));
                request = *unsent;
                if is_last || !group.retries_after(failure) {
                    break;
                }
            }
        }
        tried.push(server);
    }
    Err(last)
}

/// One server, and who asks it.
struct Target<'t, C: Caller> {
    group: &'t Group<C::Body>,
    server: &'t Server,
    pool: &'t Rc<ServerPool<C::Body>>,
    caller: &'t Rc<C>,
}

impl<C: Caller> Target<'_, C> {
    async fn send_http1(
        &self,
        mut request: Request<C::Body>,
        kept: Option<&HeaderMap>,
        upgrade: bool,
    ) -> Result<Response<UpstreamBody<C::Body>>, Unserved<C::Body>> {
        loop {
            let idle = if upgrade { None } else { self.pool.take(self.group.keep()) };
            let mut lease = match idle {
                Some(lease) => lease,
                // In a box: connecting is rare, and its state would make every request's larger.
                None => match within_deadline(&**self.caller, Box::pin(self.open(upgrade)).as_mut()).await {
                    Ok(Ok(lease)) => lease,
                    Ok(Err(refused)) => return Err(self.unreachable(refused, request)),
                    Err(failure) => return Err(Unserved::Failed(failure)),
                },
            };
            match exchange(&mut lease, request, kept, self.caller).await {
                Ok(response) => return Ok(response.map(|body| UpstreamBody::Http1(body, Some(lease)))),
                Err((_, Some(again))) => {
                    self.caller.count_retry();
                    request = *again;
                }
                Err((failure, None)) => return Err(Unserved::Failed(failure)),
            }
        }
    }

    async fn open(&self, upgrade: bool) -> Result<Lease<C::Body>, Refused> {
        if upgrade {
            let (connection, switched) = connect_for_upgrade(&**self.caller, self.address()).await?;
            Ok(self.pool.lease_for_upgrade(connection, switched))
        } else {
            Ok(self.pool.lease(connect(&**self.caller, self.address()).await?, self.group.keep()))
        }
    }

    fn address(&self) -> Address<'_> {
        Address { server: self.server, secure: self.pool.secure.as_ref(), timeout: self.group.plan.connect_timeout }
    }

    async fn send_http2(
        &self,
        mut request: Request<C::Body>,
        kept: Option<&HeaderMap>,
        authority: &Authority,
    ) -> Result<Response<UpstreamBody<C::Body>>, Unserved<C::Body>> {
        for try_ in 1.. {
            let opening = self.pool.multiplexed.stream(&**self.caller, self.address());
            let mut lease = match within_deadline(&**self.caller, pin!(opening)).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(refused)) => return Err(self.unreachable(refused, request)),
                Err(failure) => return Err(Unserved::Failed(failure)),
            };
            let again = (try_ <= limits::REFUSED_TRIES).then(|| Again::of(&request, kept)).flatten();
            let sent = {
                let sending = pin!(h2::exchange(&mut lease, request, authority.clone()));
                within_deadline(&**self.caller, sending).await
            };
            match sent {
                Ok(Ok(response)) => {
                    return Ok(response.map(|body| UpstreamBody::Http2(lease.body(body), Some(lease))));
                }
                Ok(Err(Unanswered { unseen, unsent, failure })) => {
                    let failure = self.caller.ending().unwrap_or(failure);
                    let next = unsent.filter(|_| try_ <= limits::REFUSED_TRIES);
                    let again = again.filter(|_| unseen).and_then(|again| again.request(kept, self.caller));
                    request = *next.or(again).ok_or(Unserved::Failed(failure))?;
                    self.caller.count_retry();
                }
                Err(failure) => return Err(Unserved::Failed(failure)),
            }
        }
        Err(Unserved::Failed(Failure::UpstreamClosed))
    }

    fn unreachable(&self, (failure, reason): Refused, request: Request<C::Body>) -> Unserved<C::Body> {
        if self.caller.may_log(failure.row().name) {
            let (group, Server { host, port, .. }) = (&self.group.plan.name, self.server);
            warn!(group, host, port, %reason, "cannot connect to a server");
        }
        Unserved::Unreachable(failure, Box::new(request))
    }
}

/// One try on one connection. The request comes back if it may be sent again.
async fn exchange<C: Caller>(
    lease: &mut Lease<C::Body>,
    request: Request<C::Body>,
    kept: Option<&HeaderMap>,
    caller: &Rc<C>,
) -> Result<Response<Incoming>, (Failure, Option<Box<Request<C::Body>>>)> {
    let reused = lease.is_reused();
    let again = (reused && method::is_idempotent(request.method())).then(|| Again::of(&request, kept)).flatten();
    let (sender, wire) = (&mut lease.sender, &lease.wire);
    wire.begin();
    let sent = pin!(async {
        // The task of a new connection may not have run yet.
        if sender.is_ready() || sender.ready().await.is_ok() {
            sender.try_send_request(request).await.map_err(|mut error| {
                let unsent = error.take_message().map(Box::new);
                (Some(error.into_error()), unsent)
            })
        } else {
            Err((None, Some(Box::new(request))))
        }
    });
    match within_deadline(&**caller, sent).await {
        Ok(Ok(response)) => {
            wire.answered();
            Ok(response)
        }
        Ok(Err((_, Some(unsent)))) if reused => Err((Failure::UpstreamClosed, Some(unsent))),
        Ok(Err((error, _))) => {
            let flooded = wire.is_flooded().then_some(Failure::UpstreamInvalid);
            let failure = caller.ending().or(flooded).unwrap_or_else(|| classify(error.as_ref()));
            let lost = failure == Failure::UpstreamClosed;
            Err((failure, again.filter(|_| lost).and_then(|again| again.request(kept, caller))))
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
    /// For a request without a body: one with a body would have to be kept for it.
    fn of(request: &Request<impl Body>, kept: Option<&HeaderMap>) -> Option<Self> {
        request.body().is_end_stream().then(|| Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: kept.is_none().then(|| request.headers().clone()),
        })
    }

    fn request<C: Caller>(&self, kept: Option<&HeaderMap>, caller: &Rc<C>) -> Option<Box<Request<C::Body>>> {
        let mut request = Box::new(Request::new(caller.empty_body()));
        request.method_mut().clone_from(&self.method);
        request.uri_mut().clone_from(&self.uri);
        *request.headers_mut() = self.headers.as_ref().or(kept)?.clone();
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
