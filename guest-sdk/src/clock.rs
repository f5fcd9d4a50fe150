//! Clocks of the gateway. Needs `clock` in `allow`.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys;

/// The time of day; it may jump.
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(sys::now_unix_ns())
}

/// Time since some fixed point in the gateway's process; it never goes back.
pub fn monotonic() -> Duration {
    Duration::from_nanos(sys::monotonic_ns())
}
