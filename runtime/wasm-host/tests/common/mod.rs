//! Builds the guests, once, and what tests call them with.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::panic, reason = "each test binary uses a part of it")]

pub mod made;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use tidegate_engine::exchange::{Connection, Exchange, Request, Response};
use tidegate_engine::hook::{Abi, Capability};
use tidegate_wasm_host::{ExtensionSpec, Host, HostOptions, LogLevel, Reach};

/// The bytes of a guest: `client_headers`, `canary_router`, `tidegate_hostile_guest`, `tidegate_asking_guest` or
/// `tidegate_scripted_guest`.
pub fn module(name: &str) -> Arc<[u8]> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let folder = BUILT.get_or_init(build);
    std::fs::read(folder.join(name).with_extension("wasm")).unwrap().into()
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let target = root.join("target/guests");
    let mut cargo = Command::new(env!("CARGO"));
    // What the outer build wants of native code is no business of the guests.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"] {
        cargo.env_remove(name);
    }
    let status = cargo
        .current_dir(root)
        .args(["build", "--release", "--quiet", "--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(&target)
        .args([
            "-p",
            "client-headers",
            "-p",
            "canary-router",
            "-p",
            "tidegate-hostile-guest",
            "-p",
            "tidegate-asking-guest",
            "-p",
            "tidegate-scripted-guest",
        ])
        .status()
        .unwrap();
    assert!(status.success(), "the guests do not build");
    target.join("wasm32-unknown-unknown/release")
}

/// A host, and the log lines of its guests.
pub struct Rig {
    pub host: Host,
    pub log: Arc<Mutex<Vec<(LogLevel, String)>>>,
}

pub fn rig() -> Rig {
    let log = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&log);
    let options = HostOptions::new(Arc::new(move |record| {
        sink.lock().unwrap().push((record.level, record.message.to_owned()));
    }));
    Rig { host: Host::new(options).unwrap(), log }
}

/// An extension that may do everything.
pub fn spec(module_name: &str, config: &str) -> ExtensionSpec {
    ExtensionSpec {
        name: "test".to_owned(),
        abi: Abi::Tidegate,
        module: module(module_name),
        config: config.to_owned(),
        memory: 16 << 20,
        time: Duration::from_millis(50),
        instances: 1,
        fresh: false,
        allow: Capability::ALL.to_vec(),
        reach: Reach::default(),
    }
}

pub fn hostile() -> ExtensionSpec {
    spec("tidegate_hostile_guest", "{}")
}

/// `GET http://shop.example/a?b` with these headers, and a 200 on the way back.
pub fn exchange(headers: &[(&'static str, &'static str)]) -> Box<Exchange> {
    let header =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    let mut map = HeaderMap::new();
    for (name, value) in headers.iter().map(header) {
        map.append(name, value);
    }
    let mut back = HeaderMap::new();
    back.insert("server", HeaderValue::from_static("backend"));
    let connection = Connection {
        peer: SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 50123)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
        listener: "plain".into(),
        tls: None,
    };
    let target = ("/a?b".parse().unwrap(), "/a?b".parse().unwrap());
    let request = Request::new(Method::GET, "shop.example".parse().unwrap(), target, Version::HTTP_11, map);
    let client_ip = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));
    let mut exchange = Exchange::new(Arc::new(connection), request, client_ip, 1);
    exchange.response = Some(Response::new(StatusCode::OK, back));
    Box::new(exchange)
}

/// Resident memory of this process, in bytes.
pub fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
