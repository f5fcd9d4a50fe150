//! Guests of other ABIs: filters written for Envoy and for http-wasm hosts, unchanged.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tidegate_tests::{Backend, Gateway, Policy, target_folder, workspace};

/// The folder of the guests that `tests/foreign` holds, built once a process.
fn guests() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = target_folder().join("foreign");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What the outer build wants of native code is no business of the guests.
        for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"]
        {
            cargo.env_remove(name);
        }
        let status = cargo
            .current_dir(workspace().join("tests/foreign"))
            .args(["build", "--release", "--examples", "--quiet", "--locked"])
            .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
            .arg(&folder)
            .status();
        assert!(status.unwrap().success(), "the foreign guests do not build");
        folder.join("wasm32-unknown-unknown/release/examples")
    })
}

/// A policy whose one group is the backend, and whose requests all pass this guest.
fn policy(backend: &Backend, guest: &str, abi: &str, body: &str) -> Policy {
    let module = guests().join(format!("{guest}.wasm"));
    let extension = format!("extension guest {{ module \"{}\"; abi {abi}; {body} }}", module.display());
    Policy::to(backend).top("gateway { workers 1 }").top(&extension).listener("run guest")
}

const HEADS: &str = "allow [read-request, write-request-headers, read-response, write-response-headers, log, clock]";

#[test]
fn a_proxy_wasm_filter_reads_and_writes_heads_on_both_sides() {
    let backend = Backend::echo();
    let policy = policy(&backend, "proxy_headers", "proxy-wasm", &format!("config \"blue\"; {HEADS}"));
    let gateway = Gateway::start(&policy);
    let mut client = gateway.client();
    for path in ["/one", "/two?x=y"] {
        let answer = client.get_with(path, "x-secret: 1\r\n");
        let request = answer.echo();
        assert_eq!(request.header("x-tag"), Some("blue"));
        assert_eq!(request.header("x-secret"), None);
        let facts = request.header("x-facts").unwrap();
        assert!(facts.starts_with("GET 127.0.0.1:") && facts.ends_with(" true"), "{facts}");
        let filtered = answer.header("x-filtered").unwrap();
        assert!(filtered.starts_with(&format!("{path} 200 ")), "its context lives from hook to hook: {filtered}");
        gateway.wait_for(0, &format!("over: {path}"));
    }
}
