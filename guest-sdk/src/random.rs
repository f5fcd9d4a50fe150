//! Random numbers. Needs `random` in `allow`.
#![forbid(unsafe_code)]

use crate::sys;

/// 64 random bits from the system's generator, fit for secrets.
pub fn u64() -> u64 {
    sys::random_u64()
}
