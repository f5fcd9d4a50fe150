//! Maps: heads as lists of fields, led by the pseudo fields of HTTP/2 (RFC 9113, 8.3).

use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use tidegate_engine::exchange::{Exchange, Response};

use super::state::Came;
use super::status::{Answer, Cx, Data, Status, give};
use crate::abi::foreign::head::{self, Side, Write};
use crate::abi::foreign::state::{bytes, enter, put};
use crate::base::host_error::HostError;
use crate::functions::define::memory::{Reader, field};
use crate::guest::Guest;

/// A map by its number.
enum Map {
    Head(Side),
    /// The head of another server's response.
    Came,
    /// Trailers, which hooks do not see: an empty map.
    Empty,
}

impl Map {
    fn of(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Head(Side::Request)),
            2 => Some(Self::Head(Side::Response)),
            6 => Some(Self::Came),
            1 | 3 | 4 | 5 | 7 => Some(Self::Empty),
            _ => None,
        }
    }
}

/// A field: its name and its value.
type Field = (String, Vec<u8>);

pub(super) fn request_fields(exchange: &Exchange) -> u32 {
    u32::try_from(exchange.request.headers.len() + 4).unwrap_or(u32::MAX)
}

pub(super) fn response_fields(response: &Response) -> u32 {
    u32::try_from(response.headers.len() + 1).unwrap_or(u32::MAX)
}

const PSEUDO: [&str; 4] = [":authority", ":path", ":method", ":scheme"];

/// A pseudo field, or `host`, which is one by its older name.
fn pseudo(guest: &Guest, side: Side, name: &str) -> Option<String> {
    let exchange = guest.exchange(name).ok()?;
    Some(match (side, name) {
        (Side::Request, ":authority" | "host") => exchange.request.authority.to_string(),
        (Side::Request, ":path") => exchange.request.target.to_string(),
        (Side::Request, ":method") => exchange.request.method.to_string(),
        (Side::Request, ":scheme") => exchange.connection.scheme().to_owned(),
        (Side::Response, ":status") => guest.response(name).ok()?.status.as_u16().to_string(),
        _ => return None,
    })
}

fn all(guest: &Guest, side: Side, function: &str) -> Result<Option<Vec<Field>>, HostError> {
    let Some(headers) = head::fields(guest, side, function)? else { return Ok(None) };
    let names: &[&str] = if side == Side::Request { &PSEUDO } else { &[":status"] };
    let pseudo = names.iter().filter_map(|name| Some(((*name).to_owned(), pseudo(guest, side, name)?.into_bytes())));
    let plain = headers.iter().filter(|(name, _)| side == Side::Response || **name != HOST);
    let plain = plain.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    Ok(Some(pseudo.chain(plain).collect()))
}

/// A map as the ABI lays it out: how many, the lengths, then names and values, each ended by a zero byte.
pub(super) fn lay_out(fields: &[Field]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut out = number(fields.len()).to_vec();
    for (name, value) in fields {
        out.extend_from_slice(&number(name.len()));
        out.extend_from_slice(&number(value.len()));
    }
    for (name, value) in fields {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// A field in the guest's memory.
type Lent<'m> = (&'m [u8], &'m [u8]);

/// Reads a map that the guest laid out.
pub(super) fn read(data: &[u8]) -> Result<Vec<Lent<'_>>, HostError> {
    if data.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = Reader::new(data);
    let count = reader.u32(0)?;
    let mut fields = Vec::new();
    let mut at = count.checked_mul(8).and_then(|lengths| lengths.checked_add(4)).ok_or_else(cut)?;
    for index in 0..count {
        let lengths = field(4, index * 8)?;
        let (name, value) = (reader.u32(lengths)?, reader.u32(field(lengths, 4)?)?);
        let value_at = at.checked_add(name).and_then(|end| end.checked_add(1)).ok_or_else(cut)?;
        fields.push((reader.slice(at, name)?, reader.slice(value_at, value)?));
        at = value_at.checked_add(value).and_then(|end| end.checked_add(1)).ok_or_else(cut)?;
    }
    Ok(fields)
}

fn cut() -> HostError {
    HostError::not_taken("a map whose lengths do not fit it")
}

fn fields(data: &mut Data, map: u32, function: &str) -> Result<Option<Vec<Field>>, HostError> {
    Ok(match Map::of(map) {
        Some(Map::Head(side)) => all(&data.guest, side, function)?,
        Some(Map::Came) => data.state.own()?.call.came.as_ref().map(came),
        Some(Map::Empty) => Some(Vec::new()),
        None => None,
    })
}

fn came(came: &Came) -> Vec<Field> {
    let plain = came.headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
    std::iter::once((":status".to_owned(), came.status.to_string().into_bytes())).chain(plain).collect()
}

pub(super) fn pairs(mut caller: Cx<'_>, map: u32, at: u32, length_at: u32) -> Answer {
    match fields(caller.data_mut(), map, "proxy_get_header_map_pairs")? {
        Some(fields) => give(&mut caller, &lay_out(&fields), at, length_at),
        None => Ok(Status::BadArgument.into()),
    }
}

pub(super) fn size(mut caller: Cx<'_>, map: u32, at: u32) -> Answer {
    let Some(fields) = fields(caller.data_mut(), map, "proxy_get_header_map_size")? else {
        return Ok(Status::BadArgument.into());
    };
    put(&mut caller, at, &u32::try_from(lay_out(&fields).len()).unwrap_or(0).to_le_bytes())?;
    Ok(Status::Ok.into())
}

/// The value of a field; of several, all of them, with commas between (RFC 9110, 5.2).
pub(super) fn value(mut caller: Cx<'_>, map: u32, name: u32, length: u32, at: u32, length_at: u32) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let name = String::from_utf8_lossy(bytes(memory, name, length)?).to_ascii_lowercase();
    let side = match Map::of(map) {
        Some(Map::Head(side)) => side,
        Some(Map::Came) => {
            let found = data.state.own()?.call.came.as_ref().and_then(|came| match &*name {
                ":status" => Some(came.status.to_string().into_bytes()),
                name => joined(&came.headers, name),
            });
            return give_found(&mut caller, found, at, length_at);
        }
        Some(Map::Empty) => return Ok(Status::NotFound.into()),
        None => return Ok(Status::BadArgument.into()),
    };
    let Some(headers) = head::fields(&data.guest, side, "proxy_get_header_map_value")? else {
        return Ok(Status::NotFound.into());
    };
    let found = match pseudo(&data.guest, side, &name) {
        Some(value) => Some(value.into_bytes()),
        None => joined(headers, &name),
    };
    give_found(&mut caller, found, at, length_at)
}

fn give_found(caller: &mut Cx<'_>, found: Option<Vec<u8>>, at: u32, length_at: u32) -> Answer {
    match found {
        Some(value) => give(caller, &value, at, length_at),
        None => Ok(Status::NotFound.into()),
    }
}

fn joined(headers: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut joined = values.next()?.to_vec();
    for value in values {
        joined.push(b',');
        joined.extend_from_slice(value);
    }
    Some(joined)
}

/// `proxy_add_header_map_value` and `proxy_replace_header_map_value`.
pub(super) fn write(
    mut caller: Cx<'_>,
    (map, name, name_length, value, value_length): (u32, u32, u32, u32, u32),
    how: Write,
) -> Answer {
    let function = if how == Write::Add { "proxy_add_header_map_value" } else { "proxy_replace_header_map_value" };
    let Some(Map::Head(side)) = Map::of(map) else { return Ok(Status::BadArgument.into()) };
    let (memory, data) = enter(&mut caller)?;
    let mut reader = Reader::new(memory);
    let (name, value) = (reader.slice(name, name_length)?, reader.slice(value, value_length)?);
    if !write_pseudo(&mut data.guest, side, function, name, value)? {
        head::write(&mut data.guest, side, function, (name, value), how)?;
    }
    Ok(Status::Ok.into())
}

/// Writes a field, if it is a pseudo field; true if it is.
fn write_pseudo(guest: &mut Guest, side: Side, function: &str, name: &[u8], value: &[u8]) -> Result<bool, HostError> {
    match (side, name) {
        (Side::Request, b":path") => head::set_target(guest, function, value)?,
        (Side::Request, b":authority") => head::set_authority(guest, function, value)?,
        (Side::Request, b":method") => head::set_method(guest, function, value)?,
        (Side::Request, b":scheme") => head::set_scheme(guest, function, value)?,
        (Side::Response, b":status") => head::set_status(guest, function, head::status(value)?)?,
        _ => return Ok(false),
    }
    Ok(true)
}

pub(super) fn remove(mut caller: Cx<'_>, map: u32, name: u32, length: u32) -> Answer {
    let Some(Map::Head(side)) = Map::of(map) else { return Ok(Status::BadArgument.into()) };
    let (memory, data) = enter(&mut caller)?;
    let name = bytes(memory, name, length)?;
    if name.starts_with(b":") {
        let message = "the guest removed a pseudo field: a message cannot be without";
        return Err(HostError::not_allowed(message).into());
    }
    head::remove(&mut data.guest, side, "proxy_remove_header_map_value", name)?;
    Ok(Status::Ok.into())
}

pub(super) fn replace_all(mut caller: Cx<'_>, map: u32, at: u32, length: u32) -> Answer {
    let function = "proxy_set_header_map_pairs";
    let Some(Map::Head(side)) = Map::of(map) else { return Ok(Status::BadArgument.into()) };
    let (memory, data) = enter(&mut caller)?;
    let mut plain = Vec::new();
    for (name, value) in read(bytes(memory, at, length)?)? {
        if !write_pseudo(&mut data.guest, side, function, name, value)? {
            plain.push((name, value));
        }
    }
    head::replace(&mut data.guest, side, function, &plain)?;
    Ok(Status::Ok.into())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn maps_are_laid_out_as_they_are_read() {
        let fields = [("a".to_owned(), b"1".to_vec()), ("bb".to_owned(), Vec::new()), (String::new(), b"\0".to_vec())];
        let laid_out = lay_out(&fields);
        let plain: Vec<(&[u8], &[u8])> = fields.iter().map(|(name, value)| (name.as_bytes(), &**value)).collect();
        assert_eq!(read(&laid_out).unwrap(), plain);
        assert_eq!(lay_out(&[]), [0; 4]);
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let laid_out = lay_out(&[("name".to_owned(), b"value".to_vec())]);
        for cut in 1..laid_out.len() - 1 {
            assert!(read(&laid_out[..cut]).is_err(), "{cut}");
        }
        for at in 0..12 {
            let mut lie = laid_out.clone();
            lie[at] = 0xff;
            assert!(read(&lie).is_err(), "{at}");
        }
    }
}
