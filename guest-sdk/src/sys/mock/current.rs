//! The exchange of the current call: one a thread.
#![expect(clippy::panic, reason = "what only a wrong test does ends the test")]

use std::cell::RefCell;

use super::call;
use super::exchange::Exchange;
use super::permissions::needs;
use super::shared::beside;
use super::state::Shared;
use super::stop::{Fault, stop};
use crate::bounds::LOG_LINES_PER_CALL;
use crate::log::level::Level;

thread_local! {
    pub(super) static CURRENT: RefCell<Option<Exchange>> = const { RefCell::new(None) };
}

/// Takes the exchange away, also if the call panics.
struct Current;

impl Drop for Current {
    fn drop(&mut self) {
        CURRENT.with(|current| current.borrow_mut().take());
    }
}

/// Runs `call`, as one call of the extension, with this exchange as the current one, and with what outlives it; the exchange is
/// given back.
pub(crate) fn with<R>(exchange: Exchange, shared: &RefCell<Shared>, call: impl FnOnce() -> R) -> (Exchange, R) {
    let _current = Current;
    CURRENT.with(|current| *current.borrow_mut() = Some(exchange));
    let result = beside(shared, call);
    let dropped = call::lines_dropped();
    let Some(mut exchange) = CURRENT.with(|current| current.borrow_mut().take()) else {
        panic!("a `TestHost` was run within a hook")
    };
    if dropped > 0 {
        let text = format!("{dropped} more lines of this call were dropped: a call may write {LOG_LINES_PER_CALL}");
        exchange.log.push((Level::Warn, text));
    }
    (exchange, result)
}

/// The exchange, for `function` of an interface that needs `word`.
pub(super) fn on<R>((interface, word): (&str, &str), function: &str, work: impl FnOnce(&mut Exchange) -> R) -> R {
    needs(interface, word);
    CURRENT.with(|current| match current.borrow_mut().as_mut() {
        Some(exchange) => work(exchange),
        None => {
            let why = format!("`{interface}.{function}` in `init` or a tick: there is no request");
            stop(Fault::NotAllowed, why)
        }
    })
}
