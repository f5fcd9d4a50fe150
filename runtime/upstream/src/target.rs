//! Sends a request to one server.

use std::pin::pin;
use std::rc::Rc;

use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tidegate_dsl::plan::{GroupProtocol, Server};
use tidegate_engine::method;
use tracing::warn;

use crate::again::Again;
use crate::body::UpstreamBody;
use crate::caller::{Caller, within_deadline};
use crate::cause::Cause;
use crate::content::Content;
use crate::dial::{Address, Refused};
use crate::group::Group;
use crate::http1::{connect, connect_for_upgrade};
use crate::lease::Lease;
use crate::multiplexed::{self, Unanswered};
use crate::pool::ServerPool;
use crate::send::Outgoing;

/// How one server did not answer.
#[derive(Clone, Copy)]
pub(crate) enum Unserved {
    /// The server could not be connected to: another can try the request, which was not taken.
    Unreachable(Failure),
    /// The server may have begun to work on the request.
    Failed(Failure),
}

/// One server, and who asks it.
pub(crate) struct Target<'t, C: Caller> {
    pub(crate) group: &'t Rc<Group<C::Body>>,
    /// The index of the server in its group.
    pub(crate) at: usize,
    pub(crate) server: &'t Server,
    pub(crate) pool: &'t ServerPool<C::Body>,
    pub(crate) caller: &'t C,
}

impl<C: Caller> Target<'_, C> {
    /// Sends a request: one try, or more if it was lost on the way to this server. `again` says that it was sent before.
    pub(crate) async fn send(
        &self,
        outgoing: &mut Outgoing<C::Body>,
        kept: Option<&HeaderMap>,
        again: bool,
    ) -> Result<Response<UpstreamBody<C::Body>>, Unserved> {
        self.begin(&mut outgoing.request, again);
        let sent = match self.group.plan.protocol {
            // In a box: its state would make every request's larger.
            GroupProtocol::Grpc => Box::pin(self.send_http2(outgoing, kept)).await,
            _ => self.send_http1(outgoing, kept).await,
        };
        self.caller.end_try(match &sent {
            Ok(response) => Ok(response.status()),
            Err(Unserved::Unreachable(failure) | Unserved::Failed(failure)) => Err(*failure),
        });
        sent
    }

    fn begin(&self, request: &mut Option<Request<Content<C::Body>>>, again: bool) {
        if let Some(request) = request {
            self.caller.begin_try(&self.group.plan, self.server, again, request);
        }
    }

    /// The try has failed like this, and the server is asked once more.
    fn again(&self, request: &mut Option<Request<Content<C::Body>>>, failure: Failure) {
        self.caller.end_try(Err(failure));
        self.group.meter.failed(self.at, Cause::Closed.failure());
        self.group.count_retry(self.caller);
        self.begin(request, true);
    }

    /// Sends a request over HTTP/1; once more, if it was lost on a connection that had waited.
    async fn send_http1(
        &self,
        outgoing: &mut Outgoing<C::Body>,
        kept: Option<&HeaderMap>,
    ) -> Result<Response<UpstreamBody<C::Body>>, Unserved> {
        loop {
            let idle = if outgoing.upgrade { None } else { self.pool.take() };
            let mut lease = match idle {
                Some(connection) => Lease::again(connection, self.group.begin(self.at)),
                // In a box: connecting is rare, and its state would make every request's larger.
                None => match within_deadline(self.caller, Box::pin(self.open(outgoing.upgrade)).as_mut()).await {
                    Ok(Ok(lease)) => lease,
                    Ok(Err(refused)) => return Err(self.unreachable(refused)),
                    Err(failure) => return Err(Unserved::Failed(failure)),
                },
            };
            match exchange(&mut lease, &mut outgoing.request, kept, self.caller).await {
                Ok(response) => return Ok(response.map(|body| UpstreamBody::http1(body, lease))),
                Err(failure) if outgoing.request.is_some() => self.again(&mut outgoing.request, failure),
                Err(failure) => return Err(Unserved::Failed(failure)),
            }
        }
    }

    /// Opens a connection; the request is in flight meanwhile.
    async fn open(&self, upgrade: bool) -> Result<Lease<C::Body>, Refused> {
        let in_flight = self.group.begin(self.at);
        if upgrade {
            let (connection, switched) = connect_for_upgrade(self.caller, self.address()).await?;
            self.group.meter.opened(self.at);
            Ok(Lease::for_upgrade(connection, in_flight, switched))
        } else {
            let connection = connect(self.caller, self.address()).await?;
            self.group.meter.opened(self.at);
            Ok(Lease::new(connection, in_flight))
        }
    }

    fn address(&self) -> Address<'_> {
        Address { server: self.server, secure: self.pool.secure.as_ref(), timeout: self.group.plan.connect_timeout }
    }

    /// Sends a request over HTTP/2; again, if the server has certainly not looked at it.
    async fn send_http2(
        &self,
        outgoing: &mut Outgoing<C::Body>,
        kept: Option<&HeaderMap>,
    ) -> Result<Response<UpstreamBody<C::Body>>, Unserved> {
        let in_flight = self.group.begin(self.at);
        let Outgoing { request, authority, .. } = outgoing;
        for try_ in 1.. {
            let opening =
                self.pool.multiplexed.stream(self.caller, self.address(), || self.group.meter.opened(self.at));
            let mut lease = match within_deadline(self.caller, pin!(opening)).await {
                Ok(Ok(lease)) => lease,
                Ok(Err(refused)) => return Err(self.unreachable(refused)),
                Err(failure) => return Err(Unserved::Failed(failure)),
            };
            let may_repeat = try_ <= limits::REFUSED_TRIES;
            let again = request.as_ref().filter(|_| may_repeat).and_then(|request| Again::of(request, kept));
            let sent = {
                let sending = pin!(multiplexed::exchange(&mut lease, request, authority.clone()));
                within_deadline(self.caller, sending).await
            };
            match sent {
                Ok(Ok(response)) => {
                    return Ok(response.map(|body| UpstreamBody::http2(lease.body(body), lease, in_flight)));
                }
                Ok(Err(Unanswered { unseen, failure })) => {
                    if request.is_none() {
                        *request = again.filter(|_| unseen).and_then(|again| again.request(kept));
                    }
                    if request.is_none() || !may_repeat {
                        return Err(Unserved::Failed(self.caller.ending().unwrap_or(failure)));
                    }
                    self.again(request, failure);
                }
                Err(failure) => return Err(Unserved::Failed(failure)),
            }
        }
        Err(Unserved::Failed(Cause::Closed.failure()))
    }

    fn unreachable(&self, (failure, reason): Refused) -> Unserved {
        if self.caller.may_log(failure.row().name) {
            let (group, Server { host, port, .. }) = (&self.group.plan.name, self.server);
            warn!(group, host, port, %reason, "cannot connect to a server");
        }
        Unserved::Unreachable(failure)
    }
}

/// One try on one connection. The request stands in its place again if it may be sent once more.
async fn exchange<C: Caller>(
    lease: &mut Lease<C::Body>,
    place: &mut Option<Request<Content<C::Body>>>,
    kept: Option<&HeaderMap>,
    caller: &C,
) -> Result<Response<Incoming>, Failure> {
    let Lease { sender, wire, reused, .. } = lease;
    wire.begin();
    // The task of a new connection may not have run yet.
    if !sender.is_ready() {
        let ready = within_deadline(caller, pin!(sender.ready())).await;
        if let Ok(Err(_)) = ready
            && *reused
        {
            return Err(Cause::Closed.failure());
        }
        if !matches!(ready, Ok(Ok(()))) {
            *place = None;
            let cause = if wire.is_flooded() { Cause::Flood } else { Cause::Closed };
            return Err(ready.err().or_else(|| caller.ending()).unwrap_or_else(|| cause.failure()));
        }
    }
    let Some(request) = place.take() else { return Err(Cause::Closed.failure()) };
    let repeats = *reused && method::is_idempotent(request.method());
    let again = repeats.then(|| Again::of(&request, kept)).flatten();
    let sent = pin!(sender.try_send_request(request));
    let error = match within_deadline(caller, sent).await? {
        Ok(response) => {
            wire.answered();
            return Ok(response);
        }
        Err(mut error) => {
            if let Some(unsent) = error.take_message()
                && *reused
            {
                *place = Some(unsent);
                return Err(Cause::Closed.failure());
            }
            error.into_error()
        }
    };
    let cause = if wire.is_flooded() { Cause::Flood } else { Cause::Http1(&error) };
    let failure = caller.ending().unwrap_or_else(|| cause.failure());
    if failure == Failure::UpstreamClosed {
        *place = again.and_then(|again| again.request(kept));
    }
    Err(failure)
}
