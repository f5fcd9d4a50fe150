//! The load of a listener, over all workers.

use std::sync::atomic::{AtomicU32, Ordering};

use tidegate_base::bounds::Bound;

/// The connections of a listener, over all workers.
#[derive(Debug, Default)]
pub struct ListenerLoad {
    connections: AtomicU32,
}

impl ListenerLoad {
    /// Counts a connection in, unless there are `limit` of them.
    pub fn admit(&self, limit: u32) -> bool {
        let admit = |count: u32| (count < limit).then_some(count + 1);
        let admitted = self.connections.fetch_update(Ordering::Relaxed, Ordering::Relaxed, admit).is_ok();
        if !admitted {
            Bound::Connections.met();
        }
        admitted
    }

    /// The number of connections.
    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts a connection out.
    pub fn release(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_all_workers() {
        let load = ListenerLoad::default();
        let met = Bound::Connections.count();
        assert!(load.admit(2) && load.admit(2));
        assert!(!load.admit(2), "above");
        assert!(Bound::Connections.count() > met);
        load.release();
        assert!(load.admit(2));
        assert_eq!(load.connections(), 2);
    }
}
