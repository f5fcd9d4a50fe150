//! Which server of a group gets a request.

use tidegate_tests::{Backend, Behaviour, Gateway, Policy};

/// A gateway with one worker, which knows of all requests, and a group of these servers.
fn gateway(body: &str, servers: &[&Backend]) -> Gateway {
    let servers: Vec<String> = servers.iter().map(|server| format!("server {}", server.address())).collect();
    Gateway::start(&Policy::new().top("gateway { workers 1 }").group("web", &format!("{body}; {}", servers.join("; "))))
}

#[test]
fn a_busy_server_gets_no_more_while_another_is_idle() {
    for balance in ["least-requests", "random-two"] {
        let (one, other) = (Backend::start(Behaviour::StallBeforeHead), Backend::text("idle"));
        let gateway = gateway(&format!("balance {balance}"), &[&one, &other]);
        let mut waiting = gateway.client();
        // Until one of them hangs, chance may choose the idle one.
        while one.requests().is_empty() {
            waiting = gateway.client();
            waiting.send("GET /slow HTTP/1.1\r\nhost: test\r\n\r\n");
            if waiting.is_silent_for(std::time::Duration::from_millis(200)) {
                one.wait_request(1);
            }
        }
        for _ in 0..20 {
            assert_eq!(gateway.get("/").text(), "idle", "{balance}");
        }
        one.release();
        assert_eq!(waiting.receive().status, 200);
        one.behave(Behaviour::Text("free"));
        let free = (0..40).filter(|_| gateway.get("/").text() == "free").count();
        assert!(free > 5, "{balance}: it takes requests again, {free} of 40");
    }
}

#[test]
fn a_key_leads_to_its_server() {
    let servers = [Backend::text("a"), Backend::text("b"), Backend::text("c")];
    let gateway = gateway("balance hash header \"x-tenant\"", &servers.each_ref());
    let mut client = gateway.client();
    let mut of = |tenant: usize| client.get_with("/", &format!("x-tenant: {tenant}\r\n")).text();
    let places: Vec<String> = (0..30).map(&mut of).collect();
    assert_eq!(places, (0..30).map(&mut of).collect::<Vec<_>>(), "the second time as the first");
    for server in ["a", "b", "c"] {
        assert!(places.iter().any(|place| place == server), "{places:?}");
    }
}

#[test]
fn a_cookie_keeps_a_client_on_its_server_until_it_is_gone() {
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let group = |servers: &[&Backend]| {
        let servers: Vec<String> = servers.iter().map(|server| format!("server {}", server.address())).collect();
        let body = format!("sticky cookie \"SRV\" ttl 30m; {}", servers.join("; "));
        Policy::new().top("gateway { workers 1 }").group("web", &body)
    };
    let gateway = Gateway::start(&group(&[&one, &other]));
    let first = gateway.get("/");
    let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned();
    assert!(cookie.starts_with("SRV="), "{cookie}");
    let mut client = gateway.client();
    let lines = format!("cookie: {cookie}\r\n");
    for _ in 0..6 {
        let answer = client.get_with("/", &lines);
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), None));
    }
    let left = if first.text() == "one" { &other } else { &one };
    gateway.reload(&group(&[left]));
    let answer = client.get_with("/", &lines);
    assert_ne!(answer.text(), first.text());
    assert!(answer.header("set-cookie").is_some_and(|new| new.starts_with("SRV=") && !new.starts_with(&cookie)));
}

#[test]
fn with_a_secret_a_cookie_holds_in_every_gateway_that_has_it() {
    let (one, other) = (Backend::text("one"), Backend::text("other"));
    let policy = |secret: &str| {
        let body = format!("sticky cookie \"SRV\"; server {}; server {}", one.address(), other.address());
        Policy::new().top(&format!("gateway {{ workers 1; secret {secret} }}")).group("web", &body)
    };
    let start = |secret: &str| {
        Gateway::start_with(&policy(secret), |folder| {
            for name in ["old", "new"] {
                let text = format!("{}\n", name.repeat(20));
                assert!(std::fs::write(folder.join(name), text).is_ok());
            }
        })
    };
    let first = start("file \"old\"").get("/");
    let cookie = first.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default().to_owned();
    let lines = format!("cookie: {cookie}\r\n");
    let again = start("file \"old\"");
    for _ in 0..4 {
        let answer = again.client().get_with("/", &lines);
        assert_eq!((answer.text(), answer.header("set-cookie")), (first.text(), None));
    }
    again.reload(&policy("[file \"new\", file \"old\"]"));
    let answer = again.client().get_with("/", &lines);
    assert_eq!(answer.text(), first.text(), "the old secret is accepted");
    assert!(answer.header("set-cookie").is_some_and(|new| !new.starts_with(&cookie)), "and the new one makes");
    again.reload(&policy("file \"new\""));
    assert!(again.client().get_with("/", &lines).header("set-cookie").is_some(), "the old secret is gone");
}
