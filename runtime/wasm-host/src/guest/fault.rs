//! The fault that a call without a verdict is, and its message.

use tidegate_engine::hook::{HookFault, HookFaultKind};
use wasmtime::Trap;

use super::Guest;
use crate::base::host_error::{Exit, HostError};
use crate::base::limits::TABLE_ELEMENTS;

/// Classifies the error that ended a call. What the host decided comes first; then a memory refusal, because guests
/// abort on it in their own ways; then the trap.
pub(crate) fn classify(error: &wasmtime::Error, guest: &mut Guest) -> HookFault {
    if let Some(HostError(fault)) = error.downcast_ref() {
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
            return HostError::transfer().0;
        }
        return HostError::not_taken(cause).0;
    };
    let message = match (trap, last_words) {
        (Trap::StackOverflow, _) => "the guest's calls went too deep for its stack".to_owned(),
        (_, Some(words)) => format!("the guest gave up: {words}"),
        (Trap::UnreachableCodeReached, None) => "the guest gave up without a message".to_owned(),
        (trap, None) => format!("the guest failed: {trap}"),
    };
    HookFault { kind: HookFaultKind::Trap, message }
}
