//! Clocks of the gateway. Needs `clock` in `allow`.
#![forbid(unsafe_code)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::sys;

/// The time of day; it may jump.
///
/// ```
/// # use tidegate_guest::{TestHost, clock};
/// # use std::time::UNIX_EPOCH;
/// TestHost::new().in_request(|_| {
///     let today = clock::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
///     assert_eq!(today, 20_454); // tests begin on 2026-01-01
/// });
/// ```
pub fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_nanos(sys::now_unix_ns())
}

/// Time since some fixed point in the gateway's process; it never goes back.
///
/// ```
/// # use tidegate_guest::{TestHost, clock};
/// TestHost::new().in_request(|_| {
///     let started = clock::monotonic();
///     // … something that takes time …
///     assert!(clock::monotonic() >= started);
/// });
/// ```
pub fn monotonic() -> Duration {
    Duration::from_nanos(sys::monotonic_ns())
}
