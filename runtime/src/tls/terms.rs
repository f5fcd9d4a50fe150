//! The terms of a handshake, held against a policy that came later.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, NamedGroup, RootCertStore, ServerConnection};

use super::endpoint::Endpoint;

/// The terms that a handshake agreed on, as far as a policy decides about them.
#[derive(Debug)]
pub struct Terms {
    suite: Option<CipherSuite>,
    group: Option<NamedGroup>,
    /// Whether both sides agreed on HTTP/2 (RFC 9113, 3.2).
    http2: bool,
    /// The certificate of the client with its issuers; empty if it showed none.
    shown: Box<[CertificateDer<'static>]>,
    /// The authorities that the certificate was verified against.
    roots: Option<Arc<RootCertStore>>,
}

impl Terms {
    /// The terms of a finished handshake.
    pub fn of(connection: &ServerConnection, endpoint: &Endpoint) -> Self {
        Self {
            suite: connection.negotiated_cipher_suite().map(|suite| suite.suite()),
            group: connection.negotiated_key_exchange_group().map(|group| group.name()),
            http2: connection.alpn_protocol() == Some(b"h2"),
            shown: connection.peer_certificates().unwrap_or_default().into(),
            roots: endpoint.roots().cloned(),
        }
    }

    /// Whether both sides agreed on HTTP/2.
    pub const fn http2(&self) -> bool {
        self.http2
    }

    /// Whether this endpoint would have agreed to these terms, too.
    pub fn suit(&self, endpoint: &Endpoint) -> bool {
        let offered = endpoint.config.crypto_provider();
        let suite = self.suite.is_none_or(|of| offered.cipher_suites.iter().any(|suite| suite.suite() == of));
        let group = self.group.is_none_or(|of| offered.kx_groups.iter().any(|group| group.name() == of));
        let http2 = !self.http2 || endpoint.config.alpn_protocols.iter().any(|protocol| protocol == b"h2");
        suite && group && http2 && self.client_suits(endpoint)
    }

    /// Whether this endpoint lets in the client with the certificate that it showed.
    fn client_suits(&self, endpoint: &Endpoint) -> bool {
        let same = self.roots.as_ref().zip(endpoint.roots()).is_some_and(|(old, new)| old.roots == new.roots);
        (same && !self.shown.is_empty()) || endpoint.takes(&self.shown).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::run;
    use crate::tls::Certificates;
    use crate::tls::tests::{Authority, Secure, shake};

    #[test]
    fn a_connection_stays_that_the_policy_of_now_would_have_made() {
        let (authority, other) = (Authority::new("ours"), Authority::new("another"));
        let trusting =
            |of: &[&Authority]| Certificates { authorities: vec![Authority::bundle(of)], ..authority.certificates() };
        let own = trusting(&[&authority]);
        let (both, foreign) = (trusting(&[&authority, &other]), trusting(&[&other]));
        let (optional, required) = ("client-ca partners optional", "client-ca partners required");
        for (before, shows, protocol, after, certificates, suits) in [
            ("", true, "h2", "", &own, true),
            // TLS_AES_128_GCM_SHA256 was agreed on, with x25519.
            ("", true, "h2", "tls-policy newest", &own, false),
            ("tls-policy newest", true, "h2", "", &own, true),
            ("", true, "h2", "tls-policy older", &own, false),
            ("", true, "h2", "tls-policy slow", &own, false),
            ("", true, "h2", "http2 off", &own, false),
            ("", true, "http/1.1", "http2 off", &own, true),
            ("http2 off", true, "http/1.1", "", &own, true),
            // The client shows a certificate where it is asked for one, or has none.
            ("", true, "h2", optional, &own, true),
            ("", true, "h2", required, &own, false),
            (required, true, "h2", "", &own, true),
            (required, true, "h2", optional, &own, true),
            (optional, true, "h2", required, &own, true),
            (optional, false, "h2", optional, &own, true),
            (optional, false, "h2", required, &own, false),
            (required, true, "h2", required, &both, true),
            (required, true, "h2", required, &foreign, false),
            (optional, true, "h2", optional, &foreign, false),
        ] {
            let first = Secure::new(before, own.clone());
            let mut client = authority.client(shows.then_some(&authority));
            client.alpn_protocols = vec![protocol.into()];
            let terms = run(shake(&Arc::new(client), first.endpoint())).secured().terms;
            assert_eq!(terms.http2(), protocol == "h2");
            let then = first.then(after, certificates.clone());
            assert_eq!(terms.suit(then.endpoint()), suits, "{protocol} by `{before}`, and then `{after}`");
        }
    }
}
