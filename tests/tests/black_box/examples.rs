//! The examples, each by its own policy, in the running gateway.

use std::fs;

use tidegate_tests::{Backend, Behaviour, Gateway, Response, Tool, example, free_port, shipped};

/// Serves `examples/NAME/NAME.gate`. Its servers 127.0.0.1:8081 and 8082 become these backends.
fn serve(name: &str, backends: &[&Backend]) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let module = example(name);
    let port = free_port();
    let mut policy = fs::read_to_string(shipped(&format!("examples/{name}/{name}.gate"))).unwrap();
    let built = format!("../../target/guests/wasm32-unknown-unknown/release/{}", module.file_name().unwrap().display());
    assert!(policy.contains(&built) && policy.contains("port 8080"), "{policy}");
    policy =
        policy.replace(&built, module.to_str().unwrap()).replace("port 8080", &format!("address 127.0.0.1:{port}"));
    for (backend, written) in backends.iter().zip(["127.0.0.1:8081", "127.0.0.1:8082"]) {
        policy = policy.replace(written, &backend.address());
    }
    let path = folder.path().join("policy.gate");
    fs::write(&path, policy).unwrap();
    Gateway::serve(folder, &path, port)
}

/// GET with a header.
fn get(gateway: &Gateway, target: &str, name: &str, value: &str) -> Response {
    gateway.client().get_with(target, &format!("{name}: {value}\r\n"))
}

#[test]
fn the_policies_of_the_examples_are_well_formed_and_pass_their_tests() {
    let mut policies = Vec::new();
    for entry in fs::read_dir(shipped("examples")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        if folder.join("Cargo.toml").is_file() {
            example(&name);
            let policy = folder.join(format!("{name}.gate"));
            assert!(policy.is_file() && folder.join("README.md").is_file(), "{name} has no policy or no page");
            policies.push(policy.to_str().unwrap().to_owned());
        }
    }
    assert!(policies.len() >= 10, "{policies:?}");
    let tool = Tool::new();
    for command in [&["fmt", "--check"][..], &["check"], &["test"]] {
        let arguments: Vec<&str> = command.iter().copied().chain(policies.iter().map(String::as_str)).collect();
        let output = tool.run(&arguments);
        assert_eq!(output.status, Some(0), "{command:?}: {}{}", output.stdout, output.stderr);
        assert!(!output.stderr.contains("warning["), "{command:?}: {}", output.stderr);
    }
}

#[test]
fn headers_change_by_a_table() {
    let backend = Backend::echo();
    let gateway = serve("header-table", &[&backend]);
    let answer = get(&gateway, "/assets/a.css", "x-debug", "1");
    assert_eq!(answer.header("cache-control"), Some("public, max-age=3600"));
    let request = answer.echo();
    assert_eq!((request.header("x-edge"), request.header("x-debug")), (Some("tidegate"), None));
    assert_eq!(gateway.get("/").header("cache-control"), None);
}

#[test]
fn clients_come_in_by_their_address() {
    let backend = Backend::echo();
    let gateway = serve("client-ip", &[&backend]);
    let request = get(&gateway, "/in", "x-forwarded-for", "10.1.2.3").echo();
    assert_eq!((request.header("x-real-ip"), request.header("x-client-net")), (Some("10.1.2.3"), Some("10.1.2.0")));
    assert_eq!(get(&gateway, "/out", "x-forwarded-for", "203.0.113.9").status, 403);
    assert_eq!(get(&gateway, "/denied", "x-forwarded-for", "10.9.9.9").status, 403);
    assert_eq!(gateway.access("/out")["vars"]["client-net"], "203.0.113.0");
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_canary_keeps_its_clients() {
    let (stable, canary) = (Backend::text("stable"), Backend::text("canary"));
    let gateway = serve("canary-router", &[&stable, &canary]);
    let first = gateway.get("/");
    let cookie = first.header("set-cookie").unwrap();
    assert!(cookie.starts_with(&format!("side={}; ", first.text())), "{cookie}");
    for side in ["stable", "canary"] {
        let answer = get(&gateway, "/", "cookie", &format!("side={side}"));
        assert_eq!((answer.text().as_str(), answer.header("set-cookie")), (side, None));
    }
}

#[test]
fn tokens_let_into_the_api() {
    let backend = Backend::echo();
    let gateway = serve("jwt-check", &[&backend]);
    let policy = fs::read_to_string(shipped("examples/jwt-check/jwt-check.gate")).unwrap();
    let tokens: Vec<&str> =
        policy.lines().filter_map(|line| line.split("\"Bearer ").nth(1)?.strip_suffix('"')).collect();
    assert_eq!(tokens.len(), 4, "three that hold, and one that does not");
    for token in &tokens[..3] {
        let lines = format!("authorization: Bearer {token}\r\nx-user: admin\r\n");
        let request = gateway.client().get_with("/api/orders", &lines).echo();
        assert_eq!(request.all("x-user"), ["ada"]);
    }
    let refused = get(&gateway, "/api/orders", "authorization", &format!("Bearer {}", tokens[3]));
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().contains("invalid_token"));
    assert_eq!(gateway.get("/api/orders").header("www-authenticate"), Some("Bearer"));
    assert_eq!(gateway.get("/").status, 200);
    assert_eq!(backend.requests().len(), 4);
}

#[test]
fn signed_links_give_their_file() {
    let backend = Backend::echo();
    let gateway = serve("signed-url", &[&backend]);
    let policy = fs::read_to_string(shipped("examples/signed-url/signed-url.gate")).unwrap();
    let link = policy.lines().find_map(|line| line.split("http://shop.example").nth(1)).unwrap();
    let link = link.split('"').next().unwrap();
    assert_eq!(gateway.get(link).echo().target, "/files/a.pdf");
    for changed in [link.replace("a.pdf", "b.pdf"), link.replace("4102444800", "4102444801"), "/files/a.pdf".to_owned()]
    {
        assert_eq!(gateway.get(&changed).status, 403, "{changed}");
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn what_is_secret_is_blacked_out_across_pieces() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunks = ["the password is hun", "ter2, card 4111 1111 1", "111 1111 of Pro", "ject X."];
    let body: String = chunks.iter().map(|chunk| format!("{:x}\r\n{chunk}\r\n", chunk.len())).collect();
    let backend = Backend::start(Behaviour::Raw(format!("{HEAD}{body}0\r\n\r\n")));
    let gateway = serve("redact", &[&backend]);
    let answer = get(&gateway, "/", "accept-encoding", "gzip");
    assert_eq!(answer.text(), "the password is *******, card **** **** **** 1111 of *********.");
    assert_eq!(backend.wait_request(1).header("accept-encoding"), Some("identity"));
    backend.behave(Behaviour::Text("nothing to hide"));
    assert_eq!(gateway.get("/").text(), "nothing to hide");
}

#[test]
fn attacks_are_refused_in_query_headers_and_body() {
    let backend = Backend::echo();
    let gateway = serve("small-waf", &[&backend]);
    assert_eq!(gateway.get("/?q=%3Cscript%3E").status, 403);
    assert_eq!(get(&gateway, "/", "user-agent", "${jndi:ldap://evil}").status, 403);
    assert_eq!(gateway.client().post("/attack", "name=x';+DROP+TABLE+users").status, 403);
    assert_eq!(gateway.client().post("/", &"x".repeat(65_537)).status, 413);
    assert_eq!(gateway.access("/attack")["vars"]["waf"], "sql in body");
    assert!(backend.requests().is_empty());
    assert_eq!(
        gateway.client().post("/", "name=O'Brien&like=drop+of+tea").echo().text(),
        "name=O'Brien&like=drop+of+tea"
    );
}

#[test]
fn somebody_else_says_who_may_pass() {
    let (web, authz) = (Backend::echo(), Backend::start(Behaviour::Raw(answer("200 OK", "x-user: ada\r\n", ""))));
    let gateway = serve("ext-auth", &[&web, &authz]);
    let lines = "authorization: Bearer t\r\nx-user: admin\r\n";
    let request = gateway.client().get_with("/api/orders?page=2", lines).echo();
    assert_eq!(request.all("x-user"), ["ada"]);
    let asked = authz.wait_request(1);
    assert_eq!((asked.target.as_str(), asked.header("authorization")), ("/check", Some("Bearer t")));
    assert_eq!(asked.header("x-original-uri"), Some("/api/orders?page=2"));

    authz.behave(Behaviour::Raw(answer("401 Unauthorized", "www-authenticate: Bearer\r\n", "who are you?\n")));
    let refused = gateway.get("/api/orders");
    assert_eq!((refused.status, refused.text().as_str()), (401, "who are you?\n"));
    assert_eq!(refused.header("www-authenticate"), Some("Bearer"));
    drop(authz);
    assert_eq!(gateway.get("/api/orders").status, 503);
    assert_eq!(gateway.get("/").status, 200, "nobody is asked about the rest");
    assert_eq!(web.requests().len(), 2);
}

fn answer(status: &str, lines: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{lines}\r\n{body}", body.len())
}

#[test]
fn clients_see_what_is_left_of_their_quota() {
    let backend = Backend::text("ok");
    let gateway = serve("request-count", &[&backend]);
    let mut client = gateway.client();
    let left = |answer: &Response| answer.header("ratelimit-remaining").map(|left| left.parse::<i64>().unwrap());
    // A window may end in the midst of it, once: then the count begins again.
    let answers: Vec<Response> = (0..220).map(|_| client.get_with("/", "x-api-key: a\r\n")).collect();
    assert_eq!(answers[0].header("ratelimit-limit"), Some("100"));
    assert_eq!(left(&answers[0]), Some(99));
    let refused: Vec<&Response> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty() && answers.iter().all(|answer| matches!(answer.status, 200 | 429)));
    assert!(refused.iter().all(|answer| left(answer) == Some(0) && answer.header("retry-after").is_some()));
    assert_eq!(left(&client.get_with("/", "x-api-key: b\r\n")), Some(99), "another client, another worker or not");
}
