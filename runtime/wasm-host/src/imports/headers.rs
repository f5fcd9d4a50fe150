//! Header fields, read and written: the same for requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue};
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmList, WasmStr};

use crate::abi;
use crate::fault::Stop;
use crate::fields;
use crate::guest::Guest;

/// One head's header fields, and the names of the functions on them.
pub(super) struct Fields {
    pub(super) get: &'static str,
    pub(super) get_all: &'static str,
    pub(super) all: &'static str,
    pub(super) set: &'static str,
    pub(super) add: &'static str,
    pub(super) remove: &'static str,
    /// The fields, for a function to read.
    pub(super) of: for<'a> fn(&'a Guest, &str) -> Result<&'a HeaderMap, Stop>,
    /// The fields, for a function to write this one.
    pub(super) of_mut: for<'a> fn(&'a mut Guest, &str, &HeaderName) -> Result<&'a mut HeaderMap, Stop>,
}

/// `get`, `get-all` and `all`.
pub(super) fn read(linker: &mut LinkerInstance<'_, Guest>, fields: &'static Fields) -> wasmtime::Result<()> {
    linker.func_wrap("get", |store: StoreContextMut<'_, Guest>, (name,): (WasmStr,)| {
        let name = name.to_str(&store).map_err(|_| not_text(fields.get))?;
        let value = (fields.of)(store.data(), fields.get)?.get(&*name);
        Ok((value.map(|value| value.as_bytes().to_vec()),))
    })?;
    linker.func_wrap("get-all", |store: StoreContextMut<'_, Guest>, (name,): (WasmStr,)| {
        let name = name.to_str(&store).map_err(|_| not_text(fields.get_all))?;
        let values = (fields.of)(store.data(), fields.get_all)?.get_all(&*name);
        Ok((values.iter().map(|value| value.as_bytes().to_vec()).collect::<Vec<_>>(),))
    })?;
    linker.func_wrap("all", |store: StoreContextMut<'_, Guest>, (): ()| {
        let headers = (fields.of)(store.data(), fields.all)?;
        let header = |(name, value): (&HeaderName, &HeaderValue)| abi::Header {
            name: name.as_str().to_owned(),
            value: value.as_bytes().to_vec(),
        };
        Ok((headers.iter().map(header).collect::<Vec<_>>(),))
    })
}

/// `set`, `add` and `remove`.
pub(super) fn write(linker: &mut LinkerInstance<'_, Guest>, fields: &'static Fields) -> wasmtime::Result<()> {
    linker.func_wrap("set", |mut store: StoreContextMut<'_, Guest>, (name, value): (WasmStr, WasmList<u8>)| {
        let (name, value) = field(&mut store, fields.set, &name, &value)?;
        let guest = store.data_mut();
        guest.count_header(name.as_str().len() + value.len())?;
        (fields.of_mut)(guest, fields.set, &name)?.try_insert(name, value).map_err(|_| too_many())?;
        Ok(())
    })?;
    linker.func_wrap("add", |mut store: StoreContextMut<'_, Guest>, (name, value): (WasmStr, WasmList<u8>)| {
        let (name, value) = field(&mut store, fields.add, &name, &value)?;
        let guest = store.data_mut();
        guest.count_header(name.as_str().len() + value.len())?;
        (fields.of_mut)(guest, fields.add, &name)?.try_append(name, value).map_err(|_| too_many())?;
        Ok(())
    })?;
    linker.func_wrap("remove", |mut store: StoreContextMut<'_, Guest>, (name,): (WasmStr,)| {
        let name = fields::name(&name.to_str(&store).map_err(|_| not_text(fields.remove))?)?;
        (fields.of_mut)(store.data_mut(), fields.remove, &name)?.remove(&name);
        Ok(())
    })
}

/// Name and value, checked; they are copied out of the guest once.
fn field(
    store: &mut StoreContextMut<'_, Guest>,
    function: &str,
    name: &WasmStr,
    value: &WasmList<u8>,
) -> Result<(HeaderName, HeaderValue), Stop> {
    let text = name.to_str(&*store).map_err(|_| not_text(function))?;
    let (name, new) = match store.data().known_name(&text) {
        Some(name) => (name, None),
        None => (fields::name(&text)?, Some(text.into_owned())),
    };
    let value = fields::value(&name, value.as_le_slice(&*store))?;
    if let Some(text) = new {
        store.data_mut().remember_name(&text, &name);
    }
    Ok((name, value))
}

fn too_many() -> Stop {
    Stop::bad_value("the head has too many header fields to take another")
}

/// The guest passed a string that is not UTF-8.
pub(super) fn not_text(function: &str) -> Stop {
    Stop::bad_value(format!("the guest called `{function}` with a string that is not UTF-8"))
}
