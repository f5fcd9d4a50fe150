//! `vars`, `log`, `clock`, `random` and `fault`.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};
use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmStr};

use super::headers::not_text;
use crate::abi;
use crate::fault::Stop;
use crate::fields::shown;
use crate::guest::Guest;
use crate::limits::FAULT_MESSAGE_BYTES;
use crate::log::{LogLevel, one_line};

pub(super) fn vars(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("get", |store: StoreContextMut<'_, Guest>, (name,): (WasmStr,)| {
        let name = name.to_str(&store).map_err(|_| not_text("vars.get"))?;
        let exchange = store.data().exchange("vars.get")?;
        Ok((exchange.vars.get(&name).map(str::to_owned),))
    })?;
    linker.func_wrap("set", |mut store: StoreContextMut<'_, Guest>, (name, value): (WasmStr, WasmStr)| {
        let name = name.to_str(&store).map_err(|_| not_text("vars.set"))?.into_owned();
        let value = value.to_str(&store).map_err(|_| not_text("vars.set"))?.into_owned();
        let exchange = store.data_mut().exchange_mut("vars.set")?;
        exchange
            .vars
            .set(&name, &value)
            .map_err(|full| Stop::bad_value(format!("variable `{}` was not set: {full}", shown(&name))))?;
        Ok(())
    })
}

pub(super) fn log(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("enabled", |store: StoreContextMut<'_, Guest>, (of,): (abi::Level,)| {
        Ok((level(of) >= store.data().settings.log_level,))
    })?;
    linker.func_wrap("write", |mut store: StoreContextMut<'_, Guest>, (of, text): (abi::Level, WasmStr)| {
        if level(of) >= store.data().settings.log_level {
            let text = text.to_str(&store).map_err(|_| not_text("log.write"))?.into_owned();
            store.data_mut().log(level(of), &text);
        }
        Ok(())
    })
}

const fn level(level: abi::Level) -> LogLevel {
    match level {
        abi::Level::Debug => LogLevel::Debug,
        abi::Level::Info => LogLevel::Info,
        abi::Level::Warn => LogLevel::Warn,
        abi::Level::Error => LogLevel::Error,
    }
}

pub(super) fn clock(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    linker.func_wrap("now-unix-ns", |_: StoreContextMut<'_, Guest>, (): ()| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok((u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),))
    })?;
    linker.func_wrap("monotonic-ns", |_: StoreContextMut<'_, Guest>, (): ()| {
        Ok((u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX),))
    })
}

/// Bytes taken from the system at once: a system call for 32 numbers.
const RANDOM_BLOCK: usize = 256;

pub(super) fn random(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("get-u64", |mut store: StoreContextMut<'_, Guest>, (): ()| {
        let pool = &mut store.data_mut().random;
        if pool.len() < size_of::<u64>() {
            let mut block = vec![0; RANDOM_BLOCK];
            let filled = getrandom(&mut block, GetRandomFlags::empty())?;
            block.truncate(filled);
            *pool = block;
        }
        let bytes = pool.len().checked_sub(size_of::<u64>()).map(|start| pool.split_off(start));
        let number = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(u64::from_le_bytes);
        Ok((number.ok_or_else(|| Stop::bad_value("the system gave no random bytes"))?,))
    })
}

pub(super) fn fault(linker: &mut LinkerInstance<'_, Guest>) -> wasmtime::Result<()> {
    linker.func_wrap("message", |mut store: StoreContextMut<'_, Guest>, (text,): (WasmStr,)| {
        let text = text.to_str(&store).map_err(|_| not_text("fault.message"))?;
        let words = one_line(&text, FAULT_MESSAGE_BYTES);
        store.data_mut().last_words = Some(words);
        Ok(())
    })
}
