//! The tools of an author of extensions: a crate to begin with, a look at a module, and what it costs.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tidegate_tests::{Backend, Gateway, Policy, Tool, guest, target_folder};

/// Runs cargo in a folder outside the project, with a target folder that outlives the test, so that only the first run builds
/// the dependencies.
fn cargo(folder: &Path, arguments: &[&str]) -> String {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO") || name.starts_with("RUST")) {
        if !matches!(name.as_str(), "CARGO_HOME" | "RUSTUP_HOME" | "RUSTUP_TOOLCHAIN")
            && !name.starts_with("CARGO_REGISTRIES")
        {
            cargo.env_remove(name);
        }
    }
    let output = cargo.args(arguments).env("CARGO_TARGET_DIR", built()).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "cargo {arguments:?}:\n{text}");
    text
}

fn built() -> std::path::PathBuf {
    target_folder().join("authors")
}

#[test]
fn a_new_extension_passes_its_test_builds_and_serves() {
    let tool = Tool::new();
    let output = tool.run(&["new", "extension", "my-hello"]);
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("cd my-hello"), "{}", output.stdout);
    let folder = tool.path("my-hello");
    let tested = cargo(&folder, &["test", "--lib"]);
    assert!(tested.contains("2 passed"), "{tested}");
    cargo(&folder, &["build", "--release", "--target", "wasm32-unknown-unknown"]);

    let module = "target/wasm32-unknown-unknown/release/my_hello.wasm";
    fs::create_dir_all(folder.join(module).parent().unwrap()).unwrap();
    fs::copy(built().join("wasm32-unknown-unknown/release/my_hello.wasm"), folder.join(module)).unwrap();
    for arguments in [&["fmt", "--check"][..], &["check"], &["test"]] {
        let output = tool.run(&[arguments, &["my-hello/my-hello.gate"]].concat());
        assert_eq!(output.status, Some(0), "{arguments:?}: {}{}", output.stdout, output.stderr);
    }

    let config = "extension hello { module \"hello.wasm\"; config { greeting \"hello\" }
        allow [read-request, write-request-headers, write-response-headers] }";
    let backend = Backend::echo();
    let policy = Policy::to(&backend).top(config).listener("run hello");
    let gateway = Gateway::start_with(&policy, |place| {
        fs::copy(folder.join(module), place.join("hello.wasm")).unwrap();
    });
    let answer = gateway.get("/");
    assert_eq!(answer.header("x-my-hello"), Some("hello 127.0.0.1"));
    assert_eq!(answer.echo().header("x-my-hello"), Some("hello"));
}

#[test]
fn a_new_extension_harms_nothing_that_is_there() {
    let tool = Tool::new().file("taken", "mine");
    let output = tool.run(&["new", "extension", "taken"]);
    assert_eq!((output.status, tool.read("taken").as_str()), (Some(1), "mine"));
    assert!(output.stderr.contains("there is a `taken` already"), "{}", output.stderr);
    for name in ["../up", "Upper", "fn", "a b", ""] {
        let output = tool.run(&["new", "extension", name]);
        assert_eq!(output.status, Some(2), "{name:?}");
        assert!(output.stderr.contains("cannot be the name of an extension"), "{}", output.stderr);
    }
    assert_eq!(fs::read_dir(tool.path(".")).unwrap().count(), 1);
}

#[test]
fn inspect_tells_what_a_module_is() {
    let tool = Tool::new();
    let module = guest("client_headers");
    let module = module.to_str().unwrap();
    let config = "request { x-client \"{client-ip}\" }";
    let output = tool.run(&["extension", "inspect", module, "--config", config, "--format", "json"]);
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(report["form"], "core");
    assert_eq!(report["bytes"].as_u64(), Some(fs::metadata(module).unwrap().len()));
    assert_eq!(report["hooks"], serde_json::json!(["request", "response"]));
    assert_eq!(report["allow"], serde_json::json!(["read-request", "write-request-headers", "write-response-headers"]));
    let import = serde_json::json!({"name": "tidegate:extension/conn@0.1.0", "allow": "read-request"});
    assert!(report["imports"].as_array().unwrap().contains(&import), "{report}");
    assert_eq!(report["init"]["config"], r#"{"request":{"x-client":"{client-ip}"}}"#);
    assert_eq!((&report["init"]["error"], &report["init"]["interest"]["tick_ms"]), (&Value::Null, &Value::Null));

    let people = tool.run(&["extension", "inspect", module]);
    assert_eq!(people.status, Some(0));
    assert!(
        people.stdout.contains("allow    [read-request, write-request-headers, write-response-headers]"),
        "{}",
        people.stdout
    );
    assert!(people.stdout.contains("and asks for request, response; every method; every path"), "{}", people.stdout);
}

#[test]
fn inspect_says_what_is_wrong_with_a_configuration() {
    let tool = Tool::new().file("config.json", r#"{"request": {"x": "{client}"}}"#).file("text.txt", "no wasm");
    let module = guest("client_headers");
    let module = module.to_str().unwrap();
    let refused = tool.run(&["extension", "inspect", module, "--config", "config.json"]);
    assert_eq!(refused.status, Some(1));
    assert!(
        refused.stdout.contains("the extension refuses its configuration: unknown insert `{client}`"),
        "{}",
        refused.stdout
    );
    let canary = guest("canary_router");
    let needs = tool.run(&["extension", "inspect", canary.to_str().unwrap()]);
    assert_eq!(needs.status, Some(0), "no configuration was given, so none was refused");
    assert!(needs.stdout.contains("missing field `group`"), "{}", needs.stdout);
    let mistaken = tool.run(&["extension", "inspect", module, "--config", "request { x \"1\""]);
    assert_eq!(mistaken.status, Some(2));
    assert!(mistaken.stderr.contains("error[E"), "{}", mistaken.stderr);
    for (file, why) in [("text.txt", "this is no WebAssembly"), ("missing.wasm", "there is no such file")] {
        for command in ["inspect", "bench"] {
            let output = tool.run(&["extension", command, file]);
            assert_eq!(output.status, Some(1));
            assert!(output.stderr.contains(&format!("`{file}`: {why}")), "{}", output.stderr);
        }
    }
}

#[test]
fn bench_measures_each_hook() {
    let tool = Tool::new();
    let module = guest("client_headers");
    let config = "request { x-client \"{client-ip}\" }";
    let arguments = ["extension", "bench", module.to_str().unwrap(), "--config", config, "--format", "json"];
    let output = tool.run(&arguments);
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    let hooks = report["hooks"].as_array().unwrap();
    assert_eq!(hooks.iter().map(|hook| hook["hook"].as_str().unwrap()).collect::<Vec<_>>(), ["request", "response"]);
    for hook in hooks {
        let (reused, fresh) = (hook["reused_ns"].as_f64().unwrap(), hook["fresh_ns"].as_f64().unwrap());
        assert!(0.0 < reused && reused < fresh, "{report}");
    }
    assert!(report["instance"]["memory_bytes"].as_u64().unwrap() >= 65_536, "{report}");
    let people = tool.run(&arguments[..arguments.len() - 2]);
    assert!(people.stdout.contains("ns a call"), "{}", people.stdout);
    let canary = guest("canary_router");
    let without = tool.run(&["extension", "bench", canary.to_str().unwrap()]);
    assert_eq!(without.status, Some(1));
    assert!(
        without.stderr.contains("missing field `group`; `--config` gives it a configuration"),
        "{}",
        without.stderr
    );
}
