//! Calls that the policy does not allow are stopped.

use super::allow::refusal;
use super::shared;
use super::state::Shared;
use super::stop::{Fault, shown, stop};

/// Stops the call if the policy does not allow the import. The gateway refuses the module for it before any request.
pub(crate) fn needs(interface: &str, word: &str) {
    if !shared::on(|shared| shared.allow.covers(word)) {
        stop(Fault::NotAllowed, refusal(interface, word));
    }
}

/// Stops the call if its verdict names a server group that `allow` does not list.
pub(crate) fn check_route(group: &str) {
    if !shared::on(|shared| shared.allow.may_route_to(group)) {
        let group = shown(group);
        let why = "which `allow` does not list: add it to `route` to allow it";
        stop(Fault::NotAllowed, format!("the guest said `forward` to group `{group}`, {why}"));
    }
}

/// Stops the call if a group is named that the policy does not have. Where a test names no group, every one is there.
pub(crate) fn check_known(group: &str, why: impl FnOnce() -> String) {
    let known = |shared: &mut Shared| shared.groups.is_empty() || shared.groups.iter().any(|known| known.name == group);
    if !shared::on(known) {
        stop(Fault::UnknownGroup, why());
    }
}
