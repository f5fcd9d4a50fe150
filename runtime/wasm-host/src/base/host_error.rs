//! The error by which the host ends a guest's call.

use std::fmt;

use tidegate_engine::hook::{HookFault, HookFaultKind};

use super::limits::TRANSFER_BYTES;

/// The error of a host function: it comes out of the guest's call, with the fault that the call then is.
#[derive(Debug)]
pub(crate) struct HostError(pub(crate) HookFault);

impl HostError {
    pub(crate) fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::NotAllowed, message)
    }

    pub(crate) fn bad_value(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::BadValue, message)
    }

    /// A guest used more of something than a call may.
    pub(crate) fn too_much(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::TooMuch, message)
    }

    /// A guest passed more than one call may carry.
    pub(crate) fn transfer() -> Self {
        Self::too_much(format!("the guest gave the host more than {TRANSFER_BYTES} bytes at once"))
    }

    /// A guest named memory that it does not have.
    pub(crate) fn outside() -> Self {
        Self::not_taken("an address outside its memory")
    }

    /// A guest passed a string that is not UTF-8.
    pub(crate) fn not_text() -> Self {
        Self::not_taken("a string that is not UTF-8")
    }

    /// A guest passed something that no value can be made of.
    pub(crate) fn not_taken(what: impl fmt::Display) -> Self {
        Self::bad_value(format!("the guest gave the host what it cannot take: {what}"))
    }

    pub(crate) fn deadline(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::Deadline, message)
    }

    /// A guest gave up, or left its ABI.
    pub(crate) fn trap(message: impl Into<String>) -> Self {
        Self::new(HookFaultKind::Trap, message)
    }

    pub(crate) fn new(kind: HookFaultKind, message: impl Into<String>) -> Self {
        Self(HookFault { kind, message: message.into() })
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for HostError {}

/// A guest asked to end, with this code.
#[derive(Debug)]
pub(crate) struct Exit(pub(crate) u32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the guest ended itself with the code {}", self.0)
    }
}

impl std::error::Error for Exit {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_maker_has_its_kind() {
        let kinds = [
            (HostError::not_allowed("m"), HookFaultKind::NotAllowed),
            (HostError::bad_value("m"), HookFaultKind::BadValue),
            (HostError::too_much("m"), HookFaultKind::TooMuch),
            (HostError::deadline("m"), HookFaultKind::Deadline),
            (HostError::trap("m"), HookFaultKind::Trap),
        ];
        for (error, kind) in kinds {
            assert_eq!((error.0.kind, error.to_string()), (kind, "m".to_owned()));
        }
        assert_eq!(HostError::transfer().0.kind, HookFaultKind::TooMuch);
        let outside = HostError::outside();
        assert_eq!(outside.0.kind, HookFaultKind::BadValue);
        assert_eq!(outside.to_string(), "the guest gave the host what it cannot take: an address outside its memory");
    }
}
