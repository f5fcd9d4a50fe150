//! The load of a listener, over all workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tidegate_base::bounds::Bound;

use crate::tls::handshake::RefusedKind;

/// The connections of a listener, and the handshakes that failed, over all workers.
#[derive(Debug, Default)]
pub struct ListenerLoad {
    connections: AtomicU32,
    refused: [AtomicU64; RefusedKind::ALL.len()],
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

    /// Counts a handshake that failed.
    pub fn count_refused(&self, kind: RefusedKind) {
        if let Some(count) = self.refused.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many handshakes failed in this way since the listener began.
    #[cfg(test)]
    fn refused(&self, kind: RefusedKind) -> u64 {
        self.refused.get(kind as usize).map_or(0, |count| count.load(Ordering::Relaxed))
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
    fn failed_handshakes_are_counted_by_their_kind() {
        let load = ListenerLoad::default();
        load.count_refused(RefusedKind::Plain);
        load.count_refused(RefusedKind::Plain);
        let counts = RefusedKind::ALL.iter().map(|kind| load.refused(*kind)).sum::<u64>();
        assert_eq!((load.refused(RefusedKind::Plain), counts), (2, 2));
    }

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
