//! The state of the mock that outlives a request, while a call of the extension runs.

use std::cell::RefCell;

use super::call;
use super::state::Shared;

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

/// Gives the state back where it came from, also if the call panics.
struct Borrowed<'s>(&'s RefCell<Shared>);

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        SHARED.with(|here| here.swap(self.0));
    }
}

/// Runs `call`, as one call of the extension, with this state in place.
pub(crate) fn beside<R>(shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> R {
    call::begin();
    SHARED.with(|here| here.swap(shared));
    let _borrowed = Borrowed(shared);
    call()
}

pub(super) fn on<R>(work: impl FnOnce(&mut Shared) -> R) -> R {
    SHARED.with(|shared| work(&mut shared.borrow_mut()))
}
