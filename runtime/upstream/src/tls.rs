//! TLS towards backends.

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
pub struct Upstream {
    trust: Trust,
    /// The same for all groups that trust the same: they share sessions, and the pools of the servers that they share.
    config: Arc<ClientConfig>,
    /// The name that the certificate of each server must have.
    names: Vec<ServerName<'static>>,
}

/// What a connection to one server is secured with. Equal ones are interchangeable.
#[derive(Debug, Clone)]
pub struct Secure {
    /// For rustls.
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

impl PartialEq for Upstream {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.names == other.names
    }
}

impl Upstream {
    /// For a group. `roots` finds what a `ca` trusts; `known` are those of the policy before, and of the groups before.
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

    /// For one of the group's servers.
    pub fn secure(&self, server: usize) -> Option<Secure> {
        Some(Secure { config: Arc::clone(&self.config), name: self.names.get(server)?.clone() })
    }
}

/// Whom connections trust.
#[derive(Debug, Clone)]
enum Trust {
    /// The authorities of the machine.
    System,
    /// These.
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
    /// `None` if the authority was not read.
    fn of(verify: Verify, roots: impl Fn(CaId) -> Option<Arc<RootCertStore>>) -> Option<Self> {
        Some(match verify {
            Verify::System => Self::System,
            Verify::Off => Self::Off,
            Verify::Ca(ca) => Self::Authorities(roots(ca)?),
        })
    }
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
