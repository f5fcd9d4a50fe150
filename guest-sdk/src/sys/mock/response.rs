//! `read-response`, `write-response-headers`, and the verdicts.

use super::call;
use super::current::CURRENT;
use super::exchange::{Exchange, Hook, Response};
use super::fields::{self, Change, Headers};
use super::permissions::{self, needs};
use super::stop::{Fault, stop};
use crate::bounds::REPLY_BODY_BYTES;
use crate::verdict::kind::{BodyKind, Kind};
use crate::verdict::reply::Reply;

const READ_RESPONSE: (&str, &str) = ("read-response", "read-response");
const WRITE_RESPONSE: (&str, &str) = ("write-response-headers", "write-response-headers");

pub(crate) fn status() -> u16 {
    read_response("status", |response| response.status)
}

pub(crate) fn response_get(name: &str) -> Option<Vec<u8>> {
    read_response("get", |response| fields::get(&response.headers, name))
}

pub(crate) fn response_get_all(name: &str) -> Vec<Vec<u8>> {
    read_response("get-all", |response| fields::get_all(&response.headers, name))
}

pub(crate) fn response_all() -> Headers {
    read_response("all", |response| response.headers.clone())
}

pub(crate) fn set_status(status: u16) {
    edit_response("set-status", |response| {
        check_status(status);
        let bodiless = |status| matches!(status, 204 | 304);
        if bodiless(status) != bodiless(response.status) {
            let old = response.status;
            let why = "one has a body, the other has none";
            stop(Fault::BadValue, format!("the status cannot change from {old} to {status}: {why}"));
        }
        response.status = status;
    });
}

pub(crate) fn response_set(name: &str, value: &[u8]) {
    needs(WRITE_RESPONSE.0, WRITE_RESPONSE.1);
    let change = Change::set(name, value);
    edit_response("set", |response| change.apply(&mut response.headers));
}

pub(crate) fn response_add(name: &str, value: &[u8]) {
    needs(WRITE_RESPONSE.0, WRITE_RESPONSE.1);
    let change = Change::add(name, value);
    edit_response("add", |response| change.apply(&mut response.headers));
}

pub(crate) fn response_remove(name: &str) {
    needs(WRITE_RESPONSE.0, WRITE_RESPONSE.1);
    let change = Change::remove(name);
    edit_response("remove", |response| change.apply(&mut response.headers));
}

fn edit_response(function: &str, work: impl FnOnce(&mut Response)) {
    // Without a request, or before the response, the gateway says that there is none.
    on_response(WRITE_RESPONSE, function, |x| match x.hook {
        Hook::Response => work(&mut x.response),
        Hook::ResponseBody if !x.streams => work(&mut x.response),
        hook => {
            let hook = hook.name();
            let why = "the response has left, and is read-only";
            stop(Fault::NotAllowed, format!("`write-response-headers.{function}` in a {hook} hook: {why}"))
        }
    });
}

fn read_response<R>(function: &str, work: impl FnOnce(&Response) -> R) -> R {
    on_response(READ_RESPONSE, function, |x| {
        if x.answered { work(&x.response) } else { no_response("read-response", function) }
    })
}

/// The exchange, for `function` on the response.
fn on_response<R>(import: (&str, &str), function: &str, work: impl FnOnce(&mut Exchange) -> R) -> R {
    needs(import.0, import.1);
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) if !matches!(exchange.hook, Hook::Request | Hook::RequestBody) => work(exchange),
        _ => no_response(import.0, function),
    })
}

fn no_response(interface: &str, function: &str) -> ! {
    let why = "outside a response hook: there is no response yet";
    stop(Fault::NotAllowed, format!("`{interface}.{function}` {why}"))
}

pub(crate) fn may_forward() {
    needs("route", "route");
}

pub(crate) fn may_respond() {
    needs("respond", "respond");
}

/// A head hook's verdict as the gateway takes it.
pub(crate) fn checked_verdict(verdict: Kind, hook: Hook) -> Kind {
    match verdict {
        Kind::Forward(group) => {
            permissions::check_route(&group);
            if hook == Hook::Response {
                let why = "the guest said `forward` in a response hook: the request has left";
                stop(Fault::NotAllowed, why);
            }
            permissions::check_known(&group, || {
                format!("the extension forwards to `{group}`, and the policy has no such server group")
            });
            Kind::Forward(group)
        }
        Kind::Respond(reply) => Kind::Respond(checked_reply(reply)),
        verdict @ (Kind::Next | Kind::Close) => verdict,
    }
}

/// A body hook's verdict as the gateway takes it.
pub(crate) fn checked_body_verdict(verdict: BodyKind, streams: bool) -> BodyKind {
    match verdict {
        BodyKind::Respond(_) if streams => {
            stop(Fault::NotAllowed, "the guest said `respond` to a piece of a body: the head has left")
        }
        BodyKind::Respond(reply) => BodyKind::Respond(checked_reply(reply)),
        BodyKind::Replace(data) => {
            call::transfer([data.len()]);
            BodyKind::Replace(data)
        }
        verdict @ (BodyKind::Next | BodyKind::Close) => verdict,
    }
}

fn checked_reply(reply: Reply) -> Reply {
    let fields = reply.headers.iter().map(|(name, value)| name.len() + value.len());
    call::transfer(fields.chain([reply.body.len()]));
    check_status(reply.status);
    if reply.body.len() > REPLY_BODY_BYTES {
        let bytes = reply.body.len();
        stop(Fault::TooMuch, format!("the reply's body has {bytes} bytes, and {REPLY_BODY_BYTES} is the most"));
    }
    Reply { headers: fields::checked_all(&reply.headers), ..reply }
}

/// A status that a guest may give (RFC 9110, 15): a final one.
fn check_status(status: u16) {
    if !(200..=599).contains(&status) {
        stop(Fault::BadValue, format!("{status} is no final status: a guest may give 200 to 599"));
    }
}
