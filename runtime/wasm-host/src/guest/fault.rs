//! What a call that gave no verdict is called, and how it is said.

use std::fmt;

use tidegate_engine::hook::{HookFault, HookFaultKind};
use wasmtime::Trap;

use crate::abi::foreign::wasi::Exit;
use crate::base::limits::TABLE_ELEMENTS;
use crate::guest::Guest;

/// The host stops the guest: a host function returns it as an error, and it comes out of the call.
#[derive(Debug)]
pub(crate) struct Stop(pub(crate) HookFault);

impl Stop {
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::NotAllowed, message)
    }

    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::BadValue, message)
    }

    /// It used more of something than a call may.
    pub(crate) fn too_much(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::TooMuch, message)
    }

    pub(crate) fn deadline(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::Deadline, message)
    }

    /// The guest gave up, or left its ABI.
    pub(crate) fn trap(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::Trap, message)
    }

    pub(crate) fn new(kind: HookFaultKind, message: impl Into<String>) -> Self {
        Self(HookFault { kind, message: message.into() })
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Stop {}

/// Classifies the error that ended a call. What the host decided comes first; then a memory refusal, because guests
/// abort on it in their own ways; then the trap.
pub(crate) fn classify(error: &wasmtime::Error, guest: &mut Guest) -> HookFault {
    if let Some(Stop(fault)) = error.downcast_ref() {
        return fault.clone();
    }
    let last_words = guest.last_words.take();
    if guest.memory.refused {
        let limit = guest.memory.limit;
        let message = format!("the guest asked for more than its {limit} bytes of memory");
        return HookFault { kind: HookFaultKind::Memory, message };
    }
    if guest.memory.table_refused {
        let message = format!("the guest asked for a table of more than {TABLE_ELEMENTS} elements");
        return HookFault { kind: HookFaultKind::Memory, message };
    }
    if let Some(exit) = error.downcast_ref::<Exit>() {
        let words = last_words.map(|words| format!(": {words}")).unwrap_or_default();
        return HookFault { kind: HookFaultKind::Trap, message: format!("{exit}{words}") };
    }
    let Some(trap) = error.downcast_ref::<Trap>() else {
        let cause = error.root_cause().to_string();
        // The component's side of the bound has no type that could be asked for.
        if cause.contains("fuel allocated for hostcalls") {
            return crate::functions::define::memory::too_much().0;
        }
        let message = format!("the guest gave the host what it cannot take: {cause}");
        return HookFault { kind: HookFaultKind::BadValue, message };
    };
    let message = match (trap, last_words) {
        (Trap::StackOverflow, _) => "the guest's calls went too deep for its stack".to_owned(),
        (_, Some(words)) => format!("the guest gave up: {words}"),
        (Trap::UnreachableCodeReached, None) => "the guest gave up without a message".to_owned(),
        (trap, None) => format!("the guest failed: {trap}"),
    };
    HookFault { kind: HookFaultKind::Trap, message }
}
