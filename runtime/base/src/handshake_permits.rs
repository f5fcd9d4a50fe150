//! The handshakes under way on a worker.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

use crate::bounds::Bound;
use crate::limits;

/// At most [`limits::HANDSHAKES`] at once. When another one begins, the oldest gives way: an honest handshake takes as long
/// as two or three round trips, so that it is one that somebody holds open.
#[derive(Default)]
pub struct HandshakePermits {
    /// By the order in which they began.
    under_way: RefCell<BTreeMap<u64, Rc<Notify>>>,
    next: Cell<u64>,
}

impl HandshakePermits {
    /// A handshake begins.
    pub fn enter(&self) -> HandshakePermit<'_> {
        let number = self.next.replace(self.next.get() + 1);
        let gives_way = Rc::new(Notify::new());
        let mut under_way = self.under_way.borrow_mut();
        if under_way.len() >= limits::HANDSHAKES
            && let Some((_, oldest)) = under_way.pop_first()
        {
            Bound::Handshakes.met();
            oldest.notify_one();
        }
        under_way.insert(number, Rc::clone(&gives_way));
        HandshakePermit { permits: self, number, gives_way }
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.under_way.borrow().is_empty()
    }
}

/// A handshake's place; it is free again when this is dropped.
pub struct HandshakePermit<'c> {
    permits: &'c HandshakePermits,
    number: u64,
    gives_way: Rc<Notify>,
}

impl HandshakePermit<'_> {
    /// Waits until others need it.
    pub async fn lost(&self) {
        self.gives_way.notified().await;
    }
}

impl Drop for HandshakePermit<'_> {
    fn drop(&mut self) {
        self.permits.under_way.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn the_oldest_gives_way() {
        let crowd = HandshakePermits::default();
        let places: Vec<_> = (0..limits::HANDSHAKES).map(|_| crowd.enter()).collect();
        let has_lost = |at: usize| {
            places
                .get(at)
                .is_some_and(|place| pin!(place.lost()).poll(&mut Context::from_waker(Waker::noop())).is_ready())
        };
        assert!(!has_lost(0));
        let newest = crowd.enter();
        assert!(has_lost(0));
        assert!(!has_lost(1));
        drop(newest);
        drop(places);
        assert!(crowd.is_empty());
    }
}
