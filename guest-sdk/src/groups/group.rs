//! A server group of the policy.
#![forbid(unsafe_code)]

/// A server group.
///
/// ```
/// # use tidegate_guest::{TestHost, groups};
/// TestHost::new().group("web", 1, 3).in_request(|_| {
///     let web = &groups::list()[0];
///     assert_eq!((web.name.as_str(), web.healthy, web.total), ("web", 1, 3));
/// });
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The name of the group.
    pub name: String,
    /// Servers that requests may go to.
    pub healthy: u32,
    /// All servers.
    pub total: u32,
}
