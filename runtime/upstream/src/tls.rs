//! TLS towards servers.

use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use tidegate_dsl::plan::{CaId, ServerGroup, Verify};

use crate::unacceptable::{self, Shown};

/// How the servers of a group are connected to.
#[derive(Debug, Clone)]
pub struct GroupTls {
    trust: Trust,
    /// The settings, the same for all groups that trust the same: they share sessions, and the pools of the servers that they share.
    config: Arc<ClientConfig>,
    /// The name that the certificate of each server must have.
    names: Vec<ServerName<'static>>,
}

/// What a connection to one server is secured with. Equal ones are interchangeable.
#[derive(Debug, Clone)]
pub struct Secure {
    /// The settings, for rustls.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate must have.
    pub name: ServerName<'static>,
}

impl PartialEq for Secure {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for Secure {}

impl Hash for Secure {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.config).hash(state);
        self.name.hash(state);
    }
}

impl PartialEq for GroupTls {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.names == other.names
    }
}

impl GroupTls {
    /// What the servers of a group need. `roots` finds what a `ca` trusts; `known` are those of the policy before, and of the groups before.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn build(
        group: &ServerGroup,
        roots: impl Fn(CaId) -> Option<Arc<RootCertStore>>,
        known: &[Self],
    ) -> Result<Self, String> {
        let say = |why: &str| format!("server group `{}` cannot use TLS: {why}", group.name);
        let trust = Trust::of(group.verify, roots).ok_or_else(|| say("a `ca` was not read"))?;
        let names: Result<Vec<_>, String> = group
            .servers
            .iter()
            .map(|server| {
                let name = group.server_name.as_ref().unwrap_or(&server.host);
                ServerName::try_from(name.clone()).map_err(|_| {
                    say(&format!("`{name}` is no name that a certificate can have; write a `server-name`"))
                })
            })
            .collect();
        let same = known.iter().find(|other| other.trust == trust);
        let config = match same {
            Some(same) => Arc::clone(&same.config),
            None => config(&trust).map_err(|why| say(&why))?,
        };
        Ok(Self { trust, config, names: names? })
    }

    /// What connections to one of the group's servers are secured with.
    pub fn secure(&self, server: usize) -> Option<Secure> {
        Some(Secure { config: Arc::clone(&self.config), name: self.names.get(server)?.clone() })
    }
}

/// Whom connections trust.
#[derive(Debug, Clone)]
enum Trust {
    /// The authorities of the machine.
    System,
    /// The authorities of a `ca`.
    Authorities(Arc<RootCertStore>),
    /// Anybody.
    Off,
}

impl PartialEq for Trust {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::System, Self::System) | (Self::Off, Self::Off) => true,
            (Self::Authorities(one), Self::Authorities(other)) => one.roots == other.roots,
            _ => false,
        }
    }
}

impl Trust {
    /// Whom `verify` says to trust; `None` if the authority was not read.
    fn of(verify: Verify, roots: impl Fn(CaId) -> Option<Arc<RootCertStore>>) -> Option<Self> {
        Some(match verify {
            Verify::System => Self::System,
            Verify::Off => Self::Off,
            Verify::Ca(ca) => Self::Authorities(roots(ca)?),
        })
    }
}

/// The settings of connections to a server that no group has: it is to be one that the machine trusts, and speaks this protocol
/// (RFC 7301).
///
/// # Errors
/// The machine trusts nobody, in the user's words.
pub fn client(protocol: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut config = Arc::unwrap_or_clone(config(&Trust::System)?);
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

fn config(trust: &Trust) -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Off => Arc::new(Anybody(Arc::clone(&provider))),
        Trust::System => signed_by(system_roots()?, &provider)?,
        Trust::Authorities(roots) => signed_by(Arc::clone(roots), &provider)?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn signed_by(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider))
        .build()
        .map_err(|error| error.to_string())?;
    Ok(verifier)
}

/// The authorities that the machine trusts. They are read when the first group needs them: some hundred files.
fn system_roots() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        return Err(format!(
            "this machine trusts no authorities{why}; install its `ca-certificates`, or write `verify ca NAME`"
        ));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

/// Why a server's handshake failed, in the user's words.
pub fn words(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(reason)) => unacceptable::words(Shown::ByServer, reason),
        Some(Error::AlertReceived(alert)) => {
            format!("the server broke the TLS handshake off ({})", alert.as_str().unwrap_or("unknown"))
        }
        Some(Error::PeerIncompatible(_)) => "the server has no version or suite of TLS in common with us".to_owned(),
        Some(_) => "what the server sent is not TLS; does it speak plain HTTP there?".to_owned(),
        None => "the server closed in the middle of the TLS handshake".to_owned(),
    }
}

/// `verify off`: takes every certificate, but not every signature: who shows a certificate has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tidegate_base::failure::Failure;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::task::spawn_local;
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::dial::{Refused, handshake};
    use crate::tests::world::{policy, run};

    /// A certificate that signs itself, for the name `server.test`: who trusts it, and how it is served.
    fn identity() -> (Arc<RootCertStore>, Arc<ServerConfig>) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["server.test".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        (Arc::new(roots), Arc::new(config))
    }

    /// The TLS of a group with these words that trusts these authorities.
    fn group(words: &str, roots: Option<&Arc<RootCertStore>>, known: &[GroupTls]) -> Result<GroupTls, String> {
        let mut plan = policy(&format!("protocol https; verify off; {words}")).groups.remove(0);
        if roots.is_some() {
            plan.verify = Verify::Ca(CaId(0));
        }
        GroupTls::build(&plan, |_| roots.cloned(), known)
    }

    /// What becomes of a handshake with a server that does this with its end.
    async fn shaken<S>(tls: &GroupTls, server: impl FnOnce(tokio::io::DuplexStream) -> S) -> Result<(), Refused>
    where
        S: Future<Output = ()> + 'static,
    {
        let (ours, theirs) = duplex(64 * 1024);
        spawn_local(server(theirs));
        let mut stream = handshake(ours, &tls.secure(0).unwrap()).await?;
        assert_eq!(stream.read_u8().await.unwrap(), b'!');
        Ok(())
    }

    async fn serve(stream: tokio::io::DuplexStream, config: Arc<ServerConfig>) {
        if let Ok(mut stream) = TlsAcceptor::from(config).accept(stream).await {
            stream.write_all(b"!").await.unwrap();
            stream.flush().await.unwrap();
            std::future::pending::<()>().await;
        }
    }

    #[test]
    fn a_server_proves_who_it_is() {
        run(async {
            let ((roots, config), (others, _)) = (identity(), identity());
            for (words, trusted, wrong) in [
                ("server 10.0.0.1:443; server-name \"server.test\"", Some(&roots), None),
                ("server 10.0.0.1:443", None, None),
                ("server 10.0.0.1:443; server-name \"other.test\"", Some(&roots), Some("is for another name")),
                ("server 10.0.0.1:443; server-name \"server.test\"", Some(&others), Some("has a wrong signature")),
            ] {
                let tls = group(words, trusted, &[]).unwrap();
                let told = shaken(&tls, |stream| serve(stream, Arc::clone(&config))).await;
                match (&told, wrong) {
                    (Ok(()), None) => {}
                    (Err((Failure::UpstreamTls, why)), Some(wrong)) => assert!(why.contains(wrong), "{why}"),
                    _ => assert_eq!(told.err(), None, "{words}: {wrong:?}"),
                }
            }
        });
    }

    #[test]
    fn what_is_no_tls_is_told_in_words() {
        run(async {
            let tls = group("server 10.0.0.1:443", None, &[]).unwrap();
            for (said, words) in [
                (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "does it speak plain HTTP there?"),
                (b"", "closed in the middle of the TLS handshake"),
                // An alert: handshake_failure.
                (&[21, 3, 3, 0, 2, 2, 40], "broke the TLS handshake off (HandshakeFailure)"),
            ] {
                let server = |mut stream: tokio::io::DuplexStream| async move {
                    let _ = stream.write_all(said).await;
                };
                let (failure, why) = shaken(&tls, server).await.unwrap_err();
                assert!(failure == Failure::UpstreamTls && why.contains(words), "{why}");
            }
        });
    }

    #[test]
    fn groups_that_trust_the_same_share_their_settings() {
        let ((roots, _), (others, _)) = (identity(), identity());
        let first = group("server 10.0.0.1:443", Some(&roots), &[]).unwrap();
        let again = Arc::new((*roots).clone());
        let second = group("server 10.0.0.2:443", Some(&again), std::slice::from_ref(&first)).unwrap();
        assert!(Arc::ptr_eq(&first.config, &second.config) && first != second, "they differ in the names");
        assert!(
            first.secure(0)
                == group("server 10.0.0.1:443", Some(&roots), std::slice::from_ref(&first)).unwrap().secure(0)
        );
        let third = group("server 10.0.0.1:443", Some(&others), std::slice::from_ref(&first)).unwrap();
        assert!(!Arc::ptr_eq(&first.config, &third.config));
        let open = group("server 10.0.0.1:443", None, std::slice::from_ref(&first)).unwrap();
        assert!(!Arc::ptr_eq(&first.config, &open.config) && open.secure(1).is_none());
    }

    #[test]
    fn what_cannot_be_is_said_with_the_group() {
        let mut plan = policy("server 10.0.0.1:443; protocol https; verify off").groups.remove(0);
        plan.server_name = Some("no name".to_owned());
        let error = GroupTls::build(&plan, |_| None, &[]).unwrap_err();
        assert!(error.starts_with("server group `web` cannot use TLS: `no name` is no name"), "{error}");
        plan.verify = Verify::Ca(CaId(0));
        assert!(GroupTls::build(&plan, |_| None, &[]).unwrap_err().ends_with("a `ca` was not read"));
    }
}
