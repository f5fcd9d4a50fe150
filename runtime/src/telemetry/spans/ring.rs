//! The rings that spans go through, a worker's each, and the order that says where they go.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_dsl::plan::Tracing;
use tokio::sync::Notify;
use tracing::{error, warn};

use super::exporter;
use super::span::Span;

/// All that workers and the thread `spans` share.
#[derive(Default)]
pub struct Spans {
    rings: Mutex<Vec<Receiver<Span>>>,
    orders: Mutex<Orders>,
    /// Whether the orders ask for something new. Also wakes the thread.
    pub(super) changed: Notify,
    /// Whether the process is about to end.
    pub(super) ends: AtomicBool,
}

/// What is asked of the thread.
#[derive(Default)]
struct Orders {
    /// Where spans go; nothing if nobody wants them.
    tracing: Option<Tracing>,
    /// Whether a thread may be started: in a gateway, not in a test of one.
    may_start: bool,
    /// Whether there is a thread, and what ends with it.
    thread: Option<std::sync::mpsc::Receiver<()>>,
}

/// A worker's end.
pub struct SpanSender {
    spans: Arc<Spans>,
    /// Made when the worker has its first span.
    ring: OnceCell<Sender<Span>>,
}

impl SpanSender {
    /// The end of a worker that has no span yet.
    pub fn new(spans: &Arc<Spans>) -> Self {
        Self { spans: Arc::clone(spans), ring: OnceCell::new() }
    }

    /// Hands a span on. If the ring is full it is lost, and counted.
    pub fn send(&self, span: Span) {
        if self.ring.get_or_init(|| self.spans.ring()).try_send(span).is_err() {
            Bound::Spans.met();
        }
    }
}

impl Spans {
    /// A ring of its own for a worker.
    fn ring(&self) -> Sender<Span> {
        let (ring, inbox) = bounded(limits::SPAN_RING);
        lock(&self.rings).push(inbox);
        ring
    }

    /// Takes so many spans out of the rings, at most.
    pub(super) fn take(&self, most: usize) -> Vec<Span> {
        lock(&self.rings).iter().flat_map(Receiver::try_iter).take(most).collect()
    }

    /// Sends spans from here on, if somebody wants them.
    pub fn start(self: &Arc<Self>) {
        lock(&self.orders).may_start = true;
        self.start_thread();
    }

    /// Sends spans where the policy in service says.
    pub fn follow(self: &Arc<Self>, tracing: Option<&Tracing>) {
        let mut orders = lock(&self.orders);
        if orders.tracing.as_ref() == tracing {
            return;
        }
        orders.tracing = tracing.cloned();
        drop(orders);
        self.changed.notify_one();
        self.start_thread();
    }

    /// Where spans go.
    pub(super) fn tracing(&self) -> Option<Tracing> {
        lock(&self.orders).tracing.clone()
    }

    fn start_thread(self: &Arc<Self>) {
        let mut orders = lock(&self.orders);
        if !orders.may_start || orders.tracing.is_none() || orders.thread.is_some() {
            return;
        }
        let (ended, done): (SyncSender<()>, _) = sync_channel(1);
        let spans = Arc::clone(self);
        let thread = std::thread::Builder::new().name("spans".to_owned()).spawn(move || {
            if let Err(error) = exporter::run(&spans) {
                error!(%error, "no spans are sent: the system has no event loop for them");
            }
            drop(ended);
        });
        match thread {
            Ok(_) => orders.thread = Some(done),
            Err(error) => error!(%error, "no spans are sent: the system has no thread for them"),
        }
    }

    /// Sends the last spans, within [`limits::SPAN_LAST`]. Those that no collector took by then are lost.
    pub fn finish(&self) {
        self.ends.store(true, Ordering::Release);
        self.changed.notify_one();
        let Some(done) = lock(&self.orders).thread.take() else { return };
        // The thread keeps the time itself, and has a little more to say why.
        if done.recv_timeout(limits::SPAN_LAST + Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
            warn!("the last spans are lost: the thread that sends them does not end");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
impl Spans {
    /// The spans that wait for the thread, taken from it.
    pub(crate) fn taken(&self) -> Vec<Span> {
        self.take(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::tests::hook;
    use super::*;

    #[test]
    fn a_ring_that_is_full_loses_spans_and_counts_them() {
        let spans = Arc::new(Spans::default());
        let (one, other) = (SpanSender::new(&spans), SpanSender::new(&spans));
        (0..limits::SPAN_RING).for_each(|_| one.send(hook("a")));
        let lost = Bound::Spans.count();
        one.send(hook("a"));
        assert!(Bound::Spans.count() > lost, "above");
        other.send(hook("b"));
        assert_eq!(spans.take(10).len(), 10, "no more than is asked for");
        assert_eq!(spans.taken().len(), limits::SPAN_RING - 10 + 1, "a worker does not take the room of another");
        one.send(hook("a"));
        assert_eq!(spans.taken().len(), 1, "there is room again");
    }
}
