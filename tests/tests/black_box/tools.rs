//! Help for those who write policies: `help`, `test`, `completion`, and a command line that is wrong.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde_json::Value;
use tidegate_tests::{Tool, workspace};

#[test]
fn a_code_is_explained_with_an_example() {
    let tool = Tool::new();
    let output = tool.run(&["help", "E0401"]);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    assert!(output.stdout.starts_with("E0401: a condition stands after a step\n"), "{}", output.stdout);
    assert!(output.stdout.contains("Wrong:") && output.stdout.contains("Right:"), "{}", output.stdout);
    assert_eq!(tool.run(&["help", "e0401"]).stdout, output.stdout, "in capitals or not");
    let output = tool.run(&["help", "E041"]);
    assert_eq!((output.status, output.stdout.as_str()), (Some(2), ""));
    assert!(output.stderr.contains("did you mean `E0"), "{}", output.stderr);
    let output = tool.run(&["help"]);
    assert!(output.status == Some(0) && output.stdout.contains("explain") && output.stdout.contains("lsp"));
}

#[test]
fn words_and_commands_are_explained() {
    let tool = Tool::new();
    let said = |topic: &str| {
        let output = tool.run(&["help", topic]);
        assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{topic}");
        output.stdout
    };
    let timeout = said("request-timeout");
    assert!(timeout.contains("in a `listener`") && timeout.contains("Range: 1s to 1h. Default: `1m`."), "{timeout}");
    // At every place where it stands.
    let weight = said("weight");
    assert!(weight.contains("server 10.0.1.11:8080 weight 2") && weight.contains("forward web weight 90"), "{weight}");
    let check = said("check");
    assert!(check.contains("--format") && check.contains("tidegate check"), "{check}");
    // What is both, is told as both.
    let test = said("test");
    assert!(test.contains("tidegate test") && test.contains("In a policy:") && test.contains("expect"), "{test}");
    let output = tool.run(&["help", "frobnicate"]);
    assert_eq!((output.status, output.stdout.as_str()), (Some(2), ""));
    assert!(output.stderr.contains("no diagnostic, command or word `frobnicate`"), "{}", output.stderr);
}

/// Every code that `check` writes is one that `help` knows.
#[test]
fn what_check_says_help_explains() {
    let tool = Tool::new().file("p.gate", "tidegate 1\nnonsense\nlist a [1.2.3]\nrules r { rule x { } }\n");
    let said = tool.run(&["check", "--format", "json", "p.gate"]).stderr;
    let codes: Vec<String> = said
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["code"].as_str().unwrap().to_owned())
        .collect();
    assert!(codes.len() >= 3, "{said}");
    for code in codes {
        assert_eq!(tool.run(&["help", &code]).status, Some(0), "{code}");
    }
}

#[test]
fn a_test_that_fails_says_why() {
    let policy = |expected: &str| {
        format!(
            "tidegate 1\nserver-group web {{ server 127.0.0.1:8081 }}\nlistener http main {{\n    port 8080\n    rules site\n}}\n\
             rules site {{\n    rule admin {{\n        when path under \"/admin\"\n        respond 403\n    }}\n    otherwise {{ forward web }}\n}}\n\
             test \"the administration is closed\" {{\n    request GET \"http://a.example/administration\"\n    {expected}\n}}\n"
        )
    };
    let tool =
        Tool::new().file("good.gate", &policy("expect rule otherwise")).file("bad.gate", &policy("expect rule admin"));
    let output = tool.run(&["test", "good.gate"]);
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("1 passed, 0 failed"), "{}", output.stdout);
    let output = tool.run(&["test", "bad.gate"]);
    assert_eq!(output.status, Some(1), "{}", output.stdout);
    let said = format!("{}{}", output.stdout, output.stderr);
    assert!(said.contains("0 passed, 1 failed") && said.contains("the administration is closed"), "{said}");
    // Why: as `explain` would say it.
    assert!(said.contains("when path under \"/admin\"") && said.contains("/administration"), "{said}");
    assert_eq!(tool.run(&["test", "good.gate", "bad.gate"]).status, Some(1));
}

/// The page of commands has a chapter for each, with each of its flags, and a flag that is there no more has left it.
#[test]
fn the_page_of_commands_is_true() {
    let page = std::fs::read_to_string(workspace().join("docs/commands.md")).unwrap();
    let chapter = |command: &str| {
        let (_, behind) =
            page.split_once(&format!("\n## `{command}`\n")).unwrap_or_else(|| panic!("no chapter `{command}`"));
        behind.split("\n## ").next().unwrap().to_owned()
    };
    let flags = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        words.filter(|word| word.starts_with("--") && word.len() > 3).map(str::to_owned).collect()
    };
    let tool = Tool::new();
    let listed = tool.run(&["help"]).stdout;
    let (_, listed) = listed.split_once("Commands:\n").unwrap();
    let commands: Vec<&str> =
        listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() >= 11, "{commands:?}");
    for command in commands {
        let help = tool.run(&[command, "--help"]).stdout;
        let mut taken = flags(&help);
        for inner in help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty()) {
            let inner = inner.split_whitespace().next().unwrap();
            taken.extend(flags(&tool.run(&[command, inner, "--help"]).stdout));
        }
        taken.remove("--help");
        let told: BTreeSet<String> =
            chapter(command).lines().filter(|line| line.starts_with("| `")).flat_map(flags_of_row).collect();
        assert_eq!(told, taken, "the flags of `{command}`");
    }
}

/// The flags in the first cell of a row.
fn flags_of_row(row: &str) -> Vec<String> {
    let cell = row.split(" | ").next().unwrap();
    let words = cell.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words.filter(|word| word.starts_with("--")).map(str::to_owned).collect()
}

/// A listener of TLS, and one of QUIC: requests come to them as to a gateway that serves.
const SECURED: &str = "tidegate 1

certificate shop {
    chain \"certs/shop.example.pem\"
    key \"certs/shop.example.key\"
}

ca partners { bundle \"certs/ca.pem\" }

server-group web { server 127.0.0.1:8081 }

listener http plain {
    port 80
    rules site
}

listener https shop {
    port 443
    certificate shop
    client-ca partners optional
    rules site
}

listener quic fast {
    port 8443
    certificate shop
    rules site
}

rules site {
    rule till {
        when client-cert subject \"CN\" is \"till\"
        respond 200 \"till\"
    }
    rule new {
        when scheme is https
        when tls-version is tls1.3
        when protocol is [h2, h3]
        when sni is \"shop.example\"
        unless upgrade is websocket
        respond 200 \"new\"
    }
    rule upgraded {
        when scheme is https
        when upgrade is websocket
        respond 200 \"upgraded\"
    }
    otherwise { forward web }
}

test \"over TLS\" {
    request GET \"https://shop.example/\"
    expect rule new
}

test \"over QUIC\" {
    request GET \"https://shop.example:8443/\"
    expect rule new
}

test \"to upgrade\" {
    request GET \"https://shop.example/\"
    header \"connection\" \"upgrade\"
    header \"upgrade\" \"websocket\"
    expect rule upgraded
}

test \"to upgrade over HTTP/3\" {
    request GET \"https://shop.example/\" protocol h3
    header \"upgrade\" \"WebSocket\"
    expect rule upgraded
}

test \"an old client\" {
    request GET \"https://shop.example/\" from 203.0.113.9 protocol h1
    expect rule otherwise
}

test \"an address is no server name\" {
    request GET \"https://192.0.2.1/\"
    expect rule otherwise
}

test \"with a certificate\" {
    request GET \"https://shop.example/\"
    client-cert subject \"CN=till,O=Acme\"
    expect rule till
}

test \"in clear text\" {
    request GET \"http://shop.example/\"
    expect rule otherwise
    expect forward web
}
";

#[test]
fn requests_are_tried_over_what_their_listener_speaks() {
    let tool = Tool::new().file("secured.gate", SECURED);
    std::os::unix::fs::symlink(workspace().join("policies/certs"), tool.path("certs")).unwrap();
    let output = tool.run(&["test", "secured.gate"]);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    assert!(output.stdout.trim_end().ends_with("8 passed, 0 failed"), "{}", output.stdout);
    // A test of one version alone is no test of the other.
    let old = SECURED.replace("when upgrade is websocket", "when header \"upgrade\" is \"websocket\"");
    let old = Tool::new().file(
        "old.gate",
        &old.replace(
            "https://shop.example/\"\n    header \"conn",
            "https://shop.example/\" protocol h1\n    header \"conn",
        ),
    );
    std::os::unix::fs::symlink(workspace().join("policies/certs"), old.path("certs")).unwrap();
    let output = old.run(&["test", "old.gate"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stdout.contains("ok      old.gate: to upgrade\n"), "{}", output.stdout);
    assert!(output.stderr.contains("W0980"), "{}", output.stderr);
    let both = Tool::new().file("both.gate", &SECURED.replace("when upgrade is websocket", "when protocol is h1"));
    std::os::unix::fs::symlink(workspace().join("policies/certs"), both.path("certs")).unwrap();
    let output = both.run(&["test", "both.gate"]);
    assert!(output.stdout.contains("to upgrade (over HTTP/2)"), "{}", output.stdout);
    let explained = |arguments: &[&str]| {
        let output = tool.run(&[&["explain", "secured.gate"], arguments].concat());
        assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        output.stdout
    };
    let said = explained(&["GET https://shop.example/"]);
    assert!(said.contains("on listener shop") && said.contains("rule new   yes"), "{said}");
    let said = explained(&["GET https://shop.example:8443/"]);
    assert!(said.contains("on listener fast") && said.contains("rule new   yes"), "{said}");
    let said = explained(&["GET https://shop.example/", "--client-cert", "CN=till"]);
    assert!(said.contains("rule till  yes"), "{said}");
    let said = explained(&["GET http://shop.example/", "--listener", "plain"]);
    assert!(said.contains("rule otherwise  yes") && said.contains("GET http://shop.example/"), "{said}");
    let tool = Tool::new().file(
        "p.gate",
        "tidegate 1\nlistener http a { port 80; forward web }\nserver-group web { server 127.0.0.1:1 }\n",
    );
    let output = tool.run(&["explain", "p.gate", "GET https://shop.example/"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("write `http://…`"), "{}", output.stderr);
}

#[test]
fn tests_of_a_folder_are_run_together() {
    let test = |status: u16| {
        format!(
            "tidegate 1\nlistener http a {{\n    port 80\n    rules a\n}}\nrules a {{ otherwise {{ respond 200 \"ok\" }} }}\n\
             test \"it answers\" {{\n    request GET \"http://a/\"\n    expect status {status}\n}}\n"
        )
    };
    let tool = Tool::new();
    std::fs::create_dir(tool.path("good")).unwrap();
    std::fs::create_dir(tool.path("mixed")).unwrap();
    std::fs::create_dir(tool.path("none")).unwrap();
    for (name, status) in [("good/a.gate", 200), ("good/b.gate", 200), ("mixed/a.gate", 200), ("mixed/b.gate", 404)] {
        std::fs::write(tool.path(name), test(status)).unwrap();
    }
    std::fs::write(tool.path("mixed/c.gate"), "tidegate 1\nnonsense\n").unwrap();
    let output = tool.run(&["test", "good"]);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{}", output.stdout);
    assert!(output.stdout.trim_end().ends_with("2 passed, 0 failed"), "{}", output.stdout);
    // A policy with errors fails, and says why on standard error; the others are run.
    let output = tool.run(&["test", "mixed"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stdout.trim_end().ends_with("1 passed, 2 failed"), "{}", output.stdout);
    assert!(
        output.stdout.contains("expected status is 404") && output.stdout.contains("answered with 200"),
        "{}",
        output.stdout
    );
    assert!(output.stderr.contains("error[E0201]: `nonsense`"), "{}", output.stderr);
    for (nothing, status) in [("none", Some(1)), ("missing.gate", Some(1))] {
        assert_eq!(tool.run(&["test", nothing]).status, status, "{nothing}");
    }
    assert_eq!(tool.run(&["test"]).status, Some(2));
}

/// Bash itself completes by the script.
#[test]
fn the_shell_completes_commands() {
    let tool = Tool::new();
    let script = tool.run(&["completion", "bash"]);
    assert_eq!((script.status, script.stderr.as_str()), (Some(0), ""));
    let ask = "COMP_WORDS=(tidegate fm); COMP_CWORD=1; _tidegate tidegate fm tidegate; echo \"${COMPREPLY[*]}\"";
    let bash = Command::new("bash")
        .args(["--norc", "-c", &format!("{}\n{ask}", script.stdout)])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&bash.stderr);
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "fmt", "{said}");
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = tool.run(&["completion", shell]);
        assert!(script.status == Some(0) && script.stdout.contains("explain"), "{shell}");
    }
    assert_eq!(tool.run(&["completion", "tcsh"]).status, Some(2));
}

#[test]
fn a_wrong_command_line_is_answered_kindly() {
    let tool = Tool::new();
    let output = tool.run(&["chekc", "p.gate"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("'check'"), "{}", output.stderr);
    let output = tool.run(&[]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("Usage:") && output.stderr.contains("demo"), "{}", output.stderr);
}

/// The files of the VS Code extension are what VS Code reads, and name files that are there.
#[test]
fn the_extension_for_vs_code_is_whole() {
    let folder = workspace().join("editors/vscode");
    let read =
        |name: &str| -> Value { serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap() };
    let package = read("package.json");
    let language = &package["contributes"]["languages"][0];
    assert_eq!(language["extensions"][0], ".gate");
    for file in [&package["main"], &language["configuration"], &package["contributes"]["grammars"][0]["path"]] {
        assert!(folder.join(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(read("tidegate.tmLanguage.json")["scopeName"], package["contributes"]["grammars"][0]["scopeName"]);
    assert!(read("language-configuration.json")["comments"]["lineComment"] == "#");
}
