//! The functions that a handler may import, by name.

use http::{HeaderMap, Version};
use tidegate_engine::hook::Capability;
use wasmtime::{FuncType, Linker};

use super::state::State;
use crate::abi::foreign::head::{self, Side, Write};
use crate::abi::foreign::state::{self, ForeignData, bytes, enter, put};
use crate::base::host_error::HostError;
use crate::base::limits::TRANSFER_BYTES;
use crate::base::log::LogLevel;
use crate::functions::define::memory::Reader;
use crate::guest::Guest;
use crate::guest::fields;

/// The module that handlers import from.
const MODULE: &str = "http_handler";

type Data = ForeignData<State>;

type Cx<'a> = state::Cx<'a, State>;

const BUFFER_REQUEST: u32 = 1;
const BUFFER_RESPONSE: u32 = 2;

/// Every function of the ABI.
const NAMES: [&str; 19] = [
    "enable_features",
    "get_config",
    "log",
    "log_enabled",
    "get_method",
    "set_method",
    "get_uri",
    "set_uri",
    "get_protocol_version",
    "get_source_addr",
    "get_header_names",
    "get_header_values",
    "set_header_value",
    "add_header_value",
    "remove_header",
    "read_body",
    "write_body",
    "get_status_code",
    "set_status_code",
];

/// The capability that a function needs before it is called, if any; `None` if the host does not have the function.
pub(super) fn capability_of(module: &str, name: &str) -> Option<Option<Capability>> {
    (module == MODULE && NAMES.contains(&name)).then_some(None)
}

/// Whether an import is of this ABI.
pub(super) fn is_of_abi(module: &str) -> bool {
    module == MODULE
}

/// A message of the exchange by its number: the request's head, the response's, and their trailers.
#[derive(Clone, Copy)]
enum Kind {
    Head(Side),
    /// Handlers do not see trailers: there are none to read, and none may be written.
    Trailers,
}

impl Kind {
    fn of(number: u32) -> Result<Self, HostError> {
        match number {
            0 => Ok(Self::Head(Side::Request)),
            1 => Ok(Self::Head(Side::Response)),
            2 | 3 => Ok(Self::Trailers),
            _ => Err(HostError::not_taken(format_args!("kind {number} of fields"))),
        }
    }
}

/// Puts one function into a linker; nothing if there is none of this name.
pub(super) fn define(linker: &mut Linker<Data>, module: &str, name: &str, _: FuncType) -> wasmtime::Result<()> {
    if module != MODULE {
        return Ok(());
    }
    match name {
        "enable_features" => linker.func_wrap(module, name, enable_features)?,
        "get_config" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, most: u32| {
            get(caller, at, most, |data| Ok(data.state.own()?.config.to_vec()))
        })?,
        "log" => linker.func_wrap(module, name, log)?,
        "log_enabled" => {
            linker.func_wrap(module, name, |caller: Cx<'_>, of: i32| log_enabled(&caller.data().guest, of))?
        }
        "get_method" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, most: u32| {
            get(caller, at, most, |data| Ok(read(&data.guest, "get_method")?.request.method.as_str().into()))
        })?,
        "set_method" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, length: u32| {
            set(caller, at, length, |guest, text| head::set_method(guest, "set_method", text))
        })?,
        "get_uri" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, most: u32| {
            get(caller, at, most, |data| Ok(read(&data.guest, "get_uri")?.request.target.as_str().into()))
        })?,
        "set_uri" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, length: u32| {
            set(caller, at, length, |guest, text| head::set_target(guest, "set_uri", text))
        })?,
        "get_protocol_version" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, most: u32| {
            get(caller, at, most, |data| Ok(version(read(&data.guest, "get_protocol_version")?.request.version).into()))
        })?,
        "get_source_addr" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, most: u32| {
            get(caller, at, most, |data| Ok(head::source(read(&data.guest, "get_source_addr")?).into()))
        })?,
        "get_header_names" => linker.func_wrap(module, name, header_names)?,
        "get_header_values" => linker.func_wrap(module, name, header_values)?,
        "set_header_value" => linker.func_wrap(module, name, field(Write::Set))?,
        "add_header_value" => linker.func_wrap(module, name, field(Write::Add))?,
        "remove_header" => linker.func_wrap(module, name, remove_header)?,
        "read_body" => linker.func_wrap(module, name, read_body)?,
        "write_body" => linker.func_wrap(module, name, write_body)?,
        "get_status_code" => linker.func_wrap(module, name, get_status_code)?,
        "set_status_code" => linker.func_wrap(module, name, set_status_code)?,
        _ => return Ok(()),
    };
    Ok(())
}

fn read<'g>(guest: &'g Guest, function: &str) -> Result<&'g tidegate_engine::exchange::Exchange, HostError> {
    guest.needs(function, Capability::ReadRequest)?;
    guest.exchange(function)
}

const fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Writes a value to the guest's buffer if it has room for all of it; its length either way.
fn get(
    mut caller: Cx<'_>,
    at: u32,
    most: u32,
    value: impl Fn(&mut Data) -> Result<Vec<u8>, HostError>,
) -> wasmtime::Result<u32> {
    let value = value(caller.data_mut())?;
    let length = u32::try_from(value.len())?;
    if length <= most {
        put(&mut caller, at, &value)?;
    }
    Ok(length)
}

fn set(
    mut caller: Cx<'_>,
    at: u32,
    length: u32,
    take: impl Fn(&mut Guest, &[u8]) -> Result<(), HostError>,
) -> wasmtime::Result<()> {
    let (memory, data) = enter(&mut caller)?;
    take(&mut data.guest, bytes(memory, at, length)?)?;
    Ok(())
}

/// Writes texts, each ended by a zero byte, if the buffer has room for all. The answer is their number, above their length.
fn list(mut caller: Cx<'_>, at: u32, most: u32, texts: &[Vec<u8>]) -> wasmtime::Result<u64> {
    let mut joined = Vec::new();
    for text in texts {
        joined.extend_from_slice(text);
        joined.push(0);
    }
    let length = u32::try_from(joined.len())?;
    if length <= most {
        put(&mut caller, at, &joined)?;
    }
    Ok((texts.len() as u64) << 32 | u64::from(length))
}

/// Enables the features that the guest asks for and may have. Bodies are buffered only if `allow` lists `body`.
fn enable_features(mut caller: Cx<'_>, wanted: u32) -> wasmtime::Result<u32> {
    let data = caller.data_mut();
    if data.guest.allows(Capability::Body) {
        let handler = data.state.own()?;
        handler.buffers_request |= wanted & BUFFER_REQUEST != 0;
        handler.buffers_response |= wanted & BUFFER_RESPONSE != 0;
    }
    let handler = data.state.own()?;
    Ok(if handler.buffers_request { BUFFER_REQUEST } else { 0 }
        | if handler.buffers_response { BUFFER_RESPONSE } else { 0 })
}

const fn level(level: i32) -> LogLevel {
    match level {
        ..=-1 => LogLevel::Debug,
        0 => LogLevel::Info,
        1 => LogLevel::Warn,
        _ => LogLevel::Error,
    }
}

/// A line for the gateway's log. Without `log` in `allow`, lines are dropped.
fn log(mut caller: Cx<'_>, of: i32, at: u32, length: u32) -> wasmtime::Result<()> {
    let (memory, data) = enter(&mut caller)?;
    let text = String::from_utf8_lossy(bytes(memory, at, length)?);
    if data.guest.allows(Capability::Log) {
        data.guest.log(level(of), &text);
    }
    Ok(())
}

fn log_enabled(guest: &Guest, of: i32) -> u32 {
    (guest.allows(Capability::Log) && level(of) >= guest.settings.log_level).into()
}

/// The fields of a head, to read. The response's are the draft's until there is one.
fn fields_of<'g>(data: &'g mut Data, side: Side, function: &str) -> Result<&'g HeaderMap, HostError> {
    if side == Side::Response && data.state.own()?.call.drafts() {
        return Ok(&data.state.own()?.call.draft.headers);
    }
    let fields = head::fields(&data.guest, side, function)?;
    fields.ok_or_else(|| HostError::not_allowed(format!("`{function}` outside a request")))
}

fn header_names(mut caller: Cx<'_>, kind: u32, at: u32, most: u32) -> wasmtime::Result<u64> {
    let names = match Kind::of(kind)? {
        Kind::Head(side) => fields_of(caller.data_mut(), side, "get_header_names")?.keys(),
        Kind::Trailers => return Ok(0),
    };
    let names: Vec<Vec<u8>> = names.map(|name| name.as_str().into()).collect();
    list(caller, at, most, &names)
}

fn header_values(mut caller: Cx<'_>, kind: u32, name: u32, length: u32, at: u32, most: u32) -> wasmtime::Result<u64> {
    let Kind::Head(side) = Kind::of(kind)? else { return Ok(0) };
    let (memory, data) = enter(&mut caller)?;
    let name = String::from_utf8_lossy(bytes(memory, name, length)?).to_ascii_lowercase();
    let fields = fields_of(data, side, "get_header_values")?;
    let mut values: Vec<Vec<u8>> = fields.get_all(&name).iter().map(|value| value.as_bytes().to_vec()).collect();
    if side == Side::Request && name == "host" {
        values = vec![data.guest.exchange("get_header_values")?.request.authority.as_str().into()];
    }
    list(caller, at, most, &values)
}

fn field(how: Write) -> impl Fn(Cx<'_>, u32, u32, u32, u32, u32) -> wasmtime::Result<()> + Send + Sync + 'static {
    move |mut caller, kind, name, name_length, value, value_length| {
        let function = if how == Write::Add { "add_header_value" } else { "set_header_value" };
        let Kind::Head(side) = Kind::of(kind)? else { return Err(no_trailers(function).into()) };
        let (memory, data) = enter(&mut caller)?;
        let mut reader = Reader::new(memory);
        let (name, value) = (reader.slice(name, name_length)?, reader.slice(value, value_length)?);
        if side == Side::Response && data.state.own()?.call.drafts() {
            return Ok(draft_field(data, function, (name, value), how)?);
        }
        Ok(head::write(&mut data.guest, side, function, (name, value), how)?)
    }
}

/// Writes a field of a response that is still to come: the guest's own, or one that it adds to.
fn draft_field(data: &mut Data, function: &str, (name, value): (&[u8], &[u8]), how: Write) -> Result<(), HostError> {
    if !data.guest.allows(Capability::Respond) {
        data.guest.needs(function, Capability::WriteResponseHeaders)?;
    }
    let name = fields::name(head::text(name)?)?;
    let value = fields::value(&name, value)?;
    data.guest.count_header(name.as_str().len() + value.len())?;
    let headers = &mut data.state.own()?.call.draft.headers;
    let written = match how {
        Write::Add => headers.try_append(name, value).map(drop),
        Write::Set => headers.try_insert(name, value).map(drop),
    };
    written.map_err(|_| HostError::bad_value("the head has too many header fields to take another"))
}

fn no_trailers(function: &str) -> HostError {
    HostError::not_allowed(format!("`{function}` of trailers: handlers do not write them"))
}

fn remove_header(mut caller: Cx<'_>, kind: u32, name: u32, length: u32) -> wasmtime::Result<()> {
    let Kind::Head(side) = Kind::of(kind)? else { return Err(no_trailers("remove_header").into()) };
    let (memory, data) = enter(&mut caller)?;
    let name = bytes(memory, name, length)?;
    if side == Side::Response && data.state.own()?.call.drafts() {
        let name = fields::name(head::text(name)?)?;
        data.state.own()?.call.draft.headers.remove(name);
        return Ok(());
    }
    Ok(head::remove(&mut data.guest, side, "remove_header", name)?)
}

/// Gives the next bytes of the body, as many as the buffer takes. The answer is their number, and above it whether that was all.
fn read_body(mut caller: Cx<'_>, kind: u32, at: u32, most: u32) -> wasmtime::Result<u64> {
    let data = caller.data_mut();
    data.guest.needs("read_body", Capability::Body)?;
    let call = &mut data.state.own()?.call;
    let Some(body) = call.body.as_ref().filter(|_| kind == u32::from(!call.drafts())) else {
        return Err(not_buffered("read_body", kind).into());
    };
    let end = call.read.saturating_add(most as usize).min(body.len());
    let part = body.get(call.read..end).unwrap_or_default().to_vec();
    call.read = end;
    let is_all = u64::from(end == body.len());
    put(&mut caller, at, &part)?;
    Ok(is_all << 32 | part.len() as u64)
}

fn not_buffered(function: &str, kind: u32) -> HostError {
    let feature = if kind == 0 { "buffer-request" } else { "buffer-response" };
    HostError::not_allowed(format!(
        "`{function}` without the whole body: the guest must enable `{feature}` when it starts"
    ))
}

/// Writes a body: at first in place of what was there, then at its end.
fn write_body(mut caller: Cx<'_>, kind: u32, at: u32, length: u32) -> wasmtime::Result<()> {
    let (memory, data) = enter(&mut caller)?;
    let new = bytes(memory, at, length)?;
    let drafts = data.state.own()?.call.drafts();
    let written = if kind == 1 && drafts {
        data.guest.needs("write_body", Capability::Respond)?;
        &mut data.state.own()?.call.draft.body
    } else {
        data.guest.needs("write_body", Capability::Body)?;
        let call = &mut data.state.own()?.call;
        if call.body.is_none() || kind != u32::from(!drafts) {
            return Err(not_buffered("write_body", kind).into());
        }
        call.written.get_or_insert_default()
    };
    if written.len().saturating_add(new.len()) > TRANSFER_BYTES {
        return Err(HostError::bad_value(format!("the guest made a body longer than {TRANSFER_BYTES} bytes")).into());
    }
    written.extend_from_slice(new);
    Ok(())
}

fn get_status_code(mut caller: Cx<'_>) -> wasmtime::Result<u32> {
    let data = caller.data_mut();
    let call = &data.state.own()?.call;
    if call.drafts() {
        return Ok(call.draft.status.unwrap_or(200).into());
    }
    data.guest.needs("get_status_code", Capability::ReadResponse)?;
    Ok(data.guest.response("get_status_code")?.status.as_u16().into())
}

fn set_status_code(mut caller: Cx<'_>, status: u32) -> wasmtime::Result<()> {
    let data = caller.data_mut();
    let status = u16::try_from(status).unwrap_or(0);
    if data.state.own()?.call.drafts() {
        data.guest.needs("set_status_code", Capability::Respond)?;
        data.state.own()?.call.draft.status = Some(status);
        return Ok(());
    }
    Ok(head::set_status(&mut data.guest, "set_status_code", status)?)
}

#[cfg(test)]
mod tests {
    use wasmtime::ValType;

    use super::*;

    #[test]
    fn what_is_known_is_defined() {
        let engine = wasmtime::Engine::default();
        for name in NAMES {
            let mut linker = Linker::new(&engine);
            let any = FuncType::new(&engine, [ValType::I64], [ValType::I32]);
            assert!(define(&mut linker, MODULE, name, any).is_ok(), "{name}");
            let data = Data { guest: crate::testing::guest(Vec::new()), state: state::Foreign::new() };
            let mut store = wasmtime::Store::new(&engine, data);
            assert_eq!(linker.iter(&mut store).count(), 1, "{name}");
            assert_eq!(capability_of(MODULE, name), Some(None), "{name}");
        }
        assert!(capability_of(MODULE, "read_trailers").is_none() && capability_of("env", "log").is_none());
    }
}
