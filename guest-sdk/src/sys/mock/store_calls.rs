//! Calls of the store.

use super::call;
use super::permissions::needs;
use super::shared::on;
use super::state::Shared;
use super::stop::{Fault, stop};
use crate::bounds::STORE_KEY_BYTES;
use crate::store::taken::Taken;

/// The store, for a call on this key.
fn enter<R>(key: &str, given: usize, work: impl FnOnce(&mut Shared) -> R) -> R {
    needs("store", "store");
    call::transfer([key.len(), given]);
    if key.len() > STORE_KEY_BYTES {
        let bytes = key.len();
        stop(Fault::TooMuch, format!("the store's key has {bytes} bytes, and {STORE_KEY_BYTES} is the most"));
    }
    call::count_store();
    on(work)
}

pub(crate) fn store_get(key: &str) -> Option<Vec<u8>> {
    enter(key, 0, |shared| shared.stored(key))
}

pub(crate) fn store_set(key: &str, value: &[u8], ttl_ms: u32) -> bool {
    enter(key, value.len(), |shared| shared.keep(key, value, ttl_ms))
}

pub(crate) fn store_delete(key: &str) -> bool {
    enter(key, 0, |shared| shared.store.remove(key).is_some_and(|entry| !entry.is_over(shared.passed)))
}

pub(crate) fn store_incr(key: &str, by: i64, ttl_ms: u32) -> Option<i64> {
    enter(key, 0, |shared| shared.incr(key, by, ttl_ms))
}

pub(crate) fn store_take(key: &str, burst: u32, per_second: f64) -> Taken {
    enter(key, 0, |shared| shared.take(key, burst, per_second))
}
