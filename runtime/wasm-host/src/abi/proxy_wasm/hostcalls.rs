//! The functions that a filter may import, by name.

use tidegate_engine::grpc;
use tidegate_engine::hook::Capability;
use wasmtime::{FuncType, Linker, Val};

use super::state::ROOT;
use super::status::{Answer, Cx, Data, Status, give, keep_words};
use super::{buffers, calls, maps, properties, shared};
use crate::abi::foreign::head::{self, Write};
use crate::abi::foreign::state::{bytes, enter, put};
use crate::abi::foreign::wasi;
use crate::base::host_error::HostError;
use crate::base::limits::REPLY_BODY_BYTES;
use crate::base::log::LogLevel;
use crate::functions::define::memory::Reader;
use crate::guest::Guest;
use crate::wit;

/// The module that filters import from.
const MODULE: &str = "env";

/// The functions that are carried.
const CARRIED: [&str; 36] = [
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_current_time_nanoseconds",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_configuration",
    "proxy_get_buffer_bytes",
    "proxy_get_buffer_status",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_size",
    "proxy_set_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_add_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    "proxy_continue_stream",
    "proxy_continue_request",
    "proxy_continue_response",
    "proxy_close_stream",
    "proxy_send_local_response",
    "proxy_clear_route_cache",
    "proxy_set_effective_context",
    "proxy_done",
    "proxy_http_call",
    // Of compilers.
    "abort",
    "seed",
    "emscripten_notify_memory_growth",
    "proxy_get_status",
];

/// The functions that answer that they are not there.
const REFUSED: [(&str, Status); 13] = [
    ("proxy_register_shared_queue", Status::NotFound),
    ("proxy_resolve_shared_queue", Status::NotFound),
    ("proxy_dequeue_shared_queue", Status::NotFound),
    ("proxy_enqueue_shared_queue", Status::NotFound),
    ("proxy_call_foreign_function", Status::NotFound),
    ("proxy_grpc_call", Status::Unimplemented),
    ("proxy_grpc_stream", Status::Unimplemented),
    ("proxy_grpc_send", Status::Unimplemented),
    ("proxy_grpc_cancel", Status::Unimplemented),
    ("proxy_grpc_close", Status::Unimplemented),
    ("proxy_redis_init", Status::Unimplemented),
    ("proxy_redis_call", Status::Unimplemented),
    ("proxy_redis_status", Status::Unimplemented),
];

/// The capability that a function needs before it is called, if any; `None` if the host does not have the function.
pub(super) fn capability_of(module: &str, name: &str) -> Option<Option<Capability>> {
    let known = CARRIED.contains(&name) || REFUSED.iter().any(|(known, _)| *known == name);
    match name {
        _ if module != MODULE || !known => None,
        "proxy_get_current_time_nanoseconds" => Some(Some(Capability::Clock)),
        "seed" => Some(Some(Capability::Random)),
        _ => Some(None),
    }
}

/// Puts one function into a linker; nothing if there is none of this name.
pub(super) fn define(linker: &mut Linker<Data>, module: &str, name: &str, of: FuncType) -> wasmtime::Result<()> {
    if module != MODULE {
        return Ok(());
    }
    match name {
        "proxy_log" => linker.func_wrap(module, name, log)?,
        "proxy_get_log_level" => linker.func_wrap(module, name, get_log_level)?,
        "proxy_get_current_time_nanoseconds" => linker.func_wrap(module, name, get_current_time)?,
        "proxy_set_tick_period_milliseconds" => linker.func_wrap(module, name, set_tick_period)?,
        "proxy_get_configuration" => linker.func_wrap(module, name, |caller: Cx<'_>, at: u32, length_at: u32| {
            buffers::get(caller, 7, 0, u32::MAX, at, length_at)
        })?,
        "proxy_get_buffer_bytes" => linker.func_wrap(module, name, buffers::get)?,
        "proxy_get_buffer_status" => linker.func_wrap(module, name, buffers::status)?,
        "proxy_set_buffer_bytes" => linker.func_wrap(module, name, buffers::set)?,
        "proxy_get_header_map_pairs" => linker.func_wrap(module, name, maps::pairs)?,
        "proxy_get_header_map_size" => linker.func_wrap(module, name, maps::size)?,
        "proxy_set_header_map_pairs" => linker.func_wrap(module, name, maps::replace_all)?,
        "proxy_get_header_map_value" => linker.func_wrap(module, name, maps::value)?,
        "proxy_add_header_map_value" => linker.func_wrap(module, name, field(Write::Add))?,
        "proxy_replace_header_map_value" => linker.func_wrap(module, name, field(Write::Set))?,
        "proxy_remove_header_map_value" => linker.func_wrap(module, name, maps::remove)?,
        "proxy_get_property" => linker.func_wrap(module, name, properties::get)?,
        "proxy_set_property" => linker.func_wrap(module, name, properties::set)?,
        "proxy_get_shared_data" => linker.func_wrap(module, name, shared::get_data)?,
        "proxy_set_shared_data" => linker.func_wrap(module, name, shared::set_data)?,
        "proxy_define_metric" => linker.func_wrap(module, name, shared::define_metric)?,
        "proxy_increment_metric" => linker.func_wrap(module, name, shared::increment_metric)?,
        "proxy_record_metric" => linker.func_wrap(module, name, shared::record_metric)?,
        "proxy_get_metric" => linker.func_wrap(module, name, shared::get_metric)?,
        "proxy_continue_stream" => linker.func_wrap(module, name, |caller: Cx<'_>, _: u32| resume(caller))?,
        "proxy_continue_request" | "proxy_continue_response" => linker.func_wrap(module, name, resume)?,
        "proxy_close_stream" => linker.func_wrap(module, name, close_stream)?,
        "proxy_send_local_response" => linker.func_wrap(module, name, send_local_response)?,
        // Rules are chosen before hooks run; there is no cache of the choice.
        "proxy_clear_route_cache" | "proxy_done" => linker.func_wrap(module, name, || u32::from(Status::Ok))?,
        "proxy_set_effective_context" => linker.func_wrap(module, name, set_effective_context)?,
        "proxy_http_call" => linker.func_wrap(module, name, calls::http_call)?,
        "proxy_get_status" => linker.func_wrap(module, name, get_status)?,
        "abort" => linker.func_wrap(module, name, abort)?,
        "seed" => linker.func_wrap(module, name, |caller: Cx<'_>| seed(&caller.data().guest))?,
        "emscripten_notify_memory_growth" => linker.func_wrap(module, name, |_: u32| {})?,
        name => return define_refused(linker, module, name, of),
    };
    Ok(())
}

fn field(how: Write) -> impl Fn(Cx<'_>, u32, u32, u32, u32, u32) -> Answer + Send + Sync + 'static {
    move |caller, map, name, name_length, value, value_length| {
        maps::write(caller, (map, name, name_length, value, value_length), how)
    }
}

/// Puts in a function that is refused, of whatever type the guest imports it as: it reads none of its arguments.
fn define_refused(linker: &mut Linker<Data>, module: &str, name: &str, of: FuncType) -> wasmtime::Result<()> {
    let Some((_, status)) = REFUSED.into_iter().find(|(known, _)| *known == name) else { return Ok(()) };
    if of.results().len() == 1 && of.result(0).is_some_and(|result| result.is_i32()) {
        let answer = Val::I32(u32::from(status).cast_signed());
        linker.func_new(module, name, of, move |_, _, results| {
            results.fill(answer);
            Ok(())
        })?;
    }
    Ok(())
}

/// A line for the gateway's log. Without `log` in `allow`, lines are dropped.
fn log(mut caller: Cx<'_>, level: u32, at: u32, length: u32) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    let text = String::from_utf8_lossy(bytes(memory, at, length)?);
    let of = match level {
        0 | 1 => LogLevel::Debug,
        2 => LogLevel::Info,
        3 => LogLevel::Warn,
        4 | 5 => LogLevel::Error,
        _ => return Ok(Status::BadArgument.into()),
    };
    if of >= LogLevel::Warn {
        keep_words(data, &text, level == 5);
    }
    if data.guest.allows(Capability::Log) {
        data.guest.log(of, &text);
    }
    Ok(Status::Ok.into())
}

fn get_log_level(mut caller: Cx<'_>, at: u32) -> Answer {
    let guest = &caller.data().guest;
    let level: u32 = match guest.settings.log_level {
        _ if !guest.allows(Capability::Log) => 5,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
    };
    put(&mut caller, at, &level.to_le_bytes())?;
    Ok(Status::Ok.into())
}

fn get_current_time(mut caller: Cx<'_>, at: u32) -> Answer {
    caller.data().guest.needs("proxy_get_current_time_nanoseconds", Capability::Clock)?;
    put(&mut caller, at, &wasi::now(0).unwrap_or_default().to_le_bytes())?;
    Ok(Status::Ok.into())
}

/// Sets the time between ticks. What an instance asks for when it starts holds for all its life.
fn set_tick_period(mut caller: Cx<'_>, ms: u32) -> Answer {
    caller.data_mut().state.own()?.tick_ms = ms;
    Ok(Status::Ok.into())
}

fn resume(mut caller: Cx<'_>) -> Answer {
    caller.data_mut().state.own()?.call.resumed = true;
    Ok(Status::Ok.into())
}

fn close_stream(mut caller: Cx<'_>, _stream: u32) -> Answer {
    caller.data().guest.needs("proxy_close_stream", Capability::Respond)?;
    caller.data_mut().state.own()?.call.closed = true;
    Ok(Status::Ok.into())
}

/// Answers in place of a backend. What the host puts in by itself may be named, if it says the same.
#[expect(clippy::too_many_arguments, reason = "the ABI's own")]
fn send_local_response(
    mut caller: Cx<'_>,
    status: u32,
    _details: u32,
    _details_length: u32,
    body: u32,
    body_length: u32,
    headers: u32,
    headers_length: u32,
    grpc_status: i32,
) -> Answer {
    let (memory, data) = enter(&mut caller)?;
    data.guest.needs("proxy_send_local_response", Capability::Respond)?;
    let mut reader = Reader::new(memory);
    let (body, headers) = (reader.slice(body, body_length)?, reader.slice(headers, headers_length)?);
    if body.len() > REPLY_BODY_BYTES {
        let bytes = body.len();
        let message = format!("the reply's body has {bytes} bytes, and {REPLY_BODY_BYTES} is the most");
        return Err(HostError::bad_value(message).into());
    }
    let length = body.len().to_string();
    let mut fields = Vec::new();
    for (name, value) in maps::read(headers)? {
        let is_length = name.eq_ignore_ascii_case(b"content-length") && value == length.as_bytes();
        if !is_length && name != b":status" {
            let name = head::text(name)?.to_owned();
            fields.push(wit::Header { name, value: value.to_vec() });
        }
    }
    let mut reply = wit::Reply { status: u16::try_from(status).unwrap_or(0), headers: fields, body: body.to_vec() };
    if let Ok(code) = u32::try_from(grpc_status) {
        as_grpc(&mut reply, code);
    }
    data.state.own()?.call.reply = Some(reply);
    Ok(Status::Ok.into())
}

/// A gRPC answer without messages: its status stands in the head, and the text is no body.
fn as_grpc(reply: &mut wit::Reply, code: u32) {
    let message = grpc::message(&std::mem::take(&mut reply.body)).to_string().into_bytes();
    reply.status = 200;
    for (name, value) in [
        ("content-type", b"application/grpc".to_vec()),
        ("grpc-status", code.to_string().into_bytes()),
        ("grpc-message", message),
    ] {
        reply.headers.push(wit::Header { name: name.to_owned(), value });
    }
}

/// A call sees its own request and nothing else.
fn set_effective_context(mut caller: Cx<'_>, context: u32) -> Answer {
    let current = caller.data_mut().state.own()?.call.context;
    Ok(if context == current || context == ROOT { Status::Ok } else { Status::BadArgument }.into())
}

fn get_status(mut caller: Cx<'_>, code_at: u32, at: u32, length_at: u32) -> Answer {
    put(&mut caller, code_at, &[0; 4])?;
    give(&mut caller, &[], at, length_at)
}

/// AssemblyScript gives up: its strings are UTF-16, and their length in bytes stands before them.
fn abort(mut caller: Cx<'_>, message: u32, _file: u32, line: u32, column: u32) -> wasmtime::Result<()> {
    let (memory, _) = enter(&mut caller)?;
    let mut reader = Reader::new(memory);
    let length = message.checked_sub(4).and_then(|at| reader.u32(at).ok()).unwrap_or(0).min(1024);
    let units = reader.slice(message, length).unwrap_or_default().chunks_exact(2);
    let units: Vec<u16> = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    let text = String::from_utf16_lossy(&units);
    Err(HostError::trap(format!("the guest gave up: {text} (line {line}, column {column})")).into())
}

/// The seed of AssemblyScript's random numbers.
fn seed(guest: &Guest) -> wasmtime::Result<f64> {
    guest.needs("seed", Capability::Random)?;
    let mut bytes = [0; 8];
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    Ok((u64::from_le_bytes(bytes) >> 11) as f64)
}

#[cfg(test)]
mod tests {
    use wasmtime::ValType;

    use super::*;
    use crate::abi::foreign::state::Foreign;

    #[test]
    fn what_is_known_is_defined() {
        let engine = wasmtime::Engine::default();
        for name in CARRIED.iter().chain(REFUSED.iter().map(|(name, _)| name)) {
            let mut linker = Linker::new(&engine);
            let any = FuncType::new(&engine, [ValType::I64], [ValType::I32]);
            assert!(define(&mut linker, MODULE, name, any).is_ok(), "{name}");
            let data = Data { guest: crate::testing::guest(Vec::new()), state: Foreign::new() };
            let mut store = wasmtime::Store::new(&engine, data);
            assert_eq!(linker.iter(&mut store).count(), 1, "{name}");
            assert!(capability_of(MODULE, name).is_some(), "{name}");
        }
        assert!(
            capability_of(MODULE, "proxy_of_the_future").is_none() && capability_of("other", "proxy_log").is_none()
        );
    }

    #[test]
    fn a_grpc_answer_is_a_head_that_says_why() {
        let mut reply = wit::Reply { status: 403, headers: Vec::new(), body: "n\u{f6} 100%\n".as_bytes().to_vec() };
        as_grpc(&mut reply, 7);
        let fields: Vec<(&str, &[u8])> = reply.headers.iter().map(|header| (&*header.name, &*header.value)).collect();
        let said: &[u8] = b"n%C3%B6 100%25%0A";
        assert_eq!((reply.status, reply.body.len()), (200, 0));
        assert_eq!(fields, [("content-type", &b"application/grpc"[..]), ("grpc-status", b"7"), ("grpc-message", said)]);
    }
}
