//! Timeouts that do not count a time in which the process stood still.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep};

use crate::limits;

/// Waits, but not longer than `limit`. If the process stood still when the time was up (it was stopped, or the machine was
/// moved), what has arrived meanwhile was not looked at: the time begins anew.
///
/// # Errors
/// The time is up.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    loop {
        let began = Instant::now();
        let done = tokio::time::timeout(limit, future.as_mut()).await;
        if done.is_ok() || began.elapsed() <= limit.saturating_add(limits::STANDSTILL) {
            return done;
        }
    }
}

/// The end of a time, for those who poll. It is put off like that of [`within`]: what can have arrived is to be looked at
/// first.
#[derive(Debug)]
pub struct Deadline {
    limit: Duration,
    began: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    /// The end of this time from now on.
    pub fn after(limit: Duration) -> Self {
        Self { limit, began: Instant::now(), sleep: Box::pin(tokio::time::sleep(limit)) }
    }

    /// Ready when the time is up.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            let now = Instant::now();
            if now.duration_since(self.began) <= self.limit.saturating_add(limits::STANDSTILL) {
                return Poll::Ready(());
            }
            self.began = now;
            self.sleep.as_mut().reset(now + self.limit);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    #[test]
    fn a_standstill_gives_the_time_anew() {
        let limit = Duration::from_millis(100);
        let done = run(within(limit, async {
            // The whole thread stands, as it does when the process is stopped.
            std::thread::sleep(limits::STANDSTILL + 2 * limit);
            tokio::time::sleep(limit / 4).await;
            "done"
        }));
        assert_eq!(done.ok(), Some("done"));
    }

    #[test]
    fn a_deadline_is_put_off_by_a_standstill_and_comes() {
        let limit = Duration::from_millis(100);
        run(async {
            let mut deadline = Deadline::after(limit);
            std::thread::sleep(limits::STANDSTILL + 2 * limit);
            let looked = std::future::poll_fn(|cx| Poll::Ready(deadline.poll(cx))).await;
            assert!(looked.is_pending());
            let began = Instant::now();
            std::future::poll_fn(|cx| deadline.poll(cx)).await;
            assert!(began.elapsed() >= limit / 2);
        });
    }

    #[test]
    fn time_that_passes_counts() {
        assert!(run(within(Duration::from_millis(20), std::future::pending::<()>())).is_err());
    }
}
