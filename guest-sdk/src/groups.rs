//! The policy's server groups. Needs `route` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

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

/// The groups, in the order of the policy; none in `init`.
///
/// ```
/// # use tidegate_guest::{TestHost, groups};
/// TestHost::new().group("web", 0, 2).group("spare", 1, 1).in_request(|_| {
///     let up = groups::list().into_iter().find(|group| group.healthy > 0);
///     assert_eq!(up.unwrap().name, "spare");
/// });
/// ```
pub fn list() -> Vec<Group> {
    sys::groups()
}
