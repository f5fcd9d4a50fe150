//! Sealed texts, which the gateway makes for itself and for those that share its secret: AES-256-GCM (RFC 5116), each time by a key of its own.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::secret::{KEY, expand};

/// A key that seals once: it is derived from something random that goes with what it seals, so that no nonce comes twice.
pub struct SealKey(LessSafeKey);

impl SealKey {
    /// The key that is derived from a lasting one and from this.
    pub fn derived(from: &[u8; KEY], info: &[&[u8]]) -> Option<Self> {
        UnboundKey::new(&AES_256_GCM, &expand(from, info)).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Seals `data` in its place, bound to what stands beside it.
    pub fn seal(&self, data: &mut Vec<u8>, beside: &[u8]) -> Option<()> {
        self.0.seal_in_place_append_tag(zero(), Aad::from(beside), data).ok()
    }

    /// The text that was sealed; nothing, if it was by another key, beside something else, or was changed.
    pub fn open(&self, sealed: &[u8], beside: &[u8]) -> Option<Vec<u8>> {
        // A key that does not fit leaves nothing of what it tries.
        let mut plain = sealed.to_vec();
        let length = self.0.open_in_place(zero(), Aad::from(beside), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

fn zero() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_opens_only_the_same() {
        let key = |from: u8, info: &[u8]| SealKey::derived(&[from; KEY], &[info]).unwrap();
        let mut sealed = b"words".to_vec();
        key(1, b"a").seal(&mut sealed, b"beside").unwrap();
        assert_eq!(key(1, b"a").open(&sealed, b"beside").as_deref(), Some(&b"words"[..]));
        assert_eq!(key(2, b"a").open(&sealed, b"beside"), None);
        assert_eq!(key(1, b"b").open(&sealed, b"beside"), None);
        assert_eq!(key(1, b"a").open(&sealed, b"besides"), None);
        assert_eq!(key(1, b"a").open(b"short", b"beside"), None);
        sealed[0] ^= 1;
        assert_eq!(key(1, b"a").open(&sealed, b"beside"), None);
    }
}
