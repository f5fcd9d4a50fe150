//! The handshake of a client: bounded in time and number, and what became of it in the user's words.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::{AlertDescription, Error, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConnection};
use tidegate_base::limits;
use tidegate_engine::exchange::Tls;
use tidegate_upstream::unacceptable::{self, Shown};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::client_cert;
use super::early::{self, ClientTls, EarlyBytes, Io};
use super::endpoint::{Endpoint, word_of};
use super::terms::Terms;

/// A connection after its handshake, or with early data before the end of it.
pub struct Secured<S = TcpStream> {
    /// What HTTP comes on.
    pub stream: ClientTls<S>,
    /// What rules and hooks see of it.
    pub tls: Tls,
    /// The terms that both sides agreed on, as far as a policy decides about them.
    pub terms: Terms,
    /// Whether what is read comes in early data, if any may.
    pub early: Option<Rc<EarlyBytes>>,
}

/// Why there is no connection.
#[derive(Debug)]
pub struct Refused {
    /// The kind, for counters and for the bound on log lines.
    pub kind: RefusedKind,
    /// What happened, in the user's words.
    pub why: String,
}

/// A kind of failed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The client left.
    Left,
    /// The client took too long.
    Timeout,
    /// Others needed its place.
    Crowded,
    /// The client speaks without TLS.
    Plain,
    /// Bytes that are not TLS, or break its rules.
    Malformed,
    /// No version, suite, group, signature or protocol that both sides have.
    Incompatible,
    /// The client refused what it got, which mostly is our certificate.
    ByClient,
    /// The client showed no certificate, and has to.
    NoCertificate,
    /// The certificate that the client showed is not accepted.
    BadCertificate,
}

impl RefusedKind {
    /// Every one, in the order of the counters.
    pub const ALL: [Self; 9] = [
        Self::Left,
        Self::Timeout,
        Self::Crowded,
        Self::Plain,
        Self::Malformed,
        Self::Incompatible,
        Self::ByClient,
        Self::NoCertificate,
        Self::BadCertificate,
    ];

    /// The name in logs and counters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "handshake-left",
            Self::Timeout => "handshake-timeout",
            Self::Crowded => "handshake-crowded",
            Self::Plain => "handshake-plain-http",
            Self::Malformed => "handshake-malformed",
            Self::Incompatible => "handshake-incompatible",
            Self::ByClient => "handshake-by-client",
            Self::NoCertificate => "handshake-no-certificate",
            Self::BadCertificate => "handshake-bad-certificate",
        }
    }

    /// Whether an operator wants to know without asking: what scanners and browsers do all day is not worth a line.
    pub const fn is_notable(self) -> bool {
        matches!(self, Self::Crowded | Self::Incompatible | Self::ByClient | Self::NoCertificate | Self::BadCertificate)
    }
}

impl Refused {
    /// A failure of this kind.
    pub fn new(kind: RefusedKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }
}

/// Waits for the client's first byte. A connection that says nothing costs little, so it is no handshake yet.
///
/// # Errors
/// The client left, or speaks HTTP without TLS.
pub async fn begin(stream: &TcpStream) -> Result<(), Refused> {
    let mut first = [0];
    match stream.peek(&mut first).await {
        Ok(0) | Err(_) => Err(Refused::new(RefusedKind::Left, "the client left before it said a word")),
        // A method of HTTP; a TLS record begins with its type, which is no letter (RFC 8446, 5.1).
        Ok(_) if first[0].is_ascii_alphabetic() => {
            Err(Refused::new(RefusedKind::Plain, "the client speaks HTTP without TLS"))
        }
        Ok(_) => Ok(()),
    }
}

/// Makes the handshake; where the listener takes early data and some is on its way, as far as it takes to read that.
///
/// # Errors
/// It failed; the client got an alert that says why, as far as TLS has one.
pub async fn finish<S: Io>(stream: S, endpoint: &Endpoint) -> Result<Secured<S>, Refused> {
    let made = if endpoint.config.max_early_data_size > 0 {
        early::accept(stream, &endpoint.config).await
    } else {
        let acceptor = TlsAcceptor::from(Arc::clone(&endpoint.config));
        let bounded = |connection: &mut ServerConnection| connection.set_buffer_limit(Some(limits::TLS_BUFFER));
        acceptor.accept_with(stream, bounded).await.map(ClientTls::Open)
    };
    let mut stream = made.map_err(|error| refused(&error))?;
    let Some(connection) = stream.connection() else {
        return Err(Refused::new(RefusedKind::Left, "the client left at the end of the handshake"));
    };
    if let Err(refused) = still_trusted(connection, endpoint) {
        // The certificate was good when the session began.
        let _ = stream.shutdown().await;
        return Err(refused);
    }
    let tls = described(connection)?;
    let terms = Terms::of(connection, endpoint);
    let early = stream.early();
    Ok(Secured { stream, tls, terms, early })
}

/// A resumed session brings the certificate of its first handshake along, which may have expired meanwhile.
fn still_trusted(connection: &ServerConnection, endpoint: &Endpoint) -> Result<(), Refused> {
    if connection.handshake_kind() != Some(HandshakeKind::Resumed) {
        return Ok(());
    }
    endpoint.takes(connection.peer_certificates().unwrap_or_default()).map_err(|error| of(&error))
}

/// What a finished handshake came to.
fn described(connection: &ServerConnection) -> Result<Tls, Refused> {
    let client_cert = match connection.peer_certificates().and_then(<[_]>::first) {
        Some(certificate) => Some(client_cert::describe(certificate).ok_or_else(|| {
            Refused::new(RefusedKind::BadCertificate, "the names in the client's certificate cannot be read")
        })?),
        None => None,
    };
    Ok(Tls {
        sni: connection.server_name().map(str::to_owned),
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "tls1.2",
            _ => "tls1.3",
        },
        // rustls puts the version into the name of a suite of TLS 1.3; IANA does not.
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str())
            .map(|name| name.replacen("TLS13_", "TLS_", 1))
            .unwrap_or_default(),
        group: connection.negotiated_key_exchange_group().and_then(|group| word_of(group.name())),
        client_cert,
    })
}

/// What went wrong in a handshake.
fn refused(error: &io::Error) -> Refused {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of(error),
        None => Refused::new(RefusedKind::Left, "the client left in the middle of the handshake"),
    }
}

/// A failure in the user's words.
fn of(error: &Error) -> Refused {
    use RefusedKind::{BadCertificate, ByClient, Incompatible, Malformed, NoCertificate};
    match error {
        Error::NoCertificatesPresented => {
            Refused::new(NoCertificate, "the client showed no certificate, which `client-ca` requires")
        }
        Error::InvalidCertificate(reason) => Refused::new(BadCertificate, unacceptable::words(Shown::ByClient, reason)),
        Error::PeerIncompatible(reason) => Refused::new(Incompatible, incompatible_words(reason)),
        Error::NoApplicationProtocol => Refused::new(
            Incompatible,
            "the client wants a protocol (ALPN) that is not offered here; `http2` decides about HTTP/2",
        ),
        Error::AlertReceived(alert) => Refused::new(ByClient, alert_words(*alert)),
        _ => Refused::new(Malformed, "what the client sent is not TLS, or breaks its rules"),
    }
}

fn incompatible_words(reason: &PeerIncompatible) -> &'static str {
    match reason {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            "the client offers no version of TLS that the `tls-policy` has"
        }
        PeerIncompatible::NoCipherSuitesInCommon => {
            "the client offers no suite that the `tls-policy` has and the certificate's key can sign for"
        }
        PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::KeyShareExtensionRequired
        | PeerIncompatible::NamedGroupsExtensionRequired => {
            "the client offers no key-exchange group that the `tls-policy` has"
        }
        PeerIncompatible::NoSignatureSchemesInCommon | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "the client cannot check signatures of the certificate's kind of key"
        }
        _ => "the client's way of TLS is not carried here",
    }
}

fn alert_words(alert: AlertDescription) -> String {
    let name = alert.as_str().unwrap_or("unknown");
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::UnsupportedCertificate => format!("the client does not accept our certificate ({name})"),
        _ => format!("the client broke the handshake off ({name})"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed test may panic")]
mod tests {
    use rustls::{CertificateError, ClientConfig, RootCertStore};
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::tests::run;
    use crate::tls::Certificates;
    use crate::tls::tests::{Authority, Secure, Shaken, shake};

    #[test]
    fn reasons_are_in_the_users_words() {
        for (error, kind, words) in [
            (Error::NoCertificatesPresented, RefusedKind::NoCertificate, "`client-ca` requires"),
            (Error::InvalidCertificate(CertificateError::Expired), RefusedKind::BadCertificate, "has expired"),
            (Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), RefusedKind::Incompatible, "`tls-policy`"),
            (Error::AlertReceived(AlertDescription::UnknownCA), RefusedKind::ByClient, "UnknownCA"),
            (Error::DecryptError, RefusedKind::Malformed, "not TLS"),
        ] {
            let refused = of(&error);
            assert_eq!(refused.kind, kind);
            assert!(refused.why.contains(words), "{}", refused.why);
        }
    }

    #[test]
    fn every_kind_has_its_counter() {
        for (at, kind) in RefusedKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, at);
        }
    }

    /// What a listener with these words comes to with a client.
    fn met(listener: &str, client: ClientConfig) -> Shaken {
        AUTHORITY.with(|authority| {
            let listener = Secure::new(listener, authority.certificates());
            run(shake(&Arc::new(client), listener.endpoint()))
        })
    }

    #[test]
    fn what_was_agreed_on_is_told_in_the_names_of_the_standards() {
        AUTHORITY.with(|authority| {
            // The order is ours: the client has another one.
            for (listener, version, cipher) in [
                ("", "tls1.3", "TLS_AES_128_GCM_SHA256"),
                ("tls-policy newest", "tls1.3", "TLS_AES_256_GCM_SHA384"),
                ("tls-policy older", "tls1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
            ] {
                let tls = met(listener, authority.client(None)).secured().tls;
                assert_eq!((tls.version, tls.cipher.as_str()), (version, cipher), "{listener}");
                assert_eq!((tls.sni.as_deref(), tls.group), (Some("shop.test"), Some("x25519")));
                assert!(tls.client_cert.is_none());
            }
            let shown = met("client-ca partners required", authority.client(Some(authority)));
            let shown = shown.secured().tls.client_cert.unwrap();
            assert_eq!(shown.issuer, "CN=ours");
            // Where nobody asks for it, nobody sees it.
            assert!(met("", authority.client(Some(authority))).secured().tls.client_cert.is_none());
        });
    }

    #[test]
    fn both_sides_learn_why_there_is_no_connection() {
        use AlertDescription::{
            CertificateRequired, HandshakeFailure, NoApplicationProtocol, ProtocolVersion as Version, UnknownCA,
        };
        AUTHORITY.with(|authority| {
            let (other, own) = (Authority::new("another"), || authority.client(None));
            let speaking = |protocol: &str| {
                let mut client = own();
                client.alpn_protocols = vec![protocol.into()];
                client
            };
            let required = "client-ca partners required";
            for (listener, client, kind, words, alert) in [
                ("tls-policy older", newest(&own()), RefusedKind::Incompatible, "no version of TLS", Some(Version)),
                ("tls-policy slow", own(), RefusedKind::Incompatible, "key-exchange group", Some(HandshakeFailure)),
                ("", speaking("spdy/3"), RefusedKind::Incompatible, "(ALPN)", Some(NoApplicationProtocol)),
                (required, own(), RefusedKind::NoCertificate, "`client-ca` requires", Some(CertificateRequired)),
                (required, authority.client(Some(&other)), RefusedKind::BadCertificate, "", Some(UnknownCA)),
                ("client-ca partners optional", authority.client(Some(&other)), RefusedKind::BadCertificate, "", None),
                // It is the client that sends the alert.
                ("", other.client(None), RefusedKind::ByClient, "does not accept our certificate (UnknownCA)", None),
            ] {
                let shaken = met(listener, client);
                let refused = shaken.server.err().unwrap();
                assert_eq!(refused.kind, kind, "{listener}: {}", refused.why);
                assert!(refused.why.contains(words), "{listener}: {}", refused.why);
                let told = shaken.client.unwrap_err();
                if let Some(alert) = alert {
                    assert_eq!(told, Error::AlertReceived(alert), "{listener}");
                }
            }
        });
    }

    /// The settings of a client that speaks TLS 1.3 alone.
    fn newest(like: &ClientConfig) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::clone(like.crypto_provider()));
        let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    }

    #[test]
    fn bytes_that_are_no_handshake_are_told_from_a_client_that_leaves() {
        for (early, listener) in [(false, ""), (true, "early-data on")] {
            for (bytes, kind) in [
                (&b""[..], RefusedKind::Left),
                (b"\x16\x03\x01\x00\x05\x01", RefusedKind::Left),
                (b"\x16\x03\x01\x00\x05\x02\0\0\x01\0", RefusedKind::Malformed),
                (b"\0\0\0\0\0\0\0\0\0\0", RefusedKind::Malformed),
            ] {
                AUTHORITY.with(|authority| {
                    let listener = Secure::new(listener, authority.certificates());
                    let refused = run(async {
                        let (mut io, other) = tokio::io::duplex(1024);
                        io.write_all(bytes).await.unwrap();
                        io.shutdown().await.unwrap();
                        finish(other, listener.endpoint()).await.err().unwrap()
                    });
                    assert_eq!(refused.kind, kind, "{bytes:?}, early data: {early}: {}", refused.why);
                });
            }
        }
    }

    #[test]
    fn a_session_is_not_resumed_by_a_client_that_may_not_come_in_any_more() {
        AUTHORITY.with(|authority| {
            let listener = Secure::new("client-ca partners required", authority.certificates());
            let client = Arc::new(authority.client(Some(authority)));
            run(async {
                assert!(shake(&client, listener.endpoint()).await.client.is_ok());
                // The trust of the session is not that of the verifier: it stands for a certificate that has expired since.
                let stranger = Certificates {
                    authorities: vec![Authority::bundle(&[&Authority::new("another")])],
                    ..authority.certificates()
                };
                let Secure { plan, .. } = &listener;
                let tls = plan.listeners[0].tls.as_ref().unwrap();
                let mut endpoint = Endpoint::build(plan, &plan.listeners[0], tls, &stranger, None).unwrap();
                endpoint.config = Arc::clone(&listener.endpoint().config);
                let shaken = shake(&client, &endpoint).await;
                assert_eq!(shaken.server.err().unwrap().kind, RefusedKind::BadCertificate);
                assert_eq!(shaken.peer.tls.handshake_kind(), Some(HandshakeKind::Resumed));
            });
        });
    }

    thread_local! {
        static AUTHORITY: Authority = Authority::new("ours");
    }
}
