//! Extensions that ask other servers while a request waits.

use std::fs;

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, Response, Tool, guest};

const ALLOW: &str =
    "allow [read-request, write-request-headers, read-response, write-response-headers, respond, store, outbound]";

/// A gateway with one worker whose guest asks other servers for requests of `/ask`.
fn gateway(backend: &Backend, authz: &Backend, listener: &str) -> Gateway {
    let policy = Policy::to(backend)
        .backend("authz", authz)
        .top("server-group nowhere { server 127.0.0.1:1 }")
        .top("gateway { workers 1 }")
        .top(&format!("extension asking {{ module \"guest.wasm\"; limits {{ time 50ms }}; {ALLOW} }}"))
        .listener(listener)
        .rule("ask", "when path under \"/ask\"\nrun asking\nforward web");
    Gateway::start_with(&policy, |folder| {
        fs::copy(guest("tidegate_asking_guest"), folder.join("guest.wasm")).unwrap();
    })
}

fn ask(client: &mut Client, group: &str, lines: &str) -> Response {
    client.get_with("/ask", &format!("x-do: ask\r\nx-group: {group}\r\nx-target: /check?a=b\r\n{lines}"))
}

#[test]
fn a_guest_asks_another_server_and_goes_by_its_answer() {
    let (backend, authz) = (Backend::echo(), Backend::text("well"));
    let gateway = gateway(&backend, &authz, "");
    let mut client = gateway.client();
    for _ in 0..3 {
        let request = ask(&mut client, "authz", "x-body: who\r\n").echo();
        assert_eq!((request.header("x-said"), request.header("x-do")), (Some("well"), Some("ask")));
    }
    let asked = authz.wait_request(3);
    assert_eq!((asked.method.as_str(), asked.target.as_str(), asked.text().as_str()), ("POST", "/check?a=b", "who"));
    assert_eq!((asked.header("host"), asked.header("content-length")), (Some("authz"), Some("3")));
    assert_eq!((asked.header("x-asked-by"), asked.header("x-group")), (Some("guest"), None));
    assert_eq!(authz.connections(), 1, "the connection is kept, and used again");
    authz.behave(Behaviour::Raw("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n".to_owned()));
    let answer = ask(&mut client, "authz", "");
    assert_eq!((answer.status, answer.text().as_str()), (403, "authz said 401"));
    assert_eq!(backend.requests().len(), 3, "what was refused was not sent");
}

#[test]
fn the_worker_serves_others_while_a_guest_waits() {
    let (backend, authz) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let gateway = gateway(&backend, &authz, "");
    let mut waiting: Vec<Client> = (0..5).map(|_| gateway.client()).collect();
    for client in &mut waiting {
        client.send("GET /ask HTTP/1.1\r\nhost: test\r\nx-do: ask\r\nx-group: authz\r\nx-target: /slow\r\n\r\n");
    }
    authz.wait_request(5);
    let mut other = gateway.client();
    for _ in 0..10 {
        assert_eq!(other.get("/plain").status, 200);
        assert_eq!(other.get("/ask").status, 200, "the same extension, in another instance");
    }
    for _ in 0..5 {
        authz.release();
    }
    for client in &mut waiting {
        assert_eq!(client.receive().status, 200);
    }
}

/// Eight workers, an extension whose calls all hang, and requests through another one.
#[test]
fn an_extension_whose_calls_hang_leaves_room_for_another() {
    let (backend, authz) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let policy = Policy::to(&backend)
        .backend("authz", &authz)
        .top("gateway { workers 8 }")
        .top(&format!("extension asking {{ module \"guest.wasm\"; {ALLOW} }}"))
        .top(&format!("extension other {{ module \"guest.wasm\"; on-error skip; {ALLOW} }}"))
        .rule("ask", "when path under \"/ask\"\nrun asking\nforward web")
        .rule("other", "when path under \"/other\"\nrun other\nforward web");
    let gateway = Gateway::start_with(&policy, |folder| {
        fs::copy(guest("tidegate_asking_guest"), folder.join("guest.wasm")).unwrap();
    });
    let hanging =
        "GET /ask HTTP/1.1\r\nhost: test\r\nx-do: ask\r\nx-group: authz\r\nx-target: /slow\r\nx-timeout: 30000\r\n\r\n";
    let waiting: Vec<Client> = (0..400)
        .map(|_| {
            let mut client = gateway.client();
            client.send(hanging);
            client
        })
        .collect();
    // As many as one extension may have on eight workers are under way, or nearly.
    authz.wait_request(200);
    for _ in 0..160 {
        let answer = gateway.get("/other");
        assert_eq!((answer.status, answer.echo().header("x-do")), (200, None));
    }
    drop(waiting);
}

#[test]
fn a_group_that_allow_does_not_list_is_not_called() {
    let (backend, authz) = (Backend::echo(), Backend::text("well"));
    let policy = Policy::to(&backend)
        .backend("authz", &authz)
        .top("gateway { workers 1 }")
        .top(&format!("extension asking {{ module \"guest.wasm\"; {} }}", ALLOW.replace("outbound", "outbound [web]")))
        .rule("ask", "when path under \"/ask\"\nrun asking\nforward web");
    let gateway = Gateway::start_with(&policy, |folder| {
        fs::copy(guest("tidegate_asking_guest"), folder.join("guest.wasm")).unwrap();
    });
    let mut client = gateway.client();
    assert_eq!(ask(&mut client, "authz", "").status, 500);
    assert_eq!(gateway.access("/ask")["failure"], "extension");
    assert_eq!((authz.requests().len(), ask(&mut client, "web", "").status), (0, 200));
}

#[test]
fn a_client_that_leaves_takes_its_guest_along() {
    let (backend, authz) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let gateway = gateway(&backend, &authz, "");
    let mut client = gateway.client();
    client.send("GET /ask?left HTTP/1.1\r\nhost: test\r\nx-do: ask\r\nx-group: authz\r\nx-target: /slow\r\n\r\n");
    authz.wait_request(1);
    drop(client);
    authz.wait_open(0);
    let line = gateway.access("/ask?left");
    assert_eq!((line["failure"].as_str(), line["method"].as_str()), (Some("client-closed"), Some("GET")));
    assert_eq!(gateway.get("/ask").status, 200);
}

#[test]
fn what_goes_wrong_on_the_way_is_told_to_the_guest() {
    let (backend, authz) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let gateway = gateway(&backend, &authz, "");
    let mut client = gateway.client();
    let mut said = |group: &str, lines: &str| {
        let answer = ask(&mut client, group, lines);
        assert_eq!(answer.status, 503, "{}", answer.text());
        answer.text()
    };
    assert_eq!(said("authz", "x-timeout: 100\r\n"), "Timeout");
    assert_eq!(said("nowhere", ""), "Unreachable");
    authz.behave(Behaviour::Garbage);
    assert_eq!(said("authz", ""), "Broken");
    authz.behave(Behaviour::Stream(2 << 20));
    assert_eq!(said("authz", ""), "TooLarge");
}

#[test]
fn the_listeners_timeout_bounds_it_too() {
    let (backend, authz) = (Backend::echo(), Backend::start(Behaviour::StallBeforeHead));
    let gateway = gateway(&backend, &authz, "request-timeout 1s");
    let answer = ask(&mut gateway.client(), "authz", "");
    assert_eq!((answer.status, answer.text().as_str()), (503, "Timeout"));
}

#[test]
fn a_guest_that_floods_other_servers_is_stopped_by_name() {
    let (backend, authz) = (Backend::text("ok"), Backend::text("ok"));
    let gateway = gateway(&backend, &authz, "");
    let mut client = gateway.client();
    for (act, fault) in [
        ("flood", "too-much"),
        ("ask", "unknown-group"),
        ("trace", "bad-value"),
        ("line", "bad-value"),
        ("length", "not-allowed"),
        ("target", "bad-value"),
        ("ask-then-loop", "deadline"),
    ] {
        let mark = gateway.log().mark();
        assert_eq!(
            client.get_with("/ask", &format!("x-do: {act}\r\nx-group: no\r\nx-target: /\r\n")).status,
            500,
            "{act}"
        );
        let line = gateway.wait_for(mark, "extension=\"asking\"");
        assert!(line.contains(&format!("fault=\"{fault}\"")), "{act}: {line}");
        assert_eq!(client.get("/ask").status, 200, "after {act}");
    }
    let flood = backend.requests().iter().filter(|request| request.target == "/flood").count();
    assert_eq!(flood, 8, "no more than a call may make");
}

#[test]
fn a_response_hook_asks_too() {
    let (backend, authz) = (Backend::echo(), Backend::text("ok"));
    let gateway = gateway(&backend, &authz, "");
    let answer = gateway.client().get_with("/ask", "x-do-back: ask\r\n");
    assert_eq!((answer.status, answer.header("x-back")), (200, Some("200")));
    assert_eq!(answer.echo().target, "/ask", "the answer is the first server's");
}

#[test]
fn there_is_no_network_where_nothing_serves() {
    let policy = format!(
        "tidegate 1\n\nextension asking {{\n    module \"guest.wasm\"\n    {ALLOW}\n}}\n\nserver-group authz {{ server 127.0.0.1:1 }}\n\n\
         listener http main {{\n    port 8080\n    rules main\n}}\n\n\
         rules main {{\n    otherwise {{\n        run asking\n        respond 200\n    }}\n}}\n\n\
         test \"offline\" {{\n    request GET \"http://test/\"\n    header \"x-do\" \"ask\"\n    header \"x-group\" \"authz\"\n    header \"x-target\" \"/\"\n    expect status 503\n}}\n"
    );
    let tool = Tool::new().file("p.gate", &policy);
    fs::copy(guest("tidegate_asking_guest"), tool.path("guest.wasm")).unwrap();
    let output = tool.run(&["test", "p.gate"]);
    assert_eq!(output.status, Some(0), "{} {}", output.stdout, output.stderr);
    let arguments =
        ["explain", "p.gate", "GET http://test/", "-H", "x-do: ask", "-H", "x-group: authz", "-H", "x-target: /"];
    let output = tool.run(&arguments);
    assert!(output.stdout.contains("503"), "{} {}", output.stdout, output.stderr);
}
