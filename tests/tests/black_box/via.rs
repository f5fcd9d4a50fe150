//! `Via`: what servers and clients read of the gateways on the way, and requests that go round in a circle.

use tidegate_tests::http2::Http2;
use tidegate_tests::http3::{Http3, run};
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, free_port};

#[test]
fn messages_say_that_they_passed_in_the_version_they_came_in() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).top("gateway { via \"edge-1\" }").quic("");
    let (gateway, authority) = Gateway::start_quic(&policy);
    let response = gateway.client().get_with("/", "via: 1.0 fred\r\n");
    assert_eq!(response.all("via"), ["1.1 edge-1"]);
    assert_eq!(response.echo().all("via"), ["1.0 fred", "1.1 edge-1"]);
    let response = gateway.client().send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").receive();
    assert_eq!(response.echo().all("via"), ["1.0 edge-1"]);
    run(async {
        let response = Http2::connect(gateway.port()).await.get("/").await;
        assert_eq!((response.all("via"), response.echo().all("via")), (vec!["1.1 edge-1"], vec!["2.0 edge-1"]));
        let response = Http3::connect(gateway.port(), &authority).await.get("/").await;
        assert_eq!((response.all("via"), response.echo().all("via")), (vec!["1.1 edge-1"], vec!["3.0 edge-1"]));
    });
}

#[test]
fn a_process_names_itself_unless_the_policy_says_otherwise() {
    let backend =
        Backend::start(Behaviour::Raw("HTTP/1.1 200 OK\r\nvia: 1.1 origin\r\ncontent-length: 2\r\n\r\nok".to_owned()));
    let policy = Policy::to(&backend).rule("own", "when path is \"/own\"\nrespond 200");
    let gateway = Gateway::start(&policy);
    let response = gateway.get("/");
    let via = response.all("via");
    assert_eq!(via[0], "1.1 origin");
    let name = via[1].strip_prefix("1.1 tidegate-").unwrap();
    assert!(name.len() == 6 && name.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')), "{name}");
    assert_eq!(gateway.get("/").all("via"), via);
    assert!(gateway.get("/own").all("via").is_empty(), "an answer of its own has passed nowhere");

    gateway.reload(&policy.clone().top("gateway { via off }"));
    assert_eq!(gateway.get("/").all("via"), ["1.1 origin"]);
    let taken_out = policy.listener("on-response { remove-header \"via\" }");
    gateway.reload(&taken_out);
    assert!(gateway.get("/").all("via").is_empty());
}

#[test]
fn a_request_that_comes_back_ends() {
    let back = free_port();
    let policy = Policy::new()
        .group("web", &format!("server 127.0.0.1:{back}"))
        .top(&format!("listener http again {{ address 127.0.0.1:{back}; rules main }}"));
    let gateway = Gateway::start(&policy);
    assert_eq!(gateway.get("/round").status, 508);
    let refused = gateway.access_where("/round", |line| line["listener"] == "again");
    assert_eq!((&refused["failure"], &refused["side"]), (&"loop".into(), &"policy".into()));
}

#[test]
fn gateways_behind_one_another_are_no_circle() {
    let backend = Backend::echo();
    let inner = Gateway::start(&Policy::to(&backend));
    let outer = Gateway::start(&Policy::new().group("web", &format!("server 127.0.0.1:{}", inner.port())));
    let response = outer.get("/");
    assert_eq!(response.status, 200);
    assert_eq!(response.echo().all("via").len(), 2);
    // Connection cannot take the name away, nor can its spelling.
    let response = outer.client().get_with("/", "connection: via\r\n");
    assert_eq!(response.echo().all("via").len(), 2);
    let ours = response.all("via")[1].to_uppercase();
    assert_eq!(outer.client().get_with("/", &format!("via: {ours}\r\nconnection: via\r\n")).status, 508);
}
