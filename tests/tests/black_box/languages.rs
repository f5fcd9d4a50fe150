//! One extension in four languages: the same requests get the same answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tidegate_tests::{Backend, Gateway, Policy, Tool, example, needed, shipped, tidegate};

/// `client-headers` of a language, built from the registries; `None` where that cannot be, as [`needed`] says.
fn module(language: &str, file: &str) -> Option<PathBuf> {
    let script = shipped(&format!("examples/client-headers/{language}/build"));
    needed(&format!("guest-{language}"), || {
        let output = Command::new(&script).output().unwrap();
        let said = || format!("{} fails: {}", script.display(), String::from_utf8_lossy(&output.stderr).trim());
        output.status.success().then_some(()).ok_or_else(said)
    })?;
    Some(shipped("target/guests/languages").join(file))
}

/// A status, and the fields that the server and the client get.
type Seen = (u16, Vec<Option<String>>, Vec<Option<String>>);

fn answers(module: &Path) -> Vec<Seen> {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .top("gateway { workers 1 }")
        .top(
            "extension headers {
                module \"headers.wasm\"
                config {
                    request {
                        \"x-who\" \"{client-ip} on {listener}\"
                        \"x-what\" \"{method} {scheme}://{authority}{path}\"
                        \"x-first\" \"{first.x-forwarded-for}\"
                        \"x-copy\" \"<{header.x-original}>\"
                        \"x-braces\" \"{{ü}}\"
                    }
                    response { \"x-served-for\" \"{client-ip}\"; \"x-path\" \"{path}\" }
                }
                limits { memory 64MiB; time 200ms }
                allow [read-request, write-request-headers, write-response-headers]
            }",
        )
        .listener("client-ip x-forwarded-for trusted [127.0.0.1, 10.0.0.0/8]")
        .listener("run headers");
    let gateway = Gateway::start_with(&policy, |folder| {
        fs::copy(module, folder.join("headers.wasm")).unwrap();
    });
    let mut client = gateway.client();
    let requests = [
        ("/", ""),
        ("/a/../b%20c?d=e", "x-forwarded-for: 203.0.113.9 , 10.0.0.1\r\nx-original: caf\u{e9}\r\n"),
        ("/c", "x-who: forged\r\nx-first: forged\r\nx-copy: forged\r\nx-original: one\r\nx-original: two\r\n"),
        ("/d", "x-forwarded-for: ,\r\nx-original: \r\n"),
    ];
    let mut seen = Vec::new();
    // Twice: the instances are used again.
    for (target, lines) in requests.iter().chain(&requests) {
        let answer = client.get_with(target, lines);
        let back = ["x-served-for", "x-path"].map(|name| answer.header(name).map(str::to_owned));
        let request = answer.echo();
        let names = ["x-who", "x-what", "x-first", "x-copy", "x-braces"];
        let there = names.map(|name| request.header(name).map(str::to_owned));
        seen.push((answer.status, there.to_vec(), back.to_vec()));
    }
    seen
}

/// The answer of `init` to a configuration.
fn refusal(module: &Path, config: &str) -> String {
    let output =
        Tool::new().run(&["extension", "inspect", module.to_str().unwrap(), "--config", config, "--format", "json"]);
    assert_eq!(output.status, Some(1), "{}{}", output.stdout, output.stderr);
    let report: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    report["init"]["error"].as_str().unwrap().to_owned()
}

#[test]
fn four_languages_give_the_same_answers() {
    let rust = example("client-headers");
    let expected = answers(&rust);
    assert_eq!(expected[1].1[0].as_deref(), Some("203.0.113.9 on main"));
    assert_eq!(expected[1].1[1].as_deref(), Some("GET http://test/b%20c"));
    assert_eq!(expected[0].1[3], None, "an insert without a value leaves the header alone");
    let unknown = "request { x \"{client}\" }";
    let brace = "response { x \"a}\" }";
    let mistakes = [unknown, brace].map(|config| refusal(&rust, config));
    let languages = [
        ("c", "client_headers_c.wasm"),
        ("javascript", "client_headers_js.wasm"),
        ("python", "client_headers_py.wasm"),
    ];
    for (language, file) in languages {
        let Some(module) = module(language, file) else { continue };
        // To compile an interpreter takes longer than a test waits for a gateway; the code is kept for the next process.
        let compiled = Command::new(tidegate()).args(["extension", "inspect"]).arg(&module).status().unwrap();
        assert!(compiled.success(), "{language}");
        assert_eq!(answers(&module), expected, "{language}");
        assert_eq!([unknown, brace].map(|config| refusal(&module, config)), mistakes, "{language}");
    }
}
