//! The traffic that goes through: methods, bodies, connections, header fields.

use std::net::{Ipv6Addr, TcpStream};

use tidegate_tests::{Backend, Behaviour, Client, Gateway, Policy, free_port, needed, program};

/// A gateway before an echoing backend.
fn echo() -> (Backend, Gateway) {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    (backend, gateway)
}

#[test]
fn a_get_and_its_answer_pass() {
    let (_backend, gateway) = echo();
    let answer = gateway.client().get_with("/a/b?c=d&e", "x-one: 1\r\nX-Two: zwei\r\n");
    assert_eq!((answer.status, answer.version.as_str()), (200, "HTTP/1.1"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let request = answer.echo();
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/a/b?c=d&e");
    assert_eq!(request.version, "HTTP/1.1");
    assert_eq!(request.header("host"), Some("test"));
    assert_eq!(request.header("x-one"), Some("1"));
    assert_eq!(request.header("x-two"), Some("zwei"));
    assert_eq!(request.length, 0);
}

#[test]
fn repeated_fields_keep_their_order() {
    let (_backend, gateway) = echo();
    let request = gateway.client().get_with("/", "x-m: 1\r\nx-m: 2\r\nx-m: 3\r\ncookie: a=1\r\ncookie: b=2\r\n").echo();
    assert_eq!(request.all("x-m"), ["1", "2", "3"]);
    assert_eq!(request.all("cookie"), ["a=1", "b=2"]);
}

#[test]
fn a_backend_sees_every_value_of_set_cookie_pass() {
    let head = "HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(head.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    assert_eq!(gateway.get("/").all("set-cookie"), ["a=1", "b=2"]);
}

#[test]
fn a_post_passes_with_its_length() {
    let (_backend, gateway) = echo();
    let request = gateway.client().post("/form", "a=1&b=2").echo();
    assert_eq!((request.method.as_str(), request.text().as_str()), ("POST", "a=1&b=2"));
    assert_eq!(request.header("content-length"), Some("7"));
    assert_eq!(request.header("transfer-encoding"), None);
}

#[test]
fn other_methods_pass() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-OWN"] {
        let answer = client.send(format!("{method} /m HTTP/1.1\r\nhost: test\r\n\r\n")).receive();
        assert_eq!((answer.status, answer.echo().method.as_str()), (200, method));
    }
}

#[test]
fn options_for_the_server_itself_passes() {
    let (_backend, gateway) = echo();
    let answer = gateway.client().send("OPTIONS * HTTP/1.1\r\nhost: test\r\n\r\n").receive();
    assert_eq!((answer.status, answer.echo().target.as_str()), (200, "*"));
}

#[test]
fn head_has_a_length_and_no_body() {
    let backend = Backend::text("twelve bytes");
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    let head = client.send("HEAD / HTTP/1.1\r\nhost: test\r\n\r\n").receive_head().unwrap();
    assert_eq!((head.status, head.header("content-length")), (200, Some("12")));
    assert_eq!(client.get("/").text(), "twelve bytes", "what follows is the next answer");
}

#[test]
fn answers_without_a_body_end_at_their_head() {
    for status in ["204 No Content", "304 Not Modified"] {
        let backend = Backend::start(Behaviour::Raw(format!("HTTP/1.1 {status}\r\netag: \"x\"\r\n\r\n")));
        let gateway = Gateway::start(&Policy::to(&backend));
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!(answer.status.to_string(), status[..3]);
            assert_eq!(answer.header("etag"), Some("\"x\""));
            assert_eq!(answer.header("transfer-encoding"), None);
        }
    }
}

#[test]
fn a_connection_carries_many_requests() {
    let (backend, gateway) = echo();
    let mut client = gateway.client();
    for number in 0..50 {
        assert_eq!(client.get(&format!("/{number}")).echo().target, format!("/{number}"));
    }
    assert_eq!(backend.connections(), 1, "the backend's connection is reused, too");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    let requests: String = (0..20).map(|number| format!("GET /{number} HTTP/1.1\r\nhost: test\r\n\r\n")).collect();
    client.send(requests);
    for number in 0..20 {
        assert_eq!(client.receive().echo().target, format!("/{number}"));
    }
}

#[test]
fn a_pipelined_request_behind_a_body_is_its_own() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    client.send(
        "POST /one HTTP/1.1\r\nhost: test\r\ncontent-length: 4\r\n\r\nbodyGET /two HTTP/1.1\r\nhost: test\r\n\r\n",
    );
    assert_eq!(client.receive().echo().text(), "body");
    assert_eq!(client.receive().echo().target, "/two");
}

#[test]
fn a_chunked_upload_passes_and_its_next_request_too() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    client.send("POST /c HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("5\r\nhello\r\n").send("6;name=value\r\n world\r\n").send("0\r\n\r\n");
    let request = client.receive().echo();
    assert_eq!(request.text(), "hello world");
    assert_eq!(request.header("content-length"), None);
    assert_eq!(request.header("transfer-encoding"), Some("chunked"));
    assert_eq!(client.get("/after").echo().target, "/after");
}

#[test]
fn chunks_of_an_answer_pass_as_they_come() {
    let backend = Backend::start(Behaviour::GatedChunks(vec!["one", "two", "three"]));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    backend.release();
    client.send("GET / HTTP/1.1\r\nhost: test\r\n\r\n");
    let head = client.receive_head().unwrap();
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    let mut seen = String::new();
    client
        .receive_body(&head, |bytes| {
            seen.push_str(&String::from_utf8_lossy(bytes));
            // The backend sends the next one only now: nothing on the way may gather.
            backend.release();
        })
        .unwrap();
    assert_eq!(seen, "onetwothree");
}

#[test]
fn the_head_of_a_body_passes_before_its_end_is_sent() {
    let (backend, gateway) = echo();
    let mut client = gateway.client();
    client.send("POST /slow HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nhello");
    assert_eq!(backend.wait_head(1).target, "/slow", "the head is sent on while the body is still to come");
    client.send("world");
    assert_eq!(client.receive().echo().text(), "helloworld");
}

#[test]
fn trailers_do_no_harm() {
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for _ in 0..2 {
        client
            .send("POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-in: 1\r\n\r\n");
        let answer = client.receive();
        assert_eq!(answer.text(), "ok");
        // Trailers may be passed or dropped (RFC 9110, 6.5.1), never turned into header fields.
        assert_eq!(answer.header("x-sum"), None);
    }
    assert_eq!(backend.wait_request(2).header("x-in"), None);
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    let answer = client.send("GET /old HTTP/1.0\r\nhost: test\r\n\r\n").receive();
    assert_eq!((answer.status, answer.echo().version.as_str()), (200, "HTTP/1.1"));
    assert!(client.is_closed());
}

#[test]
fn http_1_0_may_name_no_host() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend)
        .rule("address", "when host is \"127.0.0.1\"\nrespond 501")
        .rule("any", "when host like \"*\"\nrespond 502")
        .rule("field", "when header \"host\" present\nrespond 503")
        .rule("renamed", "when path is \"/renamed\"\nunless host present\nrewrite host \"inner.test\"\nforward web")
        .rule("none", "when host absent\nset-header \"x-host\" \"${host}\"\nforward web");
    let gateway = Gateway::start(&policy);
    // The health check that HAProxy has sent since ever.
    let mut client = gateway.client();
    let check = client.send("OPTIONS / HTTP/1.0\r\n\r\n").receive().echo();
    assert_eq!((check.method.as_str(), check.target.as_str()), ("OPTIONS", "/"));
    assert_eq!(check.header("host"), Some(&*format!("127.0.0.1:{}", gateway.port())));
    assert_eq!(check.header("x-host"), Some("127.0.0.1"));
    assert!(client.is_closed());
    let renamed = gateway.client().send("GET /renamed HTTP/1.0\r\n\r\n").receive().echo();
    assert_eq!(renamed.header("host"), Some("inner.test"));
    let mut client = gateway.client();
    for (target, host, status) in
        [("/", "", 200), ("/", "host: 127.0.0.1\r\n", 501), ("http://127.0.0.1/", "", 501), ("/", "", 200)]
    {
        let request = format!("GET {target} HTTP/1.0\r\n{host}connection: keep-alive\r\n\r\n");
        assert_eq!(client.send(request).receive().status, status, "{target} {host}");
    }
}

#[test]
fn http_1_1_has_to_name_a_host() {
    let (backend, gateway) = echo();
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: one\r\nhost: two\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a b\r\n\r\n",
    ] {
        assert_eq!(gateway.client().send(request).receive().status, 400, "{request}");
    }
    assert!(backend.requests().is_empty());
}

#[test]
fn http_1_0_with_keep_alive_is_kept() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    for target in ["/a", "/b"] {
        let answer =
            client.send(format!("GET {target} HTTP/1.0\r\nhost: test\r\nconnection: keep-alive\r\n\r\n")).receive();
        assert_eq!(answer.echo().target, target);
        assert_eq!(answer.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn http_1_0_clients_get_no_chunks() {
    let backend = Backend::start(Behaviour::Chunks(vec!["one", "two"]));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    let answer = client.send("GET / HTTP/1.0\r\nhost: test\r\n\r\n").receive();
    assert_eq!(answer.header("transfer-encoding"), None);
    assert_eq!(answer.text(), "onetwo");
}

#[test]
fn a_backend_may_speak_http_1_0() {
    let backend = Backend::start(Behaviour::RawThenClose("HTTP/1.0 200 OK\r\n\r\nto the end".to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.version.as_str(), answer.text().as_str()), ("HTTP/1.1", "to the end"));
    }
}

#[test]
fn an_absolute_target_names_the_host() {
    let (_backend, gateway) = echo();
    let answer = gateway.client().send("GET http://one.example/p?q HTTP/1.1\r\nhost: two.example\r\n\r\n").receive();
    let request = answer.echo();
    assert_eq!((request.target.as_str(), request.header("host")), ("/p?q", Some("one.example")));
}

#[test]
fn a_client_that_asks_to_close_is_closed() {
    let backend = Backend::echo();
    // Each worker has connections of its own.
    let gateway = Gateway::start(&Policy::to(&backend).top("gateway { workers 1 }"));
    let mut client = gateway.client();
    let answer = client.get_with("/", "connection: close\r\n");
    assert!(answer.closes());
    assert!(client.is_closed());
    gateway.get("/again").echo();
    assert_eq!(backend.connections(), 1, "that was between the client and the gateway alone");
}

#[test]
fn expect_continue_is_answered_here() {
    let (_backend, gateway) = echo();
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nhost: test\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n");
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut client.socket(), &mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    let request = client.send("hi").receive().echo();
    assert_eq!((request.text().as_str(), request.header("expect")), ("hi", None));
}

#[test]
fn an_interim_response_of_a_backend_does_not_confuse() {
    let raw = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for _ in 0..2 {
        let answer = client.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

#[test]
fn fields_of_one_connection_stay_on_it() {
    let (_backend, gateway) = echo();
    let lines = "connection: x-secret, keep-alive, X-Other\r\nx-secret: 1\r\nx-other: 2\r\nkeep-alive: timeout=9\r\n\
                 te: gzip\r\nproxy-connection: keep-alive\r\nproxy-authorization: basic x\r\nupgrade: h2c\r\nx-stays: 3\r\n";
    let request = gateway.client().get_with("/", lines).echo();
    assert_eq!(request.header("x-stays"), Some("3"));
    for name in ["x-secret", "x-other", "keep-alive", "te", "proxy-connection", "proxy-authorization", "upgrade"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    let connection = request.header("connection").unwrap_or_default();
    assert!(!connection.contains("x-secret"), "{connection}");
}

#[test]
fn fields_of_the_backends_connection_stay_on_it() {
    let raw = "HTTP/1.1 200 OK\r\nconnection: x-secret, keep-alive\r\nx-secret: 1\r\nkeep-alive: timeout=9\r\n\
               proxy-authenticate: basic\r\nupgrade: h2c\r\nx-stays: 3\r\ncontent-length: 2\r\n\r\nok";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    let answer = gateway.get("/");
    assert_eq!((answer.text().as_str(), answer.header("x-stays")), ("ok", Some("3")));
    for name in ["x-secret", "keep-alive", "proxy-authenticate", "upgrade"] {
        assert_eq!(answer.header(name), None, "{name}");
    }
}

#[test]
fn a_coding_of_the_transfer_that_is_not_understood_is_not_passed_off_as_the_body() {
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn a_backend_that_closes_does_not_close_the_client() {
    let raw = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let backend = Backend::start(Behaviour::RawThenClose(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get("/");
        assert_eq!(answer.text(), "ok");
        assert!(!answer.closes());
    }
    assert_eq!(backend.connections(), 3);
}

#[test]
fn the_backend_learns_of_the_client() {
    let (_backend, gateway) = echo();
    let request = gateway.client().get_with("/", "x-forwarded-for: 203.0.113.9\r\nx-forwarded-proto: https\r\n").echo();
    assert_eq!(request.header("x-forwarded-for"), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(request.header("x-forwarded-proto"), Some("http"), "a client cannot claim TLS");
    assert_eq!(request.header("x-forwarded-port"), None);
}

#[test]
fn the_listener_says_what_the_backend_learns() {
    let backend = Backend::echo();
    let told = |line: &str| {
        let gateway = Gateway::start(&Policy::to(&backend).listener(line));
        let mut client = gateway.client();
        let port = client.address().rsplit(':').next().unwrap_or_default().to_owned();
        (client.get_with("/", "x-forwarded-for: 203.0.113.9\r\n").echo(), gateway.port().to_string(), port)
    };
    let (all, port, client_port) = told("forwarded [for, proto, port, client-port, host, listener-id]");
    assert_eq!(all.header("x-forwarded-port"), Some(port.as_str()));
    assert_eq!(all.header("x-forwarded-client-srcport"), Some(client_port.as_str()));
    assert_eq!(all.header("x-forwarded-host"), Some("test"));
    assert_eq!(all.header("x-forwarded-listener"), Some("main"));

    let (replaced, ..) = told("forwarded-for replace");
    assert_eq!(replaced.header("x-forwarded-for"), Some("127.0.0.1"));
    let (removed, ..) = told("forwarded-for remove");
    assert_eq!(removed.header("x-forwarded-for"), None);
    let (off, ..) = told("forwarded off");
    assert_eq!(off.header("x-forwarded-for"), Some("203.0.113.9"), "off: what came passes as it came");
    assert_eq!(off.header("x-forwarded-proto"), None);
}

#[test]
fn the_clients_address_is_derived_as_the_listener_says() {
    let backend = Backend::echo();
    let derived = |line: &str, header: &str| {
        let policy = Policy::to(&backend).listener(line).otherwise("set-header \"x-ip\" \"${client-ip}\"\nforward web");
        let gateway = Gateway::start(&policy);
        gateway.client().get_with("/", header).echo().header("x-ip").map(str::to_owned).unwrap_or_default()
    };
    let chain = "x-forwarded-for: 198.51.100.7, 203.0.113.9, 10.0.0.1\r\n";
    assert_eq!(derived("client-ip peer", chain), "127.0.0.1");
    let trusted = "client-ip x-forwarded-for trusted [127.0.0.0/8, 10.0.0.0/8]";
    assert_eq!(derived(trusted, chain), "203.0.113.9");
    assert_eq!(
        derived("client-ip x-forwarded-for trusted [10.0.0.0/8]", chain),
        "127.0.0.1",
        "the peer is not trusted"
    );
    assert_eq!(derived(trusted, "x-forwarded-for: 10.1.1.1, 10.0.0.1\r\n"), "10.1.1.1", "all trusted: the leftmost");
    assert_eq!(derived(trusted, "x-forwarded-for: 203.0.113.9, unknown, 10.0.0.1\r\n"), "10.0.0.1");
    assert_eq!(derived("client-ip x-forwarded-for trusted leftmost", chain), "198.51.100.7");
}

#[test]
fn a_port_is_bound_on_every_interface() {
    let backend = Backend::echo();
    let port = free_port();
    let _gateway =
        Gateway::start(&Policy::to(&backend).top(&format!("listener http open {{ port {port}; forward web }}")));
    let request = Client::connect(port).get("/v4").echo();
    assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"), "an IPv4 address in its own form");
    match TcpStream::connect((Ipv6Addr::LOCALHOST, port)) {
        Ok(stream) => {
            let request = Client::over(stream).get("/v6").echo();
            assert_eq!(request.header("x-forwarded-for"), Some("::1"));
        }
        Err(error) => {
            let v6 = std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0));
            assert!(v6.is_err(), "this machine has IPv6, and the gateway does not listen there: {error}");
            needed("ipv6", || Err::<(), _>(error.to_string()));
        }
    }
}

#[test]
fn servers_of_a_group_take_turns_by_weight() {
    let (heavy, light) = (Backend::text("heavy"), Backend::text("light"));
    let servers = format!("server {} weight 3; server {} weight 1", heavy.address(), light.address());
    // One worker: each takes turns on its own.
    let gateway = Gateway::start(&Policy::new().top("gateway { workers 1 }").group("web", &servers));
    let mut client = gateway.client();
    let heavy = (0..40).filter(|_| client.get("/").text() == "heavy").count();
    assert_eq!(heavy, 30);
}

#[test]
fn curl_is_content() {
    let (_backend, gateway) = echo();
    let url = format!("http://127.0.0.1:{}/curl", gateway.port());
    let run = |arguments: &[&str]| Some(program("curl")?.args(arguments).arg(&url).output().unwrap());
    let Some(posted) = run(&["-sS", "--fail", "--data", "a=1"]) else { return };
    assert!(String::from_utf8_lossy(&posted.stdout).contains("\"body\":\"a=1\""), "{posted:?}");
    let head = run(&["-sS", "--fail", "--head"]).unwrap();
    assert!(String::from_utf8_lossy(&head.stdout).starts_with("HTTP/1.1 200"), "{head:?}");
}

#[test]
fn a_listener_may_end_connections_after_some_requests() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).listener("limits { requests-per-connection 3 }"));
    let mut client = gateway.client();
    assert!(!client.get("/1").closes());
    assert!(!client.get("/2").closes());
    assert!(client.get("/3").closes());
    assert!(client.is_closed());
}

#[test]
fn connections_over_the_limit_are_refused_and_counted_out_again() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).listener("limits { connections 2 }"));
    let mut first = gateway.client();
    first.get("/");
    let mut second = gateway.client();
    second.get("/");
    assert!(gateway.client().is_closed(), "the third");
    drop(first);
    tidegate_tests::eventually("a place is free again", || {
        let mut third = Client::connect(gateway.port());
        third.try_get("/").map(|_| ()).map_err(|error| error.to_string())
    });
}
