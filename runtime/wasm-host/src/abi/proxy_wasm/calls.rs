//! `proxy_http_call`: HTTP calls to server groups. A filter does not wait for one: it pauses its request, and is called back.

use std::sync::atomic::Ordering;

use http::HeaderMap;
use tidegate_engine::hook::{Capability, Hook, HookFaultKind};
use wasmtime::Store;

use super::hostcalls::{Answer, Status};
use super::{Hooks, maps};
use crate::abi::foreign::{Context, Cx, Parked, enter, head, needs, put};
use crate::base::host_error::HostError;
use crate::base::limits::OUTBOUND_CALLS_PER_CALL;
use crate::functions::define::memory::Reader;
use crate::functions::outbound;
use crate::guest::Guest;
use crate::guest::callout::{OutboundAnswer, OutboundFailure};
use crate::guest::fields;
use crate::wit;

/// What came back, while the filter is called back.
pub(super) struct Came {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Parks a call until the filter has answered for its request; then it is made.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
pub(super) fn http_call(
    mut caller: Cx<'_>,
    upstream: u32,
    upstream_length: u32,
    headers: u32,
    headers_length: u32,
    body: u32,
    body_length: u32,
    _trailers: u32,
    _trailers_length: u32,
    timeout_ms: u32,
    token_at: u32,
) -> Answer {
    let (memory, guest) = enter(&mut caller)?;
    needs(guest, "proxy_http_call", Capability::Outbound)?;
    // Ticks have no request that could wait, and bodies pass without waiting.
    if !matches!(guest.hook(), Some(Hook::Request | Hook::Response)) {
        return Ok(Status::InternalFailure.into());
    }
    let mut reader = Reader::new(memory);
    let upstream = head::text(reader.slice(upstream, upstream_length)?)?;
    let fields = maps::read(reader.slice(headers, headers_length)?)?;
    let body = reader.slice(body, body_length)?;
    let Some(group) = group(guest, upstream) else {
        guest.keep_words(
            &format!("there is no server group for the cluster `{}`", crate::base::log::shown(upstream)),
            false,
        );
        return Ok(Status::BadArgument.into());
    };
    let call = call(group, &fields, body, timeout_ms)?;
    let request = guest.exchange("proxy_http_call")?.request_id;
    let made = guest.requests.get(request).map_or(0, |context| context.calls_made);
    if made >= OUTBOUND_CALLS_PER_CALL {
        let message = format!("the guest called other servers too often: a request may do so {made} times in a hook");
        return Err(HostError::new(HookFaultKind::TooMuch, message).into());
    }
    let (call, _) = outbound::begin(guest, call)?;
    let token = guest.state()?.next_token();
    if let Some(context) = guest.requests.get_mut(request) {
        context.calls_made += 1;
        context.parked.push_back(Parked { token, call });
    }
    put(&mut caller, token_at, &token.to_le_bytes())?;
    Ok(Status::Ok.into())
}

/// The group that a cluster's name means: its own; or the last part of a name such as `outbound|80||users.dns`, without what
/// such names end in.
fn group(guest: &Guest, upstream: &str) -> Option<String> {
    let host = upstream.rsplit('|').next().unwrap_or(upstream);
    let short = host.strip_suffix(".dns").or_else(|| host.strip_suffix(".static")).unwrap_or(host);
    let names = [upstream, host, short];
    let known = match &guest.groups {
        Some(groups) => groups.list(),
        // Nobody makes calls, and the guest will be told so.
        None => return Some(short.to_owned()),
    };
    names.into_iter().find(|name| known.iter().any(|group| group.name == *name)).map(str::to_owned)
}

/// The call. What the host puts in by itself is left out, for filters pass on what they were given.
fn call(group: String, fields: &[(&[u8], &[u8])], body: &[u8], timeout_ms: u32) -> Result<wit::Call, HostError> {
    let mut call = wit::Call {
        group,
        method: "GET".to_owned(),
        authority: String::new(),
        target: "/".to_owned(),
        headers: Vec::new(),
        body: body.to_vec(),
        timeout_ms: timeout_ms.max(1),
    };
    for (name, value) in fields {
        match *name {
            b":method" => head::text(value)?.clone_into(&mut call.method),
            b":path" => head::text(value)?.clone_into(&mut call.target),
            b":authority" | b"host" => head::text(value)?.clone_into(&mut call.authority),
            b":scheme" => {}
            name => {
                let name = head::text(name)?.to_owned();
                let is_hosts = http::HeaderName::from_bytes(name.as_bytes()).is_ok_and(|name| fields::is_hosts(&name));
                if !is_hosts {
                    call.headers.push(wit::Header { name, value: value.to_vec() });
                }
            }
        }
    }
    if call.authority.is_empty() {
        call.authority.clone_from(&call.group);
    }
    Ok(call)
}

impl Hooks {
    /// Tells the filter what became of a call; what its hook comes to then.
    pub(crate) fn answer(
        &self,
        store: &mut Store<Guest>,
        hook: Hook,
        token: u32,
        result: Result<OutboundAnswer, OutboundFailure>,
    ) -> wasmtime::Result<wit::Verdict> {
        let guest = store.data_mut();
        let request = guest.exchange(hook.name())?.request_id;
        let counts = &guest.settings.shared.counts;
        if result.as_ref().is_err_and(|failure| *failure != OutboundFailure::Offline) {
            counts.outbound_failures.fetch_add(1, Ordering::Relaxed);
        }
        let Some(Context { number, paused, .. }) = guest.requests.get(request) else {
            let message = "the instance that asked another server for this request has failed since";
            return Err(HostError::new(HookFaultKind::Instance, message).into());
        };
        let (number, paused) = (*number, *paused);
        // A call that failed has no fields, as filters expect of other hosts.
        let came = result.ok().map(|answer| Came {
            status: answer.status.as_u16(),
            headers: answer.headers,
            body: answer.body.to_vec(),
        });
        let fields = came.as_ref().map_or(0, |came| u32::try_from(came.headers.len() + 1).unwrap_or(u32::MAX));
        let length = came.as_ref().map_or(0, |came| u32::try_from(came.body.len()).unwrap_or(u32::MAX));
        let state = guest.state()?;
        state.begin(number, None);
        state.call.came = came;
        if let Some(called_back) = &self.http_call_response {
            called_back.call(&mut *store, (number, token, fields, length, 0))?;
        }
        self.conclude(store, hook, request, u32::from(paused))
    }
}
