//! Which fields pass the gateway, in heads and trailers, over every version of HTTP; and which requests are framed or addressed so
//! that they are refused.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use tidegate_tests::http2::{Http2, read, send_all};
use tidegate_tests::http3::{Http3, answer, run};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, Request, workspace};

/// The rows of the table in `docs/protocols.md`: names, and whether a client can bring them in a head.
fn documented() -> Vec<(String, bool)> {
    let page = std::fs::read_to_string(workspace().join("docs/protocols.md")).unwrap();
    let section = page.split("## What a client cannot bring").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut rows = Vec::new();
    for line in section.lines().filter(|line| line.starts_with("| `")) {
        let columns: Vec<_> = line.split('|').map(str::trim).collect();
        let names = columns[1].split(", ").map(|name| name.trim_matches('`').to_owned());
        assert_eq!(columns[3], "no", "{line}");
        rows.extend(names.map(|name| (name, columns[2] == "yes")));
    }
    rows
}

#[test]
fn the_page_has_every_name_of_the_table() {
    let table = std::fs::read_to_string(workspace().join("guest-sdk/wit/fields.txt")).unwrap();
    let lines = table.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(' '));
    let mut expected: Vec<_> = lines
        .map(|(name, class)| (name.to_owned(), !matches!(class.trim(), "connection" | "hop" | "gateway")))
        .collect();
    let mut documented = documented();
    expected.sort();
    documented.sort();
    assert_eq!(documented, expected);
}

/// The names that a client tries, with some that stand for a family or that are spelt otherwise.
fn forgeries() -> (Vec<String>, Vec<String>) {
    let (mut heads, mut trailers) = (Vec::new(), Vec::new());
    for (name, comes) in documented() {
        let names = match name.strip_suffix('*') {
            Some(family) => {
                vec![format!("{family}proto"), format!("{family}clientcert-subjectdn"), format!("{family}new")]
            }
            None => vec![name],
        };
        for name in names {
            let spelt = [name.replace('-', "_"), name.replace('-', ".")].into_iter().filter(|other| *other != name);
            if !comes {
                heads.push(name.clone());
                heads.extend(spelt.clone());
            }
            trailers.push(name.clone());
            trailers.extend(spelt);
        }
    }
    heads.extend(["content_length", "x_forwarded_for", "x-forwarded_for"].map(str::to_owned));
    (heads, trailers)
}

fn quic(policy: Policy) -> (Gateway, Authority) {
    Gateway::start_quic(&policy.top("gateway { workers 1 }").quic(""))
}

/// The names of the fields that came through with the value that the client gave.
fn came(echo: &Request) -> Vec<String> {
    let fields = echo.headers.iter().chain(&echo.trailers).filter(|(_, value)| value.contains("forged"));
    fields.map(|(name, _)| name.clone()).collect()
}

fn trailers(names: &[&str]) -> HeaderMap {
    let named = |name: &&str| HeaderName::from_bytes(name.as_bytes()).unwrap();
    names.iter().map(|name| (named(name), HeaderValue::from_static("forged"))).collect()
}

#[test]
fn no_client_brings_what_the_page_lists_in_a_head() {
    let backend = Backend::echo();
    let (gateway, authority) = quic(Policy::to(&backend));
    let (heads, _) = forgeries();
    assert!(heads.len() > 20);
    for name in &heads {
        let response = gateway.client().get_with("/", &format!("{name}: forged\r\n"));
        if response.status == 200 {
            assert_eq!(came(&response.echo()), Vec::<String>::new(), "{name} over HTTP/1.1");
        }
    }
    assert_eq!(came(&gateway.client().get_with("/", "x-sum: forged\r\n").echo()), ["x-sum"]);
    let mut answered = (0, 0);
    run(async {
        for name in &heads {
            // A library may refuse to send it, and the gateway to take it.
            let mut client = Http2::connect(gateway.port()).await;
            if let Ok(response) = client.send("GET", "/", &[(name, "forged")], &[]).await {
                assert_eq!(came(&response.echo()), Vec::<String>::new(), "{name} over HTTP/2");
                answered.0 += 1;
            }
        }
        let mut client = Http2::connect(gateway.port()).await;
        let plain = client.send("GET", "/", &[("x-sum", "forged")], &[]).await.unwrap();
        assert_eq!(came(&plain.echo()), ["x-sum"]);
        let mut client = Http3::connect(gateway.port(), &authority).await;
        for name in &heads {
            if let Ok(response) = client.send("GET", "/", &[(name, "forged")], b"").await {
                assert_eq!(came(&response.echo()), Vec::<String>::new(), "{name} over HTTP/3");
                answered.1 += 1;
            }
        }
        assert!(answered.0 * 2 > heads.len() && answered.1 * 2 > heads.len(), "{answered:?} of {}", heads.len());
        let plain = client.send("GET", "/", &[("x-sum", "forged")], b"").await.unwrap();
        assert_eq!(came(&plain.echo()), ["x-sum"]);
    });
}

#[test]
fn no_client_brings_what_the_page_lists_in_a_trailer() {
    let backend = Backend::echo();
    let policy =
        Policy::to(&backend).otherwise("set-header \"x-role\" \"guest\"\nremove-header \"x-admin\"\nforward web");
    let (gateway, authority) = quic(policy);
    let (_, mut names) = forgeries();
    names.extend(["x-role", "x_role", "x-admin"].map(str::to_owned));
    for name in &names {
        let response = gateway
            .client()
            .send(format!(
                "POST / HTTP/1.1\r\nhost: test\r\ntrailer: {name}, x-sum\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{name}: forged\r\nx-sum: forged\r\n\r\n"
            ))
            .receive();
        let echo = response.echo();
        assert_eq!((came(&echo), echo.text().as_str()), (vec!["x-sum".to_owned()], "hi"), "{name} over HTTP/1.1");
        assert_eq!(echo.header("x-role"), Some("guest"));
    }
    let mut answered = (0, 0);
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        for name in &names {
            let announced = format!("{name}, x-sum");
            let (answer, mut stream) =
                client.begin(client.request("POST", "/", &[("trailer", &announced)]), false).await.unwrap();
            send_all(&mut stream, Bytes::from_static(b"hi"), false).await.unwrap();
            if stream.send_trailers(trailers(&[name, "x-sum"])).is_err() {
                continue;
            }
            let Ok(response) = read(answer).await else { continue };
            assert_eq!(came(&response.echo()), ["x-sum"], "{name} over HTTP/2");
            answered.0 += 1;
        }
        let mut client = Http3::connect(gateway.port(), &authority).await;
        for name in &names {
            let announced = format!("{name}, x-sum");
            let mut stream = client.begin("POST", "/", &[("trailer", &announced)]).await.unwrap();
            stream.send_data(Bytes::from_static(b"hi")).await.unwrap();
            if stream.send_trailers(trailers(&[name, "x-sum"])).await.is_err() {
                continue;
            }
            stream.finish().await.unwrap();
            let Ok(response) = answer(&mut stream).await else { continue };
            assert_eq!(came(&response.echo()), ["x-sum"], "{name} over HTTP/3");
            answered.1 += 1;
        }
        assert!(answered.0 * 2 > names.len() && answered.1 * 2 > names.len(), "{answered:?} of {}", names.len());
    });
}

#[test]
fn no_server_brings_in_a_trailer_what_a_head_decides() {
    let raw = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: set-cookie, x-end, x-powered-by\r\n\r\n2\r\nok\r\n0\r\nset-cookie: a=forged\r\nx-end: yes\r\nx-powered-by: forged\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let (gateway, authority) =
        quic(Policy::to(&backend).otherwise("forward web\non-response { remove-header \"x-powered-by\" }"));
    let kept = [("x-end".to_owned(), "yes".to_owned())];
    let response = gateway.client().get_with("/", "te: trailers\r\nconnection: te\r\n");
    assert_eq!((response.text().as_str(), &response.trailers[..]), ("ok", &kept[..]));
    run(async {
        assert_eq!(Http2::connect(gateway.port()).await.get("/").await.trailers, kept);
        assert_eq!(Http3::connect(gateway.port(), &authority).await.get("/").await.trailers, kept);
    });
}

#[test]
fn connection_takes_out_what_the_client_brought_and_nothing_that_a_rule_wrote() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).rule("secret", "when header \"x-secret\" present\nrespond 403 \"seen\"");
    let gateway = Gateway::start(&policy.otherwise("set-header \"x-role\" \"guest\"\nforward web"));
    for connection in ["close, x-role", "x-role, \u{e9}, x-secret", "x-secret,x_y z,x-role"] {
        let secret = if connection.contains("x-secret") { "x-secret: 1\r\n" } else { "" };
        let lines = format!("connection: {connection}\r\nx-role: admin\r\n{secret}");
        let response = gateway.client().get_with("/", &lines);
        assert_eq!(response.echo().header("x-role"), Some("guest"), "{connection}");
        assert_eq!(response.echo().header("x-secret"), None, "{connection}");
    }
    let lines =
        "connection: host, content-length, x-forwarded-for, cookie\r\ncookie: a=b\r\nx-forwarded-for: 192.0.2.9\r\n";
    let echo = gateway.client().get_with("/", lines).echo();
    assert_eq!((echo.header("host"), echo.header("cookie")), (Some("test"), None));
    assert_eq!(echo.header("x-forwarded-for"), Some("192.0.2.9, 127.0.0.1"));
}

#[test]
fn connection_of_a_server_takes_out_nothing_that_the_gateway_wrote() {
    let raw = "HTTP/1.1 200 OK\r\nconnection: keep-alive, set-cookie, x-secret\r\nset-cookie: a=b\r\nx-secret: 1\r\ncontent-length: 2\r\n\r\nok";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let policy = Policy::new().group("web", &format!("sticky cookie \"S\" ttl 1h; server {}", backend.address()));
    let gateway = Gateway::start(&policy);
    let response = gateway.get("/");
    assert_eq!((response.header("x-secret"), response.text().as_str()), (None, "ok"));
    let cookies = response.all("set-cookie");
    assert!(cookies.len() == 1 && cookies[0].starts_with("S="), "{cookies:?}");
}

#[test]
fn a_trusted_peer_is_believed() {
    let backend = Backend::echo();
    let gateway = Gateway::start(
        &Policy::to(&backend).listener("client-ip x-forwarded-for trusted 127.0.0.0/8").listener("forwarded [for]"),
    );
    let lines = "x-forwarded-proto: https\r\nx_forwarded_prefix: /a\r\n";
    let echo = gateway.client().get_with("/", lines).echo();
    assert_eq!((echo.header("x-forwarded-proto"), echo.header("x_forwarded_prefix")), (Some("https"), Some("/a")));
}

#[test]
fn bodies_of_get_and_head_pass_without_a_length() {
    let backend = Backend::echo();
    let (gateway, authority) = quic(Policy::to(&backend));
    for method in ["GET", "POST"] {
        let request =
            format!("{method} / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let echo = gateway.client().send(request).receive().echo();
        assert_eq!((echo.text().as_str(), echo.header("transfer-encoding")), ("hello", Some("chunked")), "{method}");
    }
    // It stays until the server has the request: whoever leaves before takes the request along.
    let mut client = gateway.client();
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(backend.wait_request(3).text(), "hello");
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        assert_eq!(client.send("GET", "/", &[], b"hello").await.unwrap().echo().text(), "hello");
        let mut client = Http3::connect(gateway.port(), &authority).await;
        assert_eq!(client.send("GET", "/", &[], b"hello").await.unwrap().echo().text(), "hello");
        assert_eq!(client.get("/").await.echo().header("transfer-encoding"), None);
    });
}

#[test]
fn a_word_is_no_target_and_a_bad_host_is_none_beside_a_good_one() {
    let gateway = Gateway::start(&Policy::new().otherwise("respond 200 \"${host} ${path}\""));
    for (target, host, status) in [
        ("favicon.ico", "shop.example", 400),
        ("admin.internal", "shop.example", 400),
        ("admin.internal:443", "shop.example", 400),
        ("http://admin.internal/", "bad host", 400),
        ("ftp://admin.internal/", "shop.example", 400),
        ("http://admin.internal/", "shop.example", 200),
        ("/", "shop.example", 200),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        assert_eq!(gateway.client().send(request).receive().status, status, "{target} {host}");
    }
    let refused = gateway.client().send("PRI / HTTP/1.1\r\nhost: a\r\n\r\n").receive();
    assert_eq!(refused.status, 405);
}

#[test]
fn an_answer_with_two_lengths_is_none() {
    let raw = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(raw.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend));
    assert_eq!(gateway.get("/two").status, 502);
    assert_eq!(gateway.access("/two")["failure"], "upstream-invalid");
}

#[test]
fn a_tunnel_has_no_length() {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend));
    run(async {
        let mut client = Http2::connect(gateway.port()).await;
        assert!(client.takes_extended_connect().await);
        let mut request = client.request("CONNECT", "/ws", &[("content-length", "5")]);
        request.extensions_mut().insert(h2::ext::Protocol::from_static("websocket"));
        let (answer, _stream) = client.begin(request, false).await.unwrap();
        let refused = answer.await.map(|answer| answer.status().as_u16());
        assert_eq!(refused.expect("an answer"), 400);
    });
}
