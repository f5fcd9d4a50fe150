//! `tidegate demo`: the shipped quickstart policy, with a backend and a certificate of its own.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::PublicKeyData as _;

use crate::cli::{Failed, answer, host};
use crate::gateway::{Gateway, NotStarted};
use crate::request::client_body::Incoming;

const POLICY: &str = include_str!("../../../policies/quickstart.gate");
const GUEST: &[u8] = include_bytes!(env!("TIDEGATE_CLIENT_HEADERS"));

/// The ports that the shipped policy names.
const SHIPPED_PORTS: (u16, u16) = (8080, 8081);

/// What the demo adds to the shipped policy, which names no files that are not there.
const HTTPS: &str = r#"

# The same over TLS, with a certificate that the demo has made for itself. Clients are told of HTTP/3 on the same port.
certificate demo {
    chain "demo.pem"
    key "demo.key"
}

listener https demo-https {
    address 127.0.0.1:@https
    certificate demo
    quic-upgrade demo-quic
    rules demo
}

listener quic demo-quic {
    address 127.0.0.1:@https
    certificate demo
    rules demo
}
"#;

/// How long the demo's certificate is valid.
const VALID: Duration = Duration::from_secs(90 * 24 * 3600);

/// Triples of ports tried from the shipped one on: the gateway's, the backend's, and the gateway's with TLS.
const TRIES: u16 = 50;

/// Serves until a signal.
pub(crate) fn run(port: Option<u16>) -> Result<(), Failed> {
    let (port, backend) = free_ports(port)?;
    let folder = Folder::make().map_err(unwritten)?;
    let policy = write_policy(&folder.0, port).map_err(unwritten)?;
    let fingerprint = write_certificate(&policy).map_err(unwritten)?;
    serve_backend(backend).map_err(|error| Failed::Because(format!("cannot start the demo's backend: {error}")))?;
    let gateway = match Gateway::start(policy.clone(), host()?) {
        Ok(gateway) => gateway,
        Err(NotStarted::Stopped) => return Ok(()),
        Err(NotStarted::Refused) => return Err(Failed::Said),
    };
    answer(&welcome(port, &policy, &fingerprint))?;
    gateway.run();
    Ok(())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` wants")]
fn unwritten(error: std::io::Error) -> Failed {
    Failed::Because(format!("cannot write the demo's files: {error}"))
}

/// The demo's folder, which is removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn make() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("tidegate-demo-{}", std::process::id()));
        // One of the same number that was killed left its own.
        let _ = std::fs::remove_dir_all(&folder);
        // Nobody else on this machine is to read or to write in it.
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is a few files in a folder that the system empties.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn welcome(port: u16, policy: &Path, fingerprint: &str) -> String {
    let url = format!("http://127.0.0.1:{port}");
    let secure = format!("https://127.0.0.1:{}", port + 2);
    let certificate = policy.with_file_name("demo.pem");
    format!(
        "
The gateway is up. In another terminal, try:

  curl -i {url}/
      the backend shows what it got: the gateway added x-forwarded-for, -proto and, by a rule, x-rule

  curl -i {url}/hello
      through a Wasm extension: x-client-ip reaches the backend, x-served-by comes back

  curl -i {url}/old
      308 to /hello, by a rule

  curl -i --cacert {} {secure}/
      the same over TLS: the backend sees x-forwarded-proto: https

  curl --http3-only -i --cacert {} {secure}/
      the same over HTTP/3, if your curl has it; browsers come by themselves:

  chromium --user-data-dir=$(mktemp -d) --ignore-certificate-errors-spki-list={fingerprint} \\
      --origin-to-force-quic-on=127.0.0.1:1 {secure}/
      reload once: the network tab says h2, then h3. The options make it trust this certificate, over QUIC, too

The policy is {}
Change it and save: the gateway reloads, and says so here. Ctrl-C ends it.
",
        certificate.display(),
        certificate.display(),
        policy.display()
    )
}

/// The gateway's port, and a socket for the backend on the next one. The one behind it is free, too, for TCP and UDP.
fn free_ports(wanted: Option<u16>) -> Result<(u16, TcpListener), Failed> {
    let first = wanted.unwrap_or(SHIPPED_PORTS.0);
    let tries = if wanted.is_some() { 1 } else { TRIES };
    for port in (first..=u16::MAX - 2).step_by(3).take(usize::from(tries)) {
        let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let quic = UdpSocket::bind((Ipv4Addr::LOCALHOST, port + 2));
        if let (Ok(_free), Ok(backend), Ok(_secure), Ok(_quic)) = (at(port), at(port + 1), at(port + 2), quic) {
            return Ok((port, backend));
        }
    }
    Err(Failed::Because(format!(
        "ports {first} to {} are not all free; choose another with `--port`",
        first.saturating_add(2)
    )))
}

/// Writes the policy, with the ports in it, and the guest that it names, as they lie in the project.
fn write_policy(folder: &Path, port: u16) -> std::io::Result<PathBuf> {
    let guests = folder.join("target/guests/wasm32-unknown-unknown/release");
    std::fs::create_dir_all(&guests)?;
    std::fs::write(guests.join("client_headers.wasm"), GUEST)?;
    let policies = folder.join("policies");
    std::fs::create_dir_all(&policies)?;
    let policy = policies.join("quickstart.gate");
    let text = [POLICY, &HTTPS.replace("@https", &(port + 2).to_string())]
        .concat()
        .replace(&format!("127.0.0.1:{}", SHIPPED_PORTS.1), &format!("127.0.0.1:{}", port + 1))
        .replace(&format!("127.0.0.1:{}", SHIPPED_PORTS.0), &format!("127.0.0.1:{port}"));
    std::fs::write(&policy, text)?;
    Ok(policy)
}

/// Writes a certificate for this machine beside the policy, signed by its own key, which is made for this run alone. Returns
/// the fingerprint of that key, as browsers take it.
fn write_certificate(policy: &Path) -> std::io::Result<String> {
    let make = || {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "tidegate demo");
        params.not_before = SystemTime::now().into();
        params.not_after = (SystemTime::now() + VALID).into();
        let key = rcgen::KeyPair::generate()?;
        let fingerprint = BASE64_STANDARD.encode(digest(&SHA256, &key.subject_public_key_info()));
        Ok::<_, rcgen::Error>((params.self_signed(&key)?.pem(), key.serialize_pem(), fingerprint))
    };
    let (certificate, key, fingerprint) = make().map_err(std::io::Error::other)?;
    std::fs::write(policy.with_file_name("demo.pem"), certificate)?;
    // Nobody else on this machine is to read it.
    let mut options = std::fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(policy.with_file_name("demo.key"));
    file?.write_all(key.as_bytes())?;
    Ok(fingerprint)
}

/// Answers every request with what it was: on a thread of its own, like a backend that somebody else runs.
fn serve_backend(listener: TcpListener) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    std::thread::Builder::new().name("demo-backend".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(tokio::runtime::LocalOptions::default());
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(echo));
                tokio::task::spawn_local(async move {
                    // The gateway closes connections as it likes.
                    let _ = connection.await;
                });
            }
        });
    })?;
    Ok(())
}

async fn echo(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let mut text = format!("This is the demo backend. It got:\n\n{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let mut response = http::Response::new(Full::new(Bytes::from(text)));
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain; charset=utf-8"));
    Ok(response)
}
