//! Sends a request to a server of a group, and waits for the head of its response.

use std::rc::Rc;
use std::time::Instant;

use http::header::SET_COOKIE;
use http::uri::Authority;
use http::{HeaderMap, Request, Response};
use tidegate_base::failure::Failure;
use tidegate_engine::passage::FieldKinds;
use tidegate_engine::servers::PickRequest;
use tidegate_engine::{method, passage};

use crate::again::Again;
use crate::body::UpstreamBody;
use crate::caller::Caller;
use crate::content::Content;
use crate::group::Group;
use crate::target::{Target, Unserved};

/// A request on its way to a group.
pub struct Outgoing<B> {
    /// The request as HTTP/1.1 has it, until a connection takes it. It stays in this one place, since it is large; if it comes back
    /// unsent, or may be sent again, it stands here once more.
    pub request: Option<Request<Content<B>>>,
    /// The host of the request.
    pub authority: Authority,
    /// Whether the request asks to switch protocols.
    pub upgrade: bool,
    /// What the request asks of the choice of a server.
    pub pick: PickRequest,
}

/// A server's response.
pub struct ServerResponse<B> {
    /// The head of the response, and its body to come.
    pub response: Response<UpstreamBody<B>>,
    /// The kinds of fields that the head came with.
    pub kinds: FieldKinds,
    /// Which server of the group answered.
    pub server: usize,
}

/// Tries the group's servers in turn until one takes the request.
///
/// `retries` says after what another server is tried, and how often. A request that may have reached a server is sent again only if it has no
/// content and is idempotent (RFC 9110, 9.2.2), and then as `retries` says, or to the same server if it was lost on a reused
/// connection (RFC 9112, 9.3.1); or if the server has certainly not looked at it (RFC 9113, 8.7).
/// `kept` are its header fields, where the caller has them still: they need not be copied for that, then.
///
/// # Errors
/// The last server's failure and its index, or [`Failure::NoServer`].
pub async fn send<C: Caller>(
    group: &Rc<Group<C::Body>>,
    outgoing: &mut Outgoing<C::Body>,
    kept: Option<&HeaderMap>,
    caller: &C,
) -> Result<ServerResponse<C::Body>, (Failure, Option<usize>)> {
    let mut tried = Vec::new();
    let mut last = (Failure::NoServer, None);
    let repeats =
        |request: &&Request<_>| group.retries_seen() && !outgoing.upgrade && method::is_idempotent(request.method());
    let again = outgoing.request.as_ref().filter(repeats).and_then(|request| Again::of(request, kept));
    while let Some((at, server, pool)) = group.pick(outgoing.pick, caller.random(), &tried) {
        if !tried.is_empty() {
            group.count_retry(caller);
        }
        let is_last = tried.len() + 1 >= group.tries();
        let once_more = || again.as_ref().filter(|_| !is_last).and_then(|again| again.request(kept));
        let target = Target { group, at, server, pool, caller };
        let chosen = Instant::now();
        match target.send(outgoing, kept, !tried.is_empty()).await {
            Ok(mut response) => {
                group.meter.answered(at, response.status(), chosen.elapsed());
                if group.retries_status(response.status())
                    && group.has_another(at, &tried)
                    && let Some(next) = once_more()
                {
                    outgoing.request = Some(next);
                    tried.push(at);
                    continue;
                }
                // What the server says of its connection takes out nothing that is written here.
                let kinds = FieldKinds::of(response.headers());
                if kinds.connection {
                    passage::remove_nominated(response.headers_mut());
                }
                if let Some(cookie) = group.sticky_cookie(outgoing.pick, at, caller.is_secure()) {
                    response.headers_mut().append(SET_COOKIE, cookie);
                }
                return Ok(ServerResponse { response, kinds, server: at });
            }
            Err(Unserved::Failed(failure)) => {
                last = (failure, Some(at));
                group.meter.failed(at, failure);
                outgoing.request = group.retries_after(failure).then(once_more).flatten();
                if outgoing.request.is_none() {
                    break;
                }
                // Each try has its own time.
                caller.progress();
            }
            Err(Unserved::Unreachable(failure)) => {
                last = (failure, Some(at));
                group.meter.failed(at, failure);
                if is_last || !group.retries_after(failure) {
                    break;
                }
            }
        }
        tried.push(at);
    }
    Err(last)
}
