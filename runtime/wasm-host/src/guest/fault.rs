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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::guest;

    fn of(error: impl Into<wasmtime::Error>, guest: &mut Guest) -> (HookFaultKind, String) {
        let HookFault { kind, message } = classify(&error.into(), guest);
        (kind, message)
    }

    #[test]
    fn what_the_host_decided_comes_first_and_memory_next() {
        let mut guest = guest(Vec::new());
        guest.memory.refused = true;
        guest.last_words = Some("out of memory".to_owned());
        let (kind, message) = of(HostError::bad_value("no"), &mut guest);
        assert_eq!((kind, &*message), (HookFaultKind::BadValue, "no"));
        let (kind, message) = of(Trap::UnreachableCodeReached, &mut guest);
        assert_eq!(
            (kind, &*message),
            (HookFaultKind::Memory, "the guest asked for more than its 1024 bytes of memory")
        );
        (guest.memory.refused, guest.memory.table_refused) = (false, true);
        assert_eq!(of(Trap::UnreachableCodeReached, &mut guest).0, HookFaultKind::Memory);
    }

    #[test]
    fn last_words_explain_a_trap_once() {
        let mut guest = guest(Vec::new());
        let cases: [(wasmtime::Error, &str, &str); 4] = [
            (Trap::UnreachableCodeReached.into(), "the guest gave up without a message", "the guest gave up: why"),
            (
                Trap::StackOverflow.into(),
                "the guest's calls went too deep for its stack",
                "the guest's calls went too deep for its stack",
            ),
            (
                Trap::IntegerDivisionByZero.into(),
                "the guest failed: wasm trap: integer divide by zero",
                "the guest gave up: why",
            ),
            (Exit(3).into(), "the guest ended itself with the code 3", "the guest ended itself with the code 3: why"),
        ];
        for (error, silent, words) in cases {
            guest.last_words = Some("why".to_owned());
            for message in [words, silent] {
                let fault = classify(&error, &mut guest);
                assert_eq!((fault.kind, &*fault.message), (HookFaultKind::Trap, message));
            }
        }
    }

    #[test]
    fn what_the_engine_cannot_lift_is_the_guests_value() {
        let mut guest = guest(Vec::new());
        let (kind, message) = of(wasmtime::Error::msg("unknown case"), &mut guest);
        assert_eq!(
            (kind, &*message),
            (HookFaultKind::BadValue, "the guest gave the host what it cannot take: unknown case")
        );
        let (kind, message) = of(wasmtime::Error::msg("fuel allocated for hostcalls is spent"), &mut guest);
        assert_eq!((kind, message), (HookFaultKind::TooMuch, HostError::transfer().0.message));
    }
}
