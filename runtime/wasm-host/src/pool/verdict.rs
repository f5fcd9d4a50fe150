//! The verdicts of guests, held against what they may and what the host can take.

use bytes::Bytes;
use http::HeaderMap;
use tidegate_engine::hook::{BodyVerdict, Capability, Hook, Reply, Verdict};

use crate::base::host_error::HostError;
use crate::base::limits::REPLY_BODY_BYTES;
use crate::functions::response::final_status;
use crate::guest::Guest;
use crate::guest::fields;
use crate::wit;

/// The verdict, if the guest may give it and the host can take it.
pub(crate) fn checked(verdict: wit::Verdict, guest: &mut Guest, hook: Hook) -> Result<Verdict, HostError> {
    match verdict {
        wit::Verdict::Next => Ok(Verdict::Next),
        wit::Verdict::Close => {
            needs(guest, "close", Capability::Respond)?;
            Ok(Verdict::Close)
        }
        wit::Verdict::Forward(group) => {
            needs(guest, "forward", Capability::Route)?;
            if !guest.settings.reach.route.covers(&group) {
                let group = crate::base::log::shown(&group);
                return Err(HostError::not_allowed(format!(
                    "the guest said `forward` to group `{group}`, which `allow` does not list: add it to `route` to allow it"
                )));
            }
            if hook == Hook::Response {
                return Err(HostError::not_allowed(
                    "the guest said `forward` in a response hook: the request has left",
                ));
            }
            Ok(Verdict::Forward(group))
        }
        wit::Verdict::Respond(given) => {
            needs(guest, "respond", Capability::Respond)?;
            reply(given, guest).map(Verdict::Respond)
        }
    }
}

/// The verdict about a body, if the guest may give it and the host can take it.
pub(crate) fn checked_body(
    verdict: wit::BodyVerdict,
    guest: &mut Guest,
    streams: bool,
) -> Result<BodyVerdict, HostError> {
    match verdict {
        wit::BodyVerdict::Next => Ok(BodyVerdict::Next),
        wit::BodyVerdict::Replace(data) => Ok(BodyVerdict::Replace(data.into())),
        wit::BodyVerdict::Close => {
            needs(guest, "close", Capability::Respond)?;
            Ok(BodyVerdict::Close)
        }
        wit::BodyVerdict::Respond(given) => {
            needs(guest, "respond", Capability::Respond)?;
            if streams {
                return Err(HostError::not_allowed("the guest said `respond` to a piece of a body: the head has left"));
            }
            reply(given, guest).map(BodyVerdict::Respond)
        }
    }
}

fn needs(guest: &Guest, verdict: &str, capability: Capability) -> Result<(), HostError> {
    if guest.allows(capability) {
        return Ok(());
    }
    let word = capability.word();
    Err(HostError::not_allowed(format!(
        "the guest said `{verdict}`, which `allow` does not list: add `{word}` to allow it"
    )))
}

fn reply(given: wit::Reply, guest: &mut Guest) -> Result<Reply, HostError> {
    let status = final_status(given.status)?;
    if given.body.len() > REPLY_BODY_BYTES {
        let bytes = given.body.len();
        return Err(HostError::too_much(format!(
            "the reply's body has {bytes} bytes, and {REPLY_BODY_BYTES} is the most"
        )));
    }
    let mut headers = HeaderMap::with_capacity(given.headers.len().min(32));
    for header in given.headers {
        guest.count_header(header.name.len() + header.value.len())?;
        let name = fields::name(&header.name)?;
        let value = fields::value(&name, &header.value)?;
        headers.append(name, value);
    }
    Ok(Reply { status, headers, body: Bytes::from(given.body) })
}

#[cfg(test)]
mod tests {
    use tidegate_engine::hook::HookFaultKind;

    use super::*;
    use crate::testing::guest;

    fn kind_of(verdict: wit::Verdict, allow: &[Capability], hook: Hook) -> Result<(), HookFaultKind> {
        checked(verdict, &mut guest(allow.to_vec()), hook).map(drop).map_err(|error| error.0.kind)
    }

    fn reply(status: u16, name: &str, body: usize) -> wit::Verdict {
        let headers = vec![wit::Header { name: name.to_owned(), value: b"v".to_vec() }];
        wit::Verdict::Respond(wit::Reply { status, headers, body: vec![0; body] })
    }

    #[test]
    fn verdicts_need_their_words() {
        let forward = || wit::Verdict::Forward("a".to_owned());
        let not_allowed = Err(HookFaultKind::NotAllowed);
        assert_eq!(kind_of(wit::Verdict::Next, &[], Hook::Request), Ok(()));
        assert_eq!(kind_of(forward(), &[], Hook::Request), not_allowed);
        assert_eq!(kind_of(forward(), &[Capability::Route], Hook::Request), Ok(()));
        assert_eq!(kind_of(forward(), &[Capability::Route], Hook::Response), not_allowed);
        assert_eq!(kind_of(wit::Verdict::Close, &[Capability::Route], Hook::Request), not_allowed);
        assert_eq!(kind_of(wit::Verdict::Close, &[Capability::Respond], Hook::Response), Ok(()));
        assert_eq!(kind_of(reply(200, "a", 0), &[], Hook::Request), not_allowed);
    }

    #[test]
    fn replies_are_checked() {
        let allow = [Capability::Respond];
        assert_eq!(kind_of(reply(599, "a", REPLY_BODY_BYTES), &allow, Hook::Request), Ok(()));
        assert_eq!(kind_of(reply(101, "a", 0), &allow, Hook::Request), Err(HookFaultKind::BadValue));
        assert_eq!(kind_of(reply(200, "a b", 0), &allow, Hook::Request), Err(HookFaultKind::BadValue));
        assert_eq!(kind_of(reply(200, "content-length", 0), &allow, Hook::Request), Err(HookFaultKind::NotAllowed));
        assert_eq!(kind_of(reply(200, "a", REPLY_BODY_BYTES + 1), &allow, Hook::Request), Err(HookFaultKind::TooMuch));
    }
}
