//! `outbound`: calls, checked as the gateway checks them, and what the test answers.

use super::current::on;
use super::exchange::Hook;
use super::stop::{Fault, shown, stop};
use super::{call, fields, permissions, shared, target};
use crate::bounds::OUTBOUND_BODY_BYTES;
use crate::outbound::answer::{Answer, Failure};
use crate::outbound::call::Call;

pub(crate) fn fetch(call: &Call) -> Result<Answer, Failure> {
    permissions::needs("outbound", "outbound");
    let fields = call.headers.iter().map(|(name, value)| name.len() + value.len());
    call::transfer(fields.chain([call.target.len(), call.body.len()]));
    on(("outbound", "outbound"), "fetch", |x| match x.hook {
        Hook::Request | Hook::Response => {}
        hook => {
            let hook = hook.name();
            let why = format!("`outbound.fetch` in a {hook} hook: only request and response hooks may call");
            stop(Fault::NotAllowed, why)
        }
    });
    call::count_outbound();
    if !shared::on(|shared| shared.allow.may_call(&call.group)) {
        let why = "which `allow` does not list: add it to `outbound` to allow it";
        stop(Fault::NotAllowed, format!("`outbound.fetch` of group `{}`, {why}", shown(&call.group)));
    }
    let call = checked(call);
    permissions::check_known(&call.group, || {
        format!("`outbound.fetch` names a server group that the policy does not have: `{}`", call.group)
    });
    answer(call)
}

/// A call as it would leave.
fn checked(call: &Call) -> Call {
    let refused = |why: String| stop(Fault::BadValue, format!("`outbound.fetch`: {why}"));
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let (method, target) = (shown(&call.method), shown(&call.target));
    if matches!(call.method.as_str(), "CONNECT" | "TRACE" | "PRI" | "") || !call.method.bytes().all(token) {
        refused(format!("the method `{method}` cannot be sent"));
    }
    let authority = target::authority(&call.authority)
        .unwrap_or_else(|why| refused(format!("`{}` is no authority: {why}", shown(&call.authority))));
    if !target::can_be_sent(&call.target) {
        refused(format!("`{target}` is no target: a path, and perhaps a query"));
    }
    if call.body.len() > OUTBOUND_BODY_BYTES {
        let bytes = call.body.len();
        let why = format!("`outbound.fetch`: the body has {bytes} bytes, and {OUTBOUND_BODY_BYTES} is the most");
        stop(Fault::TooMuch, why);
    }
    Call { authority, headers: fields::checked_all(&call.headers), ..call.clone() }
}

/// The next answer of the group that is called.
fn answer(call: Call) -> Result<Answer, Failure> {
    shared::on(|shared| {
        let mut answers = shared.answers.iter().enumerate().filter(|(_, (group, _))| *group == call.group);
        let (first, answer, more) = match answers.next() {
            Some((first, (_, answer))) => (first, answer.clone(), answers.next().is_some()),
            None => (0, Err(Failure::Offline), false),
        };
        shared.calls.push(call);
        if more {
            drop(shared.answers.remove(first));
        }
        answer.and_then(|answer| match answer.body.len() {
            length if length > OUTBOUND_BODY_BYTES => Err(Failure::TooLarge),
            _ => Ok(answer),
        })
    })
}
