//! Authorities and certificates, made for a test.

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, date_time_ymd,
};
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, PEM.
    pub chain: String,
    /// The private key, PEM.
    pub key: String,
    /// The certificate, DER.
    pub der: CertificateDer<'static>,
    key_der: Vec<u8>,
    /// The public key, as `SubjectPublicKeyInfo` (RFC 5280, 4.1.2.7).
    pub public_key: Vec<u8>,
}

/// For a client that trusts the certificates of a PEM file alone.
///
/// # Panics
/// There is something else in it.
pub fn trusting(pem: &[u8]) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.expect("a certificate")).expect("a trust anchor");
    }
    Arc::new(roots)
}

/// The contents of a certificate to be signed.
pub struct Order<'a> {
    authority: &'a Authority,
    params: CertificateParams,
    key: &'static SignatureAlgorithm,
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        Self::of(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// A new one whose key is of RSA.
    pub fn of_rsa(name: &str) -> Self {
        Self::of(name, &rcgen::PKCS_RSA_SHA256)
    }

    fn of(name: &str, key: &'static SignatureAlgorithm) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(key).expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// The certificate of the authority, PEM.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The authority's own certificate, as that of a server or client.
    pub fn itself(&self) -> Identity {
        let key = self.issuer.key();
        Identity {
            chain: self.certificate.pem(),
            key: key.serialize_pem(),
            der: self.certificate.der().clone(),
            key_der: key.serialize_der(),
            public_key: key.subject_public_key_info(),
        }
    }

    /// The private key of the authority, PEM.
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// For a client that trusts it alone.
    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).expect("a trust anchor");
        Arc::new(roots)
    }

    /// A certificate for a server of these names.
    pub fn server(&self, names: &[&str]) -> Order<'_> {
        let mut params = named(names.first().copied().unwrap_or("server"));
        let alternative = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        params.subject_alt_names = alternative.expect("names of servers").subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        Order { authority: self, params, key: &rcgen::PKCS_ECDSA_P256_SHA256 }
    }

    /// A certificate for a client.
    pub fn client(&self, name: &str) -> Order<'_> {
        let mut params = named(name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Order { authority: self, params, key: &rcgen::PKCS_ECDSA_P256_SHA256 }
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Tests");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Order<'_> {
    /// Asks for an RSA key.
    #[must_use]
    pub fn rsa(mut self) -> Self {
        self.key = &rcgen::PKCS_RSA_SHA256;
        self
    }

    /// Asks for this serial number.
    #[must_use]
    pub fn serial(mut self, number: u64) -> Self {
        self.params.serial_number = Some(SerialNumber::from(number));
        self
    }

    /// Asks for an end that is long ago.
    #[must_use]
    pub fn expired(mut self) -> Self {
        self.params.not_before = date_time_ymd(2001, 1, 1);
        self.params.not_after = date_time_ymd(2002, 1, 1);
        self
    }

    /// Asks for an end that is so soon.
    #[must_use]
    pub fn lasting(mut self, time: std::time::Duration) -> Self {
        self.params.not_after = (std::time::SystemTime::now() + time).into();
        self
    }

    /// Asks for a beginning that is far off.
    #[must_use]
    pub fn early(mut self) -> Self {
        self.params.not_before = date_time_ymd(2100, 1, 1);
        self.params.not_after = date_time_ymd(2101, 1, 1);
        self
    }

    /// Asks for a certificate of an authority.
    #[must_use]
    pub fn authority(mut self) -> Self {
        self.params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        self
    }

    /// Asks for an extension that nobody knows and everybody has to.
    #[must_use]
    pub fn critical(mut self) -> Self {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        extension.set_criticality(true);
        self.params.custom_extensions.push(extension);
        self
    }

    /// Signs it.
    pub fn sign(self) -> Identity {
        let key = KeyPair::generate_for(self.key).expect("a key");
        let certificate = self.params.signed_by(&key, &self.authority.issuer).expect("a certificate");
        Identity {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
            key_der: key.serialize_der(),
            public_key: key.subject_public_key_info(),
        }
    }
}

impl Identity {
    /// Puts another certificate in place of the identity's own.
    #[must_use]
    pub fn changed(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut der = self.der.to_vec();
        change(&mut der);
        self.der = CertificateDer::from(der);
        self
    }

    /// Writes `NAME.pem` and `NAME.key` into a folder.
    pub fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.pem")), &self.chain).expect("a file");
        std::fs::write(folder.join(format!("{name}.key")), &self.key).expect("a file");
    }

    /// The identity for rustls, which shows it whatever is wrong with it.
    ///
    /// # Panics
    /// The key cannot be used.
    pub fn resolver(&self) -> Arc<SingleCertAndKey> {
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(self.key_der()).expect("a key");
        Arc::new(SingleCertAndKey::from(CertifiedKey::new(vec![self.der.clone()], key)))
    }

    /// The settings of a TLS server that shows this identity and asks for no certificate.
    ///
    /// # Panics
    /// The key cannot be used.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions of TLS")
            .with_no_client_auth()
            .with_cert_resolver(self.resolver());
        Arc::new(config)
    }

    /// The private key, for rustls.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).expect("a key")
    }
}
