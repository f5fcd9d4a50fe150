//! Header fields as a guest writes them, checked.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use tidegate_engine::exchange::{Changed, Request, Response};
use tidegate_engine::field_names::{self, Class};

use crate::base::host_error::HostError;
use crate::base::log::shown;

/// The fields of a head, for a guest to change. What it changes is noted, so that no trailer undoes it.
pub(crate) struct Head<'g> {
    fields: &'g mut HeaderMap,
    changed: &'g mut Changed,
}

impl<'g> Head<'g> {
    pub(crate) const fn of_request(request: &'g mut Request) -> Self {
        Self { fields: &mut request.headers, changed: &mut request.changed }
    }

    pub(crate) const fn of_response(response: &'g mut Response) -> Self {
        Self { fields: &mut response.headers, changed: &mut response.changed }
    }

    /// The fields, to read.
    pub(crate) const fn fields(&self) -> &HeaderMap {
        self.fields
    }

    /// Writes a field in place of those of its name.
    pub(crate) fn set(self, name: HeaderName, value: HeaderValue) -> Result<(), HostError> {
        self.changed.note(&name);
        self.fields.try_insert(name, value).map(drop).map_err(|_| too_many())
    }

    /// Writes a field beside those of its name.
    pub(crate) fn add(self, name: HeaderName, value: HeaderValue) -> Result<(), HostError> {
        self.changed.note(&name);
        self.fields.try_append(name, value).map(drop).map_err(|_| too_many())
    }

    /// Takes the fields of a name out.
    pub(crate) fn remove(self, name: &HeaderName) {
        self.changed.note(name);
        self.fields.remove(name);
    }

    /// Takes all fields out, until [`Head::put`].
    pub(crate) fn take(self) -> HeaderMap {
        std::mem::take(self.fields)
    }

    /// Puts fields in place of all that were there.
    pub(crate) fn put(self, old: &HeaderMap, new: HeaderMap) {
        let differs = |name: &&HeaderName| !old.get_all(*name).iter().eq(new.get_all(*name).iter());
        old.keys().chain(new.keys()).filter(differs).for_each(|name| self.changed.note(name));
        *self.fields = new;
    }

    /// Puts back what was taken out.
    pub(crate) fn put_back(self, old: HeaderMap) {
        *self.fields = old;
    }

    /// Puts these fields in place of those of their names.
    pub(crate) fn extend(self, more: HeaderMap) {
        more.keys().for_each(|name| self.changed.note(name));
        self.fields.extend(more);
    }
}

/// The head can take no other field.
pub(crate) fn too_many() -> HostError {
    HostError::too_much("the head has too many header fields to take another")
}

/// A name that a guest may write: a token (RFC 9110, 5.6.2), in lower case, that is not the host's.
pub(crate) fn name(text: &str) -> Result<HeaderName, HostError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| HostError::bad_value(format!("`{}` is no header name", shown(text))))?;
    if is_hosts(&name) {
        return Err(HostError::not_allowed(format!("header `{name}` belongs to the gateway: a guest cannot write it")));
    }
    Ok(name)
}

/// A value (RFC 9110, 5.5). Control characters other than tab are refused with CR, LF and NUL.
pub(crate) fn value(name: &HeaderName, bytes: &[u8]) -> Result<HeaderValue, HostError> {
    HeaderValue::from_bytes(bytes).map_err(|_| {
        HostError::bad_value(format!(
            "the value of header `{name}` holds a line break, NUL or another control character"
        ))
    })
}

/// Fields that concern a connection or a hop, framing, and `host`.
pub(crate) fn is_hosts(name: &HeaderName) -> bool {
    field_names::class(name.as_str()).is_some_and(Class::is_reserved)
}

#[cfg(test)]
mod tests {
    use tidegate_engine::hook::HookFaultKind;

    use super::*;

    #[test]
    fn names_are_tokens_in_lower_case() {
        assert_eq!(name("X-Client").map_err(|error| error.0.kind), Ok(HeaderName::from_static("x-client")));
        for bad in ["", "a b", "a:b", "a\r\nb", ":path", "ä"] {
            assert_eq!(name(bad).map_err(|error| error.0.kind), Err(HookFaultKind::BadValue), "{bad}");
        }
    }

    #[test]
    fn the_hosts_fields_are_refused_by_name() {
        let classes = [Class::Connection, Class::Hop, Class::Frame];
        for hosts in classes.into_iter().flat_map(field_names::names).chain(["Connection", "Host", "TE"]) {
            let refused = name(hosts).map_err(|error| error.0);
            let lower = hosts.to_ascii_lowercase();
            let message = format!("header `{lower}` belongs to the gateway: a guest cannot write it");
            assert_eq!(refused.map_err(|fault| (fault.kind, fault.message)), Err((HookFaultKind::NotAllowed, message)));
        }
    }

    #[test]
    fn values_hold_no_line_breaks() {
        let a = HeaderName::from_static("a");
        for bad in [&b"a\r\nb: c"[..], b"a\nb", b"a\0b", b"\x7f"] {
            assert_eq!(value(&a, bad).map_err(|error| error.0.kind), Err(HookFaultKind::BadValue));
        }
        assert!(value(&a, b"t\tab \xff").is_ok());
    }
}
