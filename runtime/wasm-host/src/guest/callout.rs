//! HTTP calls of guests to server groups: what is asked, what comes back, and how a guest waits for it.
//!
//! The guest runs on a stack of its own and is left there while it waits, so that the worker goes on with other requests. The
//! call itself is made by whoever drives the guest, in the same task: who drops one drops both.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, StatusCode};
use tidegate_engine::hook::HookFault;

/// A call that a guest asks for; checked, but for the group.
#[derive(Debug)]
pub struct Callout {
    /// The server group's name.
    pub group: String,
    /// The method; neither `CONNECT` nor `TRACE`.
    pub method: Method,
    /// The authority that the server gets as `Host`.
    pub authority: Authority,
    /// Path, and perhaps a query.
    pub target: PathAndQuery,
    /// Header fields; none of framing or of the connection.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The time that the call may take, to the end of the response.
    pub timeout: Duration,
}

/// The response of a server.
#[derive(Debug)]
pub struct CalloutResponse {
    /// The status.
    pub status: StatusCode,
    /// Header fields; none of the connection.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

/// The reason why there is no response. The guest is told, and decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CalloutFailure {
    /// No server of the group could be connected to.
    Unreachable,
    /// The time was up.
    Timeout,
    /// The connection ended early, or what came was no HTTP.
    Broken,
    /// The answer's body is larger than [`OUTBOUND_BODY_BYTES`](crate::base::limits::OUTBOUND_BODY_BYTES).
    TooLarge,
    /// Too many calls are under way.
    Busy,
    /// Nobody is there to make calls.
    Offline,
}

/// The response of a server, or the reason why there is none.
pub type CalloutResult = Result<CalloutResponse, CalloutFailure>;

/// The outcome of a callout: a response or a failure for the guest, or a fault that ends the guest's call.
pub type CalloutOutcome = Result<CalloutResult, HookFault>;

/// The mailbox where a guest that waits leaves its callout, and finds what became of it. One callout is under way at a time, and both
/// sides are on one thread: the lock never waits, and is there because what a guest holds must be able to move between threads.
#[derive(Default)]
pub(crate) struct Mailbox(Mutex<Letter>);

#[derive(Default)]
enum Letter {
    #[default]
    None,
    Asked(Callout),
    Answered(CalloutOutcome),
}

impl Mailbox {
    /// Leaves a call, and waits for what becomes of it.
    pub(crate) async fn ask(&self, call: Callout) -> CalloutOutcome {
        self.put(Letter::Asked(call));
        // Nobody need be woken: who makes the call polls the guest again when it is done.
        poll_fn(|_| match self.take(|letter| matches!(letter, Letter::Answered(_))) {
            Some(Letter::Answered(result)) => Poll::Ready(result),
            _ => Poll::Pending,
        })
        .await
    }

    fn asked(&self) -> Option<Callout> {
        match self.take(|letter| matches!(letter, Letter::Asked(_))) {
            Some(Letter::Asked(call)) => Some(call),
            _ => None,
        }
    }

    fn put(&self, letter: Letter) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = letter;
    }

    fn take(&self, is: impl Fn(&Letter) -> bool) -> Option<Letter> {
        let mut letter = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        is(&letter).then(|| std::mem::take(&mut *letter))
    }
}

/// Drives a guest to its end, and makes the calls that it asks for on the way.
pub(crate) async fn drive<G: Future, C: Future<Output = CalloutOutcome>>(
    guest: G,
    mailbox: &Mailbox,
    fetch: impl Fn(Callout) -> C,
) -> G::Output {
    let mut guest = pin!(guest);
    let mut calling = pin!(None);
    poll_fn(|cx| {
        loop {
            if calling.is_none() {
                if let Poll::Ready(output) = guest.as_mut().poll(cx) {
                    return Poll::Ready(output);
                }
                match mailbox.asked() {
                    Some(call) => calling.set(Some(fetch(call))),
                    None => return Poll::Pending,
                }
            }
            let Some(call) = calling.as_mut().as_pin_mut() else { return Poll::Pending };
            match call.poll(cx) {
                Poll::Ready(result) => mailbox.put(Letter::Answered(result)),
                Poll::Pending => return Poll::Pending,
            }
            calling.set(None);
        }
    })
    .await
}

/// The output of a future that has nothing to wait for; `None` if it waits.
pub(crate) fn at_once<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::testing::callout;
    use std::cell::Cell;
    use std::future::{pending, ready};

    #[test]
    fn callouts_are_made_one_after_the_other_until_the_guest_ends() {
        let mailbox = Mailbox::default();
        let guest = async {
            let mut failures = Vec::new();
            for group in ["a", "b"] {
                failures.push(mailbox.ask(callout(group)).await.unwrap().unwrap_err());
            }
            failures
        };
        let made = Cell::new(0);
        let fetch = |callout: Callout| {
            made.set(made.get() + 1);
            let failure = if callout.group == "a" { CalloutFailure::Timeout } else { CalloutFailure::Busy };
            ready(Ok(Err(failure)))
        };
        let failures = at_once(drive(guest, &mailbox, fetch));
        assert_eq!(failures, Some(vec![CalloutFailure::Timeout, CalloutFailure::Busy]));
        assert_eq!(made.get(), 2);
    }

    #[test]
    fn who_waits_is_not_done() {
        let mailbox = Mailbox::default();
        let asks = drive(mailbox.ask(callout("a")), &mailbox, |_| pending());
        assert!(at_once(asks).is_none(), "the server says nothing");
        assert_eq!(at_once(drive(ready(7), &mailbox, |_| pending())), Some(7), "a guest need not ask");
        assert!(at_once(drive(pending::<()>(), &Mailbox::default(), |_| pending())).is_none());
    }
}
