//! The state that ends with a call: how much of its bounds it has used.

use std::cell::RefCell;

use super::stop::{Fault, stop};
use crate::bounds::{
    HEADER_BYTES_PER_CALL, HEADERS_PER_CALL, LOG_LINES_PER_CALL, OUTBOUND_CALLS_PER_CALL, STORE_CALLS_PER_CALL,
    TRANSFER_BYTES,
};

/// The counts of the current call.
#[derive(Debug, Default)]
struct Used {
    headers: u32,
    header_bytes: usize,
    log_lines: u32,
    store_calls: u32,
    outbound_calls: u32,
}

thread_local! {
    static USED: RefCell<Used> = RefCell::default();
}

fn on<R>(work: impl FnOnce(&mut Used) -> R) -> R {
    USED.with(|used| work(&mut used.borrow_mut()))
}

/// A call begins.
pub(crate) fn begin() {
    on(|used| *used = Used::default());
}

/// Counts a header field that the guest writes.
pub(crate) fn count_header(bytes: usize) {
    let over = on(|used| {
        used.headers += 1;
        used.header_bytes += bytes;
        used.headers > HEADERS_PER_CALL || used.header_bytes > HEADER_BYTES_PER_CALL
    });
    if over {
        let most = format!("a call may write {HEADERS_PER_CALL}, of {HEADER_BYTES_PER_CALL} bytes together");
        stop(Fault::TooMuch, format!("the guest wrote too many header fields: {most}"));
    }
}

/// Counts a call of the store.
pub(crate) fn count_store() {
    let calls = on(|used| {
        used.store_calls += 1;
        used.store_calls
    });
    if calls > STORE_CALLS_PER_CALL {
        let most = format!("a call may do so {STORE_CALLS_PER_CALL} times");
        stop(Fault::TooMuch, format!("the guest used the store too often: {most}"));
    }
}

/// Counts a call of another server.
pub(crate) fn count_outbound() {
    let calls = on(|used| {
        used.outbound_calls += 1;
        used.outbound_calls
    });
    if calls > OUTBOUND_CALLS_PER_CALL {
        let most = format!("a call may do so {OUTBOUND_CALLS_PER_CALL} times");
        stop(Fault::TooMuch, format!("the guest called other servers too often: {most}"));
    }
}

/// Counts a log line; whether it is kept.
pub(crate) fn count_line() -> bool {
    on(|used| {
        used.log_lines = used.log_lines.saturating_add(1);
        used.log_lines <= LOG_LINES_PER_CALL
    })
}

/// The number of log lines over the bound.
pub(crate) fn lines_dropped() -> u32 {
    on(|used| used.log_lines.saturating_sub(LOG_LINES_PER_CALL))
}

/// Looks at how much the guest gives the gateway at once.
pub(crate) fn transfer(lengths: impl IntoIterator<Item = usize>) {
    if lengths.into_iter().fold(0_usize, usize::saturating_add) > TRANSFER_BYTES {
        stop(Fault::TooMuch, format!("the guest gave the host more than {TRANSFER_BYTES} bytes at once"));
    }
}
