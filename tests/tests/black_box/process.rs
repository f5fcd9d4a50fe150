//! The process and its system: signals, descriptors, disks, and time that passes without it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, eventually, guest};

/// A policy with an extension whose `init` never returns, and may take very long.
fn endless() -> Policy {
    let module = "extension slow { module \"slow.wasm\"; limits { time 60s }; config { init \"loop\" }; allow [clock, log, \
                  store, random, metrics, vars, body, respond, route, rewrite, read-request, write-request-headers, read-response, \
                  write-response-headers] }";
    Policy::saying("never").top(module).listener("run slow")
}

fn put_slow(folder: &Path) {
    fs::copy(guest("tidegate_hostile_guest"), folder.join("slow.wasm")).unwrap();
}

/// The number of lines in the log that say that a policy is not taken: a signal is answered before that.
fn refusals(gateway: &Gateway) -> usize {
    gateway.log().since(0).iter().filter(|line| line.contains("has errors") || line.contains("not reloaded")).count()
}

/// A number in a module (LEB128).
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// The elements of a list, with their count before them.
fn list(all: &[Vec<u8>]) -> Vec<u8> {
    [leb(all.len()), all.concat()].concat()
}

/// The bytes of a section, with their length before them.
fn sized(bytes: &[u8]) -> Vec<u8> {
    [leb(bytes.len()), bytes.to_vec()].concat()
}

/// A module of http-wasm that takes as long to compile as its bounds allow: functions of many branches, each of which changes one of
/// many local variables.
fn laborious() -> Vec<u8> {
    const FUNCTIONS: usize = 15;
    let function = |seed: usize| {
        // if not A { B = B + 1 }
        let blocks = (0..20_000).flat_map(|n| {
            let (a, b) = (leb((3 * n + seed) % 200), leb((7 * n + seed) % 200));
            [&[0x02, 0x40, 0x20], &a[..], &[0x0d, 0, 0x20], &b, &[0x41, 1, 0x6a, 0x21], &b, &[0x0b]].concat()
        });
        sized(&[vec![1], leb(200), vec![0x7f], blocks.collect(), vec![0x42, 0, 0x0b]].concat())
    };
    let mut code: Vec<_> = (0..FUNCTIONS).map(function).collect();
    code.push(sized(&[0, 0x0b]));
    let types = [vec![0x60, 0, 1, 0x7e], vec![0x60, 2, 0x7f, 0x7f, 0]];
    let declared: Vec<_> = (0..=FUNCTIONS).map(|n| leb(n / FUNCTIONS)).collect();
    let exports = [("memory", 2, 0), ("handle_request", 0, 0), ("handle_response", 0, FUNCTIONS)]
        .map(|(name, kind, of)| [sized(name.as_bytes()), vec![kind], leb(of)].concat());
    let sections =
        [(1, list(&types)), (3, list(&declared)), (5, vec![1, 0, 1]), (7, list(&exports)), (10, list(&code))]
            .map(|(id, bytes)| [vec![id], sized(&bytes)].concat());
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// Waits until a module is being compiled.
fn wait_compiler(gateway: &Gateway) {
    eventually("a module is compiled", || {
        let threads = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap().flatten();
        let mut names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
        if names.any(|name| name == "compiler\n") { Ok(()) } else { Err("no thread of that name") }
    });
}

#[test]
fn a_signal_ends_a_gateway_that_compiles() {
    let compiling =
        Policy::saying("never").top("extension slow { module \"slow.wasm\"; abi http-wasm }").listener("run slow");
    let put = |folder: &Path| fs::write(folder.join("slow.wasm"), laborious()).unwrap();
    // At the start.
    let mut gateway = Gateway::begin_after("true", &compiling, put);
    wait_compiler(&gateway);
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    assert_eq!(refusals(&gateway), 0);
    // At a reload; requests are served meanwhile.
    let mut gateway = Gateway::start_with(&Policy::saying("old"), put);
    gateway.write(&compiling);
    wait_compiler(&gateway);
    assert_eq!(gateway.get("/").text(), "old");
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    assert_eq!(refusals(&gateway), 0);
}

#[test]
fn a_signal_ends_a_start_that_never_ends() {
    let mut gateway = Gateway::begin_after(":", &endless(), put_slow);
    gateway.wait_for(0, "reading the policy");
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    gateway.wait_for(0, "stopped before it was ready");
    assert_eq!(refusals(&gateway), 0);
}

/// A gateway that serves, and reads a policy for ever.
fn hung(policy: &Policy) -> Gateway {
    let gateway = Gateway::start_with(policy, put_slow);
    gateway.write(&endless());
    eventually("it reads", || {
        gateway.signal("HUP");
        let seen = gateway.log().since(0).join("\n");
        if seen.contains("the policy is being read") { Ok(()) } else { Err(seen) }
    });
    gateway
}

#[test]
fn a_signal_drains_during_a_reload_that_never_ends() {
    let mut gateway = hung(&Policy::saying("one"));
    assert_eq!(gateway.get("/").text(), "one");
    gateway.signal("TERM");
    assert!(gateway.wait_end().success());
    assert_eq!(refusals(&gateway), 0);
}

#[test]
fn a_second_signal_ends_at_once_during_a_reload_that_never_ends() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let mut gateway = hung(&Policy::to(&backend));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.signal("TERM");
    gateway.wait_for(0, "draining");
    assert!(!gateway.has_ended());
    gateway.signal("TERM");
    assert_eq!(gateway.wait_end().code(), Some(1));
    assert_eq!(refusals(&gateway), 0);
}

#[test]
fn time_that_the_process_stood_still_does_not_count() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let uploads = Backend::start(Behaviour::Swallow);
    let policy = Policy::to(&backend)
        .backend("uploads", &uploads)
        .rule("upload", "when path is \"/upload\"\nforward uploads")
        .listener("request-timeout 2s");
    let gateway = Gateway::start(&policy);
    let (mut waiting, mut sending) = (gateway.client(), gateway.client());
    waiting.send("GET /answer HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    sending.send("POST /upload HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello");
    uploads.wait_head(1);
    gateway.signal("STOP");
    backend.release();
    sending.send("world");
    // What is tested is time itself.
    std::thread::sleep(Duration::from_secs(4));
    gateway.signal("CONT");
    assert_eq!(waiting.receive().status, 200);
    assert_eq!(sending.receive().status, 200);
    // After that it counts as before.
    assert_eq!(waiting.get("/late").status, 504);
}

/// The lines of the access log in the gateway's folder; each is whole.
fn lines(gateway: &Gateway, name: &str) -> Vec<String> {
    let text = fs::read_to_string(gateway.folder().join(name)).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let whole = whole.inspect(|line| assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}"));
    whole.map(str::to_owned).collect()
}

fn wait_line(gateway: &Gateway, name: &str, uri: &str) {
    eventually(uri, || {
        let lines = lines(gateway, name);
        if lines.iter().any(|line| line.contains(uri)) { Ok(()) } else { Err(lines) }
    });
}

#[test]
fn an_access_log_on_a_full_disk_goes_on_when_there_is_room() {
    let policy = Policy::saying("ok").top("access-log { to file \"access.log\" }");
    let gateway = Gateway::start_after("trap '' XFSZ", &policy);
    let mut client = gateway.client();
    client.get("/first");
    wait_line(&gateway, "access.log", "/first");
    let held = fs::metadata(gateway.folder().join("access.log")).unwrap().len();
    gateway.limit(&format!("fsize={}:", held + 100));
    for number in 0..20 {
        client.get(&format!("/lost{number}"));
    }
    gateway.wait_for(0, "cannot write the access log");
    gateway.limit("fsize=unlimited:");
    let told = gateway.wait_for(0, "the access log is written again");
    client.get("/after");
    wait_line(&gateway, "access.log", "/after");
    let lost: usize = told.split("lost=").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(lost > 0);
    let lines = lines(&gateway, "access.log");
    assert_eq!(lines.len() + lost, 22, "{told}\n{lines:?}");
}

#[test]
fn sighup_opens_the_access_log_anew_whatever_the_policy_says() {
    let policy = Policy::saying("ok").top("access-log { to file \"logs/access.log\" }");
    let gateway = Gateway::start(&policy);
    let mut client = gateway.client();
    client.get("/first");
    wait_line(&gateway, "logs/access.log", "/first");
    let mark = gateway.log().mark();
    gateway.write_file("policy.gate", b"nonsense\n");
    gateway.wait_for(mark, "the old one serves on");
    // Moved away, as those do that rotate logs.
    fs::rename(gateway.folder().join("logs/access.log"), gateway.folder().join("logs/old.log")).unwrap();
    let mark = gateway.log().mark();
    gateway.signal("HUP");
    gateway.wait_for(mark, "the old one serves on");
    client.get("/rotated");
    wait_line(&gateway, "logs/access.log", "/rotated");
    // Its folder goes.
    fs::remove_dir_all(gateway.folder().join("logs")).unwrap();
    let mark = gateway.log().mark();
    gateway.signal("HUP");
    gateway.wait_for(mark, "the old one serves on");
    client.get("/anew");
    wait_line(&gateway, "logs/access.log", "/anew");
}

#[test]
fn a_reload_that_the_system_refused_is_tried_again() {
    let gateway = Gateway::start(&Policy::saying("one"));
    let mut client = gateway.client();
    assert_eq!(client.get("/").text(), "one");
    gateway.limit("nofile=4:");
    gateway.write(&Policy::saying("two"));
    gateway.wait_for(0, "the reload is tried again by itself");
    assert_eq!(client.get("/").text(), "one");
    gateway.limit("nofile=512:");
    gateway.wait_for(0, "reloaded generation=2");
    assert_eq!(client.get("/").text(), "two");
}

#[test]
fn descriptors_that_run_out_starve_no_listener_and_no_server() {
    let backend = Backend::echo();
    let other = tidegate_tests::free_port();
    let policy = Policy::to(&backend)
        .top("gateway { workers 1 }")
        .top(&format!("listener http other {{ address 127.0.0.1:{other}; rules main }}"));
    let gateway = Gateway::start_after("ulimit -Sn 64; ulimit -Hn 200", &policy);
    gateway.wait_for(0, "listeners may hold 20000 connections");
    // The soft limit would be far too low for these.
    let mut idle: Vec<Client> = (0..170).map(|_| gateway.client()).collect();
    gateway.wait_for(0, "file descriptors run out");
    let served = idle.iter_mut().filter_map(|client| client.try_get("/main").ok()).count();
    assert!(
        (100..150).contains(&served),
        "{served} were served: three in four of 200 descriptors, less the gateway's own"
    );
    assert_eq!(Client::connect(other).get("/other").status, 200);
    gateway.reload(&Policy::to(&backend).otherwise("respond 200 \"new\""));
}

#[test]
fn a_server_that_no_descriptor_is_left_for_is_not_blamed() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).rule("here", "when path is \"/here\"\nrespond 200"));
    let mut client = gateway.client();
    assert_eq!(client.get("/here").status, 200, "it was accepted, and no server has a connection yet");
    gateway.limit("nofile=4:");
    assert_eq!(client.get("/none").status, 503);
    let line = gateway.access("/none");
    assert_eq!((line["failure"].as_str(), line["side"].as_str()), (Some("no-descriptor"), Some("gateway")));
    gateway.limit("nofile=512:");
    assert_eq!(client.get("/again").status, 200);
}
