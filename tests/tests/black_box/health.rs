//! Health checks: which servers get requests, and which do not any more.

use tidegate_tests::{Backend, Behaviour, Gateway, Policy, listen};

fn unavailable() -> Behaviour {
    Behaviour::Raw("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\ndown".to_owned())
}

const CHECK: &str = "health-check http { path \"/healthz\"; every 100ms; timeout 100ms; healthy 1; unhealthy 1 }";

fn group(check: &str, servers: &[&Backend]) -> Policy {
    let servers: Vec<String> = servers.iter().map(|server| format!("server {}", server.address())).collect();
    Policy::new().group("web", &format!("{check}; {}", servers.join("; ")))
}

fn answers(gateway: &Gateway) -> Vec<String> {
    (0..8).map(|_| gateway.get("/").text()).collect()
}

#[test]
fn an_unhealthy_server_gets_nothing_until_it_is_well() {
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let gateway = Gateway::start(&group(CHECK, &[&one, &other]));
    let check = one.wait_request(1);
    assert_eq!((check.method.as_str(), check.target.as_str()), ("GET", "/healthz"));
    assert_eq!(check.header("host"), Some(&*one.address()));
    assert!(check.header("user-agent").is_some_and(|agent| agent.starts_with("tidegate/")));
    assert!(answers(&gateway).contains(&"one".to_owned()));

    one.behave(unavailable());
    let line = gateway.wait_for(0, "a server is unhealthy");
    assert!(line.contains("it answered 503") && line.contains(&one.address()) && line.contains("web"), "{line}");
    assert!(answers(&gateway).iter().all(|answer| answer == "other"));

    // A reload that changes something else does not forget it.
    gateway.reload(&group(CHECK, &[&one, &other]).rule("extra", "when path is \"/extra\"\nrespond 204"));
    assert!(answers(&gateway).iter().all(|answer| answer == "other"));

    one.behave(Behaviour::Text("one"));
    gateway.wait_for(0, "a server is healthy again");
    assert!(answers(&gateway).contains(&"one".to_owned()));
}

#[test]
fn a_check_may_say_host_method_and_headers() {
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let check = "health-check http { host \"shop.example\"; method HEAD; header \"x-probe\" \"a\"; header \"user-agent\" \"edge\"; \
                 path \"/up?deep=1\"; every 100ms; unhealthy 1 }";
    let gateway = Gateway::start(&group(check, &[&one, &other]));
    let asked = one.wait_request(1);
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("HEAD", "/up?deep=1"));
    assert_eq!(asked.header("host"), Some("shop.example"));
    assert_eq!((asked.header("x-probe"), asked.header("user-agent")), (Some("a"), Some("edge")));
    // With the next one the first is over: its answer, which has no body, was understood.
    one.wait_request(2);
    let answers = answers(&gateway);
    assert!(answers.iter().any(|answer| answer == "one"), "{answers:?}");
}

#[test]
fn if_none_is_healthy_all_are_tried() {
    let (one, other) = (Backend::start(unavailable()), Backend::start(unavailable()));
    let gateway = Gateway::start(&group(CHECK, &[&one, &other]));
    gateway.wait_for(0, &one.address());
    gateway.wait_for(0, &other.address());
    assert!(answers(&gateway).iter().all(|answer| answer == "down"), "the servers' own answers");
}

#[test]
fn a_server_that_nobody_answers_for_is_unhealthy() {
    let good = Backend::text("good");
    let silent = listen();
    let gone = listen().local_addr().unwrap();
    let silent_address = silent.local_addr().unwrap();
    for (check, server, reason) in [
        ("tcp { every 100ms; unhealthy 1 }", gone.to_string(), "Connection refused"),
        ("http { every 200ms; timeout 200ms; unhealthy 1 }", silent_address.to_string(), "no answer within 200ms"),
        ("tcp { every 100ms; unhealthy 1 }", "\"no-such-host.invalid:80\"".to_owned(), "no-such-host.invalid:80"),
        ("grpc { every 100ms; unhealthy 1 }", good.address(), "a server is unhealthy"),
    ] {
        let gateway = Gateway::start(
            &Policy::new()
                .group("web", &format!("health-check {check}; server {server}; server {} backup", good.address())),
        );
        gateway.wait_for(0, reason);
    }
}

#[test]
fn servers_that_get_no_requests_are_not_asked() {
    let (one, light, off) = (Backend::text("one"), Backend::text("light"), Backend::text("off"));
    let servers = format!(
        "server {}; server {} weight 0; server {} state stopped",
        one.address(),
        light.address(),
        off.address()
    );
    let gateway = Gateway::start(&Policy::new().group("web", &format!("{CHECK}; {servers}")));
    one.wait_request(3);
    assert_eq!((light.connections(), off.connections()), (0, 0));
    // Once they are to get some, they are asked.
    gateway.reload(&group(CHECK, &[&one, &light, &off]));
    light.wait_request(1);
    off.wait_request(1);
}
