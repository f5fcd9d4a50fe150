//! Builds the example guests, so that `tidegate demo` carries the one that its policy runs; and lists the SDK's files, so that
//! `tidegate new extension` carries them.
//!
//! They are built by the same cargo, for `wasm32-unknown-unknown`, into `target/guests`. Where that target is missing,
//! it is installed through rustup.

#![expect(clippy::panic, reason = "a build script speaks to its user by failing")]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";
const GUESTS: [&str; 5] =
    ["client-headers", "canary-router", "tidegate-hostile-guest", "tidegate-asking-guest", "tidegate-scripted-guest"];

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")).join("..");
    for watched in [
        "examples",
        "guest-sdk",
        "runtime/wasm-host/tests/hostile",
        "runtime/wasm-host/tests/asking",
        "runtime/wasm-host/tests/scripted",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    install_target();
    let folder = target_folder().join("guests");
    let mut cargo = Command::new(variable("CARGO"));
    cargo.current_dir(&root).args(["build", "--release", "--target", TARGET, "--target-dir"]).arg(&folder);
    for guest in GUESTS {
        cargo.args(["-p", guest]);
    }
    // What the outer build wants of native code is no business of the guests.
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"] {
        cargo.env_remove(name);
    }
    run(&mut cargo, "building the example guests");
    let module = folder.join(TARGET).join("release/client_headers.wasm");
    assert!(module.is_file(), "the guest is not at {}", module.display());
    println!("cargo::rustc-env=TIDEGATE_CLIENT_HEADERS={}", module.display());
    list_sdk(&root.join("guest-sdk"));
}

/// Writes `sdk.rs`: the SDK's files as a list of paths and texts.
fn list_sdk(sdk: &Path) {
    let sdk = sdk.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", sdk.display()));
    let mut files = vec![sdk.join("Cargo.toml")];
    for folder in ["src", "wit"] {
        walk(&sdk.join(folder), &mut files);
    }
    files.sort();
    let entry = |file: &PathBuf| {
        let path = file.strip_prefix(&sdk).unwrap_or(file);
        format!("    ({path:?}, include_str!({file:?})),\n")
    };
    let list: String = files.iter().map(entry).collect();
    let text = format!("&[\n{list}]\n");
    let out = PathBuf::from(variable("OUT_DIR")).join("sdk.rs");
    std::fs::write(&out, text).unwrap_or_else(|error| panic!("{}: {error}", out.display()));
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

/// The workspace's target folder: `OUT_DIR` lies in it as `PROFILE/build/PACKAGE/out`, or as `TARGET/PROFILE/build/PACKAGE/out` if
/// cargo was told a target.
fn target_folder() -> PathBuf {
    let out = PathBuf::from(variable("OUT_DIR"));
    let Some(folder) = out.ancestors().nth(4) else { panic!("{} lies in no target folder", out.display()) };
    let is_told = folder.file_name().is_some_and(|name| *name == *variable("TARGET"));
    folder.parent().filter(|_| is_told).unwrap_or(folder).to_owned()
}

fn install_target() {
    let libraries = Command::new(variable("RUSTC")).args(["--print", "target-libdir", "--target", TARGET]).output();
    let present = libraries.is_ok_and(|output| {
        output.status.success() && Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir()
    });
    if !present {
        run(Command::new("rustup").args(["target", "add", TARGET]), "installing the Rust target for guests");
    }
}

fn run(command: &mut Command, what: &str) {
    let done = command.status().unwrap_or_else(|error| panic!("{what}: cannot start {command:?}: {error}"));
    assert!(done.success(), "{what} failed: {command:?}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"))
}
