//! Rules, and their effect on requests and responses.

use tidegate_tests::{Backend, Behaviour, Gateway, Policy};

fn serve(policy: &Policy) -> Gateway {
    Gateway::start(policy)
}

#[test]
fn hosts_choose_the_group() {
    let (one, two, rest) = (Backend::text("one"), Backend::text("two"), Backend::text("rest"));
    let policy = Policy::to(&rest)
        .backend("one", &one)
        .backend("two", &two)
        .rule("one", "when host is [\"one.example\", \"uno.example\"]\nforward one")
        .rule("two", "when host like \"*.two.example\"\nforward two");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    for (host, answer) in [
        ("one.example", "one"),
        ("ONE.Example", "one"),
        ("uno.example:8080", "one"),
        ("a.two.example", "two"),
        ("a.b.two.example", "two"),
        ("two.example", "rest"),
        ("evil-one.example", "rest"),
    ] {
        assert_eq!(client.get_host(host, "/").text(), answer, "{host}");
    }
}

#[test]
fn the_first_rule_that_holds_wins() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .rule("exact", "when path is \"/a\"\nrespond 200 \"exact\"")
        .rule("prefix", "when path under [\"/a\", \"/b/c\"]\nrespond 200 \"prefix\"")
        .rule("pattern", "when path matches \"^/v(?<major>[12])/(.*)$\"\nrespond 200 \"v${match.major} ${match.2}\"")
        .rule("glob", "when path like \"*.php\"\nrespond 404 \"glob\"")
        .otherwise("respond 200 \"otherwise\"");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    for (path, answer) in [
        ("/a", "exact"),
        ("/a/", "prefix"),
        ("/a/x", "prefix"),
        ("/ab", "otherwise"),
        ("/b", "otherwise"),
        ("/b/c?x", "prefix"),
        ("/v1/items/7", "v1 items/7"),
        ("/v3/items", "otherwise"),
        ("/x/y.php", "glob"),
        ("/A", "otherwise"),
    ] {
        assert_eq!(client.get(path).text(), answer, "{path}");
    }
}

#[test]
fn conditions_look_at_headers_queries_cookies_methods_and_addresses() {
    let policy = Policy::new()
        .rule("header", "when header \"x-kind\" is \"b\"\nrespond 200 \"header\"")
        .rule("query", "when query \"beta\" present\nrespond 200 \"query\"")
        .rule("cookie", "when cookie \"plan\" is \"pro\"\nrespond 200 \"cookie\"")
        .rule("method", "when method is [PUT, DELETE]\nrespond 200 \"method\"")
        .rule("any", "when any {\npath is \"/any\"\nall {\npath is \"/all\"\nheader \"x-all\" present\n}\n}\nrespond 200 \"any\"")
        .rule("unless", "when path is \"/unless\"\nunless header \"x-no\" is \"1\"\nrespond 200 \"unless\"")
        .rule("inside", "when path is \"/ip\"\nwhen client-ip in [127.0.0.0/8]\nrespond 200 \"inside\"")
        .otherwise("respond 200 \"otherwise\"");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    for (target, lines, answer) in [
        ("/", "x-kind: a\r\nx-kind: b\r\n", "header"),
        ("/", "x-kind: c\r\n", "otherwise"),
        ("/?a&beta", "", "query"),
        ("/?beta=", "", "query"),
        ("/?alpha=beta", "", "otherwise"),
        ("/", "cookie: a=1; plan=pro\r\n", "cookie"),
        ("/", "cookie: plan=basic\r\n", "otherwise"),
        ("/any", "", "any"),
        ("/all", "", "otherwise"),
        ("/all", "x-all: 1\r\n", "any"),
        ("/unless", "", "unless"),
        ("/unless", "x-no: 2\r\nx-no: 1\r\n", "otherwise"),
        ("/ip", "", "inside"),
    ] {
        assert_eq!(client.get_with(target, lines).text(), answer, "{target} {lines:?}");
    }
    assert_eq!(client.send("PUT / HTTP/1.1\r\nhost: test\r\n\r\n").receive().text(), "method");
}

#[test]
fn steps_change_what_the_backend_gets() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).rule(
        "steps",
        "when path matches \"^/old/(.*)$\"
         set-header \"x-set\" \"${method} ${host} ${path} ${query} ${listener} ${rule}\"
         add-header \"x-add\" \"two\"
         remove-header \"x-remove\"
         set-var \"who\" \"${header.x-who}\"
         rewrite path \"/new/${match.1}\"
         rewrite host \"inner.example\"
         rewrite query \"from=${original-uri}\"
         set-header \"x-after\" \"${path} ${var.who}\"
         forward web",
    );
    let gateway = serve(&policy);
    let lines = "x-set: mine\r\nx-add: one\r\nx-remove: 1\r\nx-remove: 2\r\nx-who: me\r\n";
    let request = gateway.client().get_with("/old/a/b?q=1", lines).echo();
    assert_eq!(request.header("x-set"), Some("GET test /old/a/b q=1 main steps"));
    assert_eq!(request.all("x-add"), ["one", "two"]);
    assert_eq!(request.header("x-remove"), None);
    assert_eq!(request.header("host"), Some("inner.example"));
    assert_eq!(request.header("x-after"), Some("/new/a/b me"));
    assert!(request.target.starts_with("/new/a/b?from="), "{}", request.target);
    let line = gateway.access("/old/a/b?q=1");
    assert_eq!((line["rule"].as_str(), line["host"].as_str()), (Some("steps"), Some("test")), "as it came in: {line}");
}

#[test]
fn a_redirect_says_where_to() {
    let policy = Policy::new().otherwise("redirect 308 \"https://${host}${uri}\"");
    let gateway = serve(&policy);
    let answer = gateway.client().get_host("shop.example:8080", "/a%20b?c=d");
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://shop.example/a%20b?c=d")));
}

#[test]
fn what_a_client_sends_cannot_add_header_lines() {
    let policy = Policy::new()
        .otherwise("redirect 302 \"/to${path}?${query.next}${cookie.c}\"")
        .listener("on-response { set-header \"x-back\" \"${path}${header.x-in}\" }");
    let gateway = serve(&policy);
    let answer =
        gateway.client().get_with("/a%0d%0aset-cookie:x=1?next=b%0D%0Aset-cookie:y=2", "cookie: c=%0d%0az: 1\r\n");
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("set-cookie"), None);
    assert_eq!(answer.header("z"), None);
}

#[test]
fn a_response_is_made_here() {
    let policy = Policy::new()
        .rule(
            "json",
            "when path is \"/json\"\nrespond 403 \"{\\\"no\\\":\\\"${client-ip}\\\"}\" type \"application/json\"",
        )
        .rule("empty", "when path is \"/empty\"\nrespond 204")
        .rule("close", "when path is \"/close\"\nclose")
        .otherwise("respond 200 \"hello ${query.name}\\n\"");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    let json = client.get("/json");
    assert_eq!((json.status, json.text().as_str()), (403, "{\"no\":\"127.0.0.1\"}"));
    assert_eq!(json.header("content-type"), Some("application/json"));
    let empty = client.get("/empty");
    assert_eq!((empty.status, empty.header("content-length"), empty.header("content-type")), (204, None, None));
    assert_eq!(client.get("/?name=you").text(), "hello you\n");
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head();
    assert!(head.is_ok_and(|head| head.header("content-length") == Some("7")), "as GET would have it");
    assert_eq!(client.get("/json").status, 403, "no body came after HEAD");
    client.send("GET /close HTTP/1.1\r\nhost: test\r\n\r\n");
    assert!(client.is_closed(), "without a word");
    assert_eq!(gateway.access("/close")["failure"], "closed");
}

#[test]
fn an_answer_made_here_leaves_the_connection_usable_although_a_body_came() {
    let policy = Policy::new().otherwise("respond 200 \"made here\"");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    assert_eq!(client.post("/a", "GET /smuggled HTTP/1.1\r\nhost: test\r\n\r\n").text(), "made here");
    // The connection is closed, or the next answer is the next request's: never the body's.
    if client.try_get("/b").is_ok() {
        gateway.access("/b");
    }
    gateway.access("/a");
    assert!(!gateway.access_log().text().contains("/smuggled"));
}

#[test]
fn weights_share_the_requests() {
    let (stable, canary) = (Backend::text("stable"), Backend::text("canary"));
    let policy = Policy::new()
        .backend("stable", &stable)
        .backend("canary", &canary)
        .otherwise("forward stable weight 80, canary weight 20");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    let canary = (0..1000).filter(|_| client.get("/").text() == "canary").count();
    // Chance decides: 200 is expected, and 100 and 300 are eight standard deviations away.
    assert!((100..=300).contains(&canary), "{canary} of 1000");
}

#[test]
fn a_weight_of_zero_gets_nothing() {
    let (on, off) = (Backend::text("on"), Backend::text("off"));
    let policy = Policy::new().backend("on", &on).backend("off", &off).otherwise("forward off weight 0, on weight 1");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    assert!((0..100).all(|_| client.get("/").text() == "on"));
}

#[test]
fn a_limit_refuses_what_is_over_it() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .rule("few", "when path is \"/few\"\nlimit 3/m\nforward web")
        .rule("many", "when path is \"/many\"\nlimit 1/m burst 2 status 429\nforward web");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    for _ in 0..3 {
        assert_eq!(client.get("/few").status, 200);
    }
    let refused = client.get("/few");
    assert_eq!((refused.status, refused.header("tidegate-limited")), (503, Some("few")));
    let seconds: u64 = refused.header("retry-after").and_then(|value| value.parse().ok()).unwrap_or_default();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(client.get("/other").status, 200, "the limit is the rule's alone");
    assert_eq!([200, 200, 429], [(); 3].map(|()| client.get("/many").status));
    assert_eq!(backend.requests().len(), 6);
    let line = gateway.access_log().wait(0, |line| line.contains("\"limited\":true").then(|| line.to_owned()));
    assert!(line.is_ok_and(|line| line.contains("\"status\":503")));
}

#[test]
fn a_limit_may_count_each_client_on_its_own() {
    let policy = Policy::new()
        .listener("client-ip x-forwarded-for trusted [127.0.0.1]")
        .rule("ip", "when path is \"/ip\"\nlimit 1/m per client-ip\nrespond 200")
        .rule("key", "when path is \"/key\"\nlimit 1/m per header \"x-key\"\nrespond 200")
        .otherwise("respond 404");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    let mut ask = |target: &str, line: &str| client.get_with(target, line).status;
    assert_eq!(ask("/ip", "x-forwarded-for: 203.0.113.1\r\n"), 200);
    assert_eq!(ask("/ip", "x-forwarded-for: 203.0.113.2\r\n"), 200);
    assert_eq!(ask("/ip", "x-forwarded-for: 203.0.113.1\r\n"), 503);
    assert_eq!(ask("/key", "x-key: a\r\n"), 200);
    assert_eq!(ask("/key", "x-key: b\r\n"), 200);
    assert_eq!(ask("/key", "x-key: a\r\n"), 503);
}

#[test]
fn responses_are_changed_on_their_way_back() {
    let raw = "HTTP/1.1 500 Oh\r\nserver: secret/1.0\r\nx-in: a\r\nx-in: b\r\ncontent-length: 4\r\n\r\noops";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let policy = Policy::to(&backend)
        .listener("on-response {\nremove-header \"server\"\nset-header \"x-order\" \"${response-header.x-order} listener\"\n}")
        .otherwise(
            "on-response {\nwhen status is [5xx]\nset-header \"x-sorry\" \"${status} ${method}\"\n\
             set-header \"x-order\" \"rule\"\nadd-header \"x-in\" \"c\"\n}\n\
             on-response {\nwhen status is 404\nset-header \"x-never\" \"1\"\n}\n\
             on-response {\nwhen response-header \"x-in\" is \"c\"\nset-header \"x-chain\" \"yes\"\n}\nforward web",
        );
    let gateway = serve(&policy);
    let answer = gateway.get("/");
    assert_eq!((answer.status, answer.text().as_str()), (500, "oops"));
    assert_eq!(answer.header("server"), None);
    assert_eq!(answer.header("x-sorry"), Some("500 GET"));
    assert_eq!(answer.header("x-order"), Some("rule listener"), "the rule first, then the listener");
    assert_eq!(answer.all("x-in"), ["a", "b", "c"]);
    assert_eq!(answer.header("x-never"), None);
    assert_eq!(answer.header("x-chain"), Some("yes"));
}

#[test]
fn answers_made_here_take_the_way_back_too() {
    let policy = Policy::new()
        .group("web", "server 127.0.0.1:1")
        .listener("on-response { set-header \"x-edge\" \"${status}\" }")
        .rule("made", "when path is \"/made\"\nrespond 403 \"no\"")
        .rule("limited", "when path is \"/limited\"\nlimit 1/m\nrespond 200");
    let gateway = serve(&policy);
    let mut client = gateway.client();
    assert_eq!(client.get("/made").header("x-edge"), Some("403"));
    client.get("/limited");
    assert_eq!(client.get("/limited").header("x-edge"), Some("503"));
    assert_eq!(client.get("/gone").header("x-edge"), Some("502"));
}

#[test]
fn a_listener_may_go_without_rules() {
    let backend = Backend::echo();
    let port = tidegate_tests::free_port();
    let top = format!("listener http plain {{ address 127.0.0.1:{port}; forward web }}");
    let _gateway = serve(&Policy::to(&backend).top(&top));
    assert_eq!(tidegate_tests::Client::connect(port).get("/plain").echo().target, "/plain");
}

#[test]
fn the_access_log_tells_what_happened() {
    let backend = Backend::text("twelve bytes");
    let gateway = serve(&Policy::to(&backend).rule("all", "when path under \"/logged\"\nforward web"));
    let mut client = gateway.client();
    let address = client.address();
    client.get_with("/logged/a%20b?c=d", "user-agent: test/1.0 \"quoted\"\r\n");
    let line = gateway.access("/logged/a%20b?c=d");
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("listener"), "main");
    assert_eq!(text("rule"), "all");
    assert_eq!(text("client_ip"), "127.0.0.1");
    assert_eq!(text("peer"), address);
    assert_eq!((text("method"), text("scheme"), text("host")), ("GET".into(), "http".into(), "test".into()));
    assert_eq!(text("protocol"), "http/1.1");
    assert_eq!((line["status"].as_u64(), line["bytes"].as_u64()), (Some(200), Some(12)));
    assert_eq!((text("group"), text("server")), ("web".into(), backend.address()));
    assert_eq!(line["upstream_status"].as_u64(), Some(200));
    let (ms, upstream_ms) = (line["ms"].as_f64().unwrap_or(-1.0), line["upstream_ms"].as_f64().unwrap_or(-1.0));
    assert!(0.0 <= upstream_ms && upstream_ms <= ms, "{line}");
    assert_eq!(text("user_agent"), "test/1.0 \"quoted\"");
    assert_eq!(text("request_id").len(), 32);
    assert_eq!(line["generation"].as_u64(), Some(1));
    assert!(text("time").ends_with('Z'), "{line}");
    assert!(line.get("failure").is_none() && line.get("limited").is_none(), "{line}");
}

#[test]
fn a_listener_may_go_unlogged() {
    let policy = Policy::new().listener("access-log off").otherwise("respond 200");
    let port = tidegate_tests::free_port();
    let gateway = serve(&policy.top(&format!("listener http logged {{ port {port}; rules main }}")));
    gateway.get("/quiet");
    tidegate_tests::Client::connect(port).get("/loud");
    gateway.access("/loud");
    assert!(!gateway.access_log().text().contains("/quiet"));
}
