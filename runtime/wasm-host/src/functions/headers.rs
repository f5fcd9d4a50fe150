//! Header fields, read and written: the same for requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::base::host_error::HostError;
use crate::functions::define::{ByteList, Define, Defined, Text};
use crate::guest::Guest;
use crate::guest::fields::{self, Head};

/// One head's header fields, and the names of the functions on them.
pub(super) struct Fields {
    pub(super) get: &'static str,
    pub(super) get_all: &'static str,
    pub(super) all: &'static str,
    pub(super) set: &'static str,
    pub(super) add: &'static str,
    pub(super) remove: &'static str,
    /// The fields, for a function to read.
    pub(super) of: for<'a> fn(&'a Guest, &str) -> Result<&'a HeaderMap, HostError>,
    /// The fields, for a function to write this one.
    pub(super) of_mut: for<'a> fn(&'a mut Guest, &str, &HeaderName) -> Result<Head<'a>, HostError>,
}

/// `get`, `get-all` and `all`.
pub(super) fn read(functions: &mut impl Define, fields: &'static Fields) -> Defined {
    functions.answer::<(Text,), _>("get", |guest, (name,)| Ok((fields.of)(guest, fields.get)?.get(name).cloned()))?;
    functions.answer::<(Text,), _>("get-all", |guest, (name,)| {
        let values = (fields.of)(guest, fields.get_all)?.get_all(name);
        Ok(values.iter().cloned().collect::<Vec<HeaderValue>>())
    })?;
    functions.answer::<(), _>("all", |guest, ()| {
        let headers = (fields.of)(guest, fields.all)?.iter();
        Ok(headers.map(|(name, value)| (name.clone(), value.clone())).collect::<Vec<(HeaderName, HeaderValue)>>())
    })
}

/// `set`, `add` and `remove`.
pub(super) fn write(functions: &mut impl Define, fields: &'static Fields) -> Defined {
    functions.scalar::<(Text, ByteList), _>("set", move |guest, (name, value)| {
        let (name, value) = field(guest, name, value)?;
        (fields.of_mut)(guest, fields.set, &name)?.set(name, value)
    })?;
    functions.scalar::<(Text, ByteList), _>("add", move |guest, (name, value)| {
        let (name, value) = field(guest, name, value)?;
        (fields.of_mut)(guest, fields.add, &name)?.add(name, value)
    })?;
    functions.scalar::<(Text,), _>("remove", move |guest, (name,)| {
        let name = known(guest, name)?;
        (fields.of_mut)(guest, fields.remove, &name)?.remove(&name);
        Ok(())
    })
}

/// Name and value, checked and counted.
fn field(guest: &mut Guest, name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), HostError> {
    let name = known(guest, name)?;
    let value = fields::value(&name, value)?;
    guest.count_header(name.as_str().len() + value.len())?;
    Ok((name, value))
}

/// A checked name; a guest writes the same few again and again.
fn known(guest: &mut Guest, text: &str) -> Result<HeaderName, HostError> {
    if let Some(name) = guest.known_name(text) {
        return Ok(name);
    }
    let name = fields::name(text)?;
    guest.remember_name(text, &name);
    Ok(name)
}
