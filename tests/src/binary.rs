//! The binary under test, and the files of the project.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The gateway's binary: `TIDEGATE_BIN`, or else what `cargo build -p tidegate` makes, built once a process.
///
/// # Panics
/// The gateway does not build.
pub fn tidegate() -> &'static Path {
    static BINARY: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| std::env::var_os("TIDEGATE_BIN").map_or_else(build, |path| Ok(path.into())));
    binary.as_ref().unwrap_or_else(|error| panic!("cargo build -p tidegate:\n{error}"))
}

fn build() -> Result<PathBuf, String> {
    let mut cargo = cargo();
    cargo.args(["build", "-p", "tidegate", "--message-format=json-render-diagnostics"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let output = cargo.output().expect("cargo starts");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "tidegate")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    executable.ok_or_else(|| "cargo names no binary".to_owned())
}

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace")
}

/// A file of the project, such as `policies/quickstart.gate`.
pub fn shipped(path: &str) -> PathBuf {
    workspace().join(path)
}

/// Where cargo builds.
///
/// # Panics
/// Cargo does not say.
pub fn target_folder() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        let output = cargo().args(["metadata", "--no-deps", "--format-version", "1"]).output().expect("cargo starts");
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata");
        metadata["target_directory"].as_str().expect("a target directory").into()
    })
}

/// A guest that was built with the gateway: `client_headers`, `canary_router`, `tidegate_hostile_guest`,
/// `tidegate_asking_guest`, `tidegate_scripted_guest`.
///
/// # Panics
/// The module is not there.
pub fn guest(name: &str) -> PathBuf {
    tidegate();
    let path = target_folder().join("guests/wasm32-unknown-unknown/release").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: `cargo build -p tidegate` makes it", path.display());
    path
}

/// The module of `examples/NAME`. All of them are built when the first is asked for.
///
/// # Panics
/// The examples do not build.
pub fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = Command::new(shipped("examples/build")).output().expect("examples/build starts");
        assert!(output.status.success(), "examples/build:\n{}", String::from_utf8_lossy(&output.stderr));
    });
    let folder = shipped("target/guests/wasm32-unknown-unknown/release");
    folder.join(name.replace('-', "_")).with_extension("wasm")
}

fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}
