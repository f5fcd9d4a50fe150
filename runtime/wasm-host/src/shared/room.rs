//! Room for live instances, and the share of it that each pool may use.
//!
//! The engine has room for so many instances in the process. A pool (an extension on one worker) may use its share of half of
//! that, so that no extension takes what another needs. The other half is for pools that come: those of a reload find
//! room for as many, while the calls under way still hold what was a share before.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::limits::WAITING_PER_POOL;

/// The room of a process.
#[derive(Debug)]
pub(crate) struct Room {
    instances: usize,
    pools: AtomicUsize,
}

/// A pool's seat: while it is there, the pool has a share.
#[derive(Debug)]
pub(crate) struct Seat(Arc<Room>);

impl Room {
    pub(crate) fn new(instances: u32) -> Arc<Self> {
        Arc::new(Self { instances: instances as usize, pools: AtomicUsize::new(0) })
    }

    /// Takes a pool in.
    pub(crate) fn seat(self: &Arc<Self>) -> Seat {
        self.pools.fetch_add(1, Ordering::Relaxed);
        Seat(Arc::clone(self))
    }
}

impl Seat {
    /// The instances that the pool may have at once, where one of them takes the room of `weight`: at least one, or it could
    /// serve nobody.
    pub(crate) fn share(&self, weight: usize) -> usize {
        let pools = self.0.pools.load(Ordering::Relaxed).max(1);
        (self.0.instances / 2 / pools / weight.max(1)).clamp(1, WAITING_PER_POOL)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.pools.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_equal_and_leave_half_to_those_that_come() {
        let room = Room::new(64);
        let first: Vec<Seat> = (0..4).map(|_| room.seat()).collect();
        assert!(first.iter().all(|seat| seat.share(1) == 8));
        assert_eq!((first[0].share(3), first[0].share(100)), (2, 1), "heavy instances take more of it, and one is had");
        let (held, new) = (4 * 8, room.seat());
        assert!(held + new.share(1) <= 64, "what is held leaves room for who comes");
        drop(first);
        assert_eq!((new.share(1), Room::new(4096).seat().share(1)), (32, WAITING_PER_POOL));
    }
}
