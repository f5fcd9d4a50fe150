//! The policy's server groups. Needs `route` in `allow`.
#![forbid(unsafe_code)]

pub(crate) mod group;

use crate::sys;

pub use group::Group;

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
