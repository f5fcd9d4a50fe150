//! Who may use whom: the arrows of the architecture, held against what the manifests say.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use tidegate_tests::workspace;

/// A crate, and the crates that it may use.
struct Row {
    name: &'static str,
    /// Crates of ours.
    ours: &'static [&'static str],
    /// Crates of others; `None`: any.
    others: Option<&'static [&'static str]>,
    /// Crates that it must not reach, by any way.
    never: &'static [&'static str],
}

/// Sockets, event loops, TLS, files, clocks, and the engine of guests.
const OUTSIDE: &[&str] = &[
    "tokio",
    "hyper",
    "hyper-util",
    "rustls",
    "quinn",
    "h3",
    "wasmtime",
    "notify",
    "socket2",
    "rustix",
    "mio",
    "tracing-subscriber",
];

const TABLE: &[Row] = &[
    Row {
        name: "tidegate-dsl",
        ours: &[],
        others: Some(&["ipnet", "pest", "pest_derive", "regex-syntax", "serde", "serde_json", "similar"]),
        never: OUTSIDE,
    },
    Row {
        name: "tidegate-engine",
        ours: &["tidegate-dsl"],
        others: Some(&[
            "aho-corasick",
            "base64",
            "bytes",
            "hmac-sha256",
            "http",
            "ipnet",
            "percent-encoding",
            "regex",
            "regex-syntax",
            "serde",
            "serde_json",
        ]),
        never: OUTSIDE,
    },
    Row {
        name: "tidegate-wasm-host",
        // The SDK and its guests for tests alone: they run against its mock, too.
        ours: &["tidegate-engine", "tidegate-guest", "tidegate-asking-guest", "tidegate-scripted-guest"],
        others: Some(&["bytes", "http", "rustix", "wasmparser", "wasmtime", "wit-component", "wit-parser"]),
        never: &["tidegate-guest", "tokio", "hyper", "quinn", "rustls"],
    },
    Row {
        name: "tidegate-base",
        ours: &["tidegate-dsl", "tidegate-engine"],
        others: Some(&["aws-lc-rs", "bytes", "h2", "http", "http-body", "rustix", "tokio", "tracing"]),
        never: &["hyper", "rustls", "quinn", "wasmtime", "notify", "tracing-subscriber"],
    },
    Row {
        name: "tidegate-http3",
        ours: &["tidegate-base"],
        others: Some(&["bytes", "h3", "http-body", "quinn", "quinn-proto", "tokio"]),
        never: &["hyper", "wasmtime", "notify", "tracing-subscriber"],
    },
    Row {
        name: "tidegate-upstream",
        ours: &["tidegate-base", "tidegate-dsl", "tidegate-engine"],
        others: Some(&[
            "bytes",
            "h2",
            "http",
            "http-body",
            "http-body-util",
            "humantime",
            "hyper",
            "hyper-util",
            "rustix",
            "rustls",
            "rustls-native-certs",
            "rustls-webpki",
            "slab",
            "tokio",
            "tokio-rustls",
            "tracing",
        ]),
        never: &["h3", "quinn", "wasmtime", "notify", "tracing-subscriber"],
    },
    Row {
        name: "tidegate",
        ours: &[
            "tidegate-base",
            "tidegate-dsl",
            "tidegate-engine",
            "tidegate-http3",
            "tidegate-upstream",
            "tidegate-wasm-host",
        ],
        others: None,
        never: &[],
    },
    Row { name: "tidegate-guest", ours: &[], others: Some(&["serde", "serde_json", "wit-bindgen"]), never: OUTSIDE },
    Row { name: "canary-router", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "client-ip", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "ext-auth", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "header-table", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "redact", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "request-count", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "signed-url", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "small-waf", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "client-headers", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "tidegate-hostile-guest", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "tidegate-asking-guest", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row { name: "tidegate-scripted-guest", ours: &["tidegate-guest"], others: None, never: OUTSIDE },
    Row {
        name: "tidegate-tests",
        ours: &[],
        // Clients and peers that speak real protocols, and the certificates for them.
        others: Some(&[
            "aws-lc-rs",
            "base64",
            "bytes",
            "h2",
            "h3",
            "h3-quinn",
            "http",
            "prost",
            "quinn",
            "rcgen",
            "rustls",
            "serde_json",
            "socket2",
            "tempfile",
            "tokio",
            "tokio-rustls",
            "tungstenite",
        ]),
        never: &["hyper", "wasmtime"],
    },
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(workspace()).output().unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn packages() -> Vec<Value> {
    let metadata: Value = serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn every_crate_stands_in_the_table() {
    let members: BTreeSet<String> = packages().iter().map(|package| text(package, "name").to_owned()).collect();
    let rows: BTreeSet<String> = TABLE.iter().map(|row| row.name.to_owned()).collect();
    assert_eq!(members, rows);
}

#[test]
fn every_crate_uses_what_it_may_and_no_more() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(|package| text(package, "name")).collect();
    let mut wrong = Vec::new();
    for (package, row) in packages
        .iter()
        .filter_map(|package| Some((package, TABLE.iter().find(|row| row.name == text(package, "name"))?)))
    {
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = text(dependency, "name");
            // Others' crates for tests alone are nobody's business; ours are, also there.
            let allowed = if ours.contains(name) {
                row.ours.contains(&name)
            } else {
                dependency["kind"] == "dev" || row.others.is_none_or(|others| others.contains(&name))
            };
            if !allowed {
                wrong.push(format!("{} uses {name}", row.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\nIf an arrow is to change, change the table here, and ARCHITECTURE.md.");
}

#[test]
fn nobody_reaches_what_it_must_not_by_a_way_round() {
    for row in TABLE.iter().filter(|row| !row.never.is_empty()) {
        let tree = cargo(&["tree", "--package", row.name, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(row.name), "{tree}");
        let wrong: Vec<_> = row.never.iter().filter(|name| reached.contains(*name)).collect();
        assert!(wrong.is_empty(), "{} reaches {wrong:?}:\n{tree}", row.name);
    }
}
