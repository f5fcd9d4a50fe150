//! Houses with a certificate: over TLS in memory, and over QUIC on the loopback interface.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, Endpoint, TransportConfig};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, version};
use tidegate_dsl::KeyAlgorithm;
use tidegate_engine::Engine;
use tokio::task::LocalSet;

use super::{ANSWERS, House, policy};
use crate::policy::snapshot::Snapshot;
use crate::quic::config::crypto;
use crate::quic::shared_endpoint::SharedEndpoint;
use crate::tls::Certificates;
use crate::tls::files::ServerCertificate;
use crate::tls::tests::sound;
use crate::worker::quic::{QuicListener, WorkerEndpoint};

/// Runs a test that has sockets, whose time passes as it does outside.
pub(crate) fn run_with_sockets<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bounded = async { tokio::time::timeout(Duration::from_secs(20), test).await };
    LocalSet::new().block_on(&runtime, bounded).unwrap_or_else(|_| panic!("the test waits for what never comes"))
}

/// The certificate of a listener for `localhost`, which signs itself, and so is its own authority.
pub(crate) struct Certified {
    /// Whom a client trusts.
    pub(crate) roots: Arc<RootCertStore>,
    /// What the gateway has read.
    certificates: Certificates,
    /// The rules that it serves.
    rules: String,
}

impl Certified {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let key = CertifiedKey::new(vec![made.cert.der().clone()], any_supported_type(&key).unwrap());
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let chain = ServerCertificate {
            key: Arc::new(key),
            names: vec!["localhost".to_owned()],
            algorithm: KeyAlgorithm::Ecdsa,
            not_before: Duration::ZERO,
            not_after: Duration::MAX,
            staple_until: None,
            gap: None,
        };
        let certificates = Certificates { chains: vec![Arc::new(chain)], ..Certificates::default() };
        Self { roots: Arc::new(roots), certificates, rules: ANSWERS.to_owned() }
    }

    /// The policy whose listener `main` speaks this protocol, with these words.
    fn snapshot(&self, protocol: &str, listener: &str, previous: Option<&Snapshot>) -> Snapshot {
        let policy = policy(&format!("certificate own; {listener}"), &self.rules);
        let policy = policy.replacen("listener http ", &format!("listener {protocol} "), 1)
            + "certificate own { chain \"own.pem\"; key \"own.key\" }\n";
        let engine = Engine::build(Arc::new(sound(&policy)), previous.map(|previous| &*previous.engine)).unwrap();
        Snapshot::build(Arc::new(engine), Vec::new(), self.certificates.clone(), previous).unwrap()
    }

    /// Serves the rules over TLS or QUIC.
    pub(crate) fn house(&self, protocol: &str, listener: &str) -> House {
        House::serving(self.snapshot(protocol, listener, None))
    }

    /// Puts a policy with other words of the listener in service.
    pub(crate) fn reload(&self, house: &House, protocol: &str, listener: &str) {
        let shared = &house.worker.shared;
        shared.commit(Arc::new(self.snapshot(protocol, listener, Some(&shared.snapshot()))));
    }

    /// A client that offers these protocols.
    pub(crate) fn client(&self, protocols: &[&str]) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(&[&version::TLS13]).unwrap();
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        config
    }
}

/// A QUIC listener of one worker on the loopback interface, and a client who gets what he asks for in small pieces.
pub(crate) struct Quic {
    pub(crate) house: House,
    pub(crate) listener: Rc<QuicListener>,
    pub(crate) certified: Certified,
    client: Endpoint,
    address: SocketAddr,
}

impl Quic {
    /// Bytes of one answer that the client takes before it reads.
    pub(crate) const WINDOW: u32 = 2000;

    /// Serves [`ANSWERS`], and 10,000 bytes at `/big`.
    pub(crate) fn start(listener: &str) -> Self {
        let big = format!("rule big {{ when path is \"/big\"; respond 200 \"{}\" }} {ANSWERS}", "x".repeat(10_000));
        let certified = Certified { rules: big, ..Certified::new() };
        let house = certified.house("quic", listener);
        let (view, id) = house.handle.view(&house.worker);
        let crypto = crypto(view.snapshot.tls.endpoint(id).unwrap()).unwrap();
        let (shared, mut inboxes) = SharedEndpoint::new(1, crypto, Weak::new());
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let own = WorkerEndpoint { shared, socket, inbox: inboxes.remove(0) };
        let listener = QuicListener::start(own, &house.handle, &house.worker).unwrap();
        let mut transport = TransportConfig::default();
        transport.stream_receive_window(Self::WINDOW.into());
        let tls = QuicClientConfig::try_from(certified.client(&["h3"])).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(Arc::new(transport));
        let mut client = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        client.set_default_client_config(config);
        Self { house, listener, certified, client, address }
    }

    /// Connects the client.
    pub(crate) async fn connect(&self) -> Result<quinn::Connection, ConnectionError> {
        self.client.connect(self.address, "localhost").unwrap().await
    }
}
