//! Tokens that prove a client's address (RFC 9000, 8.1.3): each is good once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::{TokenLog, TokenReuseError};

use crate::limits;
use crate::telemetry::bounds::Bound;

/// The tokens that were used, by the time when they were given out. Shared by the workers of a listener; asked only about a
/// first packet that brings a token.
#[derive(Default)]
pub struct UsedTokens(Mutex<Used>);

#[derive(Default)]
struct Used {
    known: BTreeSet<(SystemTime, u128)>,
    /// What was given out until then is taken for used: some of it was forgotten.
    forgotten: Option<SystemTime>,
}

impl Used {
    /// Whether it is used for the first time.
    fn take(&mut self, token: (SystemTime, u128), most: usize) -> bool {
        if self.forgotten.is_some_and(|until| token.0 <= until) || !self.known.insert(token) {
            return false;
        }
        if self.known.len() > most
            && let Some((oldest, _)) = self.known.pop_first()
        {
            Bound::QuicTokens.met();
            self.forgotten = self.forgotten.max(Some(oldest));
        }
        true
    }
}

impl TokenLog for UsedTokens {
    fn check_and_insert(&self, nonce: u128, issued: SystemTime, _: Duration) -> Result<(), TokenReuseError> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.take((issued, nonce), limits::QUIC_TOKENS_USED) { Ok(()) } else { Err(TokenReuseError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_once_also_when_others_are_forgotten() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut used = Used::default();
        let before = Bound::QuicTokens.count();
        for nonce in 0..3 {
            assert!(used.take((at(10), nonce), 4));
            assert!(!used.take((at(10), nonce), 4));
        }
        assert!(used.take((at(20), 0), 4));
        assert_eq!(Bound::QuicTokens.count(), before, "so many are remembered");
        assert!(used.take((at(30), 0), 4));
        assert!(Bound::QuicTokens.count() > before);
        assert_eq!(used.known.len(), 4);
        // One of those was forgotten, and nobody knows which.
        for nonce in 0..9 {
            assert!(!used.take((at(10), nonce), 4));
        }
        assert!(!used.take((at(20), 0), 4));
        assert!(!used.take((at(30), 0), 4));
        assert!(used.take((at(20), 1), 4));
    }
}
