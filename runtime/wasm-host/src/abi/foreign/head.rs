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

/// Which head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    /// Beside those of its name.
    Add,
    /// In place of those of its name.
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

/// What is there already may be written; `host` is the authority.
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

/// Path and query of the request.
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

/// Host and port of the request.
pub(crate) fn set_authority(guest: &mut Guest, function: &str, authority: &[u8]) -> Result<(), HostError> {
    if guest.exchange(function)?.request.authority.as_str().as_bytes() == authority {
        return Ok(());
    }
    guest.needs(function, Capability::Rewrite)?;
    let authority = request::authority(text(authority)?)?;
    guest.request_mut(function, "authority")?.set_authority(authority);
    Ok(())
}

/// The method. `HEAD` decides how an answer is framed, so nothing becomes it, and it becomes nothing else; nothing becomes a method
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

/// The scheme is a fact of the connection: only what it is may be written.
pub(crate) fn set_scheme(guest: &Guest, function: &str, scheme: &[u8]) -> Result<(), HostError> {
    if guest.exchange(function)?.connection.scheme().as_bytes() == scheme {
        return Ok(());
    }
    Err(HostError::not_allowed("the guest wrote another scheme: it is a fact of the connection"))
}

/// The status of the response.
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

/// What `content-length` says.
pub(crate) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub(crate) fn text(bytes: &[u8]) -> Result<&str, HostError> {
    std::str::from_utf8(bytes).map_err(|_| HostError::not_text())
}
