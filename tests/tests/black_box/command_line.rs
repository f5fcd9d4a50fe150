//! The command line, as a person or a program uses it.

use std::os::unix::fs::symlink;

use serde_json::Value;
use tidegate_tests::{Backend, Gateway, Output, Policy, Tool, shipped, target_folder};

const SIX: &str = "tidegate 1

list office [10.0.0.0/8, 192.168.0/16]

server-group web { server 127.0.0.1:8081 }

listener http main {
    prot 8080
    port 8080
    request-timeout 30
    rules main
}

rules main {
    rule admin {
        when path under \"/admin
        unless client-ip in office
        respond 403
    }
    rule api {
        when path under \"/api\"
        forward wbe
    }
    otherwise {
        forward web
}
";

/// Line, column, what is underlined, and a piece of the mend.
const MISTAKES: [(u64, u64, &str, &str); 6] = [
    (3, 26, "192.168.0/16", "10.0.0.0/8"),
    (8, 5, "prot", "did you mean `port`?"),
    (10, 21, "30", "write `30s`"),
    (16, 25, "\"/admin", "write `\"` where the text ends"),
    (22, 17, "wbe", "did you mean `web`?"),
    (24, 15, "{", "write `}` where the block ends"),
];

fn valid() -> String {
    Policy::new().otherwise("respond 200").text().replace("@port", "8080")
}

#[test]
fn six_mistakes_are_reported_once_each_at_their_place_with_the_mend() {
    let tool = Tool::new().file("six.gate", SIX);
    let output = tool.run(&["check", "--format", "json", "six.gate"]);
    assert_eq!((output.status, output.stdout.as_str()), (Some(1), ""));
    let found: Vec<Value> = output.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(found.len(), MISTAKES.len(), "{}", output.stderr);
    for (diagnostic, (line, column, underlined, mend)) in found.iter().zip(MISTAKES) {
        assert_eq!(
            (diagnostic["line"].as_u64(), diagnostic["column"].as_u64()),
            (Some(line), Some(column)),
            "{diagnostic}"
        );
        let width = u64::try_from(underlined.len()).unwrap();
        assert_eq!(diagnostic["end_column"].as_u64(), Some(column + width), "underlines `{underlined}`: {diagnostic}");
        assert!(diagnostic["help"].as_str().unwrap_or_default().contains(mend), "{diagnostic}");
        assert_eq!((diagnostic["severity"].as_str(), diagnostic["path"].as_str()), (Some("error"), Some("six.gate")));
    }
}

#[test]
fn people_see_the_same_with_the_source() {
    let output = Tool::new().file("six.gate", SIX).run(&["check", "six.gate"]);
    assert_eq!(output.status, Some(1));
    assert_eq!(output.stderr.matches("error[E").count(), 6, "{}", output.stderr);
    assert_eq!(output.stderr.matches("= help: ").count(), 6, "{}", output.stderr);
    assert!(output.stderr.contains("--> six.gate:8:5\n  |\n8 |     prot 8080\n  |     ^^^^\n"), "{}", output.stderr);
    assert!(!output.stderr.contains('\u{1b}'), "no colours into a pipe");
}

#[test]
fn a_pull_request_sees_the_same_as_annotations() {
    let output = Tool::new().file("six.gate", SIX).run(&["check", "--format", "github", "six.gate"]);
    let annotations: Vec<_> =
        output.stderr.lines().filter(|line| line.starts_with("::error file=six.gate,line=")).collect();
    assert_eq!((output.status, annotations.len()), (Some(1), 6), "{}", output.stderr);
}

#[test]
fn mending_what_is_said_mends_the_file() {
    let mended = SIX
        .replace("192.168.0/16", "192.168.0.0/16")
        .replace("    prot 8080\n", "")
        .replace("timeout 30\n", "timeout 30s\n")
        .replace("\"/admin\n", "\"/admin\"\n")
        .replace("wbe", "web")
        + "}\n";
    let output = Tool::new().file("six.gate", &mended).run(&["check", "six.gate"]);
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn exit_statuses() {
    let tool = Tool::new().file("good.gate", &valid()).file("bad.gate", "tidegate 1\nnonsense\n");
    let status = |arguments: &[&str]| tool.run(arguments).status;
    assert_eq!(status(&["check", "good.gate"]), Some(0));
    assert_eq!(status(&["check", "bad.gate"]), Some(1));
    assert_eq!(status(&["check", "good.gate", "bad.gate"]), Some(1));
    assert_eq!(status(&["check", "missing.gate"]), Some(1));
    for usage in [
        &[][..],
        &["check"],
        &["frobnicate"],
        &["check", "--format", "xml", "good.gate"],
        &["explain", "good.gate", "nonsense"],
        &["explain", "good.gate", "GET http://a/", "-H", "nonsense"],
        &["explain", "good.gate", "GET http://a/", "--from", "nowhere"],
        &["print", "good.gate", "--as", "poem"],
    ] {
        let output = tool.run(usage);
        assert_eq!(output.status, Some(2), "{usage:?}: {}", output.stderr);
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{usage:?}");
    }
    for help in [&["--help"][..], &["--version"], &["check", "--help"]] {
        let output = tool.run(help);
        assert_eq!(output.status, Some(0), "{help:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "an answer goes to standard output");
    }
}

#[test]
fn warnings_alone_are_no_failure() {
    let output = Tool::new().file("p.gate", &(valid() + "list nobody [10.0.0.0/8]\n")).run(&["check", "p.gate"]);
    assert_eq!(output.status, Some(0));
    assert!(output.stderr.contains("warning[W") && output.stderr.contains("`nobody`"), "{}", output.stderr);
}

/// The policies that the project ships, in a folder like its own.
fn shipped_policies() -> (Tool, Vec<String>) {
    let tool = Tool::new();
    std::fs::create_dir(tool.path("policies")).unwrap();
    std::fs::create_dir(tool.path("logs")).unwrap();
    for folder in ["policies/certs", "policies/shared"] {
        symlink(shipped(folder), tool.path(folder)).unwrap();
    }
    symlink(target_folder(), tool.path("target")).unwrap();
    tidegate_tests::guest("client_headers");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(shipped("policies")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("policies/{}", path.file_name().unwrap().to_string_lossy());
        if path.extension().is_some_and(|extension| extension == "gate") {
            std::fs::copy(&path, tool.path(&name)).unwrap();
            names.push(name);
        }
    }
    assert!(names.len() >= 5, "{names:?}");
    (tool, names)
}

#[test]
fn shipped_policies_are_clean_and_formatted() {
    let (tool, names) = shipped_policies();
    for name in &names {
        let output = tool.run(&["check", name]);
        assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{name}");
        let output = tool.run(&["fmt", "--check", name]);
        assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""), "{name}");
    }
}

#[test]
fn formatting_is_idempotent_and_keeps_comments_and_meaning() {
    let (tool, names) = shipped_policies();
    let plan = |name: &str| {
        let output = tool.run(&["print", "--as", "json", name]);
        assert_eq!(output.status, Some(0), "{name}: {}", output.stderr);
        output.stdout
    };
    let comments =
        |text: &str| text.lines().filter_map(|line| Some(line.split_once("# ")?.1.to_owned())).collect::<Vec<_>>();
    for name in &names {
        let before = tool.read(name);
        let meant = plan(name);
        // The same file in a bad hand: no indents, blocks and lists spread out.
        let ugly: String = before.lines().map(|line| format!("{}  \n", line.trim_start())).collect();
        std::fs::write(tool.path(name), &ugly).unwrap();
        assert_eq!(tool.run(&["fmt", "--check", name]).status, Some(1), "{name} is ugly now");
        assert_eq!(tool.read(name), ugly, "--check changes nothing");
        assert_eq!(tool.run(&["fmt", name]).status, Some(0));
        let once = tool.read(name);
        assert_eq!(once, before, "{name}: the one layout");
        assert_eq!(comments(&once), comments(&before), "{name}");
        assert_eq!(plan(name), meant, "{name}");
        assert_eq!(tool.run(&["fmt", "--check", name]).status, Some(0), "{name}: once is enough");
    }
}

#[test]
fn standard_input_is_formatted_to_standard_output() {
    let output = Tool::new().run_with(&["fmt", "-"], "tidegate   1\nlist a [10.0.0.0/8,]  # why\n");
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    assert!(output.stdout.starts_with("tidegate 1\n") && output.stdout.contains("# why"), "{}", output.stdout);
    let output = Tool::new().run_with(&["fmt", "-"], "tidegate 1\nlist a [\n");
    assert_eq!((output.status, output.stdout.as_str()), (Some(1), ""), "what does not parse is left alone");
}

#[test]
fn what_print_prints_is_the_policy_with_its_defaults() {
    let tool = Tool::new().file("p.gate", &valid());
    let printed = tool.run(&["print", "p.gate"]);
    assert_eq!(printed.status, Some(0), "{}", printed.stderr);
    for default in ["idle-timeout 15s", "request-timeout 60s", "client-ip peer", "forwarded [for, proto]"] {
        assert!(printed.stdout.replace("1m", "60s").contains(default), "{default}: {}", printed.stdout);
    }
    let tool = tool.file("printed.gate", &printed.stdout);
    let plan = |name: &str| tool.run(&["print", "--as", "json", name]).stdout;
    let (original, again): (Value, Value) =
        (serde_json::from_str(&plan("p.gate")).unwrap(), serde_json::from_str(&plan("printed.gate")).unwrap());
    assert_eq!(original, again, "and means the same");
    let plan = tool.run(&["print", "--as", "plan", "p.gate"]);
    assert!(plan.status == Some(0) && plan.stdout.contains("listener main"), "{}", plan.stdout);
}

/// One request, explained and served.
struct Both {
    explained: Value,
    served: tidegate_tests::Response,
    log: Value,
}

#[test]
fn what_explain_says_is_what_serving_does() {
    let (web, api) = (Backend::echo(), Backend::echo());
    let policy = Policy::to(&web)
        .backend("api", &api)
        .top("list office [203.0.113.0/24]")
        .top("extension headers { module \"guest.wasm\"; config { request { \"x-guest\" \"{client-ip} {path}\" } }
              allow [read-request, write-request-headers, write-response-headers] }")
        .listener("client-ip x-forwarded-for trusted [127.0.0.1]")
        .rule("admin", "when path under \"/admin\"\nunless client-ip in office\nrespond 403 \"no ${client-ip}\\n\"")
        .rule("old", "when path matches \"^/old/(.*)$\"\nredirect 308 \"/new/${match.1}\"")
        .rule("api", "when host is \"api.example\"\nwhen header \"x-v\" is [\"1\", \"2\"]\nset-header \"x-edge\" \"${listener} ${rule}\"\nrewrite path \"/v${path}\"\nrun headers\nforward api")
        .rule("close", "when query \"close\" present\nclose");
    let gateway = Gateway::start_with(&policy, |folder| {
        std::fs::copy(tidegate_tests::guest("client_headers"), folder.join("guest.wasm")).unwrap();
    });
    let tool = Tool::new();
    let file = gateway.file().display().to_string();
    let explain = |method: &str, url: &str, headers: &[&str]| -> Value {
        let request = format!("{method} {url}");
        let mut arguments = vec!["explain", "--json", &file, &request];
        for header in headers {
            arguments.extend(["-H", header]);
        }
        let Output { status, stdout, stderr } = tool.run(&arguments);
        assert_eq!(status, Some(0), "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    };
    let both = |method: &str, host: &str, target: &str, headers: &[&str]| {
        let explained = explain(method, &format!("http://{host}:{}{target}", gateway.port()), headers);
        let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let mut client = gateway.client();
        client.send(format!("{method} {target} HTTP/1.1\r\nhost: {host}:{}\r\n{lines}\r\n", gateway.port()));
        let served = client.try_receive().unwrap_or_default();
        let log = gateway.access(target);
        assert_eq!(explained["rule"], log["rule"], "{target}");
        Both { explained, served, log }
    };

    let seen = both("GET", "a.example", "/admin/x?1", &[]);
    assert_eq!(seen.explained["outcome"]["status"].as_u64(), Some(u64::from(seen.served.status)));
    assert_eq!(seen.explained["outcome"]["body"], seen.served.text());
    let seen = both("GET", "a.example", "/%61dmin/x?2", &["x-forwarded-for: 203.0.113.5"]);
    assert_eq!((seen.log["rule"].as_str(), seen.log["group"].as_str()), (Some("otherwise"), Some("web")));
    assert_eq!(
        (seen.explained["outcome"]["how"].as_str(), seen.explained["outcome"]["group"].as_str()),
        (Some("forward"), Some("web"))
    );
    assert_eq!(seen.explained["client_ip"], seen.log["client_ip"]);
    let seen = both("GET", "a.example", "/x/../old/y/z?3", &[]);
    let location = &seen.explained["outcome"]["headers"][0];
    assert_eq!((location[0].as_str(), location[1].as_str()), (Some("location"), seen.served.header("location")));
    let seen = both("POST", "API.example", "/items?4", &["x-v: 0", "x-v: 2"]);
    assert_eq!((seen.log["rule"].as_str(), seen.log["group"].as_str()), (Some("api"), Some("api")));
    assert_eq!(seen.explained["outcome"]["group"], "api");
    let request = seen.served.echo();
    let url = seen.explained["outcome"]["url"].as_str().unwrap_or_default().to_owned();
    assert!(url.ends_with(&request.target), "{url} {}", request.target);
    let told = seen.explained.to_string();
    assert!(told.contains(&format!("x-edge: {}", request.header("x-edge").unwrap_or("?"))), "{told}");
    // The same guest ran, on the request as it stood.
    assert_eq!(request.header("x-guest"), Some("127.0.0.1 /v/items"));
    assert!(told.contains("\"extension\":\"headers\",\"hook\":\"request\""), "{told}");
    let seen = both("GET", "api.example", "/items?5", &["x-v: 3"]);
    assert_eq!(seen.log["rule"], "otherwise");
    let seen = both("GET", "a.example", "/?close", &[]);
    assert_eq!((seen.explained["outcome"]["how"].as_str(), seen.served.status), (Some("close"), 0));
}

#[test]
fn explain_tells_people_why() {
    let policy = Policy::new()
        .rule("admin", "when path under \"/admin\"\nrespond 403")
        .otherwise("respond 200")
        .text()
        .replace("@port", "8080");
    let tool = Tool::new().file("p.gate", &policy);
    let output = tool.run(&["explain", "p.gate", "GET http://a/b"]);
    assert_eq!(output.status, Some(0), "{}", output.stderr);
    let line = output.stdout.lines().find(|line| line.contains("rule admin")).unwrap_or_default();
    assert!(line.contains("when path under \"/admin\"") && line.contains("`/b`"), "{}", output.stdout);

    // What is done to an answer, which is assumed where a server gives it.
    let policy = "tidegate 1\nserver-group web { server 127.0.0.1:9000 }\nlistener http main { port 8080; rules site }\n\
                  rules site { otherwise { forward web; on-response { when status is 5xx; set-header \"x-sorry\" \"yes\" } } }\n";
    let tool = Tool::new().file("p.gate", policy);
    let well = tool.run(&["explain", "p.gate", "GET http://a/b"]).stdout;
    assert!(well.contains("if a server answers with 200") && well.contains("no: when status is"), "{well}");
    let ill = tool.run(&["explain", "p.gate", "GET http://a/b", "--answer", "503"]).stdout;
    assert!(ill.contains("if a server answers with 503") && ill.contains("`x-sorry: yes`"), "{ill}");
    assert_eq!(tool.run(&["explain", "p.gate", "GET http://a/b", "--answer", "103"]).status, Some(2));
}

#[test]
fn plan_says_what_a_reload_would_do() {
    let policy = |port: u16, group: &str| {
        format!(
            "tidegate 1\nlistener http main {{\n    port {port}\n    forward {group}\n}}\n\
             server-group {group} {{ server 127.0.0.1:9000 }}\n"
        )
    };
    let tool = Tool::new()
        .file("old.gate", &policy(8080, "web"))
        .file("new.gate", &policy(8081, "api"))
        .file("broken.gate", "tidegate 2\n");

    let output = tool.run(&["plan", "old.gate", "new.gate"]);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    for line in [
        "replace listener main",
        "    - port 8080",
        "    + port 8081",
        "    - forward web",
        "    ends the connections of port 8080, each when its requests are done, at the latest after 30s",
        "drop server-group web",
        "add server-group api",
        "1 to add, 1 to replace, 1 to drop; connections end",
    ] {
        assert!(output.stdout.lines().any(|said| said == line), "no `{line}` in:\n{}", output.stdout);
    }

    let output = tool.run(&["plan", "old.gate", "new.gate", "--format", "json"]);
    let changes: Value = serde_json::from_str(&output.stdout).unwrap();
    let hows: Vec<_> = changes["changes"].as_array().unwrap().iter().map(|change| &change["how"]).collect();
    assert_eq!(hows, ["drop", "add", "replace"], "{changes}");

    let output = tool.run(&["plan", "old.gate", "old.gate"]);
    assert_eq!((output.status, output.stdout.trim_end()), (Some(0), "no difference: a reload would change nothing"));
}

#[test]
fn plan_needs_two_sound_policies() {
    let tool = Tool::new().file("valid.gate", &valid()).file("broken.gate", "tidegate 2\n");
    let output = tool.run(&["plan", "broken.gate", "valid.gate"]);
    assert_eq!((output.status, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("there is no version `2`"), "{}", output.stderr);
    assert_eq!(tool.run(&["plan", "valid.gate", "missing.gate"]).status, Some(1));

    let output = tool.run(&["plan", "valid.gate"]);
    assert_eq!(output.status, Some(2));
    assert!(output.stderr.contains("tidegate plan OLD NEW"), "{}", output.stderr);

    let output = tool.run(&["plan", "valid.gate", "--admin", "unix:nobody.sock"]);
    assert_eq!((output.status, output.stdout.as_str()), (Some(1), ""));
    assert!(output.stderr.contains("cannot ask the gateway at `nobody.sock`"), "{}", output.stderr);
}
