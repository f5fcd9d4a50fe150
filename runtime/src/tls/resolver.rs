//! Chooses the certificate of a handshake by the name that the client asks for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tidegate_dsl::KeyAlgorithm;

use super::files::ServerCertificate;

/// The certificates of a listener.
///
/// The exact name is looked for first, then the wildcard that stands for its first label (RFC 9525, 6.3), then whatever
/// there is, in the order of the policy. Where several fit, ECDSA and Ed25519 come before RSA: they are cheaper for both
/// sides. One that the client cannot check is passed over.
#[derive(Debug)]
pub struct Resolver {
    certificates: Vec<Entry>,
    /// Places in `certificates` by name; a wildcard stands as `*.shop.example`.
    by_name: HashMap<String, Vec<usize>>,
}

#[derive(Debug)]
struct Entry {
    key: Arc<CertifiedKey>,
    /// The key and chain without the staple, for the time when that has run out.
    bare: Option<(Duration, Arc<CertifiedKey>)>,
}

impl Resolver {
    /// Chooses among these; the first is the default.
    pub fn new(certificates: &[Arc<ServerCertificate>]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, certificate) in certificates.iter().enumerate() {
            for name in &certificate.names {
                let places = by_name.entry(name.clone()).or_default();
                // A name may stand twice in a certificate.
                if !places.contains(&at) {
                    places.push(at);
                }
            }
        }
        for places in by_name.values_mut() {
            places.sort_by_key(|at| certificates.get(*at).is_some_and(|one| one.algorithm == KeyAlgorithm::Rsa));
        }
        Self { certificates: certificates.iter().map(|certificate| Entry::new(certificate)).collect(), by_name }
    }

    /// The certificate for a name, if there is one that `takes` accepts; else the best that is there.
    fn choose(&self, name: Option<&str>, takes: impl Fn(&CertifiedKey) -> bool) -> Option<&Entry> {
        let named = name.map(|name| self.named(name)).unwrap_or_default();
        let entries = || named.iter().copied().flatten().flatten().filter_map(|at| self.certificates.get(*at));
        let found = entries().find(|entry| takes(&entry.key));
        let fallback = || self.certificates.iter().find(|entry| takes(&entry.key));
        // If the client can check none, it gets the right one: the handshake then fails with the right reason.
        found.or_else(fallback).or_else(|| entries().next()).or_else(|| self.certificates.first())
    }

    /// The places of the exact name, and of the wildcard.
    fn named(&self, name: &str) -> [Option<&Vec<usize>>; 2] {
        let name = lower(name);
        let wildcard = name.split_once('.').and_then(|(_, rest)| self.by_name.get(&format!("*.{rest}")));
        [self.by_name.get(&*name), wildcard]
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

impl Entry {
    fn new(certificate: &ServerCertificate) -> Self {
        let bare = certificate.staple_until.map(|until| {
            let mut bare = CertifiedKey::clone(&certificate.key);
            bare.ocsp = None;
            (until, Arc::new(bare))
        });
        Self { key: Arc::clone(&certificate.key), bare }
    }

    /// A staple that has run out makes clients refuse the certificate; without one they do not.
    fn at(&self, since_epoch: impl FnOnce() -> Duration) -> Arc<CertifiedKey> {
        match &self.bare {
            Some((until, bare)) if *until <= since_epoch() => Arc::clone(bare),
            _ => Arc::clone(&self.key),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // The schemes are those of the suites that both sides have: a client may know ECDSA and not offer it.
        let takes = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let entry = self.choose(hello.server_name(), takes)?;
        Some(entry.at(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
    use rustls::crypto::aws_lc_rs::sign::any_supported_type;
    use rustls::{SignatureAlgorithm, pki_types::PrivateKeyDer};

    use super::*;

    /// A key of Ed25519 stands for one of RSA, which takes long to make.
    fn certificate(names: &[&str], rsa: bool) -> Arc<ServerCertificate> {
        let key = KeyPair::generate_for(if rsa { &PKCS_ED25519 } else { &PKCS_ECDSA_P256_SHA256 }).unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let der = CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap();
        let signing = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        Arc::new(ServerCertificate {
            key: Arc::new(CertifiedKey::new(vec![der.der().clone()], signing)),
            names,
            algorithm: if rsa { KeyAlgorithm::Rsa } else { KeyAlgorithm::Ecdsa },
            not_before: Duration::ZERO,
            not_after: Duration::MAX,
            staple_until: None,
            gap: None,
        })
    }

    /// The place of what is chosen, for a client that takes these kinds of keys.
    fn chosen(certificates: &[Arc<ServerCertificate>], name: Option<&str>, kinds: &[SignatureAlgorithm]) -> usize {
        let resolver = Resolver::new(certificates);
        let entry = resolver.choose(name, |key| kinds.contains(&key.key.algorithm())).unwrap();
        certificates.iter().position(|one| Arc::ptr_eq(&one.key, &entry.key)).unwrap()
    }

    #[test]
    fn exact_before_wildcard_before_default() {
        let all = [
            certificate(&["default.test"], false),
            certificate(&["*.shop.test"], false),
            certificate(&["www.shop.test", "shop.test"], false),
        ];
        let both = [SignatureAlgorithm::ECDSA, SignatureAlgorithm::ED25519];
        for (name, expected) in [
            (Some("www.shop.test"), 2),
            (Some("WWW.Shop.TEST"), 2),
            (Some("shop.test"), 2),
            (Some("api.shop.test"), 1),
            (Some("a.api.shop.test"), 0),
            (Some("other.test"), 0),
            (Some("test"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            assert_eq!(chosen(&all, name, &both), expected, "{name:?}");
        }
    }

    #[test]
    fn ecdsa_before_rsa_where_the_client_takes_both() {
        let all = [certificate(&["shop.test"], true), certificate(&["shop.test", "*.shop.test"], false)];
        let (rsa, ecdsa) = (SignatureAlgorithm::ED25519, SignatureAlgorithm::ECDSA);
        assert_eq!(chosen(&all, Some("shop.test"), &[rsa, ecdsa]), 1);
        assert_eq!(chosen(&all, Some("shop.test"), &[rsa]), 0);
        assert_eq!(chosen(&all, Some("a.shop.test"), &[rsa]), 0, "what cannot be checked is passed over");
        assert_eq!(chosen(&all, Some("a.shop.test"), &[]), 1, "nothing fits: the right one");
        assert_eq!(chosen(&all, None, &[rsa, ecdsa]), 0, "the default is the first");
    }

    #[test]
    fn a_staple_that_has_run_out_is_left_out() {
        let mut one = ServerCertificate::clone(&certificate(&["a.test"], false));
        let mut key = CertifiedKey::clone(&one.key);
        key.ocsp = Some(vec![1]);
        one.key = Arc::new(key);
        one.staple_until = Some(Duration::from_secs(100));
        let entry = Entry::new(&one);
        assert!(entry.at(|| Duration::from_secs(99)).ocsp.is_some());
        assert!(entry.at(|| Duration::from_secs(100)).ocsp.is_none());
    }
}
