//! A task of the own thread, to be woken by others.

use std::cell::RefCell;
use std::task::Waker;

/// The task that waits for something. It is the last one that registered.
#[derive(Debug, Default)]
pub struct LocalWaker(RefCell<Option<Waker>>);

impl LocalWaker {
    /// Registers a task. Nothing is cloned for one that is registered already.
    pub fn register(&self, waker: &Waker) {
        let mut known = self.0.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    /// Wakes the task; nothing if none has registered.
    pub fn wake(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}
