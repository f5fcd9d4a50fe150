//! A policy changes while it serves.

use std::fs;
use std::time::{Duration, Instant};

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Load, Policy, eventually, free_port, guest, listen};

#[test]
fn a_connection_lives_on_and_sees_the_new_rules() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    assert_eq!(client.get("/0").echo().header("x-version"), None);
    for number in 1..=5 {
        let rule = format!("set-header \"x-version\" \"{number}\"\nforward web");
        gateway.reload(&Policy::to(&backend).otherwise(&rule));
        assert_eq!(client.get("/").echo().header("x-version"), Some(number.to_string().as_str()));
    }
    assert!(backend.connections() <= 2, "the connections to the backend live on, too: one for each worker");
}

#[test]
fn a_request_keeps_the_policy_that_it_began_with() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let with = |name: &str| {
        let rule = format!("forward web\non-response {{ set-header \"x-version\" \"{name}\" }}");
        Policy::to(&backend).otherwise(&rule)
    };
    let gateway = Gateway::start(&with("old"));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.reload(&with("new"));
    backend.release();
    assert_eq!(client.receive().header("x-version"), Some("old"));
    backend.release();
    assert_eq!(client.get("/").header("x-version"), Some("new"));
}

#[test]
fn a_file_may_be_renamed_rewritten_or_linked_into_place() {
    let gateway = Gateway::start(&Policy::saying("one"));
    let mut client = gateway.client();
    let mut seen = |mark: usize, answer: &str| {
        gateway.wait_for(mark, "reloaded generation=");
        assert_eq!(client.get("/").text(), answer);
    };
    let text = |name: &str| gateway.fill(&Policy::saying(name).text());

    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("renamed"));
    seen(mark, "renamed");

    let mark = gateway.log().mark();
    fs::write(gateway.file(), text("rewritten")).unwrap();
    seen(mark, "rewritten");

    let mark = gateway.log().mark();
    fs::remove_file(gateway.file()).unwrap();
    gateway.wait_for(mark, "the old one serves on");
    let mark = gateway.log().mark();
    fs::write(gateway.file(), text("back")).unwrap();
    seen(mark, "back");
}

/// As Kubernetes does it: `policy.gate` leads through the link `..data` into a folder, and `..data` is swapped.
#[test]
fn a_folder_may_be_swapped_by_its_link() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let put = |name: &str| {
        let at = folder.path().join(name);
        fs::create_dir(&at).unwrap();
        fs::write(at.join("policy.gate"), Policy::saying(name).text().replace("@port", &port.to_string())).unwrap();
    };
    let swap = |name: &str| {
        symlink(name, folder.path().join("..new")).unwrap();
        fs::rename(folder.path().join("..new"), folder.path().join("..data")).unwrap();
    };
    put("one");
    put("two");
    put("three");
    swap("one");
    let path = folder.path().join("policy.gate");
    symlink("..data/policy.gate", &path).unwrap();
    let swapped = folder.path().to_owned();
    let gateway = Gateway::serve(folder, &path, port);
    assert_eq!(gateway.get("/").text(), "one");
    for name in ["two", "three"] {
        let mark = gateway.log().mark();
        symlink(name, swapped.join("..new")).unwrap();
        fs::rename(swapped.join("..new"), swapped.join("..data")).unwrap();
        gateway.wait_for(mark, "reloaded generation=");
        assert_eq!(gateway.get("/").text(), name);
    }
}

#[test]
fn sighup_reads_the_files_anew() {
    let gateway = Gateway::start(&Policy::saying("one"));
    let mark = gateway.log().mark();
    gateway.signal("HUP");
    gateway.wait_for(mark, "nothing has changed");
    let mark = gateway.log().mark();
    fs::write(gateway.file(), format!("# More words.\n{}", gateway.fill(&Policy::saying("one").text()))).unwrap();
    gateway.wait_for(mark, "its meaning did not");
    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("two"));
    gateway.signal("HUP");
    gateway.wait_for(mark, "reloaded generation=2");
    assert_eq!(gateway.get("/").text(), "two");
}

#[test]
fn a_broken_file_is_reported_and_the_old_policy_serves_on() {
    let gateway = Gateway::start(&Policy::saying("good"));
    let mut client = gateway.client();
    for broken in [
        "tidegate 1\nlistner http main { }\n".to_owned(),
        String::new(),
        Policy::saying("x").text().replace("respond 200", "respond"),
        Policy::saying("x").text().replace("rules main {", "rules main {{"),
        "\u{0}\u{1}".to_owned(),
    ] {
        let mark = gateway.log().mark();
        gateway.write_file("policy.gate", gateway.fill(&broken).as_bytes());
        gateway.wait_for(mark, "the policy was not reloaded; the old one serves on");
        let log = gateway.log().since(mark).join("\n");
        assert!(log.contains("error[E") && log.contains("policy.gate:"), "which mistake, and where:\n{log}");
        assert_eq!(client.get("/").text(), "good");
    }
    gateway.reload(&Policy::saying("mended"));
    assert_eq!(client.get("/").text(), "mended");
}

#[test]
fn a_port_that_is_taken_refuses_the_policy() {
    let gateway = Gateway::start(&Policy::saying("one"));
    let taken = listen();
    let port = taken.local_addr().unwrap().port();
    let mark = gateway.log().mark();
    gateway
        .write(&Policy::saying("two").top(&format!("listener http more {{ address 127.0.0.1:{port}; rules main }}")));
    let line = gateway.wait_for(mark, "the policy was not reloaded");
    assert!(line.contains("`more`") && line.contains(&port.to_string()), "{line}");
    assert_eq!(gateway.get("/").text(), "one", "all of it, or nothing");
}

#[test]
fn listeners_come_and_go_and_the_others_do_not_notice() {
    let gateway = Gateway::start(&Policy::saying("main"));
    let mut client = gateway.client();
    client.get("/");
    let port = free_port();
    assert!(Client::try_connect(port).is_err());
    let more = format!(
        "listener http more {{ address 127.0.0.1:{port}; rules more }}\nrules more {{ otherwise {{ respond 200 \"more\" }} }}"
    );
    gateway.reload(&Policy::saying("main").top(&more));
    let mut other = Client::connect(port);
    assert_eq!(other.get("/").text(), "more");

    gateway.reload(&Policy::saying("main"));
    refused(port);
    assert!(other.is_closed(), "an idle connection of a listener that is gone ends");
    assert_eq!(client.get("/").text(), "main", "the other listener's connection lives");

    gateway.reload(&Policy::saying("main").top(&more));
    assert_eq!(Client::connect(port).get("/").text(), "more", "the port can be had again");
    gateway.reload(&Policy::saying("main").top(&more.replace("rules more }", "rules more; state stopped }")));
    // A stopped listener holds no socket.
    refused(port);
}

/// Nobody listens there, a moment after the policy went into service: each worker closes its own socket.
fn refused(port: u16) {
    eventually("connections are refused", || match Client::try_connect(port) {
        Ok(_) => Err("accepted"),
        Err(_) => Ok(()),
    });
}

#[test]
fn a_listener_that_goes_lets_its_requests_finish() {
    let backend = Backend::start(Behaviour::StallBeforeHead);
    let port = free_port();
    let gone = format!("listener http gone {{ address 127.0.0.1:{port}; forward web }}");
    let gateway = Gateway::start(&Policy::to(&backend).top(&gone));
    let mut client = Client::connect(port);
    client.send("GET /last HTTP/1.1\r\nhost: test\r\n\r\n");
    backend.wait_head(1);
    gateway.reload(&Policy::to(&backend));
    refused(port);
    backend.release();
    assert_eq!(client.receive().echo().target, "/last");
    assert!(client.is_closed());
}

#[test]
fn a_limit_survives_a_reload_that_keeps_it() {
    let with = |rate: &str, name: &str| {
        Policy::new()
            .rule("few", &format!("when path is \"/\"\nlimit {rate}\nrespond 200 \"{name}\""))
            .otherwise("respond 404")
    };
    let gateway = Gateway::start(&with("2/m", "one"));
    let mut client = gateway.client();
    assert_eq!([200, 200, 503], [(); 3].map(|()| client.get("/").status));
    gateway.reload(&with("2/m", "two"));
    assert_eq!(client.get("/").status, 503, "the bucket is as empty as it was");
    gateway.reload(&with("3/m", "two"));
    assert_eq!(client.get("/").status, 200, "another rate is another limit");
}

#[test]
fn a_file_whose_meaning_stays_changes_nothing() {
    let gateway = Gateway::start(&Policy::saying("one"));
    let mark = gateway.log().mark();
    gateway.write(&Policy::saying("one").top("# a comment, and a blank line\n"));
    gateway.wait_for(mark, "its meaning did not");
    gateway.get("/same");
    assert_eq!(gateway.access("/same")["generation"].as_u64(), Some(1));
}

#[test]
fn timeouts_change_for_open_connections() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    client.get("/");
    gateway.reload(&Policy::to(&backend).listener("idle-timeout 1s"));
    client.get("/");
    let started = Instant::now();
    assert!(client.is_closed());
    assert!(started.elapsed() < Duration::from_secs(8), "the default is 15s");
}

/// Two versions of a guest: both take an empty configuration; the second one marks every answer with `x-was`.
fn modules() -> [Vec<u8>; 2] {
    ["client_headers", "tidegate_hostile_guest"].map(|name| fs::read(guest(name)).unwrap())
}

const EVERYTHING: &str = "allow [read-request, write-request-headers, rewrite, read-response, write-response-headers, \
                          route, respond, body, vars, log, clock, random, metrics, store]";

#[test]
fn a_module_is_watched_too() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .top(&format!("extension guest {{ module \"guest.wasm\"; {EVERYTHING} }}"))
        .listener("run guest");
    let [plain, marking] = modules();
    let gateway = Gateway::start_with(&policy, |folder| fs::write(folder.join("guest.wasm"), &plain).unwrap());
    let mut client = gateway.client();
    assert_eq!(client.get("/").header("x-was"), None);

    let mark = gateway.log().mark();
    gateway.write_file("guest.wasm", &marking);
    gateway.wait_for(mark, "reloaded generation=2");
    assert_eq!(client.get("/").header("x-was"), Some("200"));

    let mark = gateway.log().mark();
    gateway.write_file("guest.wasm", b"\0asm is not all of it");
    gateway.wait_for(mark, "the policy was not reloaded");
    assert_eq!(client.get("/").header("x-was"), Some("200"), "the last good one runs on");

    let mark = gateway.log().mark();
    gateway.write_file("guest.wasm", &plain);
    gateway.wait_for(mark, "reloaded generation=");
    assert_eq!(client.get("/").header("x-was"), None);
}

/// The number of reloads of the test below: 100, or what `TIDEGATE_RELOADS` says. From 1000 on, it looks at memory closely.
fn reloads() -> usize {
    std::env::var("TIDEGATE_RELOADS").ok().and_then(|number| number.parse().ok()).unwrap_or(100)
}

/// Rules, an extension's configuration, a module, broken files of both kinds: in turn, under load.
#[test]
fn a_hundred_reloads_under_load_fail_no_request() {
    let backend = Backend::text("steady");
    let policy = |config: usize, rule: usize| {
        Policy::to(&backend)
            .top(&format!("extension swapped {{ module \"swapped.wasm\"; {EVERYTHING} }}"))
            .top(&format!(
                "extension configured {{ module \"configured.wasm\"; config {{ response {{ \"x-config\" \"{config}\" }} }}
                 {EVERYTHING} }}"
            ))
            .listener("run swapped; run configured")
            .otherwise(&format!("forward web\non-response {{ set-header \"x-rule\" \"{rule}\" }}"))
    };
    let [plain, marking] = modules();
    let gateway = Gateway::start_with(&policy(0, 0), |folder| {
        fs::write(folder.join("swapped.wasm"), &plain).unwrap();
        fs::write(folder.join("configured.wasm"), &plain).unwrap();
    });
    let before = gateway.usage();
    let load = Load::default();
    let (mut config, mut rule, mut marks) = (0, 0, false);
    let mut broken = 0;
    let mut warm = before;
    let started = Instant::now();
    let results = std::thread::scope(|scope| {
        let workers = [
            scope.spawn(|| load.keep_asking(gateway.port())),
            scope.spawn(|| load.keep_asking(gateway.port())),
            scope.spawn(|| load.keep_coming(gateway.port())),
        ];
        let _stop = load.stopped_at_the_end();
        let mut client = gateway.client();
        for step in 0..reloads() {
            if step == 100 {
                warm = gateway.usage();
            }
            let mark = gateway.log().mark();
            let sound = match step % 10 {
                0 | 5 => {
                    rule = step + 1;
                    gateway.write(&policy(config, rule));
                    true
                }
                1 | 6 => {
                    config = step + 1;
                    gateway.write(&policy(config, rule));
                    true
                }
                2 | 7 => {
                    marks = !marks;
                    gateway.write_file("swapped.wasm", if marks { &marking } else { &plain });
                    true
                }
                3 => {
                    gateway.write_file(
                        "policy.gate",
                        gateway.fill(&policy(config, rule).text()).replace("forward", "forwrad").as_bytes(),
                    );
                    false
                }
                8 => {
                    gateway.write_file("swapped.wasm", b"this is no module");
                    false
                }
                // Mends what was broken, and changes something, so that it counts as a reload.
                4 => {
                    rule = step + 1;
                    fs::write(gateway.file(), gateway.fill(&policy(config, rule).text())).unwrap();
                    true
                }
                _ => {
                    marks = !marks;
                    gateway.write_file("swapped.wasm", if marks { &marking } else { &plain });
                    true
                }
            };
            if sound {
                gateway.wait_for(mark, "reloaded generation=");
            } else {
                gateway.wait_for(mark, "the policy was not reloaded; the old one serves on");
                broken += 1;
            }
            let answer = client.get("/");
            assert_eq!(answer.header("x-rule"), Some(rule.to_string().as_str()), "step {step}");
            assert_eq!(answer.header("x-config"), Some(config.to_string().as_str()), "step {step}");
            assert_eq!(answer.header("x-was").is_some(), marks, "step {step}");
        }
        load.stop();
        workers.map(|worker| worker.join().unwrap().map(drop))
    });
    let elapsed = started.elapsed();
    assert_eq!(results, [Ok(()), Ok(()), Ok(())], "of {} requests", load.served());
    eprintln!("{} reloads in {elapsed:?}, {} requests, none failed", reloads(), load.served());
    assert_eq!(broken, reloads() / 5);
    assert!(load.served() > 100, "there was load");
    if !cfg!(debug_assertions) && reloads() == 100 {
        assert!(elapsed < Duration::from_secs(20), "{elapsed:?}");
    }
    let after = gateway.usage();
    assert!(after.threads <= before.threads + 1, "{before:?} {after:?}");
    assert!(after.resident < before.resident + (64 << 20), "{before:?} {after:?}");
    if reloads() >= 1000 {
        eprintln!("resident: {} bytes after 100 reloads, {} at the end", warm.resident, after.resident);
        assert!(after.resident < warm.resident + warm.resident / 20, "{warm:?} {after:?}");
    }
}
