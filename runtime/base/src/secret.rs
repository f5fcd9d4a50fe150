//! Secrets that keys are derived from: those of a policy, and one of this process.

use std::fmt;
use std::sync::OnceLock;

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use rustix::rand::{GetRandomFlags, getrandom};

/// The length of every key, in bytes.
pub const KEY: usize = 32;

/// Keys for one purpose, which say nothing of those for another.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Values of `sticky` cookies.
    Cookies,
    /// TLS session tickets.
    Tickets,
    /// QUIC address tokens.
    Tokens,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Cookies => b"tidegate sticky cookies 1",
            Self::Tickets => b"tidegate tls tickets 1",
            Self::Tokens => b"tidegate quic tokens 1",
        }
    }
}

/// The secrets of a policy, in its order. They are never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(Vec<[u8; KEY]>);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// The secrets with these bytes; what is kept of each is its extract (RFC 5869, 2.2).
    pub fn new<'s>(secrets: impl IntoIterator<Item = &'s [u8]>) -> Self {
        let extract = |secret: &[u8]| derive(&Salt::new(HKDF_SHA256, b"tidegate").extract(secret), &[b"master"]);
        Self(secrets.into_iter().map(extract).collect())
    }

    /// Whether the policy has none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A key for each secret: the first makes, all are accepted.
    pub fn keys(&self, purpose: Purpose) -> Vec<[u8; KEY]> {
        self.0.iter().map(|secret| expand(secret, &[purpose.label()])).collect()
    }

    /// The keys of [`Self::keys`], and behind them the key of this process: what it made before the policy had a secret
    /// is accepted.
    pub fn keys_or_own(&self, purpose: Purpose) -> Vec<[u8; KEY]> {
        let mut keys = self.keys(purpose);
        keys.extend(own().map(|own| expand(&own, &[purpose.label()])));
        keys
    }
}

/// The secret of this process, which ends with it. Nothing, if the system has no chance left: then the keys are those that
/// anybody knows. It comes from the kernel, because the cryptographic library measures its own source of chance for tens of
/// milliseconds first, which a start without TLS need not wait for.
fn own() -> Option<[u8; KEY]> {
    static OWN: OnceLock<Option<[u8; KEY]>> = OnceLock::new();
    *OWN.get_or_init(|| {
        let mut bytes = [0; KEY];
        let filled = getrandom(&mut bytes[..], GetRandomFlags::empty());
        (filled == Ok(KEY)).then_some(bytes)
    })
}

/// A key from a key (RFC 5869, 2.3).
pub fn expand(key: &[u8; KEY], info: &[&[u8]]) -> [u8; KEY] {
    derive(&Prk::new_less_safe(HKDF_SHA256, key), info)
}

#[expect(clippy::expect_used, reason = "HKDF gives up to 255 times 32 bytes, and the length is that of the array")]
fn derive(key: &Prk, info: &[&[u8]]) -> [u8; KEY] {
    let mut bytes = [0; KEY];
    key.expand(info, Length).and_then(|okm| okm.fill(&mut bytes)).expect("a key of 32 bytes");
    bytes
}

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_depend_on_the_secret_and_on_the_purpose_and_on_nothing_else() {
        let (one, other) = ([7; 32], [8; 40]);
        let secrets = Secrets::new([&one[..], &other[..]]);
        let keys = secrets.keys(Purpose::Cookies);
        assert_eq!(keys.len(), 2);
        assert_ne!(keys[0], keys[1]);
        assert_ne!(keys, secrets.keys(Purpose::Tickets));
        assert_ne!(secrets.keys(Purpose::Tokens), secrets.keys(Purpose::Tickets));
        // Another process derives the same.
        assert_eq!(Secrets::new([&one[..]]).keys(Purpose::Cookies), keys[..1]);
        assert_eq!(secrets, Secrets::new([&one[..], &other[..]]));
        assert_ne!(secrets, Secrets::new([&other[..], &one[..]]));
    }

    #[test]
    fn the_key_of_this_process_is_behind_those_of_the_policy() {
        let own = Secrets::default().keys_or_own(Purpose::Cookies);
        assert_eq!(own.len(), 1);
        assert_eq!(Secrets::new([&[1; 32][..]]).keys_or_own(Purpose::Cookies)[1..], own[..]);
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(format!("{:?}", Secrets::new([&b"a secret that nobody is to read!"[..]])), "1 secrets");
    }
}
