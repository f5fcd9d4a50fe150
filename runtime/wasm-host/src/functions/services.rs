//! `vars`, `log`, `clock`, `random` and `fault`.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::base::host_error::HostError;
use crate::base::limits::FAULT_MESSAGE_BYTES;
use crate::base::log::{LogLevel, one_line, shown};
use crate::functions::define::{Define, Defined, Text};
use crate::wit;

pub(super) fn vars(functions: &mut impl Define) -> Defined {
    functions.answer::<(Text,), _>("get", |guest, (name,)| {
        Ok(guest.exchange("vars.get")?.vars.get(name).map(str::to_owned))
    })?;
    functions.scalar::<(Text, Text), _>("set", |guest, (name, value)| {
        let exchange = guest.exchange_mut("vars.set")?;
        let set = exchange.vars.set(name, value);
        set.map_err(|full| HostError::too_much(format!("variable `{}` was not set: {full}", shown(name))))
    })
}

pub(super) fn log(functions: &mut impl Define) -> Defined {
    functions.scalar::<(wit::Level,), _>("enabled", |guest, (of,)| Ok(level(of) >= guest.settings.log_level))?;
    functions.scalar::<(wit::Level, Text), _>("write", |guest, (of, text)| {
        guest.log(level(of), text);
        Ok(())
    })
}

const fn level(level: wit::Level) -> LogLevel {
    match level {
        wit::Level::Debug => LogLevel::Debug,
        wit::Level::Info => LogLevel::Info,
        wit::Level::Warn => LogLevel::Warn,
        wit::Level::Error => LogLevel::Error,
    }
}

pub(super) fn clock(functions: &mut impl Define) -> Defined {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    functions.scalar::<(), _>("now-unix-ns", |_, ()| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    })?;
    functions.scalar::<(), _>("monotonic-ns", |_, ()| Ok(u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)))
}

/// Bytes taken from the system at once: a system call for 32 numbers.
const RANDOM_BLOCK: usize = 256;

pub(super) fn random(functions: &mut impl Define) -> Defined {
    functions.scalar::<(), _>("get-u64", |guest, ()| {
        let pool = &mut guest.random;
        if pool.len() < size_of::<u64>() {
            let mut block = vec![0; RANDOM_BLOCK];
            let filled = getrandom(&mut block, GetRandomFlags::empty()).unwrap_or(0);
            block.truncate(filled);
            *pool = block;
        }
        let bytes = pool.len().checked_sub(size_of::<u64>()).map(|start| pool.split_off(start));
        let number = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(u64::from_le_bytes);
        number.ok_or_else(|| HostError::bad_value("the system gave no random bytes"))
    })
}

pub(super) fn fault(functions: &mut impl Define) -> Defined {
    functions.scalar::<(Text,), _>("message", |guest, (text,)| {
        guest.last_words = Some(one_line(text, FAULT_MESSAGE_BYTES));
        Ok(())
    })
}
