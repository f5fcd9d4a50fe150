//! TLS connections to the gateway.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore,
    StreamOwned, SupportedProtocolVersion,
};

use crate::Client;
use crate::pki::{Authority, Identity};
use crate::waiting::patient;

/// A client of TLS, by what it offers and trusts.
pub struct Secure {
    roots: Arc<RootCertStore>,
    versions: Vec<&'static SupportedProtocolVersion>,
    suites: Option<Vec<CipherSuite>>,
    groups: Option<Vec<NamedGroup>>,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
}

/// The outcome of a handshake.
#[derive(Debug, Clone)]
pub struct Session {
    /// The gateway's certificate; `None` if the session was resumed.
    pub certificate: Option<CertificateDer<'static>>,
    /// The version.
    pub version: ProtocolVersion,
    /// The suite.
    pub suite: CipherSuite,
    /// The protocol that was agreed on.
    pub alpn: Option<Vec<u8>>,
    /// Whether the session was resumed.
    pub resumed: bool,
}

impl Secure {
    /// A client that trusts an authority, and takes all that is sound.
    pub fn trusting(authority: &Authority) -> Self {
        Self::trusting_roots(authority.roots())
    }

    /// A client that trusts these, and takes all that is sound.
    pub fn trusting_roots(roots: Arc<RootCertStore>) -> Self {
        Self {
            roots,
            versions: rustls::ALL_VERSIONS.to_vec(),
            suites: None,
            groups: None,
            identity: None,
            alpn: Vec::new(),
        }
    }

    /// Offers this version alone.
    #[must_use]
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Offers these suites alone, in this order.
    #[must_use]
    pub fn suites(mut self, suites: &[CipherSuite]) -> Self {
        self.suites = Some(suites.to_vec());
        self
    }

    /// Offers these groups alone, in this order.
    #[must_use]
    pub fn groups(mut self, groups: &[NamedGroup]) -> Self {
        self.groups = Some(groups.to_vec());
        self
    }

    /// That shows a certificate.
    #[must_use]
    pub fn showing(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// That offers these protocols.
    #[must_use]
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        self
    }

    /// Ready to connect. Connections of one of these resume each other's sessions.
    ///
    /// # Panics
    /// Nothing is left of what it may do.
    pub fn config(&self) -> Arc<ClientConfig> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(suites) = &self.suites {
            let all = provider.cipher_suites;
            let find = |wanted: &CipherSuite| all.iter().find(|suite| suite.suite() == *wanted).copied();
            provider.cipher_suites = suites.iter().filter_map(find).collect();
        }
        if let Some(groups) = &self.groups {
            let all = aws_lc_rs::ALL_KX_GROUPS;
            let find = |wanted: &NamedGroup| all.iter().find(|group| group.name() == *wanted).copied();
            provider.kx_groups = groups.iter().filter_map(find).collect();
        }
        let provider = Arc::new(provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(
            Arc::clone(&self.roots),
            Arc::new(aws_lc_rs::default_provider()),
        );
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .expect("versions with suites")
            .with_webpki_verifier(verifier.build().expect("a verifier"));
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        Arc::new(config)
    }

    /// Connects, and asks for a name.
    ///
    /// # Errors
    /// There is no connection.
    pub fn connect(&self, port: u16, name: &str) -> io::Result<(Client, Session)> {
        connect(&self.config(), port, name)
    }
}

/// Makes a handshake. In TLS 1.3 a client's certificate is refused only after the client believes that it is connected:
/// whoever needs to know sends a request.
///
/// # Errors
/// There is no connection.
pub fn connect(config: &Arc<ClientConfig>, port: u16, name: &str) -> io::Result<(Client, Session)> {
    let socket = TcpStream::connect(("127.0.0.1", port))?;
    over(config, socket, name)
}

/// Makes a handshake on an open socket.
///
/// # Errors
/// There is no connection.
pub fn over(config: &Arc<ClientConfig>, mut socket: TcpStream, name: &str) -> io::Result<(Client, Session)> {
    patient(&socket)?;
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket)?;
    }
    let session = Session {
        certificate: connection.peer_certificates().and_then(<[_]>::first).map(|one| one.clone().into_owned()),
        version: connection.protocol_version().expect("a version"),
        suite: connection.negotiated_cipher_suite().expect("a suite").suite(),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    let control = socket.try_clone()?;
    Ok((Client::through(Box::new(StreamOwned::new(connection, socket)), control), session))
}
