//! What the certificate of a client says.

use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use tidegate_engine::exchange::ClientCert;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::name::Name;

/// Reads a certificate that a verifier has accepted. `None` if its names cannot be read: whoever cannot be named cannot
/// be let in.
pub fn describe(certificate: &CertificateDer<'_>) -> Option<ClientCert> {
    let parsed = Certificate::from_der(certificate).ok()?;
    Some(ClientCert {
        subject: words(&parsed.tbs_certificate.subject)?,
        issuer: words(&parsed.tbs_certificate.issuer)?,
        fingerprint: hex(digest(&SHA256, certificate).as_ref())?,
        serial: hex(parsed.tbs_certificate.serial_number.as_bytes())?,
        der: certificate.as_ref().into(),
    })
}

fn hex(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        write!(text, "{byte:02x}").ok()?;
    }
    Some(text)
}

/// A distinguished name as RFC 4514 writes it, the last attribute first. Control characters are escaped in it, and so is `=` in
/// values, so that no value looks like an attribute.
fn words(name: &Name) -> Option<String> {
    let mut text = String::new();
    for (at, names) in name.0.iter().rev().enumerate() {
        for (beside, attribute) in names.0.iter().enumerate() {
            let between = match (at, beside) {
                (0, 0) => "",
                (_, 0) => ",",
                _ => "+",
            };
            let written = attribute.to_string();
            let (kind, value) = written.split_once('=')?;
            write!(text, "{between}{kind}={}", value.replace('=', "\\=")).ok()?;
        }
    }
    Some(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    fn params(names: &[(DnType, &str)]) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params
    }

    #[test]
    fn names_as_rfc_4514_writes_them() {
        let mut authority = params(&[(DnType::OrganizationName, "Partners, Inc."), (DnType::CommonName, "Root")]);
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(authority, KeyPair::generate().unwrap());
        let names = [(DnType::CountryName, "DE"), (DnType::CommonName, "J\u{fc}rgen+1\r\nx: y,O=Acme")];
        let certificate = params(&names).signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let described = describe(certificate.der()).unwrap();
        assert_eq!(described.subject, "CN=J\u{fc}rgen\\+1\\0d\\0ax: y\\,O\\=Acme,C=DE");
        assert_eq!(described.issuer, "CN=Root,O=Partners\\, Inc.");
        assert_eq!(described.fingerprint.len(), 64);
        assert!(http::HeaderValue::from_bytes(described.subject.as_bytes()).is_ok());
        assert!(describe(&CertificateDer::from(vec![0x30, 0])).is_none());
    }
}
