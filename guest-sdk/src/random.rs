//! Random numbers. Needs `random` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

/// 64 random bits from the system's generator, fit for secrets.
///
/// ```
/// # use tidegate_guest::{TestHost, random};
/// TestHost::new().in_request(|request| request.set_header("x-nonce", format!("{:016x}", random::u64())));
/// ```
pub fn u64() -> u64 {
    sys::random_u64()
}
