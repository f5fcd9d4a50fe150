//! The client's certificate, as texts show it.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate_dsl::plan::ClientCertPart;

use crate::exchange::ClientCert;

/// The characters that are escaped in a percent-encoded PEM: all but the unreserved ones (RFC 3986, 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The bytes of DER on a line of PEM (RFC 7468, 2).
const LINE: usize = 48;

/// A part of a certificate as a text; empty if none was shown, but for the verdict on that.
pub(crate) fn part(certificate: Option<&ClientCert>, part: ClientCertPart) -> Cow<'_, str> {
    let Some(certificate) = certificate else {
        return Cow::Borrowed(if part == ClientCertPart::Verify { verdict(None) } else { "" });
    };
    Cow::Borrowed(match part {
        ClientCertPart::Subject => &certificate.subject,
        ClientCertPart::Issuer => &certificate.issuer,
        ClientCertPart::Serial => &certificate.serial,
        ClientCertPart::Fingerprint => &certificate.fingerprint,
        ClientCertPart::Verify => verdict(Some(certificate)),
        ClientCertPart::Pem => return Cow::Owned(utf8_percent_encode(&pem(&certificate.der), ENCODED).to_string()),
    })
}

/// The verdict on a certificate in the words that nginx made common. One that was not accepted never comes as far as
/// here.
pub(crate) const fn verdict(certificate: Option<&ClientCert>) -> &'static str {
    if certificate.is_some() { "SUCCESS" } else { "NONE" }
}

/// A certificate in its textual form (RFC 7468, 5). Empty if there is nothing of it.
fn pem(der: &[u8]) -> String {
    if der.is_empty() {
        return String::new();
    }
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(LINE) {
        BASE64_STANDARD.encode_string(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_on_one_line() {
        let certificate = ClientCert {
            subject: "CN=till".into(),
            issuer: "CN=root".into(),
            fingerprint: "ab".into(),
            serial: "0f".into(),
            der: vec![0; 50].into(),
        };
        let zeros = "A".repeat(64);
        let expected = format!("-----BEGIN%20CERTIFICATE-----%0A{zeros}%0AAAA%3D%0A-----END%20CERTIFICATE-----%0A");
        assert_eq!(part(Some(&certificate), ClientCertPart::Pem), expected);
        assert_eq!(part(Some(&certificate), ClientCertPart::Serial), "0f");
        assert_eq!(part(None, ClientCertPart::Pem), "");
        assert_eq!(part(None, ClientCertPart::Verify), "NONE");
    }
}
