//! A listener's side of TLS, made from the policy: what its handshakes need.

use std::sync::Arc;

use ::aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::{Error, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use tidegate_base::limits;
use tidegate_base::secret::Purpose;
use tidegate_dsl::plan::{CipherSuite, KeyExchangeGroup, Listener, ListenerTls, Plan, Protocol, TlsPolicy, TlsVersion};

use super::Certificates;
use super::resolver::Resolver;
use super::tickets::Tickets;

/// What the handshakes of a listener need. Shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    /// For rustls, or for quinn if it is a QUIC listener.
    pub config: Arc<ServerConfig>,
    /// Who may come in: the verifier of `client-ca`.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// Whom `clients` trusts, and whether they must show a certificate.
    trust: Option<(Arc<RootCertStore>, bool)>,
    /// The keys of tickets are those of this process.
    own_keys: bool,
}

impl Endpoint {
    /// Builds it. Tickets that the previous one gave out stay good, unless other clients are let in now: a session is not
    /// to outlive the trust that it began with.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn build(
        plan: &Plan,
        listener: &Listener,
        tls: &ListenerTls,
        certificates: &Certificates,
        previous: Option<&Self>,
    ) -> Result<Self, String> {
        let say = |why: &dyn std::fmt::Display| format!("listener `{}` cannot serve TLS: {why}", listener.name);
        let policy = tls.policy.and_then(|id| plan.tls_policies.get(id.0));
        let (provider, versions) = cryptography(policy, listener.protocol);
        let provider = Arc::new(provider);
        let chains: Option<Vec<_>> = tls.certificates.iter().map(|id| certificates.chains.get(id.0).cloned()).collect();
        let chains = chains.ok_or_else(|| say(&"a certificate was not read"))?;
        let resolver = Arc::new(Resolver::new(&chains));
        let trust = match tls.client_ca {
            Some(ca) => {
                let authorities = certificates.authorities.get(ca.ca.0).ok_or_else(|| say(&"a `ca` was not read"))?;
                Some((Arc::clone(&authorities.roots), ca.required))
            }
            None => None,
        };
        let clients = match &trust {
            Some((roots, required)) => {
                let builder = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(&provider));
                let builder = if *required { builder } else { builder.allow_unauthenticated() };
                Some(builder.build().map_err(|error| say(&error))? as Arc<dyn ClientCertVerifier>)
            }
            None => None,
        };
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| say(&error))?;
        let builder = match &clients {
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.ignore_client_order = true;
        config.alpn_protocols = protocols(listener.protocol, tls);
        let previous = previous.filter(|previous| same_trust(previous.trust.as_ref(), trust.as_ref()));
        // A replay is not to speak for the client of a certificate, so that nothing is early where one is asked for.
        if tls.early_data && trust.is_none() {
            // A session that is remembered, and forgotten at its first use, is what keeps a replay out (RFC 8446, 8.1).
            let previous = previous.filter(|previous| previous.config.max_early_data_size > 0);
            config.session_storage = match previous {
                Some(previous) => Arc::clone(&previous.config.session_storage),
                None => ServerSessionMemoryCache::new(limits::EARLY_DATA_SESSIONS),
            };
            if listener.protocol == Protocol::Quic {
                // What QUIC's own windows do not bound is not bounded here (RFC 9001, 4.6.1).
                config.max_early_data_size = u32::MAX;
            } else {
                config.max_early_data_size = limits::EARLY_DATA_BYTES;
                // What comes early is answered early.
                config.send_half_rtt_data = true;
            }
        } else {
            // Sessions are in tickets alone: they serve all workers without a lock, and cost nothing to keep.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            let own = |previous: &&Self| previous.own_keys && previous.config.ticketer.enabled();
            config.ticketer = match previous.filter(own) {
                _ if !certificates.secrets.is_empty() => Tickets::new(
                    certificates.secrets.keys(Purpose::Tickets),
                    scope(listener.protocol, &listener.name, trust.as_ref()),
                ),
                Some(previous) => Arc::clone(&previous.config.ticketer),
                None => new_ticketer().map_err(|error| say(&error))?,
            };
        }
        let own_keys = certificates.secrets.is_empty();
        Ok(Self { config: Arc::new(config), clients, trust, own_keys })
    }

    /// Whether a client may come in that shows this certificate with its issuers, or none.
    ///
    /// # Errors
    /// The reason why not.
    pub fn takes(&self, shown: &[CertificateDer<'_>]) -> Result<(), Error> {
        let Some(clients) = &self.clients else { return Ok(()) };
        match shown.split_first() {
            Some((own, issuers)) => clients.verify_client_cert(own, issuers, UnixTime::now()).map(drop),
            None if clients.client_auth_mandatory() => Err(Error::NoCertificatesPresented),
            None => Ok(()),
        }
    }

    /// The authorities that `clients` trusts.
    pub fn roots(&self) -> Option<&Arc<RootCertStore>> {
        self.trust.as_ref().map(|(roots, _)| roots)
    }
}

/// The scope of tickets by a derived key: a listener, and whom it trusts.
fn scope(protocol: Protocol, name: &str, trust: Option<&(Arc<RootCertStore>, bool)>) -> Vec<u8> {
    let mut scope = Context::new(&SHA256);
    // Each piece with its length before it, so that no two lists of pieces come to the same bytes.
    let mut piece = |bytes: &[u8]| {
        scope.update(&(bytes.len() as u64).to_be_bytes());
        scope.update(bytes);
    };
    piece(protocol.word().as_bytes());
    piece(name.as_bytes());
    if let Some((roots, required)) = trust {
        piece(&[u8::from(*required)]);
        for root in &roots.roots {
            piece(&root.subject);
            piece(&root.subject_public_key_info);
            piece(root.name_constraints.as_deref().unwrap_or_default());
        }
    }
    scope.finish().as_ref().to_vec()
}

/// Keys that are replaced every six hours, and known for six more (RFC 5077, 5.5).
fn new_ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    aws_lc_rs::Ticketer::new()
}

fn same_trust(old: Option<&(Arc<RootCertStore>, bool)>, new: Option<&(Arc<RootCertStore>, bool)>) -> bool {
    match (old, new) {
        (None, None) => true,
        (Some((old, was)), Some((new, is))) => was == is && old.roots == new.roots,
        _ => false,
    }
}

/// What is offered in the handshake (RFC 7301), the best first.
fn protocols(protocol: Protocol, tls: &ListenerTls) -> Vec<Vec<u8>> {
    match protocol {
        Protocol::Quic => vec![b"h3".to_vec()],
        _ if tls.http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        _ => vec![b"http/1.1".to_vec()],
    }
}

/// Suites, groups and versions of a policy. Without one it is a QUIC listener, which has all of TLS 1.3 (RFC 9001, 4.2).
fn cryptography(
    policy: Option<&TlsPolicy>,
    protocol: Protocol,
) -> (CryptoProvider, Vec<&'static SupportedProtocolVersion>) {
    let all = aws_lc_rs::default_provider();
    let newest = protocol == Protocol::Quic;
    let Some(policy) = policy else {
        let cipher_suites = all.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some()).collect();
        return (CryptoProvider { cipher_suites, ..all }, vec![&rustls::version::TLS13]);
    };
    let versions: Vec<_> = policy
        .versions
        .iter()
        .filter_map(|version| match version {
            TlsVersion::Tls12 => (!newest).then_some(&rustls::version::TLS12),
            TlsVersion::Tls13 => Some(&rustls::version::TLS13),
        })
        .collect();
    let cipher_suites = policy.suites.iter().map(|suite| suite_of(*suite)).collect();
    let kx_groups = policy.groups.iter().map(|group| group_of(*group)).collect();
    (CryptoProvider { cipher_suites, kx_groups, ..all }, versions)
}

fn suite_of(suite: CipherSuite) -> SupportedCipherSuite {
    use aws_lc_rs::cipher_suite as all;
    match suite {
        CipherSuite::Aes256GcmSha384 => all::TLS13_AES_256_GCM_SHA384,
        CipherSuite::Aes128GcmSha256 => all::TLS13_AES_128_GCM_SHA256,
        CipherSuite::Chacha20Poly1305Sha256 => all::TLS13_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheEcdsaAes256GcmSha384 => all::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaAes128GcmSha256 => all::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaChacha20Poly1305 => all::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes256GcmSha384 => all::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaAes128GcmSha256 => all::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaChacha20Poly1305 => all::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

fn group_of(group: KeyExchangeGroup) -> &'static dyn SupportedKxGroup {
    use aws_lc_rs::kx_group as all;
    match group {
        KeyExchangeGroup::X25519MlKem768 => all::X25519MLKEM768,
        KeyExchangeGroup::X25519 => all::X25519,
        KeyExchangeGroup::Secp256r1 => all::SECP256R1,
        KeyExchangeGroup::Secp384r1 => all::SECP384R1,
    }
}

/// A group in the words of a TLS policy; `None` if no policy can have it.
pub(super) fn word_of(name: NamedGroup) -> Option<&'static str> {
    KeyExchangeGroup::ALL.iter().find(|group| group_of(**group).name() == name).map(|group| group.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_for_one_listener_and_whom_it_trusts() {
        use rustls::pki_types::{Der, TrustAnchor};
        let roots = |names: &[&'static [u8]]| {
            let anchor = |name: &&'static [u8]| TrustAnchor {
                subject: Der::from_slice(name),
                subject_public_key_info: Der::from_slice(b"key"),
                name_constraints: None,
            };
            Arc::new(RootCertStore { roots: names.iter().map(anchor).collect() })
        };
        let one = || (roots(&[b"a"]), true);
        let all = [
            scope(Protocol::Https, "web", None),
            scope(Protocol::Quic, "web", None),
            scope(Protocol::Https, "api", None),
            scope(Protocol::Https, "web", Some(&one())),
            scope(Protocol::Https, "web", Some(&(roots(&[b"a"]), false))),
            scope(Protocol::Https, "web", Some(&(roots(&[b"b"]), true))),
            scope(Protocol::Https, "web", Some(&(roots(&[b"a", b"b"]), true))),
        ];
        for (at, scope) in all.iter().enumerate() {
            assert!(!all[..at].contains(scope), "{at}");
        }
        assert_eq!(scope(Protocol::Https, "web", Some(&one())), all[3]);
    }

    #[test]
    fn every_word_means_the_suite_and_the_group_of_its_name() {
        for suite in CipherSuite::ALL {
            // rustls calls a suite of TLS 1.3 by its number's name with its version before it.
            let name = format!("{:?}", suite_of(*suite).suite()).replacen("TLS13_", "TLS_", 1);
            assert_eq!(name, suite.name());
        }
        for group in KeyExchangeGroup::ALL {
            assert!(format!("{:?}", group_of(*group).name()).eq_ignore_ascii_case(group.name()));
        }
    }

    use rustls::HandshakeKind::{Full, Resumed};
    use tidegate_base::secret::Secrets;

    use crate::tests::run;
    use crate::tls::tests::{Authority, Secure, second, shake};

    #[test]
    fn sessions_outlive_a_reload_that_lets_in_the_same_clients() {
        let (authority, other) = (Authority::new("ours"), Authority::new("another"));
        let certificates = authority.certificates();
        let both = Certificates { authorities: vec![Authority::bundle(&[&authority, &other])], ..certificates.clone() };
        let secret = Certificates { secrets: Secrets::new([&[7; 32][..]]), ..certificates.clone() };
        let (own, trusting) = (&certificates, &both);
        let (optional, required) = ("client-ca partners optional", "client-ca partners required");
        for (before, after, certificates, kind) in [
            ("", "", own, Resumed),
            ("", "http2 off", own, Resumed),
            ("", required, own, Full),
            (required, "", own, Full),
            (required, required, own, Resumed),
            (optional, required, own, Full),
            (required, optional, own, Full),
            (required, required, trusting, Full),
            // Whoever learns the keys of one is not to read the sessions of the other.
            ("", "", &secret, Full),
            ("early-data on", "early-data on", own, Resumed),
            ("early-data on", "", own, Full),
            ("", "early-data on", own, Full),
        ] {
            let first = Secure::new(before, own.clone());
            let then = first.then(after, certificates.clone());
            let client = authority.client(Some(&authority));
            assert_eq!(second(client.clone(), &first, &then), kind, "`{before}` and then `{after}`");
            assert_eq!(second(client, &then, &then), Resumed, "`{before}` and then `{after}`");
        }
    }

    #[test]
    fn sessions_outlive_a_process_by_its_secrets_alone() {
        let authority = Authority::new("ours");
        let with = |secrets: &[&[u8]]| Certificates {
            secrets: Secrets::new(secrets.iter().copied()),
            ..authority.certificates()
        };
        let (one, other) = (&[1; 32][..], &[2; 32][..]);
        for (before, after, kind) in [
            (&[][..], &[][..], Full),
            (&[one], &[one], Resumed),
            (&[one], &[other, one], Resumed),
            (&[one], &[other], Full),
            (&[one], &[], Full),
        ] {
            let (first, then) = (Secure::new("", with(before)), Secure::new("", with(after)));
            assert_eq!(second(authority.client(None), &first, &then), kind, "{before:?} and then {after:?}");
        }
        // A reload that takes the secret away takes its tickets, too.
        let first = Secure::new("", with(&[one]));
        assert_eq!(second(authority.client(None), &first, &first.then("", with(&[]))), Full);
    }

    #[test]
    fn nothing_is_early_where_clients_are_asked_for_certificates() {
        let authority = Authority::new("ours");
        for (words, most) in [
            ("", 0),
            ("early-data on", limits::EARLY_DATA_BYTES),
            ("early-data on; client-ca partners optional", 0),
            ("early-data on; client-ca partners required", 0),
        ] {
            let listener = Secure::new(words, authority.certificates());
            let config = &listener.endpoint().config;
            assert_eq!((config.max_early_data_size, config.send_half_rtt_data), (most, most > 0), "{words}");
            // What keeps a replay out is a session that is remembered.
            assert_eq!(config.session_storage.can_cache(), most > 0, "{words}");
            assert_eq!(config.ticketer.enabled(), most == 0, "{words}");
        }
    }

    #[test]
    fn the_order_is_ours_and_http2_is_offered_as_the_policy_says() {
        let authority = Authority::new("ours");
        for (words, offered, agreed) in [
            ("", &["http/1.1", "h2"][..], Some("h2")),
            ("http2 off", &["h2", "http/1.1"], Some("http/1.1")),
            ("", &["http/1.1"], Some("http/1.1")),
            ("", &[], None),
            ("http2 off", &["h2"], Some("refused")),
        ] {
            let listener = Secure::new(words, authority.certificates());
            let mut client = authority.client(None);
            client.alpn_protocols = offered.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
            let shaken = run(shake(&Arc::new(client), listener.endpoint()));
            let got = match &shaken.server {
                Ok(_) => shaken.peer.tls.alpn_protocol(),
                Err(_) => Some(&b"refused"[..]),
            };
            assert_eq!(got.map(String::from_utf8_lossy).as_deref(), agreed, "{words} {offered:?}");
        }
    }

    #[test]
    fn who_may_come_in_is_asked_of_every_certificate() {
        let (authority, other) = (Authority::new("ours"), Authority::new("another"));
        let shown = |by: &Authority| vec![by.certificate("client.test").key.cert[0].clone()];
        for (words, none, own, foreign) in [
            ("", true, true, true),
            ("client-ca partners optional", true, true, false),
            ("client-ca partners required", false, true, false),
        ] {
            let listener = Secure::new(words, authority.certificates());
            let takes = |shown: &[CertificateDer<'_>]| listener.endpoint().takes(shown).is_ok();
            assert_eq!((takes(&[]), takes(&shown(&authority)), takes(&shown(&other))), (none, own, foreign), "{words}");
        }
    }
}
