//! File descriptors: as many as the system grants, and some of them kept for what must not fail.
//!
//! The system gives out the lowest number that is free. So the number of a new descriptor says, without counting, that at least
//! as many others are open: where it is high, descriptors run out.

use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tidegate_dsl::plan::{ListenerState, Plan, Protocol};

use crate::limits;

/// The most descriptors that this process may have open: there is one table a process.
static MOST: AtomicU64 = AtomicU64::new(u64::MAX);

/// Raises the soft limit to the hard one: the soft one is low for programs that cannot count beyond it (`select`), which this
/// one is not.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // If it is refused, less is there.
    let raised = current == maximum || setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    MOST.store(if raised { maximum } else { current }.unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// The shares of clients, servers and files in the descriptors.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    most: u64,
}

impl Shares {
    /// The shares of this process.
    pub fn now() -> Self {
        Self { most: MOST.load(Ordering::Relaxed) }
    }

    /// The descriptor below which every client is taken.
    const fn clients(self) -> u64 {
        self.most - self.most / limits::DESCRIPTORS_FOR_SERVERS
    }

    /// Whether a client's connection with this descriptor is taken by a listener that has so many already, one of so many
    /// listeners. When descriptors run out, half of what is kept for servers is for listeners that have less than their
    /// share, so that none starves for another's clients.
    pub fn admits(self, descriptor: i32, has: u32, listeners: usize) -> bool {
        let descriptor = u64::try_from(descriptor).unwrap_or(u64::MAX);
        let share = self.clients() / u64::try_from(listeners.max(1)).unwrap_or(u64::MAX);
        let spare = self.clients() + (self.most - self.clients()) / 2;
        descriptor < self.clients() || (descriptor < spare && u64::from(has) < share)
    }

    /// Whether a server may be connected to with this descriptor. The last ones are for files: a reload must not fail.
    pub fn serves(self, descriptor: i32) -> bool {
        let kept = (self.most / limits::DESCRIPTORS_FOR_SERVERS / 4).min(limits::DESCRIPTORS_FOR_FILES);
        u64::try_from(descriptor).unwrap_or(u64::MAX) < self.most - kept
    }

    /// A warning of listeners that may take more clients than there are descriptors for.
    pub fn doubt(self, plan: &Plan) -> Option<String> {
        let counts = |listener: &&tidegate_dsl::plan::Listener| {
            listener.state == ListenerState::Running && listener.protocol != Protocol::Quic
        };
        let wanted: u64 = plan.listeners.iter().filter(counts).map(|one| u64::from(one.limits.connections)).sum();
        (wanted > self.clients()).then(|| {
            format!(
                "listeners may hold {wanted} connections, and this process has descriptors for {} of them: \
                 raise its limit ({}), or lower `limits {{ connections }}`",
                self.clients(),
                self.most
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_kept_for_servers_and_files_and_for_listeners_that_have_none() {
        let shares = Shares { most: 1024 };
        for (descriptor, has, listeners, wanted) in [
            (767, 700, 2, true),
            (768, 700, 2, false),
            (768, 383, 2, true),
            (768, 384, 2, false),
            (895, 0, 2, true),
            (896, 0, 2, false),
            (768, 767, 1, true),
            (896, 767, 1, false),
        ] {
            assert_eq!(shares.admits(descriptor, has, listeners), wanted, "{descriptor} {has} {listeners}");
        }
        assert!(shares.serves(1024 - 65) && !shares.serves(1024 - 64));
        let many = Shares { most: 1 << 20 };
        let kept = i32::try_from(limits::DESCRIPTORS_FOR_FILES).unwrap_or(0);
        assert!(many.serves((1 << 20) - kept - 1) && !many.serves((1 << 20) - kept));
    }

    #[test]
    fn the_soft_limit_is_raised() {
        raise();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        assert_eq!(current, maximum);
        assert_eq!(Shares::now().most, maximum.unwrap_or(u64::MAX));
    }
}
