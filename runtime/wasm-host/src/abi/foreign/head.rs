//! Heads, as foreign guests read and write them.
//!
//! Framing and hop-by-hop fields belong to the host, as they do for every guest. Foreign filters were written for hosts
//! that let them touch these, so what changes nothing is taken: to write what is there, and to remove what the host puts
//! in by itself. What would change something is refused by name.

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::Capability;
use tidegate_engine::method;

use crate::base::host_error::HostError;
use crate::base::log::shown;
use crate::functions::{request, response};
use crate::guest::Guest;
use crate::guest::fields::{self, Head, too_many};

/// The side that a head is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// The way in which a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// The field stands beside those of its name.
    Add,
    /// The field stands in place of those of its name.
    Set,
}

impl Side {
    const fn reading(self) -> Capability {
        match self {
            Self::Request => Capability::ReadRequest,
            Self::Response => Capability::ReadResponse,
        }
    }

    const fn writing(self) -> Capability {
        match self {
            Self::Request => Capability::WriteRequestHeaders,
            Self::Response => Capability::WriteResponseHeaders,
        }
    }
}

/// The fields of a head, to read; `None` if there is none in this hook.
pub(crate) fn fields<'g>(guest: &'g Guest, side: Side, function: &str) -> Result<Option<&'g HeaderMap>, HostError> {
    guest.needs(function, side.reading())?;
    Ok(match side {
        Side::Request => guest.exchange(function).ok().map(|exchange| &exchange.request.headers),
        Side::Response => guest.response(function).ok().map(|response| &response.headers),
    })
}

fn fields_mut<'g>(guest: &'g mut Guest, side: Side, function: &str, what: &str) -> Result<Head<'g>, HostError> {
    match side {
        Side::Request => guest.request_mut(function, what).map(Head::of_request),
        Side::Response => guest.response_mut(function).map(Head::of_response),
    }
}

/// Writes one field.
pub(crate) fn write(
    guest: &mut Guest,
    side: Side,
    function: &str,
    (name, value): (&[u8], &[u8]),
    how: Write,
) -> Result<(), HostError> {
    guest.needs(function, side.writing())?;
    let (name, value) = field(name, value)?;
    if fields::is_hosts(&name) {
        return belongs_to_host(guest, side, function, &name, &value);
    }
    guest.count_header(name.as_str().len() + value.len())?;
    let head = fields_mut(guest, side, function, name.as_str())?;
    match how {
        Write::Add => head.add(name, value),
        Write::Set => head.set(name, value),
    }
}

/// Removes the fields of a name.
pub(crate) fn remove(guest: &mut Guest, side: Side, function: &str, name: &[u8]) -> Result<(), HostError> {
    guest.needs(function, side.writing())?;
    let name = token(name)?;
    if name == HOST && side == Side::Request {
        return fields::name(name.as_str()).map(drop);
    }
    if fields::is_hosts(&name) {
        return Ok(());
    }
    fields_mut(guest, side, function, name.as_str())?.remove(&name);
    Ok(())
}

/// Puts these fields in place of all. The host's own stay as they are.
pub(crate) fn replace(
    guest: &mut Guest,
    side: Side,
    function: &str,
    given: &[(&[u8], &[u8])],
) -> Result<(), HostError> {
    guest.needs(function, side.writing())?;
    let old = fields_mut(guest, side, function, "all fields")?.take();
    let replaced = replaced(guest, side, &old, given);
    let head = fields_mut(guest, side, function, "all fields")?;
    match replaced {
        Ok(new) => {
            head.put(&old, new);
            Ok(())
        }
        Err(error) => {
            head.put_back(old);
            Err(error)
        }
    }
}

fn replaced(guest: &mut Guest, side: Side, old: &HeaderMap, given: &[(&[u8], &[u8])]) -> Result<HeaderMap, HostError> {
    let mut new = HeaderMap::new();
    for (name, value) in old.iter().filter(|(name, _)| fields::is_hosts(name)) {
        new.try_append(name, value.clone()).map_err(|_| too_many())?;
    }
    for (name, value) in given {
        let (name, value) = field(name, value)?;
        let is_there = old.get_all(&name).iter().any(|known| known == value);
        if fields::is_hosts(&name) {
            let is_authority = name == HOST && side == Side::Request;
            if !is_there && !is_authority {
                return fields::name(name.as_str()).map(|_| new);
            }
            continue;
        }
        if !is_there {
            guest.count_header(name.as_str().len() + value.len())?;
        }
        new.try_append(name, value).map_err(|_| too_many())?;
    }
    Ok(new)
}

/// Writes a field of the host's, if that changes nothing; `host` is the authority.
fn belongs_to_host(
    guest: &mut Guest,
    side: Side,
    function: &str,
    name: &HeaderName,
    value: &HeaderValue,
) -> Result<(), HostError> {
    if *name == HOST && side == Side::Request {
        return set_authority(guest, function, value.as_bytes());
    }
    let head = fields_mut(guest, side, function, name.as_str())?;
    if head.fields().get_all(name).iter().any(|known| known == value) {
        return Ok(());
    }
    fields::name(name.as_str()).map(drop)
}

fn field(name: &[u8], value: &[u8]) -> Result<(HeaderName, HeaderValue), HostError> {
    let name = token(name)?;
    let value = fields::value(&name, value)?;
    Ok((name, value))
}

fn token(name: &[u8]) -> Result<HeaderName, HostError> {
    HeaderName::from_bytes(name)
        .map_err(|_| HostError::bad_value(format!("`{}` is no header name", shown(&String::from_utf8_lossy(name)))))
}

/// Sets path and query of the request.
pub(crate) fn set_target(guest: &mut Guest, function: &str, target: &[u8]) -> Result<(), HostError> {
    let text = text(target)?;
    if guest.exchange(function)?.request.target.as_str() == text {
        return Ok(());
    }
    guest.needs(function, Capability::Rewrite)?;
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let request = guest.request_mut(function, "path")?;
    request.target = request::target(&request.target, path, query)?;
    Ok(())
}

/// Sets host and port of the request.
pub(crate) fn set_authority(guest: &mut Guest, function: &str, authority: &[u8]) -> Result<(), HostError> {
    if guest.exchange(function)?.request.authority.as_str().as_bytes() == authority {
        return Ok(());
    }
    guest.needs(function, Capability::Rewrite)?;
    let authority = request::authority(text(authority)?)?;
    guest.request_mut(function, "authority")?.set_authority(authority);
    Ok(())
}

/// Sets the method. `HEAD` decides how an answer is framed, so nothing becomes it, and it becomes nothing else; nothing becomes a method
/// that is not carried.
pub(crate) fn set_method(guest: &mut Guest, function: &str, method: &[u8]) -> Result<(), HostError> {
    let wanted = Method::from_bytes(method)
        .map_err(|_| HostError::bad_value(format!("`{}` is no method", shown(&String::from_utf8_lossy(method)))))?;
    let old = &guest.exchange(function)?.request.method;
    if *old == wanted {
        return Ok(());
    }
    if !method::is_carried(&wanted) {
        return Err(HostError::not_allowed(format!("the method cannot become {wanted}, which is not carried")));
    }
    if *old == Method::HEAD || wanted == Method::HEAD {
        let message = format!("the method cannot change from {old} to {wanted}: it decides how the answer is framed");
        return Err(HostError::not_allowed(message));
    }
    guest.needs(function, Capability::Rewrite)?;
    guest.request_mut(function, "method")?.method = wanted;
    Ok(())
}

/// Takes the scheme that there is: the scheme is a fact of the connection, and no other may be written.
pub(crate) fn set_scheme(guest: &Guest, function: &str, scheme: &[u8]) -> Result<(), HostError> {
    if guest.exchange(function)?.connection.scheme().as_bytes() == scheme {
        return Ok(());
    }
    Err(HostError::not_allowed("the guest wrote another scheme: it is a fact of the connection"))
}

/// Sets the status of the response.
pub(crate) fn set_status(guest: &mut Guest, function: &str, status: u16) -> Result<(), HostError> {
    if guest.response(function).is_ok_and(|response| response.status.as_u16() == status) {
        return Ok(());
    }
    guest.needs(function, Capability::WriteResponseHeaders)?;
    response::set_status(guest, function, status)
}

/// A status that was written as text.
pub(crate) fn status(text: &[u8]) -> Result<u16, HostError> {
    StatusCode::from_bytes(text)
        .map(|status| status.as_u16())
        .map_err(|_| HostError::bad_value(format!("`{}` is no status", shown(&String::from_utf8_lossy(text)))))
}

/// The client's address, as the listener derives it. Its port is known only if the client is the peer itself.
pub(crate) fn source(exchange: &Exchange) -> String {
    let peer = exchange.connection.peer;
    let port = if peer.ip() == exchange.client_ip { peer.port() } else { 0 };
    std::net::SocketAddr::new(exchange.client_ip, port).to_string()
}

/// The length that `content-length` names.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, HostError> {
    std::str::from_utf8(bytes).map_err(|_| HostError::not_text())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tidegate_engine::hook::{Hook, HookFaultKind};

    use super::*;
    use crate::testing::{exchange, guest_in};

    fn kind<T>(result: Result<T, HostError>) -> Option<HookFaultKind> {
        result.err().map(|error| error.0.kind)
    }

    fn request_fields(guest: &Guest) -> Vec<(String, String)> {
        let headers = &guest.exchange("f").unwrap().request.headers;
        let field = |(name, value): (&HeaderName, &HeaderValue)| (name.to_string(), value.to_str().unwrap().to_owned());
        headers.iter().map(field).collect()
    }

    #[test]
    fn fields_of_the_host_may_be_written_as_they_are() {
        let mut guest = guest_in(Hook::Request);
        let mut write_request =
            |name: &[u8], value: &[u8], how| write(&mut guest, Side::Request, "f", (name, value), how);
        assert_eq!(kind(write_request(b"Connection", b"close", Write::Set)), None);
        assert_eq!(kind(write_request(b"connection", b"upgrade", Write::Set)), Some(HookFaultKind::NotAllowed));
        assert_eq!(kind(write_request(b"host", b"shop.example", Write::Set)), None);
        assert_eq!(kind(write_request(b"Host", b"other.example", Write::Set)), None, "it is the authority");
        assert_eq!(kind(write_request(b"a b", b"1", Write::Add)), Some(HookFaultKind::BadValue));
        assert_eq!(kind(write_request(b"X-A", b"2", Write::Add)), None);
        let fields = request_fields(&guest);
        let values: Vec<&str> = fields.iter().filter(|(name, _)| name == "x-a").map(|(_, value)| &**value).collect();
        assert_eq!(values, ["1", "2"]);
        assert_eq!(guest.exchange("f").unwrap().request.authority, "other.example");
        assert_eq!(kind(remove(&mut guest, Side::Request, "f", b"connection")), None, "that changes nothing");
        assert_eq!(kind(remove(&mut guest, Side::Request, "f", b"host")), Some(HookFaultKind::NotAllowed));
        assert_eq!(kind(remove(&mut guest, Side::Request, "f", b"x-a")), None);
        assert!(request_fields(&guest).iter().all(|(name, _)| name != "x-a"));
    }

    #[test]
    fn what_is_replaced_keeps_the_hosts_fields_and_comes_back_whole_if_refused() {
        let mut guest = guest_in(Hook::Request);
        let before = request_fields(&guest);
        let refused = replace(&mut guest, Side::Request, "f", &[(b"x-b", b"2"), (b"transfer-encoding", b"chunked")]);
        assert_eq!((kind(refused), request_fields(&guest)), (Some(HookFaultKind::NotAllowed), before));
        replace(&mut guest, Side::Request, "f", &[(b"host", b"shop.example"), (b"x-b", b"2"), (b"x-a", b"1")]).unwrap();
        let fields = request_fields(&guest);
        let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["connection", "x-b", "x-a"]);
    }

    #[test]
    fn facts_may_be_written_as_they_are() {
        let mut guest = guest_in(Hook::Request);
        assert_eq!(kind(set_scheme(&guest, "f", b"http")), None);
        assert_eq!(kind(set_scheme(&guest, "f", b"https")), Some(HookFaultKind::NotAllowed));
        for (method, refused) in [
            (&b"GET"[..], None),
            (b"POST", None),
            (b"HEAD", Some(HookFaultKind::NotAllowed)),
            (b"CONNECT", Some(HookFaultKind::NotAllowed)),
            (b"G T", Some(HookFaultKind::BadValue)),
        ] {
            assert_eq!(kind(set_method(&mut guest, "f", method)), refused, "{}", method.escape_ascii());
        }
        set_target(&mut guest, "f", b"/x/../y?z").unwrap();
        assert_eq!(guest.exchange("f").unwrap().request.target.as_str(), "/y?z");
        assert_eq!(kind(set_target(&mut guest, "f", b"y")), Some(HookFaultKind::BadValue));
        let mut guest = guest_in(Hook::Response);
        assert_eq!(kind(set_status(&mut guest, "f", 200)), None);
        assert_eq!(kind(set_status(&mut guest, "f", 204)), Some(HookFaultKind::BadValue), "it has no body");
        assert_eq!(kind(set_target(&mut guest, "f", b"/other")), Some(HookFaultKind::NotAllowed));
        assert_eq!((status(b"404").ok(), kind(status(b"4x4"))), (Some(404), Some(HookFaultKind::BadValue)));
    }

    #[test]
    fn the_source_has_a_port_only_if_the_client_is_the_peer() {
        let mut exchange = exchange(1);
        assert_eq!(source(&exchange), "203.0.113.9:0");
        exchange.client_ip = exchange.connection.peer.ip();
        assert_eq!(source(&exchange), "192.0.2.1:50123");
    }
}
