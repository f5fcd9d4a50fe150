//! What those who watch see of requests: the last that failed, and lines as they are logged.
//!
//! A request costs nothing more for it than the look at one number, unless somebody watches, or the request fails.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate_base::limits;
use tidegate_engine::Selection;
use tidegate_engine::exchange::Exchange;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::failed_request::FailedRequest;

/// The place where workers leave what is watched.
#[derive(Debug, Default)]
pub struct Tap {
    /// How many watch; read by every request.
    watching: AtomicUsize,
    watchers: Mutex<[Option<Watcher>; limits::WATCHERS]>,
    failed: Mutex<VecDeque<FailedRequest>>,
}

/// Somebody who watches the requests of a selection.
#[derive(Debug)]
struct Watcher {
    selection: Option<Arc<Selection>>,
    lines: Sender<String>,
    skipped: Arc<AtomicU64>,
    /// The second in which the lines are counted, and how many there were.
    second: (Instant, u32),
}

/// Those who watch a request, a bit for each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Chosen(u8);

impl Chosen {
    /// Whether nobody watches.
    pub const fn is_nobody(self) -> bool {
        self.0 == 0
    }
}

/// The end of somebody who watches; with it that ends.
pub struct Watch {
    /// Lines of the access log, a JSON object each.
    pub lines: Receiver<String>,
    skipped: Arc<AtomicU64>,
    tap: Arc<Tap>,
    place: usize,
}

impl Watch {
    /// How many lines were left out since this was asked last: there were too many, or the reader was slow.
    pub fn take_skipped(&self) -> u64 {
        self.skipped.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(watcher) = self.tap.watchers().get_mut(self.place) {
            *watcher = None;
        }
        self.tap.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tap {
    /// Watches the requests of a selection, or all of them; nothing if there is no room for one more.
    pub fn watch(self: &Arc<Self>, selection: Option<Selection>) -> Option<Watch> {
        let (sender, lines) = channel(limits::WATCHED_LINES);
        let skipped = Arc::new(AtomicU64::new(0));
        let mut watchers = self.watchers();
        let place = watchers.iter().position(Option::is_none)?;
        let watcher = Watcher {
            selection: selection.map(Arc::new),
            lines: sender,
            skipped: Arc::clone(&skipped),
            second: (Instant::now(), 0),
        };
        *watchers.get_mut(place)? = Some(watcher);
        self.watching.fetch_add(1, Ordering::Relaxed);
        Some(Watch { lines, skipped, tap: Arc::clone(self), place })
    }

    /// Those who watch a request that has just been read.
    pub fn chosen(&self, exchange: &Exchange) -> Chosen {
        if self.watching.load(Ordering::Relaxed) == 0 { Chosen::default() } else { self.choose(Some(exchange)) }
    }

    /// Those who watch a request that was refused before it became one: whoever watches all of them.
    pub fn chosen_refused(&self) -> Chosen {
        if self.watching.load(Ordering::Relaxed) == 0 { Chosen::default() } else { self.choose(None) }
    }

    fn choose(&self, exchange: Option<&Exchange>) -> Chosen {
        // The tests are made without the lock: they may take a while, and others watch, too.
        let selections = self.watchers().each_ref().map(|it| it.as_ref().map(|it| it.selection.clone()));
        let mut chosen = 0;
        for (place, watcher) in selections.into_iter().enumerate() {
            let fits = match (watcher, exchange) {
                (Some(None), _) => true,
                (Some(Some(selection)), Some(exchange)) => selection.holds(exchange),
                _ => false,
            };
            chosen |= u8::from(fits) << place;
        }
        Chosen(chosen)
    }

    /// Hands a line to those who watch its request, as far as they can take it.
    pub fn line(&self, chosen: Chosen, line: &[u8]) {
        let now = Instant::now();
        for (place, watcher) in self.watchers().iter_mut().enumerate() {
            let Some(watcher) = watcher.as_mut().filter(|_| chosen.0 & (1 << place) != 0) else { continue };
            if now.duration_since(watcher.second.0) >= Duration::from_secs(1) {
                watcher.second = (now, 0);
            }
            watcher.second.1 += 1;
            let text = || String::from_utf8_lossy(line).into_owned();
            if watcher.second.1 > limits::WATCHED_LINES_A_SECOND || watcher.lines.try_send(text()).is_err() {
                watcher.skipped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Keeps a request that failed. Where another worker keeps one at this moment, this one is let go: they come in floods.
    pub fn failed(&self, request: impl FnOnce() -> FailedRequest) {
        let Ok(mut failed) = self.failed.try_lock() else { return };
        if failed.len() == limits::FAILED_REQUESTS_KEPT {
            failed.pop_front();
        }
        failed.push_back(request());
    }

    /// The last requests that failed, the newest first.
    pub fn last_failed(&self) -> Vec<FailedRequest> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn watchers(&self) -> MutexGuard<'_, [Option<Watcher>; limits::WATCHERS]> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    fn received(watch: &mut Watch) -> Vec<String> {
        std::iter::from_fn(|| watch.lines.try_recv().ok()).collect()
    }

    #[test]
    fn whoever_watches_all_sees_all_and_nobody_else_costs_anything() {
        let tap = Arc::new(Tap::default());
        assert!(tap.chosen_refused().is_nobody());
        let mut watch = tap.watch(None).unwrap();
        let chosen = tap.chosen_refused();
        tap.line(chosen, b"{\"a\":1}");
        assert_eq!(received(&mut watch), ["{\"a\":1}"]);
        drop(watch);
        assert!(tap.chosen_refused().is_nobody());
        tap.line(chosen, b"{}");
    }

    #[test]
    fn there_is_room_for_a_few_and_it_is_free_again() {
        let tap = Arc::new(Tap::default());
        let mut all: Vec<_> = (0..limits::WATCHERS).map(|_| tap.watch(None).unwrap()).collect();
        assert!(tap.watch(None).is_none());
        all.remove(3);
        let mut fresh = tap.watch(None).unwrap();
        tap.line(tap.chosen_refused(), b"x");
        assert_eq!((received(&mut fresh).len(), received(&mut all[0]).len()), (1, 1));
    }

    #[test]
    fn a_flood_and_a_slow_reader_lose_lines_which_are_counted() {
        let tap = Arc::new(Tap::default());
        let mut watch = tap.watch(None).unwrap();
        let chosen = tap.chosen_refused();
        let count = u64::from(limits::WATCHED_LINES_A_SECOND) * 2;
        (0..count).for_each(|_| tap.line(chosen, b"x"));
        let seen = u64::try_from(received(&mut watch).len()).unwrap();
        assert_eq!((seen + watch.take_skipped(), watch.take_skipped()), (count, 0));
        assert!(seen <= u64::from(limits::WATCHED_LINES_A_SECOND));
    }

    #[test]
    fn the_last_failures_are_kept() {
        let tap = Tap::default();
        let most = limits::FAILED_REQUESTS_KEPT;
        (0..most + 5).for_each(|at| tap.failed(|| FailedRequest { ms: at as f64, ..FailedRequest::default() }));
        let kept = tap.last_failed();
        assert_eq!((kept.len(), kept[0].ms, kept[most - 1].ms), (most, (most + 4) as f64, 5.0));
    }
}
