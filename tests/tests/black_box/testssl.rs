//! testssl.sh finds exactly what `print` lists, for every predefined policy.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use serde_json::Value;
use tidegate_tests::pki::Authority;
use tidegate_tests::{Gateway, Policy, program, tidegate};

/// The predefined policies of the language.
const POLICIES: [&str; 6] = [
    "tls_cipher_policy_1_0",
    "tls_cipher_policy_1_1",
    "tls_cipher_policy_1_2",
    "tls_cipher_policy_1_2_strict",
    "tls_cipher_policy_1_2_strict_with_1_3",
    "tls_cipher_policy_1_0_to_1_3",
];

#[test]
fn testssl_finds_what_print_lists() {
    let Some(testssl) = program("testssl") else { return };
    let testssl = testssl.get_program();
    // Each waits for round trips and processes most of its time.
    std::thread::scope(|scope| {
        for policy in POLICIES {
            scope.spawn(move || compare(testssl, policy));
        }
    });
}

fn compare(testssl: &OsStr, name: &str) {
    let authority = Authority::new("Root");
    let policy = Policy::new()
        .https()
        .top("certificate rsa { chain \"rsa.pem\"; key \"rsa.key\" }")
        .listener("certificate rsa")
        .listener(&format!("tls-policy {name}"))
        .otherwise("respond 200 \"ok\"");
    let gateway = Gateway::start_with(&policy, |folder| {
        authority.server(&["localhost"]).sign().write(folder, "main");
        authority.server(&["localhost"]).rsa().sign().write(folder, "rsa");
    });
    let listed = listed(&gateway, name);
    // Nothing weak: keys that are forgotten, and ciphers that authenticate.
    for suite in listed.iter().filter(|name| name.contains("_WITH_") || name.starts_with("TLS_")) {
        let tls13 = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
        let sound = suite.starts_with("TLS_ECDHE_") && (suite.contains("_GCM_") || suite.contains("_CHACHA20_"));
        assert!(sound || tls13.contains(&suite.as_str()), "{name}: {suite}");
    }
    let found = found(testssl, &gateway);
    assert!(!found.is_empty(), "{name}");
    assert_eq!(found, listed, "{name}");
}

/// Versions and suites as `print` lists them.
fn listed(gateway: &Gateway, name: &str) -> BTreeSet<String> {
    let output = Command::new(tidegate()).args(["print", "--as", "json"]).arg(gateway.file()).output();
    let plan: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
    let policy = plan["tls_policies"].as_array().unwrap().iter().find(|policy| policy["name"] == name).unwrap();
    let texts = |key: &str| policy[key].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    let mut all: BTreeSet<String> = texts("suites").collect();
    all.extend(texts("versions").map(|version| version.to_ascii_uppercase()));
    all
}

/// Versions and suites that testssl.sh gets by asking for each.
fn found(testssl: &OsStr, gateway: &Gateway) -> BTreeSet<String> {
    let report = gateway.folder().join("report.json");
    let output = Command::new(testssl)
        .args(["--quiet", "--color", "0", "--warnings", "off", "-p", "-E", "--jsonfile"])
        .arg(&report)
        .arg(format!("localhost:{}", gateway.port()))
        .current_dir(gateway.folder())
        .output()
        .unwrap();
    let text = fs::read_to_string(&report)
        .unwrap_or_else(|error| panic!("no report: {error}\n{}", String::from_utf8_lossy(&output.stdout)));
    let entries: Value = serde_json::from_str(&text).unwrap();
    let mut all = BTreeSet::new();
    for entry in entries.as_array().unwrap() {
        let (id, finding) = (entry["id"].as_str().unwrap(), entry["finding"].as_str().unwrap());
        match id {
            "SSLv2" | "SSLv3" | "TLS1" | "TLS1_1" | "TLS1_2" | "TLS1_3" if finding.starts_with("offered") => {
                all.insert(id.replace("TLS1_", "TLS1."));
            }
            // The last word is IANA's name.
            _ if id.starts_with("cipher-") => {
                all.insert(finding.split_whitespace().next_back().unwrap().to_owned());
            }
            _ => {}
        }
    }
    all
}
