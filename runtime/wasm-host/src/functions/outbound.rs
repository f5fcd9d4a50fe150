//! `outbound`: the guest's call, checked, and the answer as the guest gets it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use tidegate_engine::{method, normalise};

use crate::base::host_error::HostError;
use crate::base::limits::{OUTBOUND_BODY_BYTES, OUTBOUND_TIME, OUTBOUND_TIME_MAX};
use crate::base::log::shown;
use crate::functions::define::{Define, Defined};
use crate::guest::Guest;
use crate::guest::callout::{Callout, CalloutFailure, CalloutOutcome, Mailbox};
use crate::guest::fields;
use crate::wit;

const FETCH: &str = "outbound.fetch";

pub(super) fn outbound(functions: &mut impl Define) -> Defined {
    functions.fetch("fetch")
}

/// Begins a call: what is asked, and where; no place if there is nobody to make calls.
pub(crate) fn begin(guest: &mut Guest, call: wit::Call) -> Result<(Callout, Option<Arc<Mailbox>>), HostError> {
    guest.may_fetch(FETCH)?;
    if !guest.settings.reach.outbound.covers(&call.group) {
        let group = shown(&call.group);
        return Err(HostError::not_allowed(format!(
            "`{FETCH}` of group `{group}`, which `allow` does not list: add it to `outbound` to allow it"
        )));
    }
    let call = checked(guest, call)?;
    let mailbox = guest.begin_waiting();
    let counts = &guest.settings.shared.counts;
    if mailbox.is_some() {
        counts.outbound_calls.fetch_add(1, Ordering::Relaxed);
    }
    Ok((call, mailbox))
}

/// Ends a call.
pub(crate) fn end(guest: &mut Guest, result: CalloutOutcome) -> Result<Result<wit::Answer, wit::Failure>, HostError> {
    guest.end_waiting()?;
    let result = result.map_err(HostError)?;
    if result.as_ref().is_err_and(|failure| *failure != CalloutFailure::Offline) {
        guest.settings.shared.counts.outbound_failures.fetch_add(1, Ordering::Relaxed);
    }
    let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| wit::Header {
        name: name.as_str().to_owned(),
        value: value.as_bytes().to_vec(),
    };
    Ok(match result {
        Ok(answer) => Ok(wit::Answer {
            status: answer.status.as_u16(),
            headers: answer.headers.iter().map(header).collect(),
            body: answer.body.into(),
        }),
        Err(failure) => Err(match failure {
            CalloutFailure::Unreachable => wit::Failure::Unreachable,
            CalloutFailure::Timeout => wit::Failure::Timeout,
            CalloutFailure::Broken => wit::Failure::Broken,
            CalloutFailure::TooLarge => wit::Failure::TooLarge,
            CalloutFailure::Busy => wit::Failure::Busy,
            CalloutFailure::Offline => wit::Failure::Offline,
        }),
    })
}

fn checked(guest: &mut Guest, call: wit::Call) -> Result<Callout, HostError> {
    let method = Method::from_bytes(call.method.as_bytes()).ok().filter(method::is_carried).ok_or_else(|| {
        HostError::bad_value(format!("`{FETCH}`: the method `{}` cannot be sent", shown(&call.method)))
    })?;
    let authority = normalise::authority(call.authority.as_bytes()).map_err(|error| {
        HostError::bad_value(format!("`{FETCH}`: `{}` is no authority: {error}", shown(&call.authority)))
    })?;
    let target = Some(&call.target).filter(|target| target.starts_with('/'));
    let target = target.and_then(|target| PathAndQuery::try_from(target.as_str()).ok()).ok_or_else(|| {
        let target = shown(&call.target);
        HostError::bad_value(format!("`{FETCH}`: `{target}` is no target: a path, and perhaps a query"))
    })?;
    if call.body.len() > OUTBOUND_BODY_BYTES {
        let bytes = call.body.len();
        let message = format!("`{FETCH}`: the body has {bytes} bytes, and {OUTBOUND_BODY_BYTES} is the most");
        return Err(HostError::too_much(message));
    }
    let mut headers = HeaderMap::with_capacity(call.headers.len().min(32));
    for header in call.headers {
        guest.count_header(header.name.len() + header.value.len())?;
        let name = fields::name(&header.name)?;
        let value = fields::value(&name, &header.value)?;
        headers.append(name, value);
    }
    let timeout = match call.timeout_ms {
        0 => OUTBOUND_TIME,
        ms => Duration::from_millis(ms.into()).min(OUTBOUND_TIME_MAX),
    };
    Ok(Callout { group: call.group, method, authority, target, headers, body: Bytes::from(call.body), timeout })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use http::StatusCode;
    use tidegate_engine::hook::{Hook, HookFaultKind};

    use super::*;
    use crate::guest::callout::CalloutResponse;
    use crate::testing::guest_in;

    fn call() -> wit::Call {
        wit::Call {
            group: "web".to_owned(),
            method: "POST".to_owned(),
            authority: "Web.Example".to_owned(),
            target: "/a?b".to_owned(),
            headers: vec![wit::Header { name: "X-A".to_owned(), value: b"1".to_vec() }],
            body: b"body".to_vec(),
            timeout_ms: 0,
        }
    }

    #[test]
    fn a_call_is_checked_and_bounded() {
        let mut guest = guest_in(Hook::Request);
        let (callout, mailbox) = begin(&mut guest, call()).unwrap();
        assert!(mailbox.is_none(), "nobody makes calls");
        assert_eq!((callout.authority.as_str(), callout.target.as_str()), ("web.example", "/a?b"));
        assert_eq!((callout.headers["x-a"].as_bytes(), callout.timeout), (&b"1"[..], OUTBOUND_TIME));
        let long = wit::Call { timeout_ms: u32::MAX, ..call() };
        assert_eq!(begin(&mut guest, long).unwrap().0.timeout, OUTBOUND_TIME_MAX);
        for (bad, kind) in [
            (wit::Call { method: "CONNECT".to_owned(), ..call() }, HookFaultKind::BadValue),
            (wit::Call { method: "G T".to_owned(), ..call() }, HookFaultKind::BadValue),
            (wit::Call { authority: "a b".to_owned(), ..call() }, HookFaultKind::BadValue),
            (wit::Call { target: "a".to_owned(), ..call() }, HookFaultKind::BadValue),
            (wit::Call { body: vec![0; OUTBOUND_BODY_BYTES + 1], ..call() }, HookFaultKind::TooMuch),
        ] {
            assert_eq!(checked(&mut guest, bad).unwrap_err().0.kind, kind);
        }
        let most = wit::Call { body: vec![0; OUTBOUND_BODY_BYTES], ..call() };
        assert!(checked(&mut guest, most).is_ok());
    }

    #[test]
    fn what_comes_back_is_told_and_counted() {
        let mut guest = guest_in(Hook::Request);
        guest.set_mailbox(Arc::default());
        assert!(begin(&mut guest, call()).unwrap().1.is_some());
        let headers = HeaderMap::from_iter([(http::header::SERVER, http::HeaderValue::from_static("a"))]);
        let response = CalloutResponse { status: StatusCode::NOT_FOUND, headers, body: Bytes::from_static(b"no") };
        let answer = end(&mut guest, Ok(Ok(response))).unwrap().unwrap();
        assert_eq!((answer.status, &*answer.headers[0].name, &*answer.body), (404, "server", &b"no"[..]));
        for failure in [CalloutFailure::Timeout, CalloutFailure::Busy, CalloutFailure::Offline] {
            assert!(end(&mut guest, Ok(Err(failure))).unwrap().is_err());
        }
        let counts = &guest.settings.shared.counts;
        assert_eq!(counts.outbound_calls.load(Ordering::Relaxed), 1);
        assert_eq!(counts.outbound_failures.load(Ordering::Relaxed), 2, "who has nobody to ask has not failed");
        let fault = HostError::bad_value("no such group").0;
        assert_eq!(end(&mut guest, Err(fault)).unwrap_err().0.message, "no such group");
    }
}
