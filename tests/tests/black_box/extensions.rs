//! Wasm guests, helpful and hostile.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tidegate_tests::{Backend, Client, Gateway, Policy, Tool, eventually, guest};

const EVERYTHING: &str = "allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, \
                          route, respond, body, vars, log, clock, random, metrics, store]";

/// Puts the guests into the gateway's folder.
fn guests(folder: &Path) {
    for name in ["client_headers", "canary_router", "tidegate_hostile_guest"] {
        fs::copy(guest(name), folder.join(format!("{name}.wasm"))).unwrap();
    }
}

/// A gateway with one worker that runs the hostile guest for `/guest`, and for nothing else.
fn hostile(backend: &Backend, settings: &str) -> Gateway {
    let policy = Policy::to(backend)
        .top("gateway { workers 1 }")
        .top(&format!("extension hostile {{ module \"tidegate_hostile_guest.wasm\"; {settings}; {EVERYTHING} }}"))
        .rule("guest", "when path under \"/guest\"\nrun hostile\nforward web");
    Gateway::start_with(&policy, guests)
}

fn act(client: &mut Client, act: &str) -> tidegate_tests::Response {
    client.get_with("/guest", &format!("x-do: {act}\r\n"))
}

#[test]
fn a_guest_sets_headers_on_both_sides() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .top(
            "extension headers {
                module \"client_headers.wasm\"
                config {
                    request { \"x-client\" \"{client-ip}\"; \"x-what\" \"{method} {path} {listener}\" }
                    response { \"x-served-by\" \"tidegate\" }
                }
                allow [read-request, write-request-headers, write-response-headers]
            }",
        )
        .listener("client-ip x-forwarded-for trusted [127.0.0.1]")
        .listener("run headers");
    let gateway = Gateway::start_with(&policy, guests);
    let lines = "x-forwarded-for: 203.0.113.9\r\nx-client: forged\r\n";
    let answer = gateway.client().get_with("/a/../b?c", lines);
    assert_eq!(answer.header("x-served-by"), Some("tidegate"));
    let request = answer.echo();
    assert_eq!(request.header("x-client"), Some("203.0.113.9"));
    assert_eq!(request.header("x-what"), Some("GET /b main"));
}

#[test]
fn a_guest_chooses_the_group() {
    let (stable, canary) = (Backend::text("stable"), Backend::text("canary"));
    let policy = Policy::to(&stable)
        .backend("canary", &canary)
        .top(
            "extension router {
                module \"canary_router.wasm\"
                config { group \"canary\"; header \"x-canary\"; cookie \"canary\" }
                allow [read-request, write-response-headers, route, vars]
            }",
        )
        .otherwise("run router\nforward web");
    let gateway = Gateway::start_with(&policy, guests);
    let mut client = gateway.client();
    for (lines, answer) in [
        ("", "stable"),
        ("x-canary: 1\r\n", "canary"),
        ("x-canary: off\r\n", "stable"),
        ("cookie: a=b; canary=1\r\n", "canary"),
    ] {
        assert_eq!(client.get_with("/", lines).text(), answer, "{lines:?}");
    }
    assert_eq!(gateway.access("/")["rule"], "otherwise");
}

#[test]
fn a_guest_answers_and_closes() {
    let backend = Backend::echo();
    let gateway = hostile(&backend, "on-error deny");
    let mut client = gateway.client();
    let answer = act(&mut client, "respond");
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-why")), (403, "no", Some("hostile")));
    client.send("GET /guest HTTP/1.1\r\nhost: test\r\nx-do: close\r\n\r\n");
    assert!(client.is_closed());
    assert!(backend.requests().is_empty());
}

#[test]
fn a_guest_that_fails_costs_its_request_and_nothing_else() {
    let backend = Backend::echo();
    let gateway = hostile(&backend, "on-error deny; limits { time 50ms; memory 8MiB }");
    let mut other = gateway.client();
    let mut client = gateway.client();
    for fault in ["loop", "panic", "memory", "abort", "stack"] {
        let mark = gateway.log().mark();
        let answer = act(&mut client, fault);
        assert_eq!(answer.status, 500, "{fault}: {}", answer.text());
        assert_eq!(other.get("/plain").status, 200, "a request without the guest");
        assert_eq!(other.get("/guest").status, 200, "a request with the guest, on an instance of its own");
        assert_eq!(client.get("/guest").status, 200, "the same client");
        let line = gateway.wait_for(mark, "extension=\"hostile\"");
        assert!(line.contains("WARN") && line.contains("fault="), "{line}");
    }
    assert!(backend.requests().iter().all(|request| request.header("x-do").is_none()), "what was denied was not sent");
}

#[test]
fn a_guest_that_fails_may_be_skipped() {
    let backend = Backend::echo();
    let gateway = hostile(&backend, "on-error skip; limits { time 50ms; memory 8MiB }");
    let mut client = gateway.client();
    for fault in ["loop", "panic", "memory", "abort", "stack"] {
        let answer = act(&mut client, fault);
        assert_eq!(answer.status, 200, "{fault}");
        assert_eq!(answer.echo().header("x-do"), Some(fault));
        assert!(client.get("/guest").echo().header("x-calls").is_some(), "the next request has the guest again");
    }
}

#[test]
fn the_status_of_a_denial_can_be_chosen_and_the_log_says_who_failed() {
    let gateway = hostile(&Backend::echo(), "on-error deny 429");
    assert_eq!(act(&mut gateway.client(), "panic").status, 429);
    let line = gateway.access("/guest");
    assert_eq!(
        (line["status"].as_u64(), line["failure"].as_str(), line["side"].as_str()),
        (Some(429), Some("extension"), Some("hook"))
    );
}

#[test]
fn others_go_on_at_once_while_guests_fail() {
    let backend = Backend::text("ok");
    let gateway = hostile(&backend, "on-error deny; limits { time 20ms; memory 8MiB }");
    let port = gateway.port();
    let stop = AtomicBool::new(false);
    let (slowest, failed) = std::thread::scope(|scope| {
        let failing = ["loop", "panic", "memory"].map(|fault| {
            let stop = &stop;
            scope.spawn(move || {
                let mut client = Client::connect(port);
                let mut statuses = vec![act(&mut client, fault).status];
                while !stop.load(Ordering::Relaxed) {
                    statuses.push(act(&mut client, fault).status);
                }
                statuses
            })
        });
        let mut client = gateway.client();
        let times: Vec<_> = (0..20)
            .map(|_| {
                let started = Instant::now();
                let status = client.try_get("/plain").map_or(0, |answer| answer.status);
                (started.elapsed(), status)
            })
            .collect();
        stop.store(true, Ordering::Relaxed);
        assert!(times.iter().all(|(_, status)| *status == 200), "{times:?}");
        let failed: Vec<_> = failing.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (times.into_iter().map(|(time, _)| time).max().unwrap_or_default(), failed)
    });
    assert!(failed.iter().all(|status| *status == 500), "{failed:?}");
    // There is one worker: whenever it turns to the request, it may have turned to each of the guests before, and each
    // holds it for its `time` at most.
    eprintln!("the slowest of 20 requests took {slowest:?}, beside {} that failed", failed.len());
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

/// One client makes a guest fail as fast as it can; the others are served, each time.
#[test]
fn one_client_that_makes_a_guest_fail_costs_the_others_nothing() {
    let backend = Backend::echo();
    for settings in ["on-error deny", "on-error skip"] {
        let gateway = hostile(&backend, settings);
        let (mut attacker, mut other) = (gateway.client(), gateway.client());
        let status = if settings == "on-error deny" { 500 } else { 200 };
        for round in 0..300 {
            assert_eq!(act(&mut attacker, "panic").status, status);
            if round % 10 == 9 {
                let answer = other.get("/guest");
                assert_eq!(answer.status, 200);
                assert!(answer.echo().header("x-calls").is_some(), "the guest was asked");
            }
        }
    }
}

#[test]
fn a_fault_on_the_way_back_is_the_same_fault() {
    let backend = Backend::echo();
    let deny = hostile(&backend, "on-error deny");
    let mut client = deny.client();
    assert_eq!(client.get_with("/guest", "x-do-back: panic\r\n").status, 500);
    assert_eq!(client.get("/guest").header("x-was"), Some("200"));
    let skip = hostile(&backend, "on-error skip");
    let answer = skip.client().get_with("/guest", "x-do-back: panic\r\n");
    assert_eq!((answer.status, answer.header("x-was")), (200, None));
}

#[test]
fn a_guest_cannot_write_what_belongs_to_the_gateway() {
    let backend = Backend::echo();
    let gateway = hostile(&backend, "on-error deny");
    let mut client = gateway.client();
    for attempt in ["crlf", "bad-name", "length", "bad-authority", "bad-reply", "huge", "early"] {
        assert_eq!(act(&mut client, attempt).status, 500, "{attempt}");
    }
    assert_eq!(client.get_with("/guest", "x-do-back: write-request\r\n").status, 500, "too late to change the request");
    for request in backend.requests() {
        assert_eq!(request.header("x-smuggled"), None);
        assert_eq!(request.header("x-evil"), None);
        assert_eq!(request.header("host"), Some("test"));
    }
}

#[test]
fn instances_are_used_again_or_fresh_as_the_policy_says() {
    let backend = Backend::echo();
    let calls = |settings: &str| {
        let gateway = hostile(&backend, settings);
        let mut client = gateway.client();
        [(); 3].map(|()| client.get("/guest").echo().header("x-calls").unwrap_or_default().to_owned())
    };
    assert_eq!(calls("instance reused"), ["1", "2", "3"]);
    assert_eq!(calls("instance fresh"), ["1", "1", "1"]);
}

#[test]
fn memory_is_flat_over_many_failures() {
    let backend = Backend::text("ok");
    let gateway = hostile(&backend, "on-error deny; limits { time 50ms; memory 8MiB }");
    let mut client = gateway.client();
    for _ in 0..20 {
        act(&mut client, "memory");
        act(&mut client, "panic");
    }
    let before = gateway.usage();
    for _ in 0..200 {
        act(&mut client, "memory");
        act(&mut client, "panic");
    }
    let after = gateway.usage();
    assert!(after.resident < before.resident + (16 << 20), "{before:?} {after:?}");
}

fn check(settings: &str) -> tidegate_tests::Output {
    let tool = Tool::new().file(
        "p.gate",
        &format!(
            "tidegate 1\n\nextension guest {{\n    module \"guest.wasm\"\n    {settings}\n}}\n\n\
             listener http main {{\n    port 8080\n    run guest\n    rules main\n}}\n\n\
             rules main {{\n    otherwise {{ respond 200 }}\n}}\n"
        ),
    );
    fs::copy(guest("tidegate_hostile_guest"), tool.path("guest.wasm")).unwrap();
    tool.run(&["check", "p.gate"])
}

#[test]
fn an_import_that_is_not_allowed_is_refused_with_the_word_that_would_allow_it() {
    let output = check(EVERYTHING);
    assert_eq!((output.status, output.stderr.as_str()), (Some(0), ""));
    for (without, import) in [
        ("write-request-headers", "tidegate:extension/write-request-headers"),
        ("random", "tidegate:extension/random"),
        ("vars", "tidegate:extension/vars"),
        ("clock", "tidegate:extension/clock"),
    ] {
        let output = check(&EVERYTHING.replace(&format!("{without}, "), "").replace(&format!(", {without}"), ""));
        assert_eq!(output.status, Some(1), "{without}: {}", output.stderr);
        assert!(output.stderr.contains("error[E0602]"), "{}", output.stderr);
        assert!(output.stderr.contains(import), "names the import: {}", output.stderr);
        let help = output.stderr.lines().find(|line| line.contains("= help:")).unwrap_or_default();
        assert!(help.contains(without), "the mend: {}", output.stderr);
    }
}

#[test]
fn a_guest_that_refuses_its_configuration_refuses_the_policy_in_its_own_words() {
    let output = check(&format!("config {{ init \"refuse\" }}\n    {EVERYTHING}"));
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("error[E0604]"), "{}", output.stderr);
    assert!(output.stderr.contains("the colour is missing: write colour \"red\""), "{}", output.stderr);
    for init in ["panic", "loop"] {
        let output = check(&format!("config {{ init \"{init}\" }}\n    {EVERYTHING}"));
        assert_eq!(output.status, Some(1), "{init}: {}", output.stderr);
        assert!(output.stderr.contains("p.gate:"), "{init}: {}", output.stderr);
    }
}

#[test]
fn a_module_that_is_none_is_an_error_at_its_place() {
    let tool = Tool::new()
        .file("p.gate", "tidegate 1\nextension guest { module \"no.wasm\" }\nlistener http main { port 80; run guest; rules main }\nrules main { otherwise { respond 200 } }\n")
        .file("no.wasm", "not a module");
    let output = tool.run(&["check", "p.gate"]);
    assert_eq!(output.status, Some(1));
    assert!(output.stderr.contains("E0601") && output.stderr.contains("p.gate:2:"), "{}", output.stderr);
}

#[test]
fn an_extension_that_fails_for_every_client_is_paused_and_tried_again() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .top("gateway { workers 1 }")
        // Not to be asked is no fault that `on-error` could skip.
        .top(&format!("extension hostile {{ module \"tidegate_hostile_guest.wasm\"; on-error skip; {EVERYTHING} }}"))
        .listener("client-ip x-forwarded-for trusted [127.0.0.1]")
        .rule("guest", "when path under \"/guest\"\nrun hostile\nforward web");
    let gateway = Gateway::start_with(&policy, guests);
    let mut client = gateway.client();
    let mark = gateway.log().mark();
    // A request may cost more than one fault, for each hook that it is called for.
    let skipped = (0..20)
        .take_while(|n| {
            let lines = format!("x-do: panic\r\nx-forwarded-for: 203.0.{n}.9\r\n");
            client.get_with("/guest", &lines).status == 200
        })
        .count();
    assert!(skipped >= 8, "it is not paused before several clients made it fail: {skipped}");
    gateway.wait_for(mark, "it failed for nearly every client, and this worker does not call it for 1s");
    assert_eq!(client.get("/guest").status, 503, "a request that would do it no harm");
    gateway.wait_for(mark, "fault=\"paused\"");
    assert_eq!(client.get("/plain").status, 200, "others do not notice");
    eventually("it is called again", || match client.get("/guest").status {
        503 => Err("paused"),
        _ => Ok(()),
    });
    gateway.wait_for(mark, "it works again");
}

#[test]
fn a_policy_is_refused_unless_init_accepts_it_for_every_worker() {
    let backend = Backend::echo();
    let policy = |workers: u32, init: &str| {
        Policy::to(&backend)
            .top(&format!("gateway {{ workers {workers} }}"))
            .top(&format!("extension {init} {{ module \"tidegate_hostile_guest.wasm\"; config {{ init \"{init}\" }}; {EVERYTHING} }}"))
            .listener(&format!("run {init}"))
    };
    let gateway = Gateway::start_with(&policy(2, "calm"), guests);
    let mark = gateway.log().mark();
    gateway.write(&policy(2, "once"));
    let line = gateway.wait_for(mark, "the policy was not reloaded; the old one serves on");
    assert!(line.contains("extension `once` is not ready on every worker"), "{line}");
    assert!(line.contains("one instance of me is enough"), "{line}");
    assert_eq!(gateway.get("/").status, 200);
}
