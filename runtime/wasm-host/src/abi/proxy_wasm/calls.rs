//! `proxy_http_call`: HTTP calls to server groups. A filter does not wait for one: it pauses its request, and is called back.

use tidegate_engine::hook::{Capability, Hook, HookFaultKind};

use super::maps;
use super::status::{Answer, Cx, Status, keep_words};
use crate::abi::foreign::head;
use crate::abi::foreign::state::{enter, put};
use crate::abi::requests::Parked;
use crate::base::host_error::HostError;
use crate::base::limits::OUTBOUND_CALLS_PER_CALL;
use crate::functions::define::memory::Reader;
use crate::functions::outbound;
use crate::guest::Guest;
use crate::guest::fields;
use crate::wit;

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
    let (memory, data) = enter(&mut caller)?;
    data.guest.needs("proxy_http_call", Capability::Outbound)?;
    // Ticks have no request that could wait, and bodies pass without waiting.
    if !matches!(data.guest.hook(), Some(Hook::Request | Hook::Response)) {
        return Ok(Status::InternalFailure.into());
    }
    let mut reader = Reader::new(memory);
    let upstream = head::text(reader.slice(upstream, upstream_length)?)?;
    let fields = maps::read(reader.slice(headers, headers_length)?)?;
    let body = reader.slice(body, body_length)?;
    let Some(group) = group(&data.guest, upstream) else {
        keep_words(
            data,
            &format!("there is no server group for the cluster `{}`", crate::base::log::shown(upstream)),
            false,
        );
        return Ok(Status::BadArgument.into());
    };
    let call = call(group, &fields, body, timeout_ms)?;
    let request = data.guest.exchange("proxy_http_call")?.request_id;
    let made = data.state.requests.get(request).map_or(0, |context| context.calls_made);
    if made >= OUTBOUND_CALLS_PER_CALL {
        let message = format!("the guest called other servers too often: a request may do so {made} times in a hook");
        return Err(HostError::new(HookFaultKind::TooMuch, message).into());
    }
    let (call, _) = outbound::begin(&mut data.guest, call)?;
    let token = data.state.own()?.next_token();
    if let Some(context) = data.state.requests.get_mut(request) {
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::shared::metrics::{GroupState, Groups};
    use crate::testing::guest;

    struct Known;

    impl Groups for Known {
        fn list(&self) -> Vec<GroupState> {
            ["users", "web.static"].map(|name| GroupState { name: name.to_owned(), healthy: 1, total: 1 }).into()
        }
    }

    #[test]
    fn a_cluster_is_the_group_that_its_name_means() {
        let mut guest = guest(Vec::new());
        assert_eq!(group(&guest, "outbound|80||users.dns").as_deref(), Some("users"), "nobody knows the groups");
        guest.groups = Some(Arc::new(Known));
        for (cluster, means) in [
            ("users", Some("users")),
            ("outbound|80||users.dns", Some("users")),
            ("web.static", Some("web.static")),
            ("inbound|8080||web.static", Some("web.static")),
            ("users.static", Some("users")),
            ("orders", None),
            ("", None),
        ] {
            assert_eq!(group(&guest, cluster).as_deref(), means, "{cluster}");
        }
    }

    #[test]
    fn a_call_is_made_of_pseudo_fields_and_the_hosts_are_left_out() {
        let fields: [(&[u8], &[u8]); 6] = [
            (b":method", b"POST"),
            (b":path", b"/a?b"),
            (b":scheme", b"https"),
            (b"x-a", b"\xff"),
            (b"connection", b"close"),
            (b"content-length", b"9"),
        ];
        let made = call("web".to_owned(), &fields, b"body", 0).unwrap();
        assert_eq!((&*made.method, &*made.target, &*made.authority), ("POST", "/a?b", "web"));
        assert_eq!((&*made.body, made.timeout_ms), (&b"body"[..], 1));
        assert_eq!(made.headers.iter().map(|header| &*header.name).collect::<Vec<_>>(), ["x-a"]);
        let made = call("web".to_owned(), &[(b"host", b"a.example")], b"", 5).unwrap();
        assert_eq!((&*made.method, &*made.target, &*made.authority, made.timeout_ms), ("GET", "/", "a.example", 5));
        assert!(call("web".to_owned(), &[(b"\xff", b"")], b"", 5).is_err());
    }
}
