//! The reasons why a certificate is not accepted, in the user's words, each with what mends it. One table for both sides: for the
//! certificates of servers, and for those of clients.

use std::time::{Duration, UNIX_EPOCH};

use rustls::CertificateError;
use rustls::pki_types::{ServerName, UnixTime};

/// Names of a certificate that are told. Behind them it is said how many there are.
const NAMES: usize = 5;

/// The side that showed the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// A server, to the gateway.
    ByServer,
    /// A client, to a listener.
    ByClient,
}

/// A sentence about the certificate.
pub fn words(shown: Shown, reason: &CertificateError) -> String {
    let whose = match shown {
        Shown::ByServer => "the server's certificate",
        Shown::ByClient => "the client's certificate",
    };
    format!("{whose} {}", wrong(shown, reason))
}

fn wrong(shown: Shown, reason: &CertificateError) -> String {
    const RENEW: &str = "it has to be renewed, or an issuer in its chain";
    const CLOCK: &str = "look at the clock of this machine, and at who issued it";
    match reason {
        CertificateError::Expired => format!("has expired: {RENEW}"),
        CertificateError::ExpiredContext { not_after, .. } => format!("has expired{}: {RENEW}", at(*not_after)),
        CertificateError::NotValidYet => format!("is not valid yet: {CLOCK}"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("is not valid yet, but from {}: {CLOCK}", time(*not_before))
        }
        CertificateError::UnknownIssuer => unknown_issuer(shown).to_owned(),
        CertificateError::NotValidForName => {
            "is for another name: `server-name` says which one it has to be for".to_owned()
        }
        CertificateError::NotValidForNameContext { expected, presented } => other_name(expected, presented),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => purpose(shown).to_owned(),
        CertificateError::BadSignature => {
            "has a wrong signature: who shows it has not its key, it was changed, the `bundle` has \
                                           another key of its issuer, or a key of RSA has less than 2048 bits"
                .to_owned()
        }
        CertificateError::Revoked => "was revoked by its issuer: it has to be replaced".to_owned(),
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => weak().to_owned(),
        #[expect(deprecated, reason = "the library may still say so")]
        CertificateError::UnsupportedSignatureAlgorithm => weak().to_owned(),
        CertificateError::UnhandledCriticalExtension => critical().to_owned(),
        CertificateError::BadEncoding => malformed().to_owned(),
        CertificateError::Other(other) => match other.0.downcast_ref::<webpki::Error>() {
            Some(error) => chain(shown, error),
            None => "is not acceptable".to_owned(),
        },
        other => format!("is not acceptable: {other}"),
    }
}

/// A finding of the library about the chain that it does not pass on in words of its own.
fn chain(shown: Shown, error: &webpki::Error) -> String {
    use webpki::Error;
    match error {
        Error::CaUsedAsEndEntity => {
            let who = match shown {
                Shown::ByServer => "server",
                Shown::ByClient => "client",
            };
            format!(
                "is that of an authority (`CA:TRUE`), which proves no {who}: issue one for the {who} itself, with \
                 `basicConstraints=CA:FALSE`"
            )
        }
        Error::EndEntityUsedAsCa => "was signed by one that is no authority's (`CA:FALSE`): let its issuer have \
                                     `basicConstraints=CA:TRUE`"
            .to_owned(),
        Error::PathLenConstraintViolated => "has more issuers between itself and the authority than that one allows \
                                             (`pathlen`): have it signed nearer to the authority"
            .to_owned(),
        Error::NameConstraintViolation => {
            "has a name that one of its issuers may not sign for (`nameConstraints`): have it \
                                           signed by one that may"
                .to_owned()
        }
        Error::EmptyEkuExtension => purpose(shown).to_owned(),
        Error::SignatureAlgorithmMismatch => weak().to_owned(),
        Error::UnsupportedCriticalExtension => critical().to_owned(),
        Error::UnsupportedCertVersion => {
            "is not of version 3 of X.509: issue one with extensions (`openssl x509 -extfile`)".to_owned()
        }
        Error::MaximumPathBuildCallsExceeded
        | Error::MaximumPathDepthExceeded
        | Error::MaximumSignatureChecksExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => {
            "has a chain that takes too much to verify: leave out what does not lead to the authority".to_owned()
        }
        Error::MalformedExtensions
        | Error::ExtensionValueInvalid
        | Error::MalformedDnsIdentifier
        | Error::MalformedNameConstraint
        | Error::InvalidNetworkMaskConstraint
        | Error::InvalidSerialNumber => malformed().to_owned(),
        other => format!("is not acceptable: {other}"),
    }
}

const fn unknown_issuer(shown: Shown) -> &'static str {
    match shown {
        Shown::ByServer => {
            "was not signed by an authority that `verify` trusts: write `verify ca NAME`, with its issuer in the `bundle` of \
             that `ca`, or let the server send its whole chain"
        }
        Shown::ByClient => {
            "was not signed by an authority of `client-ca`: put its issuer into the `bundle` of that `ca`, or let the client \
             send its whole chain"
        }
    }
}

const fn purpose(shown: Shown) -> &'static str {
    match shown {
        Shown::ByServer => "is not meant for servers: issue one with `extendedKeyUsage=serverAuth`",
        Shown::ByClient => "is not meant for clients: issue one with `extendedKeyUsage=clientAuth`",
    }
}

const fn weak() -> &'static str {
    "is signed in a way that is not accepted, such as with SHA-1: have it signed with SHA-256 or better"
}

const fn critical() -> &'static str {
    "has a critical extension that is not known here: issue one without it, or where it is not critical"
}

const fn malformed() -> &'static str {
    "cannot be read: it is not in the form of RFC 5280"
}

fn other_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let expected = expected.to_str();
    if presented.is_empty() {
        return format!(
            "names no server, and has to be for `{expected}`: issue one with `subjectAltName`; its subject does not count"
        );
    }
    let names: Vec<String> = presented.iter().take(NAMES).map(|name| format!("`{}`", bare(name))).collect();
    let more = match presented.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "is for another name: it has {}{more}, and not `{expected}`; if it is the right server, name one of them in `server-name`",
        names.join(", ")
    )
}

/// A name as the library has it, `DnsName("a.example")` or `IpAddress(10.0.0.1)`, without its kind. The server chose it, so what
/// could make another line of it is escaped.
fn bare(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    let text = inner.trim_matches('"').escape_debug();
    // A name of the DNS is no longer (RFC 1035, 2.3.4).
    text.take(255).collect()
}

fn at(when: UnixTime) -> String {
    format!(", at {}", time(when))
}

fn time(when: UnixTime) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let when = UNIX_EPOCH.checked_add(Duration::from_secs(when.as_secs()));
    match when.map(|when| write!(text, "{}", humantime::format_rfc3339_seconds(when))) {
        Some(Ok(())) => text,
        _ => "another age".to_owned(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;
    use webpki::Error as Chain;

    use super::Shown::{ByClient, ByServer};
    use super::*;

    fn moment(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn names(presented: &[&str]) -> CertificateError {
        let expected = ServerName::try_from("api.internal").unwrap();
        let presented = presented.iter().map(|name| (*name).to_owned()).collect();
        CertificateError::NotValidForNameContext { expected, presented }
    }

    #[test]
    fn each_reason_says_what_is_wrong_and_what_mends_it() {
        let context = |not_after| CertificateError::ExpiredContext { time: moment(0), not_after };
        let early = CertificateError::NotValidYetContext { time: moment(0), not_before: moment(4_102_444_800) };
        let weak = CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: Vec::new(),
            supported_algorithms: Vec::new(),
        };
        for (shown, reason, wrong, mend) in [
            (ByServer, CertificateError::Expired, "has expired: ", "renewed"),
            (ByClient, context(moment(1_000_000_000)), "has expired, at 2001-09-09T01:46:40Z: ", "renewed"),
            (ByServer, context(moment(u64::MAX)), "has expired, at another age: ", "renewed"),
            (ByServer, CertificateError::NotValidYet, "is not valid yet: ", "clock"),
            (ByClient, early, "is not valid yet, but from 2100-01-01T00:00:00Z: ", "clock"),
            (ByServer, CertificateError::UnknownIssuer, "that `verify` trusts: ", "`verify ca NAME`"),
            (ByClient, CertificateError::UnknownIssuer, "of `client-ca`: ", "`bundle`"),
            (ByServer, CertificateError::NotValidForName, "another name: ", "`server-name`"),
            (ByServer, CertificateError::InvalidPurpose, "for servers: ", "serverAuth"),
            (ByClient, CertificateError::InvalidPurpose, "for clients: ", "clientAuth"),
            (ByServer, CertificateError::BadSignature, "wrong signature: ", "2048 bits"),
            (ByClient, CertificateError::Revoked, "was revoked by its issuer: ", "replaced"),
            (ByServer, weak, "such as with SHA-1: ", "SHA-256"),
            (ByServer, CertificateError::UnhandledCriticalExtension, "critical extension", "without it"),
            (ByClient, CertificateError::BadEncoding, "cannot be read: ", "RFC 5280"),
            (ByServer, CertificateError::UnknownRevocationStatus, "is not acceptable: ", "Revocation"),
        ] {
            told(shown, &reason, wrong, mend);
        }
    }

    #[test]
    fn what_is_wrong_with_a_chain_is_told_too() {
        for (shown, reason, wrong, mend) in [
            (ByServer, Chain::CaUsedAsEndEntity, "which proves no server: ", "CA:FALSE"),
            (ByClient, Chain::CaUsedAsEndEntity, "which proves no client: ", "CA:FALSE"),
            (ByServer, Chain::EndEntityUsedAsCa, "is no authority's", "CA:TRUE"),
            (ByServer, Chain::PathLenConstraintViolated, "more issuers", "nearer"),
            (ByServer, Chain::NameConstraintViolation, "may not sign for", "that may"),
            (ByClient, Chain::EmptyEkuExtension, "not meant for clients", "clientAuth"),
            (ByServer, Chain::SignatureAlgorithmMismatch, "not accepted", "SHA-256"),
            (ByServer, Chain::UnsupportedCriticalExtension, "critical extension", "without it"),
            (ByServer, Chain::UnsupportedCertVersion, "not of version 3", "extensions"),
            (ByServer, Chain::MaximumPathDepthExceeded, "too much to verify", "leave out"),
            (ByServer, Chain::MalformedExtensions, "cannot be read", "RFC 5280"),
            (ByServer, Chain::CertDistrusted, "is not acceptable: ", "CertDistrusted"),
        ] {
            told(shown, &CertificateError::Other(OtherError(Arc::new(reason))), wrong, mend);
        }
        let unknown = CertificateError::Other(OtherError(Arc::new(std::fmt::Error)));
        assert_eq!(words(ByServer, &unknown), "the server's certificate is not acceptable");
    }

    #[test]
    fn names_are_told_and_their_number_is_bounded() {
        assert_eq!(
            words(ByServer, &names(&["DnsName(\"shop.example\")", "IpAddress(10.0.0.1)"])),
            "the server's certificate is for another name: it has `shop.example`, `10.0.0.1`, and not `api.internal`; if it is \
             the right server, name one of them in `server-name`"
        );
        told(ByServer, &names(&[]), "names no server, and has to be for `api.internal`", "`subjectAltName`");
        assert!(words(ByServer, &names(&["DnsName(\"a\")"; NAMES])).contains("`a`, and not"), "at the bound");
        assert!(words(ByServer, &names(&["DnsName(\"a\")"; NAMES + 2])).contains("`a` and 2 more, and not"));
        let long = format!("DnsName(\"{}\nb\")", "a".repeat(9000));
        let said = words(ByServer, &names(&["DnsName(\"a\r\n\u{1b}[1mb\")", &long]));
        assert!(said.contains("`a\\r\\n\\u{1b}[1mb`") && said.len() < 600, "{said}");
        assert!(!said.contains(char::is_control), "{said}");
    }

    fn told(shown: Shown, reason: &CertificateError, wrong: &str, mend: &str) {
        let said = words(shown, reason);
        let whose = if shown == ByServer { "the server's certificate " } else { "the client's certificate " };
        assert!(said.starts_with(whose) && said.contains(wrong) && said.contains(mend), "{reason:?}: {said}");
        assert!(!said.contains("  ") && !said.ends_with('.'), "{said}");
    }
}
