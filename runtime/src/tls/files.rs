//! Reads certificates, keys, OCSP staples and bundles of authorities, and checks that they fit together.
//!
//! What a private key's file holds never reaches an error: the reasons are our own words.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{RootCertStore, SignatureAlgorithm};
use tidegate_base::disk::Disk;
use tidegate_base::limits;
use tidegate_dsl::{AuthorityFacts, CertificateFacts, CertificateFile, CertificateProblem, KeyAlgorithm};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_ocsp::{BasicOcspResponse, OcspResponse, OcspResponseStatus};

/// A certificate that can be served: the chain, its key and its staple.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// What a handshake needs.
    pub key: Arc<CertifiedKey>,
    /// The DNS names that it is for, in lower case; a wildcard stands as `*.shop.example`.
    pub names: Vec<String>,
    /// What its key signs with.
    pub algorithm: KeyAlgorithm,
    /// The time from which the certificate is valid, since the epoch.
    pub not_before: Duration,
    /// The time when the certificate expires, since the epoch.
    pub not_after: Duration,
    /// The time when its staple runs out, since the epoch, if there is one that says so. A staple that has run out does harm.
    pub staple_until: Option<Duration>,
    /// The first certificate of the chain, counted from 1, that the next one did not issue.
    pub gap: Option<usize>,
}

impl ServerCertificate {
    /// What the compiler is told.
    pub fn facts(&self, now: SystemTime) -> CertificateFacts {
        CertificateFacts {
            names: self.names.clone(),
            key: self.algorithm,
            seconds_left: seconds_until(self.not_after, now),
            seconds_to_begin: seconds_until(self.not_before, now),
            gap: self.gap,
            staple_seconds_left: self.staple_until.map(|until| seconds_until(until, now)),
        }
    }
}

/// Trusted certificates.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// What a verifier needs.
    pub roots: Arc<RootCertStore>,
    /// When the last of them expires, since the epoch.
    pub not_after: Duration,
}

impl Authorities {
    /// What the compiler is told.
    pub fn facts(&self, now: SystemTime) -> AuthorityFacts {
        AuthorityFacts { count: self.roots.len(), seconds_left: seconds_until(self.not_after, now) }
    }
}

/// Reads a certificate with its issuers, its key and its OCSP response, and checks that they belong together. That it
/// has expired, or that the issuers stand in another order, is no problem here: it can be served.
///
/// # Errors
/// What the user has to mend. Nothing of the key is in it.
pub fn read_certificate(
    chain: &Path,
    key: &Path,
    staple: Option<&Path>,
    provider: &CryptoProvider,
    disk: &Disk,
) -> Result<ServerCertificate, CertificateProblem> {
    let chain = read_chain(chain, disk).map_err(|why| CertificateProblem::File(CertificateFile::Chain, why))?;
    let signing = read_key(key, provider, disk).map_err(|why| CertificateProblem::File(CertificateFile::Key, why))?;
    match_key(&chain, signing.as_ref())?;
    let (ders, parsed): (Vec<_>, Vec<_>) = chain.into_iter().unzip();
    let own = parsed
        .first()
        .ok_or_else(|| CertificateProblem::File(CertificateFile::Chain, "it holds no certificate".to_owned()))?;
    let names = dns_names(own);
    let validity = own.tbs_certificate.validity;
    let staple = staple
        .map(|path| read_staple(path, own, disk))
        .transpose()
        .map_err(|why| CertificateProblem::File(CertificateFile::Staple, why))?;
    let gap = parsed
        .windows(2)
        .position(|pair| matches!(pair, [one, next] if one.tbs_certificate.issuer != next.tbs_certificate.subject))
        .map(|at| at + 1);
    let algorithm = algorithm(signing.as_ref());
    let mut key = CertifiedKey::new(ders, signing);
    let staple_until = staple.as_ref().and_then(|staple| staple.until);
    key.ocsp = staple.map(|staple| staple.der);
    Ok(ServerCertificate {
        key: Arc::new(key),
        names,
        algorithm,
        not_before: validity.not_before.to_unix_duration(),
        not_after: validity.not_after.to_unix_duration(),
        staple_until,
        gap,
    })
}

/// Reads trusted certificates.
///
/// # Errors
/// A sentence for the user.
pub fn read_authorities(bundle: &Path, disk: &Disk) -> Result<Authorities, String> {
    let mut roots = RootCertStore::empty();
    let mut not_after = Duration::ZERO;
    for (at, (der, parsed)) in read_chain(bundle, disk)?.into_iter().enumerate() {
        roots.add(der).map_err(|_| format!("its certificate {} cannot be the certificate of an authority", at + 1))?;
        not_after = not_after.max(parsed.tbs_certificate.validity.not_after.to_unix_duration());
    }
    Ok(Authorities { roots: Arc::new(roots), not_after })
}

/// The certificates of a file, at least one.
fn read_chain(path: &Path, disk: &Disk) -> Result<Vec<(CertificateDer<'static>, Certificate)>, String> {
    let bytes = read_pem(path, disk)?;
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(&bytes) {
        let der = der.map_err(|error| pem_words(&error, "certificate"))?;
        let parsed =
            Certificate::from_der(&der).map_err(|_| format!("its certificate {} is damaged", chain.len() + 1))?;
        chain.push((der, parsed));
    }
    if chain.is_empty() {
        return Err(holds_no(&bytes, "certificate", "-----BEGIN CERTIFICATE-----"));
    }
    Ok(chain)
}

fn read_key(path: &Path, provider: &CryptoProvider, disk: &Disk) -> Result<Arc<dyn SigningKey>, String> {
    let bytes = read_pem(path, disk)?;
    // The older way to encrypt says so in a field above the key (RFC 1421, 4.6.1.1).
    if contains(&bytes, "BEGIN ENCRYPTED PRIVATE KEY-----") || contains(&bytes, "Proc-Type: 4,ENCRYPTED") {
        let mend = "store it without a passphrase, readable for the gateway alone";
        return Err(format!("its private key is encrypted; {mend}"));
    }
    if contains(&bytes, "BEGIN OPENSSH PRIVATE KEY-----") {
        return Err("its private key is in OpenSSH's own form; `ssh-keygen -p -m PEM -f FILE` changes that".to_owned());
    }
    let der = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => holds_no(&bytes, "private key", "-----BEGIN PRIVATE KEY-----"),
        error => pem_words(&error, "private key"),
    })?;
    provider
        .key_provider
        .load_private_key(der)
        .map_err(|_| "its private key is damaged, or neither ECDSA, Ed25519 nor RSA of at least 2048 bits".to_owned())
}

/// A file of PEM, without the byte order mark that editors put first.
fn read_pem(path: &Path, disk: &Disk) -> Result<Vec<u8>, String> {
    let mut bytes = disk.read(path, limits::PEM_BYTES)?;
    match bytes.as_slice() {
        [0xef, 0xbb, 0xbf, ..] => drop(bytes.drain(..3)),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => return Err("it is UTF-16 text; save it as UTF-8".to_owned()),
        _ => {}
    }
    Ok(bytes)
}

/// The key belongs to the first certificate.
fn match_key(chain: &[(CertificateDer<'static>, Certificate)], key: &dyn SigningKey) -> Result<(), CertificateProblem> {
    use x509_cert::der::Encode;
    // Every kind of key that the provider reads can say its public half.
    let Some(public) = key.public_key() else { return Ok(()) };
    let fits = |(_, certificate): &(CertificateDer<'_>, Certificate)| {
        certificate.tbs_certificate.subject_public_key_info.to_der().is_ok_and(|der| der == public.as_ref())
    };
    match chain.iter().position(fits) {
        Some(0) => Ok(()),
        other => Err(CertificateProblem::KeyMismatch { belongs_to: other.map(|at| at + 1) }),
    }
}

fn algorithm(key: &dyn SigningKey) -> KeyAlgorithm {
    match key.algorithm() {
        SignatureAlgorithm::ECDSA => KeyAlgorithm::Ecdsa,
        SignatureAlgorithm::ED25519 => KeyAlgorithm::Ed25519,
        SignatureAlgorithm::RSA => KeyAlgorithm::Rsa,
        _ => KeyAlgorithm::Other,
    }
}

/// The DNS names of its subjectAltName (RFC 5280, 4.2.1.6). The common name is none: clients do not look at it.
fn dns_names(certificate: &Certificate) -> Vec<String> {
    let Ok(Some((_, SubjectAltName(names)))) = certificate.tbs_certificate.get::<SubjectAltName>() else {
        return Vec::new();
    };
    let dns = names.into_iter().filter_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        _ => None,
    });
    dns.collect()
}

/// An OCSP response.
struct Staple {
    der: Vec<u8>,
    /// The time when the staple runs out, since the epoch.
    until: Option<Duration>,
}

/// A response (RFC 6960, 4.2) that says something about this certificate. Its signature is for the client to check.
fn read_staple(path: &Path, certificate: &Certificate, disk: &Disk) -> Result<Staple, String> {
    let der = disk.read(path, limits::STAPLE_BYTES)?;
    let response = OcspResponse::from_der(&der).map_err(|_| "it is no OCSP response in DER".to_owned())?;
    if response.response_status != OcspResponseStatus::Successful {
        return Err("it is an OCSP response that says no more than that the request failed".to_owned());
    }
    let bytes = response.response_bytes.ok_or_else(|| "it is an empty OCSP response".to_owned())?;
    let basic = BasicOcspResponse::from_der(bytes.response.as_bytes())
        .map_err(|_| "it is no basic OCSP response".to_owned())?;
    let serial = &certificate.tbs_certificate.serial_number;
    let ours = basic.tbs_response_data.responses.into_iter().find(|one| one.cert_id.serial_number == *serial);
    let ours = ours.ok_or_else(|| "it is an OCSP response for another certificate".to_owned())?;
    Ok(Staple { der, until: ours.next_update.map(|until| until.0.to_unix_duration()) })
}

/// Why a PEM file cannot be read, without what it holds.
fn pem_words(error: &pem::Error, what: &str) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => format!("a {what} in it has no end line; the file is cut off"),
        pem::Error::Base64Decode(_) => {
            format!("a {what} in it is damaged: what stands between its lines is not Base64")
        }
        pem::Error::SectionTooLarge => format!("a {what} in it is too large"),
        _ => format!("a {what} in it is damaged"),
    }
}

/// What is missing in a file, and perhaps what is there in its place.
fn holds_no(bytes: &[u8], what: &str, line: &str) -> String {
    let instead = if contains(bytes, "PRIVATE KEY-----") {
        "; it holds a private key"
    } else if contains(bytes, "BEGIN CERTIFICATE-----") {
        "; it holds a certificate"
    } else if bytes.first() == Some(&0x30) {
        "; it looks like DER, and PEM is expected"
    } else {
        ""
    };
    format!("it holds no {what} (`{line}`){instead}")
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whole seconds from now to a time since the epoch; negative, if it has passed.
fn seconds_until(then: Duration, now: SystemTime) -> i64 {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    seconds(then).saturating_sub(seconds(now))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

    use std::path::PathBuf;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::aws_lc_rs::default_provider;
    use tempfile::TempDir;
    use x509_cert::der::Encode;
    use x509_cert::der::asn1::{BitString, GeneralizedTime, ObjectIdentifier, OctetString};
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::AlgorithmIdentifierOwned;
    use x509_ocsp::{
        CertId, CertStatus, OcspGeneralizedTime, ResponderId, ResponseBytes, ResponseData, SingleResponse,
    };

    use super::*;

    /// An authority, a certificate that it issued, and a folder for their files.
    struct Setup {
        folder: TempDir,
        authority: String,
        certificate: String,
        key: KeyPair,
    }

    impl Setup {
        fn new() -> Self {
            let authority_key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, "the authority");
            let authority = params.self_signed(&authority_key).unwrap().pem();
            let issuer = Issuer::from_params(&params, &authority_key);
            let key = KeyPair::generate().unwrap();
            let names = vec!["Shop.example".to_owned(), "*.shop.example".to_owned(), "10.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, "shop");
            params.not_after = rcgen::date_time_ymd(2031, 5, 6);
            let certificate = params.signed_by(&key, &issuer).unwrap().pem();
            Self { folder: TempDir::new().unwrap(), authority, certificate, key }
        }

        fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        }

        /// Reads a chain and a key with these contents.
        fn read(&self, chain: &str, key: &str) -> Result<ServerCertificate, CertificateProblem> {
            let (chain, key) = (self.file("chain", chain), self.file("key", key));
            read_certificate(&chain, &key, None, &default_provider(), &Disk::default())
        }
    }

    fn reason(result: Result<ServerCertificate, CertificateProblem>, file: CertificateFile) -> String {
        match result {
            Err(CertificateProblem::File(at, reason)) if at == file => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chain_and_its_key_are_read() {
        let setup = Setup::new();
        let chain = format!("{}{}", setup.certificate, setup.authority);
        let read = setup.read(&chain, &setup.key.serialize_pem()).unwrap();
        assert_eq!(read.key.cert.len(), 2);
        assert_eq!((read.algorithm, read.gap), (KeyAlgorithm::Ecdsa, None));
        assert_eq!(read.names, ["shop.example", "*.shop.example"]);
        let facts = read.facts(UNIX_EPOCH + read.not_after + Duration::from_secs(7));
        assert_eq!(facts.seconds_left, -7);
        // 2031-05-06, midnight.
        assert_eq!(read.not_after.as_secs(), 1_935_792_000);
    }

    #[test]
    fn what_does_not_belong_together_is_told_apart() {
        let setup = Setup::new();
        let key = setup.key.serialize_pem();
        let swapped = setup.read(&format!("{}{}", setup.authority, setup.certificate), &key);
        assert_eq!(swapped.unwrap_err(), CertificateProblem::KeyMismatch { belongs_to: Some(2) });
        let foreign = setup.read(&setup.certificate, &KeyPair::generate().unwrap().serialize_pem());
        assert_eq!(foreign.unwrap_err(), CertificateProblem::KeyMismatch { belongs_to: None });
        let doubled = setup.read(&setup.certificate.repeat(2), &key).unwrap();
        assert_eq!(doubled.gap, Some(1));
    }

    #[test]
    fn errors_say_what_is_there_and_quote_no_key() {
        let setup = Setup::new();
        let (certificate, key) = (setup.certificate.as_str(), setup.key.serialize_pem());
        let chain = |chain: &str| reason(setup.read(chain, &key), CertificateFile::Chain);
        assert_eq!(chain(&key), "it holds no certificate (`-----BEGIN CERTIFICATE-----`); it holds a private key");
        assert_eq!(chain(""), "it holds no certificate (`-----BEGIN CERTIFICATE-----`)");
        assert!(chain(certificate.get(..200).unwrap()).ends_with("the file is cut off"));
        let wrong_key = |key: &str| reason(setup.read(certificate, key), CertificateFile::Key);
        assert_eq!(
            wrong_key(certificate),
            "it holds no private key (`-----BEGIN PRIVATE KEY-----`); it holds a certificate"
        );
        assert!(
            wrong_key("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
                .starts_with("its private key is encrypted")
        );
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
                   -----END RSA PRIVATE KEY-----\n";
        assert!(wrong_key(old).starts_with("its private key is encrypted"));
        let openssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        assert!(wrong_key(openssh).starts_with("its private key is in OpenSSH's own form"));
        assert_eq!(chain(&format!("\u{feff}{key}")), chain(&key));
        assert_eq!(reason(setup.read("\u{feff}", &key), CertificateFile::Chain), chain(""));
        let utf16: Vec<u8> = certificate.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let (chain, key) = (setup.file("chain", [&[0xff, 0xfe][..], &utf16].concat()), setup.file("key", &key));
        let read = read_certificate(&chain, &key, None, &default_provider(), &Disk::default());
        assert_eq!(reason(read, CertificateFile::Chain), "it is UTF-16 text; save it as UTF-8");
    }

    #[test]
    fn a_byte_order_mark_does_no_harm() {
        let setup = Setup::new();
        let marked = |text: &str| format!("\u{feff}{text}");
        assert!(setup.read(&marked(&setup.certificate), &marked(&setup.key.serialize_pem())).is_ok());
    }

    #[test]
    fn a_damaged_key_is_not_quoted() {
        let setup = Setup::new();
        let (certificate, key) = (setup.certificate.as_str(), setup.key.serialize_pem());
        let wrong_key = |key: &str| reason(setup.read(certificate, key), CertificateFile::Key);
        // Damaged in every way, it is still not quoted.
        let body = key.lines().nth(1).unwrap();
        for damaged in [key.replace(body, "AAAA"), key.replace('M', "?"), key.replace("-----END", "----END")] {
            let said = wrong_key(&damaged);
            assert!(!said.contains(body.get(4..20).unwrap()) && said.contains("private key"), "{said}");
        }
        let chain = setup.file("chain", certificate);
        let gone = read_certificate(&chain, Path::new("/none"), None, &default_provider(), &Disk::default());
        assert_eq!(reason(gone, CertificateFile::Key), "there is no such file");
    }

    #[test]
    fn a_staple_that_is_none_is_refused() {
        let setup = Setup::new();
        let (chain, key) = (setup.file("chain", &setup.certificate), setup.file("key", setup.key.serialize_pem()));
        // `OCSPResponse { tryLater }`, RFC 6960, 4.2.1.
        for (content, wanted) in [
            (b"hello".as_slice(), "it is no OCSP"),
            (&[0x30, 3, 0x0a, 1, 3], "it is an OCSP response that says no more"),
        ] {
            let staple = setup.file("staple", content);
            let read = read_certificate(&chain, &key, Some(&staple), &default_provider(), &Disk::default());
            let said = reason(read, CertificateFile::Staple);
            assert!(said.starts_with(wanted), "{said}");
        }
    }

    /// A response (RFC 6960, 4.2.1) about the certificate with this serial number, which says when it runs out.
    fn response(serial: &SerialNumber, next_update: Option<u64>) -> Vec<u8> {
        let time =
            |seconds| OcspGeneralizedTime(GeneralizedTime::from_unix_duration(Duration::from_secs(seconds)).unwrap());
        let algorithm =
            || AlgorithmIdentifierOwned { oid: ObjectIdentifier::new_unwrap("1.3.14.3.2.26"), parameters: None };
        let octets = |bytes: &[u8]| OctetString::new(bytes).unwrap();
        let cert_id = CertId {
            hash_algorithm: algorithm(),
            issuer_name_hash: octets(&[1; 20]),
            issuer_key_hash: octets(&[2; 20]),
            serial_number: serial.clone(),
        };
        let one = SingleResponse {
            cert_id,
            cert_status: CertStatus::good(),
            this_update: time(1),
            next_update: next_update.map(time),
            single_extensions: None,
        };
        let basic = BasicOcspResponse {
            tbs_response_data: ResponseData {
                version: x509_ocsp::Version::V1,
                responder_id: ResponderId::ByKey(octets(&[3; 20])),
                produced_at: time(1),
                responses: vec![one],
                response_extensions: None,
            },
            signature_algorithm: algorithm(),
            signature: BitString::from_bytes(&[4]).unwrap(),
            certs: None,
        };
        let whole = ResponseBytes {
            response_type: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1"),
            response: OctetString::new(basic.to_der().unwrap()).unwrap(),
        };
        let status = OcspResponseStatus::Successful;
        OcspResponse { response_status: status, response_bytes: Some(whole) }.to_der().unwrap()
    }

    #[test]
    fn a_staple_is_about_its_certificate_and_may_run_out() {
        let setup = Setup::new();
        let read = |staple: &[u8]| {
            let (chain, key) = (setup.file("chain", &setup.certificate), setup.file("key", setup.key.serialize_pem()));
            let staple = setup.file("staple", staple);
            read_certificate(&chain, &key, Some(&staple), &default_provider(), &Disk::default())
        };
        let der = CertificateDer::from_pem_slice(setup.certificate.as_bytes()).unwrap();
        let own = Certificate::from_der(&der).unwrap().tbs_certificate.serial_number;
        for until in [Some(1_000_000), None] {
            let staple = response(&own, until);
            let certificate = read(&staple).unwrap();
            assert_eq!(certificate.key.ocsp.as_ref(), Some(&staple), "it is passed on as it is");
            assert_eq!(certificate.staple_until, until.map(Duration::from_secs));
            let facts = certificate.facts(UNIX_EPOCH + Duration::from_secs(1_000_007));
            assert_eq!(facts.staple_seconds_left, until.map(|_| -7));
        }
        let foreign = read(&response(&SerialNumber::new(&[7]).unwrap(), Some(9)));
        assert_eq!(reason(foreign, CertificateFile::Staple), "it is an OCSP response for another certificate");
    }

    #[test]
    fn bundles_hold_authorities() {
        let setup = Setup::new();
        let authorities = read_authorities(&setup.file("bundle", setup.authority.repeat(2)), &Disk::default()).unwrap();
        assert_eq!(authorities.facts(SystemTime::now()).count, 2);
        let empty = read_authorities(&setup.file("bundle", ""), &Disk::default());
        assert!(empty.unwrap_err().starts_with("it holds no certificate"));
    }
}
