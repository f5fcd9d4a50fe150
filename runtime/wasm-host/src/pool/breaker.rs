//! Stops calling an extension that fails for nearly everybody, for a while, on one worker.
//!
//! A guest that fails at what one client sends is no reason: the other clients would pay for it. So faults count by the
//! clients that they come from, and a hook that serves somebody is not paused.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tidegate_engine::hook::Hook;

use crate::base::limits::{
    BREAKER_CLIENTS, BREAKER_FAULTS, BREAKER_PAUSE, BREAKER_PAUSE_MAX, BREAKER_SHARE, BREAKER_WINDOW,
};

/// Closed until a hook has failed often, for many clients, and for nearly all; then open for a pause, after which calls are
/// made and counted anew.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// The calls of each hook. Hooks count apart: the answer that a fault leads to passes the other hooks.
    windows: [Window; HOOKS],
    /// The places of clients in a set: nobody outside can choose to stand where another client does.
    hasher: RandomState,
    /// The last pause; it doubles while there is nothing but faults after it.
    pause: Duration,
    /// The end of the pause, which may be over while no call has worked since, and the hook that failed.
    open: Option<(Instant, Hook)>,
}

const HOOKS: usize = 6;

/// The calls of one hook since its first fault.
#[derive(Debug, Default, Clone, Copy)]
struct Window {
    since: Option<Instant>,
    faults: u32,
    served: u32,
    failing: Clients,
    serving: Clients,
}

/// A set of clients, as bits where their hashes fall: two may share one, so that it counts too few rather than too many.
#[derive(Debug, Default, Clone, Copy)]
struct Clients(u64);

impl Clients {
    fn add(&mut self, hash: u64) {
        self.0 |= 1 << (hash % 64);
    }

    const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

impl Breaker {
    /// The rest of the pause; `None` if calls may be made. The clock is looked at only while open.
    pub(crate) fn left(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let left = self.open?.0.saturating_duration_since(now());
        (!left.is_zero()).then_some(left)
    }

    /// A call gave a verdict. True if that ends what a pause began. A hook without faults pays for one comparison.
    pub(crate) fn succeeded(&mut self, hook: Hook, client: Option<IpAddr>, now: impl FnOnce() -> Instant) -> bool {
        let again = self.open.is_some_and(|(_, failing)| failing == hook);
        if again {
            self.open = None;
            self.pause = Duration::ZERO;
        }
        let window = &mut self.windows[hook as usize];
        if window.since.is_some() {
            if window.is_over(now()) {
                *window = Window::default();
            } else {
                window.served = window.served.saturating_add(1);
                if let Some(client) = client {
                    window.serving.add(self.hasher.hash_one(network(client)));
                }
            }
        }
        again
    }

    /// A call failed. The pause that begins now, if one does. What no client asked for, such as a tick, begins none.
    pub(crate) fn failed(&mut self, hook: Hook, client: Option<IpAddr>, now: Instant) -> Option<Duration> {
        let client = client?;
        let window = &mut self.windows[hook as usize];
        if window.is_over(now) {
            *window = Window::default();
        }
        window.since.get_or_insert(now);
        window.faults = window.faults.saturating_add(1);
        window.failing.add(self.hasher.hash_one(network(client)));
        if !window.is_hopeless() {
            return None;
        }
        *window = Window::default();
        self.pause = if self.pause.is_zero() { BREAKER_PAUSE } else { (self.pause * 2).min(BREAKER_PAUSE_MAX) };
        self.open = Some((now + self.pause, hook));
        Some(self.pause)
    }
}

impl Window {
    fn is_over(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.saturating_duration_since(since) > BREAKER_WINDOW)
    }

    fn is_hopeless(&self) -> bool {
        let few = |served: u32, failed: u32| served <= failed / BREAKER_SHARE;
        self.faults >= BREAKER_FAULTS
            && self.failing.count() >= BREAKER_CLIENTS
            && few(self.served, self.faults)
            && few(self.serving.count(), self.failing.count())
    }
}

/// The network that a client counts as.
fn network(client: IpAddr) -> [u8; 7] {
    let mut key = [0; 7];
    match client.to_canonical() {
        IpAddr::V4(address) => key[..3].copy_from_slice(&address.octets()[..3]),
        IpAddr::V6(address) => {
            key[0] = 6;
            key[1..].copy_from_slice(&address.octets()[..6]);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The n-th client, of a network of its own.
    fn client(n: u32) -> Option<IpAddr> {
        let [_, _, b, c] = n.to_be_bytes();
        Some(IpAddr::from([10, b, c, 1]))
    }

    /// Lets so many calls of so many clients fail; the first pause that begins, and after how many faults.
    fn fail(breaker: &mut Breaker, faults: u32, clients: u32, now: Instant) -> Option<(u32, Duration)> {
        (0..faults).find_map(|n| Some((n + 1, breaker.failed(Hook::Request, client(n % clients), now)?)))
    }

    /// A number of clients that surely stand at [`BREAKER_CLIENTS`] places of the 64.
    const MANY: u32 = 1000;

    #[test]
    fn one_client_turns_it_off_for_nobody_however_much_it_sends() {
        let now = Instant::now();
        for clients in [1, BREAKER_CLIENTS - 1] {
            let mut breaker = Breaker::default();
            assert_eq!(fail(&mut breaker, 100_000, clients, now), None);
            assert_eq!(breaker.left(|| now), None);
        }
        let mut breaker = Breaker::default();
        let in_one_network = |n: u32| Some(IpAddr::from([0x2001, 0xdb8, 1, n as u16, 0, 0, 0, 1]));
        assert!((0..10_000).all(|n| breaker.failed(Hook::Request, in_one_network(n), now).is_none()));
        assert!((0..10_000).all(|_| breaker.failed(Hook::Tick, None, now).is_none()), "nobody asked for a tick");
    }

    #[test]
    fn failing_for_everybody_is_a_pause_that_is_longer_the_next_time_up_to_a_bound() {
        let mut now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(fail(&mut breaker, BREAKER_FAULTS - 1, MANY, now), None);
        assert_eq!(breaker.failed(Hook::Request, client(MANY), now), Some(BREAKER_PAUSE));
        assert_eq!(breaker.left(|| now), Some(BREAKER_PAUSE));
        let mut pauses = Vec::new();
        for _ in 0..5 {
            now += BREAKER_PAUSE_MAX;
            assert_eq!(breaker.left(|| now), None, "calls are made again");
            pauses.extend(fail(&mut breaker, MANY, MANY, now).map(|(faults, pause)| (faults, pause.as_secs())));
        }
        assert_eq!(pauses, [2, 4, 5, 5, 5].map(|secs| (BREAKER_FAULTS, secs)));
        now += BREAKER_PAUSE_MAX;
        assert!(!breaker.succeeded(Hook::Response, client(1), || now), "the answer to a fault passes the other hook");
        assert!(breaker.succeeded(Hook::Request, client(1), || now));
        assert!(!breaker.succeeded(Hook::Request, client(1), || now), "that is said once");
        assert_eq!(fail(&mut breaker, MANY, MANY, now).map(|(_, pause)| pause), Some(BREAKER_PAUSE));
    }

    #[test]
    fn who_is_served_shows_that_it_works() {
        let now = Instant::now();
        // Of 100 clients, two are served: the others fail by what they send.
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(Hook::Request, client(0), now), None);
        let served: Vec<u32> = (0..BREAKER_SHARE).map(|n| MANY + n).collect();
        assert!(served.iter().all(|n| !breaker.succeeded(Hook::Request, client(*n), || now)));
        assert_eq!(fail(&mut breaker, BREAKER_FAULTS * BREAKER_SHARE, 100, now), None);
        // When the window is over, what was served is forgotten.
        let later = now + BREAKER_WINDOW + Duration::from_millis(1);
        let again = fail(&mut breaker, BREAKER_FAULTS, 100, later);
        assert_eq!(again, Some((BREAKER_FAULTS, BREAKER_PAUSE)));
        // Faults that are spread over time are no flood.
        let mut breaker = Breaker::default();
        let slowly = |n: u32| now + (BREAKER_WINDOW / (BREAKER_FAULTS - 2)) * n;
        assert!((0..200).all(|n| breaker.failed(Hook::Request, client(n), slowly(n)).is_none()));
    }
}
