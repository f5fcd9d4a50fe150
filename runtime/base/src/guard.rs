//! A future that is guarded: it is not polled once its time, or that of the whole gateway, is over.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::failure::Failure;

/// Waits for a future, unless it is over before. `over` is asked first whenever the task is woken; it registers the task with
/// whatever ends the wait. The future comes pinned, so that it is not moved again.
///
/// # Errors
/// The reason why it is over.
pub async fn guarded<F: Future>(
    over: impl Fn(&mut Context<'_>) -> Option<Failure>,
    mut future: Pin<&mut F>,
) -> Result<F::Output, Failure> {
    poll_fn(|cx| match over(cx) {
        Some(failure) => Poll::Ready(Err(failure)),
        None => future.as_mut().poll(cx).map(Ok),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::pin::pin;
    use std::task::Waker;

    use super::*;

    #[test]
    fn what_is_over_is_not_polled() {
        let over = Cell::new(None);
        let polls = Cell::new(0);
        let future = pin!(poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() == 3 { Poll::Ready(7) } else { Poll::Pending }
        }));
        let mut guarded = pin!(guarded(|_| over.get(), future));
        let mut cx = Context::from_waker(Waker::noop());
        assert_eq!(guarded.as_mut().poll(&mut cx), Poll::Pending);
        assert_eq!(guarded.as_mut().poll(&mut cx), Poll::Pending);
        over.set(Some(Failure::UpstreamTimeout));
        assert_eq!(guarded.as_mut().poll(&mut cx), Poll::Ready(Err(Failure::UpstreamTimeout)));
        assert_eq!(polls.get(), 2);
    }

    #[test]
    fn what_is_done_in_time_is_given() {
        let future = pin!(std::future::ready(7));
        let mut guarded = pin!(guarded(|_| None, future));
        assert_eq!(guarded.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(7)));
    }
}
