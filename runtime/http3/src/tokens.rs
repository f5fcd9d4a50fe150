//! Tokens that prove a client's address (RFC 9000, 8.1): who made them, and that each is good once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::crypto::{AeadKey, CryptoError, HandshakeTokenKey};
use quinn::{TokenLog, TokenReuseError};
use tidegate_base::bounds::Bound;
use tidegate_base::limits;
use tidegate_base::seal::SealKey;
use tidegate_base::secret::KEY;

/// The keys of tokens: the first makes, all are accepted.
pub struct TokenKeys(pub Vec<[u8; KEY]>);

impl HandshakeTokenKey for TokenKeys {
    fn aead_from_hkdf(&self, random_bytes: &[u8]) -> Box<dyn AeadKey> {
        Box::new(TokenKey(self.0.iter().filter_map(|from| SealKey::derived(from, &[random_bytes])).collect()))
    }
}

/// The keys of one token, derived from what is random in it.
struct TokenKey(Vec<SealKey>);

impl AeadKey for TokenKey {
    fn seal(&self, data: &mut Vec<u8>, additional_data: &[u8]) -> Result<(), CryptoError> {
        self.0.first().and_then(|key| key.seal(data, additional_data)).ok_or(CryptoError)
    }

    fn open<'a>(&self, data: &'a mut [u8], additional_data: &[u8]) -> Result<&'a mut [u8], CryptoError> {
        let plain = self.0.iter().find_map(|key| key.open(data, additional_data)).ok_or(CryptoError)?;
        let place = data.get_mut(..plain.len()).ok_or(CryptoError)?;
        place.copy_from_slice(&plain);
        Ok(place)
    }
}

/// The tokens that were used, by the time when they were given out. Shared by the workers of a listener; asked only about a
/// first packet that brings a token.
#[derive(Default)]
pub struct UsedTokens(Mutex<Used>);

#[derive(Default)]
struct Used {
    known: BTreeSet<(SystemTime, u128)>,
    /// Tokens that were given out until then are taken for used: some of them were forgotten.
    forgotten: Option<SystemTime>,
}

impl Used {
    /// Whether a token is used for the first time; it is used from now on.
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
    fn a_token_of_any_key_is_read_and_no_other() {
        let sealed = |keys: &[u8]| {
            let mut data = b"token".to_vec();
            let keys = TokenKeys(keys.iter().map(|key| [*key; KEY]).collect());
            keys.aead_from_hkdf(b"random").seal(&mut data, b"").map(|()| data).unwrap_or_default()
        };
        let opened = |keys: &[u8], mut data: Vec<u8>| {
            let keys = TokenKeys(keys.iter().map(|key| [*key; KEY]).collect());
            keys.aead_from_hkdf(b"random").open(&mut data, b"").map(|plain| plain.to_vec()).ok()
        };
        assert_eq!(opened(&[1], sealed(&[1])).as_deref(), Some(&b"token"[..]));
        assert_eq!(opened(&[2, 1], sealed(&[1])).as_deref(), Some(&b"token"[..]));
        assert_eq!(opened(&[2], sealed(&[1])), None);
        assert_eq!(opened(&[1], sealed(&[2, 1])), None, "the first makes");
        assert_eq!(opened(&[1], b"short".to_vec()), None);
    }

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
