//! Files that a policy names may be anything: nothing holds the gateway up, and nothing secret is shown.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tidegate_tests::{Gateway, Policy, Tool, tidegate};

const LISTENER: &str = "listener http main { port 8080; rules main }\nrules main { otherwise { close } }\n";

/// Longer than any of these takes, shorter than anybody waits.
const SOON: Duration = Duration::from_secs(2);

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Every role of a file, with a pipe in it.
fn roles() -> Vec<(&'static str, String)> {
    let policy = |declared: &str| format!("tidegate 1\n{declared}\n{LISTENER}");
    vec![
        ("pipe", "tidegate 1\n".to_owned()),
        ("main.gate", policy("include \"pipe\"")),
        ("main.gate", policy("include \"sites/*.gate\"")),
        ("main.gate", policy("certificate c { chain \"pipe\"; key \"file\" }")),
        ("main.gate", policy("certificate c { chain \"c.pem\"; key \"pipe\" }")),
        ("main.gate", policy("certificate c { chain \"c.pem\"; key \"c.key\"; staple \"pipe\" }")),
        ("main.gate", policy("ca c { bundle \"pipe\" }")),
        ("main.gate", policy("extension e { module \"pipe\" }")),
        ("main.gate", policy("access-log { to file \"pipe\" }")),
    ]
}

#[test]
fn a_pipe_in_any_place_is_refused_at_once() {
    let tool = Tool::new().file("file", "");
    let made = tool.run(&["demo", "certificates", ".", "c"]);
    assert_eq!(made.status, Some(0), "{}", made.stderr);
    std::fs::create_dir(tool.path("sites")).unwrap();
    make_pipe(&tool.path("pipe"));
    make_pipe(&tool.path("sites/b.gate"));
    for (root, text) in roles() {
        let tool = if root == "pipe" { &tool } else { write(&tool, root, &text) };
        let began = Instant::now();
        let said = tool.run(&["check", root]);
        assert_eq!(said.status, Some(1), "{text}");
        assert!(said.stderr.contains("it is a named pipe, and a regular file is needed"), "{text}{}", said.stderr);
        assert!(began.elapsed() < SOON, "{text}");
    }
    let said = tool.run(&["fmt", "pipe"]);
    assert!(said.stderr.contains("cannot read `pipe`: it is a named pipe"), "{}", said.stderr);
    let said = tool.run(&["extension", "inspect", "pipe"]);
    assert!(said.stderr.contains("it is a named pipe"), "{}", said.stderr);
}

fn write<'t>(tool: &'t Tool, name: &str, text: &str) -> &'t Tool {
    std::fs::write(tool.path(name), text).unwrap();
    tool
}

#[test]
fn a_pipe_that_appears_refuses_the_reload_and_nothing_else() {
    let version =
        |name: &str| Policy::new().top("include \"sites/*.gate\"").otherwise(&format!("respond 200 \"{name}\""));
    let mut gateway = Gateway::start_with(&version("one"), |folder| {
        std::fs::create_dir(folder.join("sites")).unwrap();
        std::fs::write(folder.join("sites/a.gate"), "tidegate 1\nlist l [10.0.0.1]\n").unwrap();
    });
    let pipe = gateway.folder().join("sites/b.gate");
    let mark = gateway.log().mark();
    make_pipe(&pipe);
    gateway.wait_for(mark, "the old one serves on");
    assert_eq!(gateway.get("/").text(), "one");
    std::fs::remove_file(&pipe).unwrap();
    gateway.reload(&version("two"));
    assert_eq!(gateway.get("/").text(), "two");
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
}

#[test]
fn keys_and_the_environment_are_not_shown() {
    let secret = "c2VjcmV0LWtleS1ieXRlcw";
    let key = format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n");
    let tool = Tool::new().file("shop.key", &key).file("main.gate", "tidegate 1\ninclude \"*.key\"\n");
    for format in ["human", "json", "github"] {
        for root in ["main.gate", "shop.key"] {
            let said = tool.run(&["check", "--format", format, root]);
            assert!(said.stderr.contains("E0555") && said.stderr.contains("shop.key"), "{}", said.stderr);
            assert!(!said.stderr.contains(secret) && !said.stdout.contains(secret), "{}", said.stderr);
        }
    }
    let policy = "tidegate 1\nlistener http main { port 8080; rules main }\n\
                  rules main { otherwise { set-header \"x-key\" env \"KEY\"; redirect 302 \"http://b/\" } }\n\
                  test \"t\" { request GET \"http://a:8080/\"; expect status 404 }\n";
    std::fs::write(tool.path("env.gate"), policy).unwrap();
    std::fs::write(tool.path("none.gate"), policy.replace("set-header \"x-key\" env \"KEY\";", "")).unwrap();
    let said = |arguments: &[&str]| {
        let output = Command::new(tidegate())
            .args(arguments)
            .current_dir(tool.path(""))
            .env("KEY", "hunter22")
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    for command in [
        &["print", "env.gate"][..],
        &["print", "env.gate", "--as", "plan"],
        &["print", "env.gate", "--as", "json"],
        &["explain", "env.gate", "GET http://a:8080/"],
        &["explain", "env.gate", "GET http://a:8080/", "--json"],
        &["plan", "none.gate", "env.gate"],
        &["plan", "none.gate", "env.gate", "--format", "json"],
        &["test", "env.gate"],
    ] {
        let hidden = said(command);
        assert!(hidden.contains("<env KEY>") && !hidden.contains("hunter22"), "{command:?}: {hidden}");
        let shown = said(&[command, &["--show-env"]].concat());
        assert!(shown.contains("hunter22") && !shown.contains("<env KEY>"), "{command:?}: {shown}");
    }
    // A mistake in the value shows no more of it.
    std::fs::write(tool.path("env.gate"), "tidegate 1\nserver-group web { server env \"KEY\" }\n").unwrap();
    let wrong = said(&["check", "env.gate"]);
    assert!(wrong.contains("<env KEY>") && !wrong.contains("hunter22"), "{wrong}");
}
