//! The bounds of an extension, and why. The gateway and the mock go by this one file.
//!
//! What passes a bound of a call is a fault of the call; where something else becomes of it, the bound says so.
#![forbid(unsafe_code)]

/// Variables of one request. Rules name a handful; a guest could otherwise add them in a loop.
pub const VARS_PER_REQUEST: usize = 64;

/// Names and values of one request's variables together, in bytes: as much as a usual header section.
pub const VAR_BYTES_PER_REQUEST: usize = 16 * 1024;

/// Header fields that one call may add: far above any use, far below what breaks backends.
pub const HEADERS_PER_CALL: u32 = 128;

/// Names and values that one call may write into headers, in bytes: what common servers take in a whole head.
pub const HEADER_BYTES_PER_CALL: usize = 64 * 1024;

/// Bytes that one call of a host function may copy out of the guest, and that a verdict may hold.
pub const TRANSFER_BYTES: usize = 2 * 1024 * 1024;

/// The body of a verdict's reply, in bytes: room for an error page, not for content.
pub const REPLY_BODY_BYTES: usize = 1024 * 1024;

/// The most that an extension may ask for of a body at once, in bytes: each of its calls copies it into the guest. An interest in
/// more is refused.
pub const BODY_BYTES: u32 = 1024 * 1024;

/// The smallest piece in stream mode, in bytes: smaller ones would cost a call for nearly nothing. An interest in less is refused.
pub const BODY_PIECE_BYTES: u32 = 1024;

/// Methods and path prefixes that an interest may list, each: they are tested one by one for every request. A longer list is
/// refused.
pub const INTEREST_ENTRIES: usize = 64;

/// The shortest time between ticks, in milliseconds; what asks for less gets this.
pub const TICK_MS: u32 = 100;

/// The length of a log line of a guest, in bytes; the rest is cut.
pub const LOG_LINE_BYTES: usize = 4096;

/// Log lines of one call; the rest is dropped and counted.
pub const LOG_LINES_PER_CALL: u32 = 32;

/// The text of a guest about its trap, or against a configuration, in bytes at most; the rest is cut.
pub const FAULT_MESSAGE_BYTES: usize = 1024;

/// Metrics of an extension.
pub const METRICS_PER_EXTENSION: usize = 64;

/// The name of a metric, in bytes.
pub const METRIC_NAME_BYTES: usize = 64;

/// Entries of an extension's store, over all workers: room for a counter for each of many clients, some ten megabytes. Where it is
/// full, nothing new is kept, and the guest is told so.
pub const STORE_ENTRIES: usize = 65_536;

/// Keys, values and bookkeeping of an extension's store, in bytes; see [`STORE_ENTRIES`].
pub const STORE_BYTES: usize = 16 * 1024 * 1024;

/// The bytes that an entry of a store counts beside its key and value: about what the map needs.
pub const STORE_ENTRY_BYTES: usize = 96;

/// A key of a store, in bytes.
pub const STORE_KEY_BYTES: usize = 1024;

/// Calls of the store in one call of a hook: each may take a lock that other workers want.
pub const STORE_CALLS_PER_CALL: u32 = 256;

/// Outbound calls in one call of a hook: some services asked one after the other, and no crawler.
pub const OUTBOUND_CALLS_PER_CALL: u32 = 8;

/// The body of an outbound call, and of the answer to it, in bytes: both are held whole. An answer with more is a failure, for the
/// guest to act on.
pub const OUTBOUND_BODY_BYTES: usize = 1024 * 1024;
