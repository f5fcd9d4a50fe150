//! As much of WASI preview 1 as the runtimes of languages need to start: no files, no arguments, no environment. Standard
//! output and error go to the log; clocks and random numbers need their words of `allow`.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};
use tidegate_engine::hook::Capability;
use wasmtime::{FuncType, Linker, Val};

use super::state::{Cx, ForeignData, bytes, enter, put};
use crate::base::host_error::{Exit, HostError};
use crate::base::limits::{FAULT_MESSAGE_BYTES, LOG_LINE_BYTES, TRANSFER_BYTES, WASI_VECTORS};
use crate::base::log::{LogLevel, one_line};
use crate::functions::define::memory::{Reader, field};
use crate::guest::Data;

/// Numbers of errors.
mod errno {
    pub(super) const SUCCESS: u32 = 0;
    pub(super) const BAD_DESCRIPTOR: u32 = 8;
    pub(super) const INVALID: u32 = 28;
    pub(super) const NOT_SUPPORTED: u32 = 52;
    pub(super) const NOT_A_FILE: u32 = 70;
}

/// The functions that answer that they are not supported: there are no files and no sockets.
const ABSENT: [&str; 30] = [
    "fd_advise",
    "fd_allocate",
    "fd_datasync",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_pwrite",
    "fd_readdir",
    "fd_renumber",
    "fd_sync",
    "fd_tell",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "proc_raise",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
    "clock_res_get",
    "fd_read",
];

/// The functions that do something.
const PRESENT: [&str; 16] = [
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_time_get",
    "random_get",
    "fd_write",
    "fd_close",
    "fd_seek",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "poll_oneoff",
    "proc_exit",
    "sched_yield",
];

pub(crate) fn is_wasi(module: &str) -> bool {
    matches!(module, "wasi_snapshot_preview1" | "wasi_unstable")
}

/// The capability that a function needs, if any; `None` if the host does not have the function.
pub(crate) fn capability_of(name: &str) -> Option<Option<Capability>> {
    match name {
        "clock_time_get" | "clock_res_get" => Some(Some(Capability::Clock)),
        "random_get" => Some(Some(Capability::Random)),
        name => (PRESENT.contains(&name) || ABSENT.contains(&name)).then_some(None),
    }
}

/// Puts one function into a linker; nothing if there is none of this name.
pub(crate) fn define<S: 'static>(
    linker: &mut Linker<ForeignData<S>>,
    module: &str,
    name: &str,
    of: FuncType,
) -> wasmtime::Result<()> {
    match name {
        "args_get" | "environ_get" => linker.func_wrap(module, name, |_: u32, _: u32| errno::SUCCESS)?,
        "args_sizes_get" | "environ_sizes_get" => linker.func_wrap(module, name, no_strings::<S>)?,
        "clock_time_get" => linker.func_wrap(module, name, clock_time_get::<S>)?,
        "random_get" => linker.func_wrap(module, name, random_get::<S>)?,
        "fd_write" => linker.func_wrap(module, name, fd_write::<S>)?,
        "fd_close" => linker.func_wrap(module, name, |_: u32| errno::BAD_DESCRIPTOR)?,
        "fd_seek" => linker.func_wrap(module, name, |_: u32, _: i64, _: u32, _: u32| errno::NOT_A_FILE)?,
        "fd_fdstat_get" => linker.func_wrap(module, name, fd_fdstat_get::<S>)?,
        "fd_fdstat_set_flags" => linker.func_wrap(module, name, |of: u32, _: u32| standard(of))?,
        "fd_prestat_get" => linker.func_wrap(module, name, |_: u32, _: u32| errno::BAD_DESCRIPTOR)?,
        "fd_prestat_dir_name" => linker.func_wrap(module, name, |_: u32, _: u32, _: u32| errno::BAD_DESCRIPTOR)?,
        "poll_oneoff" => linker.func_wrap(module, name, poll_oneoff::<S>)?,
        "proc_exit" => {
            linker.func_wrap(module, name, |code: u32| -> wasmtime::Result<()> { Err(Exit(code).into()) })?
        }
        "sched_yield" => linker.func_wrap(module, name, || errno::SUCCESS)?,
        name if ABSENT.contains(&name) && of.results().len() == 1 && of.result(0).is_some_and(|it| it.is_i32()) => {
            linker.func_new(module, name, of, |_, _, results| {
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(errno::NOT_SUPPORTED.cast_signed());
                }
                Ok(())
            })?
        }
        _ => return Ok(()),
    };
    Ok(())
}

const fn standard(descriptor: u32) -> u32 {
    if descriptor <= 2 { errno::SUCCESS } else { errno::BAD_DESCRIPTOR }
}

fn no_strings<S>(mut caller: Cx<'_, S>, count_at: u32, bytes_at: u32) -> wasmtime::Result<u32> {
    put(&mut caller, count_at, &[0; 4])?;
    put(&mut caller, bytes_at, &[0; 4])?;
    Ok(errno::SUCCESS)
}

/// Nanoseconds of a clock: 0 is the time of day, 1 counts steadily.
pub(crate) fn now(clock: u32) -> Option<u64> {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let since = match clock {
        0 => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        1 => START.elapsed(),
        _ => return None,
    };
    u64::try_from(since.as_nanos()).ok()
}

fn clock_time_get<S>(mut caller: Cx<'_, S>, clock: u32, _precision: u64, at: u32) -> wasmtime::Result<u32> {
    caller.data().guest.needs("clock_time_get", Capability::Clock)?;
    let Some(now) = now(clock) else { return Ok(errno::INVALID) };
    put(&mut caller, at, &now.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

fn random_get<S>(mut caller: Cx<'_, S>, at: u32, length: u32) -> wasmtime::Result<u32> {
    caller.data().guest.needs("random_get", Capability::Random)?;
    let (memory, _) = enter(&mut caller)?;
    let (start, length) = (at as usize, (length as usize).min(TRANSFER_BYTES));
    let Some(mut room) = start.checked_add(length).and_then(|end| memory.get_mut(start..end)) else {
        return Err(HostError::outside().into());
    };
    while !room.is_empty() {
        let filled = getrandom(&mut *room, GetRandomFlags::empty()).unwrap_or(0);
        if filled == 0 {
            return Err(HostError::bad_value("the system gave no random bytes").into());
        }
        room = room.get_mut(filled..).unwrap_or_default();
    }
    Ok(errno::SUCCESS)
}

/// Standard output and error, line by line, to the log. What went to standard error last explains a trap that follows.
fn fd_write<S>(
    mut caller: Cx<'_, S>,
    descriptor: u32,
    vectors: u32,
    count: u32,
    written_at: u32,
) -> wasmtime::Result<u32> {
    if !matches!(descriptor, 1 | 2) {
        return Ok(errno::BAD_DESCRIPTOR);
    }
    let (memory, Data { guest, .. }) = enter(&mut caller)?;
    let mut reader = Reader::new(memory);
    let (mut text, mut written) = (Vec::new(), 0_u32);
    for index in 0..count.min(WASI_VECTORS) {
        let bytes = reader.bytes(field(vectors, index * 8)?)?;
        written = written.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let room = LOG_LINE_BYTES.saturating_sub(text.len());
        text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if descriptor == 2 {
            guest.last_words.get_or_insert_with(|| one_line(line, FAULT_MESSAGE_BYTES));
        }
        if guest.allows(Capability::Log) {
            guest.log(if descriptor == 2 { LogLevel::Warn } else { LogLevel::Info }, line);
        }
    }
    put(&mut caller, written_at, &written.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

/// A terminal, with no rights.
fn fd_fdstat_get<S>(mut caller: Cx<'_, S>, descriptor: u32, at: u32) -> wasmtime::Result<u32> {
    if standard(descriptor) != errno::SUCCESS {
        return Ok(errno::BAD_DESCRIPTOR);
    }
    let mut stat = [0; 24];
    stat[0] = 2;
    put(&mut caller, at, &stat)?;
    Ok(errno::SUCCESS)
}

/// Every time that a guest waits for is over at once: a hook does not sleep, and one that waits all the same uses up its
/// own time.
fn poll_oneoff<S>(
    mut caller: Cx<'_, S>,
    wanted: u32,
    happened: u32,
    count: u32,
    count_at: u32,
) -> wasmtime::Result<u32> {
    const SUBSCRIPTION: u32 = 48;
    const EVENT: u32 = 32;
    if count == 0 || count > WASI_VECTORS {
        return Ok(errno::INVALID);
    }
    for index in 0..count {
        let (memory, _) = enter(&mut caller)?;
        let subscription = bytes(memory, field(wanted, index * SUBSCRIPTION)?, SUBSCRIPTION)?;
        let mut event = [0; EVENT as usize];
        event[..8].copy_from_slice(&subscription[..8]);
        event[10] = subscription[8];
        put(&mut caller, field(happened, index * EVENT)?, &event)?;
    }
    put(&mut caller, count_at, &count.to_le_bytes())?;
    Ok(errno::SUCCESS)
}

#[cfg(test)]
mod tests {
    use wasmtime::ValType;

    use super::*;
    use crate::abi::foreign::state::Foreign;

    #[test]
    fn what_is_known_is_defined() {
        let engine = wasmtime::Engine::default();
        for name in PRESENT.iter().chain(&ABSENT) {
            let mut linker = Linker::new(&engine);
            let any = FuncType::new(&engine, [ValType::I32], [ValType::I32]);
            assert!(define::<()>(&mut linker, "wasi_snapshot_preview1", name, any).is_ok(), "{name}");
            let data = Data { guest: crate::testing::guest(Vec::new()), state: Foreign::new() };
            assert_eq!(linker.iter(&mut wasmtime::Store::new(&engine, data)).count(), 1, "{name}");
            assert!(capability_of(name).is_some(), "{name}");
        }
    }
}
