//! The policy's server groups. Needs `route` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

/// A server group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Servers that requests may go to.
    pub healthy: u32,
    /// All servers.
    pub total: u32,
}

/// The groups, in the order of the policy; none in `init`.
pub fn list() -> Vec<Group> {
    sys::groups()
}
