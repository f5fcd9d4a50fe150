//! Keys and values that all workers share, for as long as the extension is loaded. Needs `store` in `allow`.
//!
//! Number and bytes are bounded. What is over the bound is not kept, and the answer says so; it is for the extension to say
//! what that means.
#![forbid(unsafe_code)]

pub(crate) mod taken;

use crate::sys;

pub use taken::Taken;

/// A value; none if it was never set, or its time is over.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// TestHost::new().stored("a", "1").in_request(|_| assert_eq!(store::get("a").as_deref(), Some(&b"1"[..])));
/// ```
pub fn get(key: &str) -> Option<Vec<u8>> {
    sys::store_get(key)
}

/// Sets a value for so many milliseconds, or for ever with 0; false if the store is full.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// let outcome = TestHost::new().in_request(|_| assert!(store::set("a", "1", 60_000)));
/// assert_eq!(outcome.stored("a").as_deref(), Some(&b"1"[..]));
/// ```
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl_ms: u32) -> bool {
    sys::store_set(key, value.as_ref(), ttl_ms)
}

/// Takes a value out; false if there was none.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// TestHost::new().stored("a", "1").in_request(|_| assert!(store::delete("a") && !store::delete("a")));
/// ```
pub fn delete(key: &str) -> bool {
    sys::store_delete(key)
}

/// Adds to a number and gives the sum; a missing one counts as 0, and its time begins now. None if the store is full, or the
/// value is no number.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// TestHost::new().in_request(|_| {
///     assert_eq!(store::incr("requests", 1, 60_000), Some(1));
///     assert_eq!(store::incr("requests", 1, 60_000), Some(2));
/// });
/// ```
pub fn incr(key: &str, by: i64, ttl_ms: u32) -> Option<i64> {
    sys::store_incr(key, by, ttl_ms)
}

/// Takes a token out of a bucket that holds `burst` of them and gets `per_second` new ones: a rate limit of one key.
///
/// ```
/// # use tidegate_guest::{TestHost, store};
/// TestHost::new().in_request(|_| {
///     assert_eq!(store::take("all", 1, 10.0), store::Taken::Yes);
///     assert_eq!(store::take("all", 1, 10.0), store::Taken::No);
/// });
/// ```
pub fn take(key: &str, burst: u32, per_second: f64) -> Taken {
    sys::store_take(key, burst, per_second)
}
