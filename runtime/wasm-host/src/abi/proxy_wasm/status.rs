//! The answers of hostcalls.

use super::state::State;
use crate::abi::foreign::state::{self, ForeignData, put};
use crate::base::limits::FAULT_MESSAGE_BYTES;
use crate::base::log::one_line;

/// The data of a filter's store.
pub(super) type Data = ForeignData<State>;

/// The caller of a hostcall.
pub(super) type Cx<'a> = state::Cx<'a, State>;

/// The answer of a hostcall: a [`Status`].
pub(super) type Answer = wasmtime::Result<u32>;

/// The statuses that the ABI lets a hostcall answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 0,
    NotFound = 1,
    BadArgument = 2,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

impl From<Status> for u32 {
    fn from(status: Status) -> Self {
        status as Self
    }
}

/// Gives bytes in memory that the guest allocates, and their address and length to where it wants them. Nothing is at
/// address zero.
pub(super) fn give(caller: &mut Cx<'_>, bytes: &[u8], at: u32, length_at: u32) -> Answer {
    let length = u32::try_from(bytes.len())?;
    let mut start = 0;
    if length > 0 {
        let malloc = caller.data_mut().state.own()?.malloc.clone();
        start = malloc.call(&mut *caller, length)?;
        put(caller, start, bytes)?;
    }
    put(caller, at, &start.to_le_bytes())?;
    put(caller, length_at, &length.to_le_bytes())?;
    Ok(Status::Ok.into())
}

/// Keeps what the guest said as the reason of a refusal or a trap that may follow.
pub(super) fn keep_words(data: &mut Data, words: &str, grave: bool) {
    let words = one_line(words, FAULT_MESSAGE_BYTES);
    if data.guest.hook().is_none()
        && let Ok(state) = data.state.own()
    {
        state.words = Some(match state.words.take() {
            Some(before) => one_line(&format!("{before}; {words}"), FAULT_MESSAGE_BYTES),
            None => words.clone(),
        });
    }
    if grave {
        data.guest.last_words = Some(words);
    }
}
