//! The thread that sends spans: takes them from the rings, gathers them, and hands them to the collector in batches.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_dsl::plan::Tracing;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::collector::Collector;
use super::delivery::{Answer, Pauses};
use super::encode::{self, Instance};
use super::ring::Spans;
use super::span::Span;

/// Sends spans until the process ends.
///
/// # Errors
/// The system has no event loop to give.
pub(super) fn run(spans: &Arc<Spans>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    LocalSet::new().block_on(&runtime, Exporter::default().run(spans));
    Ok(())
}

/// What waits for a collector, and how it fares.
#[derive(Default)]
struct Exporter {
    tracing: Option<Tracing>,
    /// Spans that wait.
    queue: VecDeque<Span>,
    /// When the first of them came.
    since: Option<Instant>,
    /// Spans that are being sent.
    sending: Vec<Span>,
    trouble: Trouble,
    /// When the process ends, and everything is to be sent.
    end: Option<Instant>,
}

/// Spans on their way: the connection for the next, and how they fared.
type Sending = Pin<Box<dyn Future<Output = (Option<Collector>, Result<(u64, String), String>)>>>;

impl Exporter {
    async fn run(mut self, spans: &Arc<Spans>) {
        let mut collector = None;
        let mut sending: Option<Sending> = None;
        loop {
            self.gather(spans);
            if spans.ends.load(Ordering::Acquire) && self.end.is_none() {
                self.end = Some(Instant::now() + limits::SPAN_LAST);
                // What waits for its next try has it now.
                sending = sending.map(|_| self.send(&mut collector));
            }
            if sending.is_none() && self.is_due() {
                let batch = self.queue.len().min(limits::SPAN_BATCH);
                self.sending = self.queue.drain(..batch).collect();
                self.since = (!self.queue.is_empty()).then(Instant::now);
                sending = Some(self.send(&mut collector));
            }
            if self.end.is_some_and(|end| sending.is_none() || Instant::now() >= end) {
                break;
            }
            tokio::select! {
                (next, sent) = async { match &mut sending { Some(sending) => sending.await, None => std::future::pending().await } } => {
                    (collector, sending) = (next, None);
                    self.settle(sent);
                }
                () = spans.changed.notified() => {
                    if self.follow(spans.tracing()) {
                        // The old collector may be what is wrong.
                        collector = None;
                        sending = sending.map(|_| self.send(&mut collector));
                    }
                }
                () = self.pause() => {}
            }
        }
        let left = self.queue.len() + self.sending.len();
        if left > 0 {
            lose(left);
            warn!(spans = left, "the last spans are lost: no collector took them in time");
        }
        self.trouble.tell();
    }

    /// Until it is time to look for spans; without a collector there are none.
    async fn pause(&self) {
        match self.end {
            Some(end) => sleep_until(end.min(Instant::now() + limits::SPAN_LOOK)).await,
            None if self.tracing.is_some() || !self.queue.is_empty() => sleep(limits::SPAN_LOOK).await,
            None => std::future::pending().await,
        }
    }

    /// Takes what is in the rings, as far as there is room.
    fn gather(&mut self, spans: &Spans) {
        let new = spans.take(usize::MAX);
        if new.is_empty() {
            return;
        }
        let room = limits::SPAN_QUEUE.saturating_sub(self.queue.len());
        lose(new.len().saturating_sub(room));
        self.queue.extend(new.into_iter().take(room));
        self.since.get_or_insert_with(Instant::now);
    }

    fn is_due(&self) -> bool {
        let waited = self.since.is_some_and(|since| since.elapsed() >= limits::SPAN_WAIT);
        self.queue.len() >= limits::SPAN_BATCH || !self.queue.is_empty() && (waited || self.end.is_some())
    }

    /// Whether there is another collector from here on.
    fn follow(&mut self, tracing: Option<Tracing>) -> bool {
        // Without one, what is there still goes to the last.
        let changes = tracing.is_some() && tracing != self.tracing;
        if changes {
            self.tracing = tracing;
        }
        changes
    }

    /// Sends the batch, by the connection that is there or a new one.
    fn send(&mut self, collector: &mut Option<Collector>) -> Sending {
        let Some(tracing) = &self.tracing else {
            return Box::pin(async { (None, Err("there is no collector".to_owned())) });
        };
        let collector = match collector.take().map_or_else(|| Collector::of(tracing), Ok) {
            Ok(collector) => collector,
            Err(why) => return Box::pin(async { (None, Err(why)) }),
        };
        let instance = Instance { service: tracing.service.clone(), id: instance_id().to_owned() };
        let body = encode::request(&instance, &self.sending);
        let (once, said) = (self.end.is_some(), Rc::clone(&self.trouble.said));
        Box::pin(async move {
            let mut collector = collector;
            let sent = deliver(&mut collector, &body, once, &said).await;
            (Some(collector), sent)
        })
    }

    fn settle(&mut self, sent: Result<(u64, String), String>) {
        let count = std::mem::take(&mut self.sending).len();
        match sent {
            Ok((rejected, why)) => {
                let rejected = usize::try_from(rejected).unwrap_or(usize::MAX).min(count);
                if rejected > 0 {
                    lose(rejected);
                    self.trouble.lost(rejected, &format!("it does not take all of them ({why})"));
                } else {
                    self.trouble.over();
                }
            }
            Err(why) => {
                lose(count);
                self.trouble.lost(count, &why);
            }
        }
    }
}

/// Sends the same spans until the collector has them, refuses them, or it takes too long.
async fn deliver(
    collector: &mut Collector,
    body: &bytes::Bytes,
    once: bool,
    said: &Said,
) -> Result<(u64, String), String> {
    let mut pauses = Pauses::default();
    loop {
        let begun = Instant::now();
        let answer = timeout(limits::COLLECTOR_TIME, collector.send(body.clone())).await;
        let (why, wanted) = match answer {
            Ok(Answer::Taken(rejected, why)) => return Ok((rejected, why)),
            Ok(Answer::Refused(why)) => return Err(why),
            Ok(Answer::Later(why, wanted)) => (why, wanted),
            Err(_) => {
                collector.forget();
                (format!("no answer within {:?}", limits::COLLECTOR_TIME), None)
            }
        };
        let chance = random();
        match pauses.next(begun.elapsed(), wanted, chance).filter(|_| !once) {
            Some(pause) => {
                if said.is_due() {
                    warn!(reason = %why, "the collector does not take spans now; they are sent again");
                }
                sleep(pause).await;
            }
            None => return Err(why),
        }
    }
}

fn lose(spans: usize) {
    Bound::Spans.met_times(u64::try_from(spans).unwrap_or(u64::MAX));
}

/// A number by chance; it need not be secret.
fn random() -> u64 {
    std::hash::BuildHasher::hash_one(&std::collections::hash_map::RandomState::new(), 0)
}

/// What no other process has, in the form of a UUID of version 4 (RFC 9562, 5.4).
fn instance_id() -> &'static str {
    static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ID.get_or_init(|| {
        let (high, low) = (random(), random());
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", low >> 48 & 0x3fff | 0x8000, low & 0xffff_ffff_ffff)
    })
}

/// What the gateway's own log says of a collector that takes no spans: at once, and then now and then.
#[derive(Default)]
struct Trouble {
    /// Spans that were lost and not told of.
    lost: usize,
    why: String,
    said: Rc<Said>,
}

/// When something was said of it last, and whether it is so still.
#[derive(Default)]
struct Said {
    at: Cell<Option<Instant>>,
    is_on: Cell<bool>,
}

impl Said {
    /// Whether it is time to say something; then it is said.
    fn is_due(&self) -> bool {
        self.is_on.set(true);
        let due = self.at.get().is_none_or(|at| at.elapsed() >= limits::COLLECTOR_LINE);
        if due {
            self.at.set(Some(Instant::now()));
        }
        due
    }
}

impl Trouble {
    fn lost(&mut self, spans: usize, why: &str) {
        self.lost += spans;
        why.clone_into(&mut self.why);
        if self.said.is_due() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        if self.lost > 0 {
            warn!(spans = self.lost, reason = %self.why, "spans are lost: the collector does not take them");
            self.lost = 0;
        }
    }

    fn over(&mut self) {
        if self.said.is_on.take() {
            self.tell();
            info!("the collector takes spans again");
        }
    }
}
