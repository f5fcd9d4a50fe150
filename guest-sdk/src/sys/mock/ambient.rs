//! Groups, the clock and chance.

use super::permissions::needs;
use super::shared::on;
use crate::groups::group::Group;

/// The groups that the extension may route to.
pub(crate) fn groups() -> Vec<Group> {
    needs("groups", "route");
    on(|shared| {
        let may = |group: &&Group| shared.allow.may_route_to(&group.name);
        shared.groups.iter().filter(may).cloned().collect()
    })
}

pub(crate) fn now_unix_ns() -> u64 {
    needs("clock", "clock");
    on(|shared| u64::try_from((shared.now + shared.passed).as_nanos()).unwrap_or(u64::MAX))
}

pub(crate) fn monotonic_ns() -> u64 {
    needs("clock", "clock");
    on(|shared| u64::try_from(shared.passed.as_nanos()).unwrap_or(u64::MAX))
}

/// `SplitMix64`: the same numbers in each run, so that a failing test fails again.
pub(crate) fn random_u64() -> u64 {
    needs("random", "random");
    on(|shared| {
        shared.random = shared.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = shared.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}
