//! Guests of other ABIs: filters written for Envoy and for http-wasm hosts, unchanged.
//!
//! Those of `tests/foreign` are built by the tests, with the SDKs of their ABIs. The filters of the wheel
//! `gpustack-higress-plugins`, which are Go but for one in Rust, are downloaded once into the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;
use tidegate_tests::{
    Backend, Behaviour, Client, Gateway, Policy, Response, Tool, needed, target_folder, tidegate, workspace,
};

/// The folder of the guests that `tests/foreign` holds, built once a process.
fn guests() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let folder = target_folder().join("foreign");
        install_target();
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // What the outer build wants of native code is no business of the guests.
        for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS"]
        {
            cargo.env_remove(name);
        }
        let status = cargo
            .current_dir(workspace().join("tests/foreign"))
            .args(["build", "--release", "--examples", "--quiet", "--locked"])
            .args(["--target", "wasm32-wasip1", "--target-dir"])
            .arg(&folder)
            .status();
        assert!(status.unwrap().success(), "the foreign guests do not build");
        folder.join("wasm32-wasip1/release/examples")
    })
}

/// Has rustup bring the Rust target of the guests, if it is missing.
fn install_target() {
    let output =
        Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-wasip1"]).output().unwrap();
    if !Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir() {
        let status = Command::new("rustup").args(["target", "add", "wasm32-wasip1"]).status();
        assert!(status.is_ok_and(|status| status.success()), "`rustup target add wasm32-wasip1` does not work here");
    }
}

fn guest(name: &str) -> PathBuf {
    guests().join(format!("{name}.wasm"))
}

/// The capabilities of these guests when a test does not say.
const ALLOW: &str = "allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, respond, \
                     vars, log, clock, random, metrics, store, outbound]";

const WITH_BODY: &str = "allow [read-request, write-request-headers, read-response, write-response-headers, respond, body, \
                         vars, log, clock, random, metrics, store]";

fn extension(module: &Path, abi: &str, settings: &str) -> String {
    format!("extension guest {{ module \"{}\"; abi {abi}; {settings} }}", module.display())
}

/// A policy whose one group is the backend, and whose requests all pass this guest.
fn policy(backend: &Backend, name: &str, abi: &str, settings: &str) -> Policy {
    let top = extension(&guest(name), abi, settings);
    Policy::to(backend).top("gateway { workers 1 }").top(&top).listener("run guest")
}

fn proxy_headers(backend: &Backend, settings: &str) -> Gateway {
    Gateway::start(&policy(backend, "proxy_headers", "proxy-wasm", settings))
}

fn act(client: &mut Client, act: &str) -> Response {
    client.get_with("/act", &format!("x-do: {act}\r\n"))
}

/// Checks a policy without serving it; what it says.
fn check(text: &str) -> String {
    // No `Tool`: large modules take their time to compile.
    let tool = Tool::new().file("policy.gate", text);
    let output = Command::new(tidegate()).arg("check").arg(tool.path("policy.gate")).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_proxy_wasm_filter_reads_and_writes_heads_on_both_sides() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, &format!("config \"blue\"; {ALLOW}"));
    let mut client = gateway.client();
    for path in ["/one", "/two?x=y"] {
        let answer = client.get_with(path, "x-secret: 1\r\n");
        let request = answer.echo();
        assert_eq!(request.header("x-tag"), Some("blue"));
        assert_eq!(request.header("x-secret"), None);
        let facts = request.header("x-facts").unwrap();
        assert!(facts.starts_with("GET 127.0.0.1:") && facts.ends_with(" true"), "{facts}");
        let filtered = answer.header("x-filtered").unwrap();
        assert!(filtered.starts_with(&format!("{path} 200 ")), "its context lives from hook to hook: {filtered}");
        gateway.wait_for(0, &format!("over: {path}"));
    }
}

#[test]
fn a_proxy_wasm_filter_answers_and_rewrites() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, ALLOW);
    let mut client = gateway.client();
    let answer = act(&mut client, "deny");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-denied-by")), (403, "no\n", Some("filter")));
    assert!(backend.requests().is_empty());
    let request = act(&mut client, "rewrite").echo();
    assert_eq!((request.target.as_str(), request.header("host")), ("/rewritten?by=filter", Some("other.example")));
}

#[test]
fn what_a_proxy_wasm_filter_may_not_do_has_a_name_and_costs_one_request() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, &format!("limits {{ time 50ms }}; {ALLOW}"));
    let (mut other, mut client) = (gateway.client(), gateway.client());
    for (fault, kind, words) in [
        ("panic", "trap", "as asked"),
        ("loop", "deadline", "CPU time"),
        ("length", "not-allowed", "header `content-length` belongs to the gateway"),
        ("trace", "not-allowed", "the method cannot become TRACE"),
        ("pri", "not-allowed", "the method cannot become PRI"),
        ("break", "bad-value", "the value of header `x-a` holds a line break"),
        ("pause", "deadline", "nothing is under way that would resume it"),
    ] {
        let mark = gateway.log().mark();
        assert_eq!(act(&mut client, fault).status, 500, "{fault}");
        assert_eq!(other.get("/act").status, 200, "another request, with an instance that works");
        let line = gateway.wait_for(mark, "WARN");
        assert!(line.contains(&format!("fault=\"{kind}\"")) || line.contains(words), "{fault}: {line}");
        gateway.wait_for(mark, words);
    }
    assert!(backend.requests().iter().all(|request| request.header("x-do").is_none()), "what was denied was not sent");
}

#[test]
fn a_hostile_filter_gets_a_named_fault_and_nothing_else() {
    let backend = Backend::echo();
    let settings = format!("limits {{ time 200ms }}; {ALLOW}");
    let gateway = Gateway::start(&policy(&backend, "proxy_hostile", "proxy-wasm", &settings));
    let (mut other, mut client) = (gateway.client(), gateway.client());
    for (act_of, kind) in [
        ("write-outside", "bad-value"),
        ("read-outside", "bad-value"),
        ("read-everything", "too-much"),
        ("lying-map", "bad-value"),
        ("store-flood", "too-much"),
        ("many-fields", "too-much"),
        ("memory", "memory"),
        ("exit", "trap"),
        ("late", "not-allowed"),
    ] {
        let mark = gateway.log().mark();
        assert_eq!(act(&mut client, act_of).status, 500, "{act_of}");
        let line = gateway.wait_for(mark, "fault=");
        assert!(line.contains(&format!("fault=\"{kind}\"")), "{act_of}: {line}");
        assert_eq!(other.get("/act").status, 200, "another request");
    }
    let mark = gateway.log().mark();
    assert_eq!(act(&mut client, "log-flood").status, 200);
    gateway.wait_for(mark, "more lines of this call were dropped");
    assert!(gateway.log().since(mark).iter().filter(|line| line.contains("flood")).count() <= 32);
}

#[test]
fn a_request_whose_instance_failed_goes_on_in_another() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let gateway = proxy_headers(&backend, ALLOW);
    let (mut waiting, mut failing) = (gateway.client(), gateway.client());
    waiting.send("GET /waiting HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_request(1);
    assert_eq!(act(&mut failing, "panic").status, 500);
    backend.release();
    let answer = waiting.receive();
    assert_eq!(answer.status, 200);
    // The new context has no path: it was not there when the request was seen.
    assert!(answer.header("x-filtered").unwrap().starts_with("200 "), "{:?}", answer.header("x-filtered"));
}

#[test]
fn contexts_end_with_their_requests() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, &format!("instance fresh; {ALLOW}"));
    let mut client = gateway.client();
    // More than there is room for, if any of their instances stayed.
    for n in 0..1100 {
        assert_eq!(client.get("/a").status, 200, "request {n}");
    }
}

#[test]
fn a_proxy_wasm_filter_needs_the_words_of_what_it_does() {
    let backend = Backend::echo();
    for (allow, act_of, word) in [
        ("[clock, random, write-request-headers, read-response, write-response-headers]", "", "read-request"),
        ("[clock, random, read-request, read-response, write-response-headers]", "", "write-request-headers"),
        ("[clock, random, read-request, write-request-headers, write-response-headers]", "", "read-response"),
        ("[clock, random, read-request, write-request-headers, read-response]", "", "write-response-headers"),
        ("[clock, random, read-request, write-request-headers, read-response]", "deny", "respond"),
        ("[clock, random, read-request, write-request-headers, read-response]", "rewrite", "rewrite"),
    ] {
        let gateway = proxy_headers(&backend, &format!("allow {allow}"));
        let mark = gateway.log().mark();
        assert_eq!(act(&mut gateway.client(), act_of).status, 500, "{word}");
        gateway.wait_for(mark, &format!("add `{word}` to allow it"));
    }
}

#[test]
fn instances_for_each_request_keep_its_context() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, &format!("instance fresh; {ALLOW}"));
    let mut client = gateway.client();
    for path in ["/one", "/two"] {
        let answer = client.get(path);
        assert_eq!(answer.header("x-filtered"), Some(&*format!("{path} 200 2")), "the first context of its instance");
    }
}

#[test]
fn a_request_that_is_under_way_keeps_its_context_while_others_come() {
    let backend = Backend::echo();
    let gateway = proxy_headers(&backend, ALLOW);
    let mut clients: Vec<Client> = (0..20).map(|_| gateway.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("GET /of/{n} HTTP/1.1\r\nhost: test\r\n\r\n"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let answer = client.receive();
        assert!(answer.header("x-filtered").unwrap().starts_with(&format!("/of/{n} 200 ")));
    }
}

#[test]
fn a_proxy_wasm_filter_waits_for_a_body_and_changes_both() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&policy(&backend, "proxy_bodies", "proxy-wasm", WITH_BODY));
    let mut client = gateway.client();
    let answer = client.post("/a", "quiet words");
    assert!(answer.text().ends_with(" bytes]"), "{}", answer.text());
    let seen = backend.requests().pop().unwrap();
    assert_eq!((seen.text().as_str(), seen.header("x-body-bytes")), ("QUIET WORDS", Some("11")));
    client.send("POST /b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nquiet\r\n0\r\n\r\n");
    assert_eq!(client.receive().status, 200);
    assert_eq!(backend.requests().pop().unwrap().text(), "QUIET");
    let refused = client.post("/c", "forbidden");
    assert_eq!((refused.status, refused.text().contains("not this")), (422, true));
    assert_eq!(backend.requests().len(), 2, "nothing had left");
}

#[test]
fn a_filter_that_waits_for_a_body_it_may_not_have_is_told_what_it_needs() {
    let gateway = Gateway::start(&policy(&Backend::echo(), "proxy_bodies", "proxy-wasm", ALLOW));
    let mark = gateway.log().mark();
    assert_eq!(gateway.client().post("/a", "x").status, 500);
    gateway.wait_for(mark, "`allow` must list `body`");
}

#[test]
fn proxy_wasm_filters_share_data_count_and_tick() {
    let backend = Backend::echo();
    let policy = policy(&backend, "proxy_shared", "proxy-wasm", &format!("instance fresh; {ALLOW}"));
    let gateway = Gateway::start(&policy);
    let mut client = gateway.client();
    for n in 1..=3 {
        assert_eq!(client.get("/a").echo().header("x-count"), Some(&*format!("{n} {n}")), "each has its own instance");
    }
    assert_eq!(gateway.access("/a")["vars"]["seen.count"], "1");
    gateway.wait_for(0, "the first tick");
}

#[test]
fn a_proxy_wasm_filter_asks_a_server_group() {
    let backend = Backend::echo();
    let users = Backend::text("alice");
    let base = || Policy::to(&backend).top("gateway { workers 1 }").listener("run guest");
    let asks = |allow: &str| extension(&guest("proxy_asks"), "proxy-wasm", allow);
    let gateway = Gateway::start(&base().backend("users", &users).top(&asks(ALLOW)));
    let answer = gateway.client().get_with("/a", "authorization: Bearer 1\r\n");
    assert_eq!(answer.echo().header("x-user"), Some("alice"));
    let asked = users.requests().pop().unwrap();
    assert_eq!((asked.target.as_str(), asked.header("host")), ("/who", Some("users.example")));
    assert_eq!(asked.header("authorization"), Some("Bearer 1"));

    drop(users);
    let answer = gateway.client().get("/b");
    assert_eq!((answer.status, answer.text().as_str()), (503, "nobody answers\n"));

    let unknown = Gateway::start(&base().top(&asks(ALLOW)));
    assert_eq!(unknown.client().get("/a").text(), "cannot ask\n");
    unknown.wait_for(0, "cannot ask: BadArgument");
}

#[test]
fn an_http_wasm_handler_does_its_work() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&policy(&backend, "http_handler", "http-wasm", &format!("config \"heads\"; {ALLOW}")));
    let mut client = gateway.client();
    let answer = client.get_with("/old/page?x=y", "x-secret: 1\r\n");
    assert_eq!(answer.header("x-handled"), Some("7 200"), "what it gave for the response comes back");
    let request = answer.echo();
    assert_eq!((request.target.as_str(), request.header("x-secret")), ("/new/page?x=y", None));
    let facts = request.header("x-facts").unwrap();
    assert!(facts.starts_with("GET HTTP/1.1 127.0.0.1:"), "{facts}");
    let denied = client.get("/deny");
    assert_eq!((denied.status, denied.text().as_str()), (403, "not here\n"));
    assert_eq!((denied.header("x-denied-by"), denied.header("x-handled")), (Some("handler"), None));
    let mark = gateway.log().mark();
    assert_eq!(client.get_with("/a", "x-break: 1\r\n").status, 500);
    gateway.wait_for(mark, "the value of header `x-a` holds a line break");
}

#[test]
fn an_http_wasm_handler_buffers_and_changes_bodies() {
    let backend = Backend::echo();
    let settings = format!("config \"bodies\"; {WITH_BODY}");
    let gateway = Gateway::start(&policy(&backend, "http_handler", "http-wasm", &settings));
    let mut client = gateway.client();
    let answer = client.post("/a", &"quiet ".repeat(1000));
    assert!(answer.text().ends_with(" bytes]"), "{}", answer.text());
    assert_eq!(answer.header("x-handled"), Some("7 200"));
    assert_eq!(backend.requests().pop().unwrap().text(), "QUIET ".repeat(1000));
    let answer = client.get("/b");
    assert!(answer.text().ends_with(" bytes]"), "a request without a body: {}", answer.text());
}

#[test]
fn what_an_http_wasm_handler_writes_before_the_answer_comes_first() {
    let backend = Backend::text("then the server\n");
    for config in ["heads", "bodies"] {
        let settings = format!("config \"{config}\"; {WITH_BODY}");
        let gateway = Gateway::start(&policy(&backend, "http_handler", "http-wasm", &settings));
        let mut client = gateway.client();
        let answer = client.get("/first");
        let end = if config == "heads" { "" } else { " [23 bytes]" };
        let body = format!("first, then the server\n{end}");
        assert_eq!(answer.text(), body, "{config}");
        assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(
            (answer.status, answer.header("x-first"), answer.header("x-handled")),
            (200, Some("yes"), Some("7 200"))
        );
        assert!(!client.get("/other").text().starts_with("first"), "it is that request's alone");
    }
    let gateway = Gateway::start(&policy(&backend, "http_handler", "http-wasm", &format!("config \"heads\"; {ALLOW}")));
    assert_eq!(gateway.client().get("/first").status, 500);
    gateway.wait_for(0, "add `body` to allow it");
}

/// A request for one case of the kit: `METHOD TARGET`, header lines, and a body.
fn kit(client: &mut Client, line: &str, headers: &[(&str, &str)], body: &str) -> Response {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    client.send(format!("{line} HTTP/1.1\r\nhost: a.example\r\ncontent-length: {length}\r\n{headers}\r\n{body}"));
    let answer = if line.starts_with("HEAD ") { client.receive_head().unwrap() } else { client.receive() };
    assert_eq!(answer.header("x-handled"), Some("1"), "{line}: {headers}");
    answer
}

#[test]
fn an_http_wasm_handler_finds_what_the_kit_of_its_abi_asks_for() {
    let backend = Backend::echo();
    let settings = format!("limits {{ time 200ms }}; {}", ALLOW.replace("vars", "vars, body"));
    let gateway = Gateway::start(&policy(&backend, "http_kit", "http-wasm", &settings));
    let mut client = gateway.client();
    let mut saw = |line: &str, headers: &[(&str, &str)], body: &str| {
        kit(&mut client, line, headers, body).header("x-saw").unwrap().to_owned()
    };
    assert_eq!(saw("GET /get_protocol_version", &[("x-case", "version")], ""), "HTTP/1.1");
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(saw(&format!("{method} /"), &[("x-case", "method")], ""), method);
    }
    let targets = ["/simple", "/simple%26clean", "/animal?name=panda", "/disney?name=chip%26dale"];
    for target in targets {
        assert_eq!(saw(&format!("GET {target}"), &[("x-case", "uri")], ""), target);
    }
    for (name, sent, expected) in [
        ("single-header", &[("single-header", "value")][..], "value"),
        ("Single-Header", &[("single-header", "value")], "value"),
        ("single-header", &[("Single-Header", "value")], "value"),
        ("not-header", &[], ""),
        ("multi-header", &[("multi-header", "value1"), ("Multi-Header", "value2")], "value1,value2"),
    ] {
        let headers = [&[("x-case", "values"), ("x-name", name)][..], sent].concat();
        assert_eq!(saw("GET /", &headers, ""), expected, "{name}");
    }
    let names = saw("GET /", &[("x-case", "names"), ("A-Header", "value1"), ("b-header", "2")], "");
    assert!(["a-header", "b-header"].iter().all(|name| names.split(',').any(|it| it == *name)), "{names}");
    for length in [0, 5, 2048, 4096, 5000] {
        assert_eq!(saw("POST /", &[("x-case", "body")], &"a".repeat(length)), format!("{length} true"));
    }
}

#[test]
fn an_http_wasm_handler_changes_what_the_kit_of_its_abi_asks_for() {
    let backend = Backend::echo();
    let settings = format!("limits {{ time 200ms }}; {}", ALLOW.replace("vars", "vars, body"));
    let gateway = Gateway::start(&policy(&backend, "http_kit", "http-wasm", &settings));
    let mut client = gateway.client();
    let mut change = |case: &str, name: &str, value: &str| {
        let headers = [("x-case", case), ("x-name", name), ("x-value", value), ("existing-header", "bear")];
        kit(&mut client, "GET /", &headers, "").echo()
    };
    assert_eq!(change("set-method", "", "POST").method, "POST");
    for target in ["/simple", "/simple%26clean", "/animal?name=panda", "/disney?name=chip%26dale"] {
        assert_eq!(change("set-uri", "", target).target, target);
    }
    for (case, name, new, existing) in [
        ("set", "new-header", &["value"][..], &["bear"][..]),
        ("set", "existing-header", &[], &["value"]),
        ("add", "new-header", &["value"], &["bear"]),
        ("add", "existing-header", &[], &["bear", "value"]),
        ("remove", "new-header", &[], &["bear"]),
        ("remove", "existing-header", &[], &[]),
    ] {
        let request = change(case, name, "value");
        assert_eq!(
            (&request.all("new-header")[..], &request.all("existing-header")[..]),
            (new, existing),
            "{case} {name}"
        );
    }
    // The one case that cannot be had: `TRACE` is answered before any extension.
    let answer = client.send("TRACE / HTTP/1.1\r\nhost: a.example\r\nx-case: method\r\n\r\n").receive();
    assert_eq!((answer.status, answer.header("x-handled")), (405, None));
}

#[test]
fn check_names_the_abi_that_a_module_speaks() {
    let text = |module: &Path, abi: &str| {
        Policy::to(&Backend::echo()).top(&extension(module, abi, ALLOW)).text().replace("@port", "8080")
    };
    let native = tidegate_tests::guest("client_headers");
    for (module, abi, mend) in [
        (guest("proxy_headers"), "tidegate", "speaks proxy-wasm 0.2.1: write `abi proxy-wasm`"),
        (guest("proxy_headers"), "http-wasm", "speaks proxy-wasm 0.2.1: write `abi proxy-wasm`"),
        (guest("http_handler"), "proxy-wasm", "speaks http-wasm: write `abi http-wasm`"),
        (native.clone(), "proxy-wasm", "does not speak proxy-wasm: take `abi proxy-wasm` out"),
        (native, "http-wasm", "does not speak http-wasm: take `abi http-wasm` out"),
    ] {
        let said = check(&text(&module, abi));
        assert!(said.contains(mend), "{abi}: {said}");
    }
    let settings = "config \"refuse\"; allow [log, clock, random]";
    let refused = Policy::to(&Backend::echo()).top(&extension(&guest("proxy_headers"), "proxy-wasm", settings));
    let said = check(&refused.listener("run guest").text().replace("@port", "8080"));
    assert!(said.contains("`proxy_on_configure` said no: a tag must not be `refuse`"), "{said}");
}

#[test]
fn explain_and_test_run_foreign_guests() {
    let text = policy(&Backend::echo(), "proxy_headers", "proxy-wasm", ALLOW).text().replace("@port", "8080");
    let tests = "
        test \"the filter answers\" {
            request GET \"http://test/\"
            header \"x-do\" \"deny\"
            expect status 403
            expect response-header \"x-denied-by\" is \"filter\"
        }";
    let tool = Tool::new().file("policy.gate", &(text + tests));
    let tested = tool.run(&["test", "policy.gate"]);
    assert_eq!(tested.status, Some(0), "{}{}", tested.stdout, tested.stderr);
    let explained = tool.run(&["explain", "policy.gate", "GET http://test/", "-H", "x-do: deny"]);
    assert!(explained.stdout.contains("403"), "{}{}", explained.stdout, explained.stderr);
}

/// The filters of the wheel, by their folders; nothing where it may be left out.
fn wheel() -> Option<&'static Path> {
    const WHEEL: &str = "gpustack-higress-plugins==0.5.1";
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = target_folder().join("foreign/wheel");
        let plugins = folder.join("gpustack_higress_plugins/plugins");
        if !plugins.is_dir() {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]).arg(&folder);
            let installed = pip.arg(WHEEL).status().is_ok_and(|status| status.success());
            if !installed || !plugins.is_dir() {
                return Err(format!("`python3 -m pip install {WHEEL}` does not work here"));
            }
        }
        Ok(plugins)
    });
    needed("wheel", || folder.as_deref().map_err(Clone::clone))
}

/// A gateway that runs one filter of the wheel for every request, in the rule `api`. Its code is compiled before, for which
/// there is no hurry, and kept.
fn with_filter(backend: &Backend, path: &str, config: &Value) -> Option<Gateway> {
    let module = wheel()?.join(path).join("plugin.wasm");
    let config = config.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let settings = format!("config \"{config}\"; limits {{ memory 128MiB; time 1s }}; {WITH_BODY}");
    let policy = Policy::to(backend)
        .top("gateway { workers 1 }")
        .top(&extension(&module, "proxy-wasm", &settings.replace("allow [", "allow [rewrite, ")))
        .rule("api", "when path under \"/\"\nrun guest\nforward web");
    let said = check(&policy.text().replace("@port", "8080"));
    assert!(!said.contains("error"), "{said}");
    Some(Gateway::start(&policy))
}

fn post_json(client: &mut Client, path: &str, lines: &str, body: &Value) -> Response {
    let body = body.to_string();
    let length = body.len();
    client.send(format!(
        "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{lines}\r\n{body}"
    ));
    client.receive()
}

#[test]
fn the_filter_transformer_changes_heads_queries_and_bodies() {
    let config = serde_json::json!({
        "reqRules": [
            {"operate": "remove", "headers": [{"key": "x-remove"}]},
            {"operate": "add", "headers": [{"key": "x-added", "value": "yes"}],
             "querys": [{"key": "k", "value": "v"}], "body": [{"key": "added", "value": "b"}]},
            {"operate": "map", "headers": [{"fromKey": "userId", "toKey": "x-user-id"}], "mapSource": "body"},
        ],
        "respRules": [{"operate": "add", "headers": [{"key": "x-resp", "value": "1"}]}],
    });
    let backend = Backend::echo();
    let Some(gateway) = with_filter(&backend, "transformer/2.0.0", &config) else { return };
    let sent = serde_json::json!({"userId": "u12"});
    let answer = post_json(&mut gateway.client(), "/a", "x-remove: 1\r\n", &sent);
    assert_eq!(answer.header("x-resp"), Some("1"));
    let seen = backend.requests().pop().unwrap();
    assert_eq!(seen.target, "/a?k=v");
    assert_eq!(
        (seen.header("x-remove"), seen.header("x-added"), seen.header("x-user-id")),
        (None, Some("yes"), Some("u12"))
    );
    let body: Value = serde_json::from_str(&seen.text()).unwrap();
    assert_eq!(body, serde_json::json!({"userId": "u12", "added": "b"}));
}

#[test]
fn the_filter_ip_acl_keeps_clients_out() {
    let config = serde_json::json!({"consumers": {
        "alice": {"deniedCidrs": ["127.0.0.0/8"]}, "bob": {"allowedCidrs": ["127.0.0.0/8"]},
    }});
    let backend = Backend::echo();
    let Some(gateway) = with_filter(&backend, "gpustack-ip-acl/0.1.0", &config) else { return };
    let mut client = gateway.client();
    for (consumer, status) in [("alice", 403), ("bob", 200), ("alice", 403)] {
        let answer = client.get_with("/a", &format!("x-mse-consumer: {consumer}\r\n"));
        assert_eq!(answer.status, status, "{consumer}: {}", answer.text());
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn the_filter_generic_proxy_router_takes_the_model_out_of_a_body() {
    let config = serde_json::json!({
        "modelKey": "model", "modelToHeader": "x-model", "addProviderHeader": "x-provider", "enableOnPathSuffix": ["/chat"],
    });
    let backend = Backend::echo();
    let Some(gateway) = with_filter(&backend, "gpustack-generic-proxy-router/1.0.1", &config) else { return };
    post_json(&mut gateway.client(), "/v1/chat", "", &serde_json::json!({"model": "openai/gpt"}));
    let seen = backend.requests().pop().unwrap();
    assert_eq!((seen.header("x-provider"), seen.header("x-model")), (Some("openai"), Some("gpt")));
    assert_eq!(seen.text(), r#"{"model":"gpt"}"#);
}

#[test]
fn the_filter_set_header_pre_route_names_the_route() {
    let config = serde_json::json!({"routeNameHeader": "x-route", "enableOnPathSuffix": ["/chat"]});
    let backend = Backend::echo();
    let Some(gateway) = with_filter(&backend, "gpustack-set-header-pre-route/1.0.1", &config) else { return };
    assert_eq!(gateway.client().get("/v1/chat").echo().header("x-route"), Some("api"), "the rule that runs it");
    assert_eq!(gateway.client().get("/other").echo().header("x-route"), None);
}

/// An answer of a service with OpenAI's interface.
const COMPLETION: &str = r#"{"id":"x","object":"chat.completion","model":"m1","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}"#;

fn completions() -> Backend {
    Backend::start(Behaviour::Raw(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{COMPLETION}",
        COMPLETION.len()
    )))
}

fn ask(stream: bool) -> Value {
    serde_json::json!({"model": "m1", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
}

#[test]
fn the_filter_token_usage_asks_for_the_usage_of_streams() {
    let config = serde_json::json!({"enableOnPathSuffix": ["/v1/chat/completions"]});
    let backend = completions();
    let Some(gateway) = with_filter(&backend, "gpustack-token-usage/1.2.2", &config) else { return };
    post_json(&mut gateway.client(), "/v1/chat/completions", "", &ask(true));
    let seen: Value = serde_json::from_str(&backend.requests().pop().unwrap().text()).unwrap();
    assert_eq!(seen["stream_options"]["include_usage"], true, "{seen}");
}

#[test]
fn the_filter_ai_statistics_counts_tokens_for_the_access_log() {
    let backend = completions();
    let Some(gateway) = with_filter(&backend, "ai-statistics/2.0.0", &serde_json::json!({})) else { return };
    let answer = post_json(&mut gateway.client(), "/v1/chat/completions", "", &ask(false));
    assert_eq!(answer.text(), COMPLETION);
    let line = gateway.access("/v1/chat/completions");
    let log = line["vars"]["ai_log"].as_str().unwrap();
    assert!(log.contains(r#"\"total_token\":8"#) && log.contains(r#"\"model\":\"m1\""#), "{log}");
}

#[test]
fn the_filter_ai_data_masking_refuses_words_and_masks_others() {
    let config = serde_json::json!({
        "deny_raw": true, "deny_words": ["forbiddenword"], "deny_code": 403, "deny_raw_message": "{\"error\":\"masked\"}",
        "replace_roles": [{"regex": "secretword", "type": "replace", "value": "****"}],
    });
    let backend = Backend::echo();
    let Some(gateway) = with_filter(&backend, "ai-data-masking/2.0.3", &config) else { return };
    let mut client = gateway.client();
    let refused = post_json(&mut client, "/a", "", &serde_json::json!({"content": "a forbiddenword"}));
    assert_eq!((refused.status, refused.text().as_str()), (403, r#"{"error":"masked"}"#));
    assert!(backend.requests().is_empty());
    post_json(&mut client, "/a", "", &serde_json::json!({"content": "a secretword"}));
    assert_eq!(backend.requests().pop().unwrap().text(), r#"{"content":"a ****"}"#);
}
