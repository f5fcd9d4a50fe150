//! One request through a policy without sockets: what `explain` and `test` have in common.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Request, Uri, Version};
use tidegate_dsl::plan::{ExtensionId, ListenerId};
use tidegate_engine::Moment;
use tidegate_engine::exchange::{Connection, Exchange};
use tidegate_engine::hook::{Hook, HookFault, Verdict};
use tidegate_engine::vars::Vars;
use tidegate_wasm_host::{Extension, Pool};

use crate::downstream::head;
use crate::failure::Failure;
use crate::policy::snapshot::Snapshot;

/// When it happens, and what chance says: always the same.
pub(super) const MOMENT: Moment = Moment { nanos: 1, random: 0 };

/// The request as a connection of this listener would bring it, from this peer.
///
/// # Errors
/// Why it is refused before any rule sees it.
pub(super) fn exchange(
    snapshot: &Snapshot,
    listener: ListenerId,
    mut request: Request<()>,
    from: IpAddr,
) -> Result<Box<Exchange>, Failure> {
    let plan = snapshot.plan().listeners.get(listener.0).ok_or(Failure::NoServer)?;
    *request.version_mut() = Version::HTTP_11;
    let known = head::KnownHost::default();
    let head = head::read(request.into_parts().0, &plan.limits, &known).map_err(|(failure, _)| failure)?;
    let connection = Arc::new(Connection {
        peer: SocketAddr::new(from, 0),
        local: SocketAddr::new(from, plan.bind.port()),
        listener: Arc::from(plan.name.as_str()),
        tls: None,
    });
    Ok(Box::new(Exchange {
        client_ip: snapshot.engine.client_ip(listener, from, &head.headers),
        connection,
        request: head,
        response: None,
        request_id: 0,
        vars: Vars::default(),
        group: None,
        server: None,
        log_lines: Vec::new(),
    }))
}

/// Gives a request the `Host` of its URL.
pub(super) fn set_host(headers: &mut HeaderMap, uri: &Uri) {
    if let Some(authority) = uri.authority()
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        headers.insert(HOST, host);
    }
}

/// The extensions of a policy, with instances of their own.
pub(super) struct Guests<'s> {
    extensions: &'s [Arc<Extension>],
    pools: Vec<Pool>,
}

impl<'s> Guests<'s> {
    pub(super) fn new(snapshot: &'s Snapshot) -> Self {
        let pools = snapshot.extensions.iter().map(|extension| Pool::new(Arc::clone(extension))).collect();
        Self { extensions: &snapshot.extensions, pools }
    }

    /// Asks an extension, if the request interests it.
    pub(super) fn call(
        &mut self,
        id: ExtensionId,
        hook: Hook,
        exchange: Box<Exchange>,
    ) -> (Box<Exchange>, Result<Verdict, HookFault>) {
        match (self.extensions.get(id.0), self.pools.get_mut(id.0)) {
            (Some(extension), Some(pool)) if extension.wants(hook, &exchange) => pool.call(hook, exchange),
            _ => (exchange, Ok(Verdict::Next)),
        }
    }
}
