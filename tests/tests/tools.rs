//! What helps those who write policies: `help`, `test`, `completion`, and a command line that is wrong.

#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

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
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("did you mean `E0"), "{}", output.stderr);
    let output = tool.run(&["help"]);
    assert!(output.status == Some(0) && output.stdout.contains("explain") && output.stdout.contains("lsp"));
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
