//! Handshakes in memory, for the tests of several files: an authority, listeners with certificates of it, and clients.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{default_provider, sign::any_supported_type};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, RootCertStore};
use tidegate_base::secret::Secrets;
use tidegate_dsl::plan::{self, ListenerId, Plan};
use tidegate_dsl::{
    AuthorityFacts, CertificateFacts, CertificateProblem, KeyAlgorithm, Loader, ModuleFacts, OneText, compile,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::endpoint::Endpoint;
use super::files::{Authorities, ServerCertificate};
use super::handshake::{Refused, Secured, finish};
use super::{Certificates, Service};
use crate::tests::run;

/// An authority, which signs certificates of servers and of clients.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), root }
    }

    fn issue(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let (certificate, key) = self.signed(name);
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn signed(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A certificate and its key, as files have them.
    pub(crate) fn files(&self, name: &str) -> (String, String) {
        let (certificate, key) = self.signed(name);
        (certificate.pem(), key.serialize_pem())
    }

    /// The certificate of the authority itself, as a file has it.
    pub(crate) fn file(&self) -> String {
        self.root.pem()
    }

    /// A certificate of a server, as it is read from files.
    pub(crate) fn certificate(&self, name: &str) -> ServerCertificate {
        let (der, key) = self.issue(name);
        ServerCertificate {
            key: Arc::new(CertifiedKey::new(vec![der], any_supported_type(&key).unwrap())),
            names: vec![name.to_owned()],
            algorithm: KeyAlgorithm::Ecdsa,
            not_before: Duration::ZERO,
            not_after: Duration::MAX,
            staple_until: None,
            gap: None,
        }
    }

    /// The bundle of these authorities.
    pub(crate) fn bundle(of: &[&Self]) -> Arc<Authorities> {
        let mut roots = RootCertStore::empty();
        of.iter().for_each(|one| roots.add(one.root.der().clone()).unwrap());
        Arc::new(Authorities { roots: Arc::new(roots), not_after: Duration::MAX })
    }

    /// What a listener of the policies here has: a certificate for `shop.test`, and trust in this authority.
    pub(crate) fn certificates(&self) -> Certificates {
        Certificates {
            chains: vec![Arc::new(self.certificate("shop.test"))],
            authorities: vec![Self::bundle(&[self])],
            ..Certificates::default()
        }
    }

    /// A client that trusts this authority, and shows a certificate of that one.
    pub(crate) fn client(&self, shown: Option<&Self>) -> ClientConfig {
        let mut provider = default_provider();
        // The quickest, so that tests are.
        provider.kx_groups.retain(|group| group.name() == NamedGroup::X25519);
        let builder = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(Arc::clone(&Self::bundle(&[self]).roots));
        match shown.map(|by| by.issue("client.test")) {
            Some((own, key)) => builder.with_client_auth_cert(vec![own], key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    }
}

/// Every certificate of a policy is what it should be.
struct Sound(OneText);

impl Loader for Sound {
    fn text(&self, path: &Path) -> Result<String, String> {
        self.0.text(path)
    }

    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, String> {
        self.0.glob(pattern)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.0.env(name)
    }

    fn module(&self, extension: &plan::Extension) -> Result<ModuleFacts, String> {
        self.0.module(extension)
    }

    fn certificate(&self, _: &plan::Certificate) -> Result<CertificateFacts, CertificateProblem> {
        Ok(CertificateFacts {
            names: vec!["shop.test".to_owned()],
            key: KeyAlgorithm::Ecdsa,
            seconds_left: 1_000_000,
            seconds_to_begin: 0,
            gap: None,
            staple_seconds_left: None,
        })
    }

    fn authority(&self, _: &plan::Ca) -> Result<AuthorityFacts, String> {
        Ok(AuthorityFacts { count: 1, seconds_left: 1_000_000 })
    }
}

/// The plan of a policy whose certificates are all sound.
pub(crate) fn sound(policy: &str) -> Plan {
    let compiled = compile(Path::new("test.gate"), &Sound(OneText(policy.to_owned())));
    let said = compiled.diagnostics;
    compiled.plan.unwrap_or_else(|| panic!("{said:?}"))
}

/// A plan whose listener `main` has these words, in the order of the certificates of [`Authority::certificates`].
fn plan(listener: &str) -> Plan {
    sound(&format!(
        r#"tidegate 1
        certificate shop {{ chain "shop.pem"; key "shop.key" }}
        ca partners {{ bundle "partners.pem" }}
        tls-policy newest {{ versions [tls1.3]; ciphers ["TLS_AES_256_GCM_SHA384"] }}
        tls-policy older {{ versions [tls1.2] }}
        tls-policy slow {{ groups [secp384r1] }}
        listener https main {{ port 8443; certificate shop; rules site; {listener} }}
        rules site {{ otherwise {{ respond 204 }} }}"#
    ))
}

/// The TLS of a policy whose listener has these words.
pub(crate) struct Secure {
    pub(crate) plan: Plan,
    pub(crate) service: Service,
}

impl Secure {
    pub(crate) fn new(listener: &str, certificates: Certificates) -> Self {
        let plan = plan(listener);
        let service = Service::build(&plan, certificates, None).unwrap();
        Self { plan, service }
    }

    /// What a reload makes of it.
    pub(crate) fn then(&self, listener: &str, certificates: Certificates) -> Self {
        let plan = plan(listener);
        let service = Service::build(&plan, certificates, Some((&self.plan, &self.service))).unwrap();
        Self { plan, service }
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        self.service.endpoint(ListenerId(0)).unwrap()
    }
}

/// A client, whose every piece can be held back.
pub(crate) struct Peer {
    pub(crate) tls: ClientConnection,
    pub(crate) io: DuplexStream,
}

impl Peer {
    /// A client of `shop.test`, and the other end of its pipe.
    pub(crate) fn new(config: &Arc<ClientConfig>) -> (Self, DuplexStream) {
        let (io, other) = tokio::io::duplex(64 * 1024);
        let tls = ClientConnection::new(Arc::clone(config), "shop.test".try_into().unwrap()).unwrap();
        (Self { tls, io }, other)
    }

    /// What TLS has to send.
    pub(crate) fn flight(&mut self) -> Vec<u8> {
        let mut flight = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut flight).unwrap();
        }
        flight
    }

    /// Sends that, if anybody listens.
    pub(crate) async fn send(&mut self) {
        let flight = self.flight();
        let _ = self.io.write_all(&flight).await;
    }

    /// Takes a piece; false at the end.
    pub(crate) async fn hear(&mut self) -> Result<bool, Error> {
        let mut piece = [0; 4096];
        let count = self.io.read(&mut piece).await.unwrap();
        let mut bytes = &piece[..count];
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes).unwrap();
            if let Err(error) = self.tls.process_new_packets() {
                self.send().await;
                return Err(error);
            }
        }
        Ok(count > 0)
    }

    /// Makes the handshake, up to its end here, and sends that.
    pub(crate) async fn complete(&mut self) -> Result<(), Error> {
        loop {
            self.send().await;
            if !self.tls.is_handshaking() {
                return Ok(());
            }
            if !self.hear().await? {
                return Err(Error::General("the other side has left".to_owned()));
            }
        }
    }

    /// Takes what was sent by now, tickets for instance.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        while let Ok(heard) = tokio::time::timeout(Duration::from_millis(1), self.hear()).await {
            if !heard? {
                break;
            }
        }
        Ok(())
    }

    /// The next bytes of what the other side says within TLS.
    pub(crate) async fn said(&mut self, count: usize) -> Vec<u8> {
        let mut said = Vec::new();
        while said.len() < count {
            let mut piece = [0; 4096];
            match self.tls.reader().read(&mut piece) {
                Ok(0) => break,
                Ok(length) => said.extend_from_slice(&piece[..length]),
                Err(_) => assert!(self.hear().await.unwrap(), "the end comes after {} bytes", said.len()),
            }
        }
        said
    }
}

/// A handshake, as both sides see it.
pub(crate) struct Shaken {
    pub(crate) server: Result<Secured<DuplexStream>, Refused>,
    pub(crate) client: Result<(), Error>,
    pub(crate) peer: Peer,
}

impl Shaken {
    /// What the server came to, if the handshake did not fail.
    pub(crate) fn secured(self) -> Secured<DuplexStream> {
        self.server.unwrap_or_else(|refused| panic!("{refused:?}"))
    }
}

/// Makes a handshake; a failure that the client gets behind its own end of the handshake counts, too.
pub(crate) async fn shake(config: &Arc<ClientConfig>, endpoint: &Endpoint) -> Shaken {
    let (mut peer, other) = Peer::new(config);
    let (server, client) = tokio::join!(finish(other, endpoint), peer.complete());
    let client = match client {
        Ok(()) => peer.catch_up().await,
        failed => failed,
    };
    Shaken { server, client, peer }
}

/// The kind of the second of two handshakes of one client, which comes to one listener and then to the other.
pub(crate) fn second(mut config: ClientConfig, first: &Secure, second: &Secure) -> HandshakeKind {
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    run(async {
        let before = shake(&config, first.endpoint()).await;
        assert!(before.client.is_ok() && before.server.is_ok(), "{:?}", before.client);
        let then = shake(&config, second.endpoint()).await;
        assert!(then.client.is_ok(), "{:?}", then.client);
        then.peer.tls.handshake_kind().unwrap()
    })
}

#[test]
fn whatever_a_handshake_shows_or_trusts_makes_another_service() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let before = authority.certificates();
    let stapled = || {
        let mut stapled = ServerCertificate::clone(&before.chains[0]);
        let mut key = CertifiedKey::clone(&stapled.key);
        key.ocsp = Some(vec![1]);
        stapled.key = Arc::new(key);
        vec![Arc::new(stapled)]
    };
    // The same files, read anew.
    let again = vec![Arc::new(ServerCertificate::clone(&before.chains[0]))];
    let same = Certificates { chains: again, authorities: vec![Authority::bundle(&[&authority])], ..before.clone() };
    assert!(before.serves_the_same(&same));
    for (what, changed) in [
        ("the chain", Certificates { chains: authority.certificates().chains, ..before.clone() }),
        ("the staple", Certificates { chains: stapled(), ..before.clone() }),
        ("no chain", Certificates { chains: Vec::new(), ..before.clone() }),
        ("the authority", Certificates { authorities: vec![Authority::bundle(&[&other])], ..before.clone() }),
        ("one more", Certificates { authorities: vec![Authority::bundle(&[&authority, &other])], ..before.clone() }),
        ("the secret", Certificates { secrets: Secrets::new([&[7; 32][..]]), ..before.clone() }),
    ] {
        assert!(!before.serves_the_same(&changed), "{what}");
        assert!(!changed.serves_the_same(&before), "{what}");
    }
}

#[test]
fn a_certificate_that_was_not_read_is_no_service() {
    let certificates = Authority::new("ours").certificates();
    let refused = |listener: &str, certificates| Service::build(&plan(listener), certificates, None).map(drop);
    let chainless = Certificates { chains: Vec::new(), ..certificates.clone() };
    let said = "listener `main` cannot serve TLS: a certificate was not read";
    assert_eq!(refused("", chainless), Err(said.to_owned()));
    let trustless = Certificates { authorities: Vec::new(), ..certificates };
    let said = "listener `main` cannot serve TLS: a `ca` was not read";
    assert_eq!(refused("client-ca partners required", trustless.clone()), Err(said.to_owned()));
    assert_eq!(refused("", trustless), Ok(()));
}
