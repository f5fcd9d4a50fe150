//! The bounds that were met, counted by name: what a peer was refused, and how often.
//!
//! A bound is met seldom, so that its count may be shared by all workers. The counts are those of the process.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! bounds {
    ($($(#[$doc:meta])* $bound:ident = $name:literal,)+) => {
        /// A bound that a peer, a file or a queue can meet. Its value and its reason stand in [`crate::limits`], or the
        /// policy says it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bound {
            $($(#[$doc])* $bound,)+
        }

        impl Bound {
            /// Every bound, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$bound,)+];

            /// The name of the bound in logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$bound => $name,)+
                }
            }
        }

        static COUNTS: [AtomicU64; Bound::ALL.len()] = [const { AtomicU64::new(0) }; Bound::ALL.len()];
    };
}

bounds! {
    /// Connections of a listener: `limits { connections }`.
    Connections = "connections",
    /// Connections that `allow-from` and `deny-from` keep out.
    Peers = "peers",
    /// Open connections that a reload ended: the new policy would not have taken them.
    Dismissed = "dismissed",
    /// TLS handshakes under way on a worker: [`crate::limits::HANDSHAKES`].
    Handshakes = "handshakes",
    /// Early data of a TLS connection: [`crate::limits::EARLY_DATA_BYTES`].
    EarlyData = "early-data",
    /// Used address tokens of a QUIC listener: [`crate::limits::QUIC_TOKENS_USED`].
    QuicTokens = "quic-tokens",
    /// Bytes to an address that has not shown that it gets them: three times what came from there (RFC 9000, 8.1).
    QuicUnproved = "quic-unproved",
    /// Such addresses of a worker and QUIC listener: [`crate::limits::QUIC_ADDRESSES`].
    QuicAddresses = "quic-addresses",
    /// A client that has its last answer and goes on sending: [`crate::limits::LINGER_LONGEST`].
    Linger = "linger",
    /// Bytes that a backend sends over HTTP/1 before it answers: [`crate::limits::UNANSWERED_BYTES`].
    Unanswered = "unanswered",
    /// Frames of a backend over HTTP/2 that move no request: [`crate::limits::UPSTREAM_TALK`].
    UpstreamTalk = "upstream-talk",
    /// Access-log lines on their way to a slow target: [`crate::limits::LOG_QUEUE`].
    LogQueue = "log-queue",
    /// Spans that no collector got: [`crate::limits::SPAN_RING`] and what follows it there.
    Spans = "spans",
    /// File descriptors kept for servers and reloads.
    Descriptors = "descriptors",
    /// Values and work of one test: [`tidegate_engine::bounds::MAX_VALUES`], [`tidegate_dsl::effort::MAX_EFFORT`].
    Tests = "tests",
    /// Bodies that are held whole: [`crate::limits::GATHERED_BYTES_CONNECTION`], [`crate::limits::GATHERED_BYTES_WORKER`].
    Gathered = "gathered",
    /// Memory for compressing answers: [`crate::limits::ENCODERS_BYTES`].
    Encoders = "encoders",
    /// Calls of an extension to other servers, or of all extensions, on a worker: [`crate::limits::OUTBOUND_CALLS`].
    OutboundCalls = "outbound-calls",
}

impl Bound {
    /// Counts that the bound was met once more.
    pub fn met(self) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts that the bound was met so many times more.
    pub fn met_times(self, times: u64) {
        COUNTS[self as usize].fetch_add(times, Ordering::Relaxed);
    }

    /// How often the bound was met since the process started.
    pub fn count(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_has_its_own_name_and_count() {
        let names: std::collections::HashSet<_> = Bound::ALL.iter().map(|bound| bound.name()).collect();
        assert_eq!(names.len(), Bound::ALL.len());
        let before = Bound::Handshakes.count();
        Bound::Handshakes.met();
        assert!(Bound::Handshakes.count() > before);
    }
    #[test]
    fn every_bound_is_documented_and_no_other() {
        let page = include_str!("../../../docs/operating.md");
        let (_, table) = page.split_once("| `bound` | each time is |\n| --- | --- |\n").unwrap_or_default();
        let rows = table.lines().take_while(|line| line.starts_with('|'));
        let names: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert_eq!(names, Bound::ALL.iter().map(|bound| bound.name()).collect::<Vec<_>>());
    }
}
