//! `tidegate demo`: the shipped quickstart policy, with a backend of its own.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use crate::cli::{Failed, answer, host};
use crate::downstream::body::Incoming;
use crate::gateway::Gateway;

const POLICY: &str = include_str!("../../policies/quickstart.gate");
const GUEST: &[u8] = include_bytes!(env!("TIDEGATE_CLIENT_HEADERS"));

/// The ports that the shipped policy names.
const SHIPPED_PORTS: (u16, u16) = (8080, 8081);

/// Pairs of ports tried from the shipped one on.
const TRIES: u16 = 50;

/// Serves until a signal.
pub(crate) fn run(port: Option<u16>) -> Result<(), Failed> {
    let (port, backend) = free_ports(port)?;
    let policy =
        write_policy(port).map_err(|error| Failed::Because(format!("cannot write the demo's files: {error}")))?;
    serve_backend(backend).map_err(|error| Failed::Because(format!("cannot start the demo's backend: {error}")))?;
    let gateway = Gateway::start(policy.clone(), host()?).map_err(|_| Failed::Said)?;
    answer(&welcome(port, &policy))?;
    gateway.run();
    Ok(())
}

fn welcome(port: u16, policy: &std::path::Path) -> String {
    let url = format!("http://127.0.0.1:{port}");
    format!(
        "
The gateway is up. In another terminal, try:

  curl -i {url}/
      the backend shows what it got: the gateway added x-forwarded-for, -proto and, by a rule, x-rule

  curl -i {url}/hello
      through a Wasm extension: x-client-ip reaches the backend, x-served-by comes back

  curl -i {url}/old
      308 to /hello, by a rule

The policy is {}
Change it and save: the gateway reloads, and says so here. Ctrl-C ends it.
",
        policy.display()
    )
}

/// The gateway's port, and a socket for the backend on the next one.
fn free_ports(wanted: Option<u16>) -> Result<(u16, TcpListener), Failed> {
    let first = wanted.unwrap_or(SHIPPED_PORTS.0);
    let tries = if wanted.is_some() { 1 } else { TRIES };
    for port in (first..=u16::MAX - 1).step_by(2).take(usize::from(tries)) {
        let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        if let (Ok(_free), Ok(backend)) = (at(port), at(port + 1)) {
            return Ok((port, backend));
        }
    }
    Err(Failed::Because(format!(
        "ports {first} and {} are taken; choose another with `--port`",
        first.saturating_add(1)
    )))
}

/// Writes the policy, with the ports in it, and the guest that it names, as they lie in the project.
fn write_policy(port: u16) -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("tidegate-demo-{}", std::process::id()));
    let guests = folder.join("target/guests/wasm32-unknown-unknown/release");
    std::fs::create_dir_all(&guests)?;
    std::fs::write(guests.join("client_headers.wasm"), GUEST)?;
    let policies = folder.join("policies");
    std::fs::create_dir_all(&policies)?;
    let policy = policies.join("quickstart.gate");
    let text = POLICY
        .replace(&format!("127.0.0.1:{}", SHIPPED_PORTS.1), &format!("127.0.0.1:{}", port + 1))
        .replace(&format!("127.0.0.1:{}", SHIPPED_PORTS.0), &format!("127.0.0.1:{port}"));
    std::fs::write(&policy, text)?;
    Ok(policy)
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
