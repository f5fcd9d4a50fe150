//! The way of clients to HTTP/3: `Alt-Svc`, and a browser that follows it (RFC 7838).

use tidegate_tests::http3::{Http3, run};
use tidegate_tests::pki::{Authority, Identity};
use tidegate_tests::secure::Secure;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, program, python};

const UPGRADE: &str = "quic-upgrade fast";
const OFFER: &str = "h3=\":@port\"; ma=86400";

/// An HTTPS listener that names a QUIC listener on the same port, in this state.
fn policy(backend: &Backend, state: &str) -> Policy {
    Policy::to(backend).https_from("site.pem", "site.key").listener(UPGRADE).top(&format!(
        "listener quic fast {{\n    address 127.0.0.1:@port\n    certificate main\n    {state}\n    rules main\n}}"
    ))
}

fn start(policy: &Policy) -> (Gateway, Authority, Identity) {
    let authority = Authority::new("tests");
    let site = authority.server(&["localhost"]).sign();
    let gateway = Gateway::start_with(policy, |folder| site.write(folder, "site"));
    (gateway, authority, site)
}

/// The `Alt-Svc` that an HTTP/1.1 client gets.
fn told(gateway: &Gateway, authority: &Authority) -> Option<String> {
    let (mut client, _) = Secure::trusting(authority).connect(gateway.port(), "localhost").unwrap();
    client.get("/").header("alt-svc").map(str::to_owned)
}

#[test]
fn it_is_offered_while_the_quic_listener_accepts() {
    let backend = Backend::start(Behaviour::Echo);
    let running = policy(&backend, "");
    let (gateway, authority, _) = start(&running);
    let offer = Some(gateway.fill(OFFER));
    assert_eq!(told(&gateway, &authority), offer);
    // What is offered is there.
    run(async { assert_eq!(Http3::connect(gateway.port(), &authority).await.get("/").await.status, 200) });

    gateway.reload(&policy(&backend, "state stopped"));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("clear"));
    // Clients may remember the offer for a day: an unrelated reload changes nothing.
    gateway.reload(&policy(&backend, "state stopped").rule("new", "when path is \"/new\"\nrespond 299"));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("clear"));

    gateway.reload(&running);
    assert_eq!(told(&gateway, &authority), offer);
    // The listener goes, and with it the line that names it.
    gateway.reload(&Policy::to(&backend).https_from("site.pem", "site.key"));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("clear"));
}

#[test]
fn it_is_not_offered_where_nothing_ever_was() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority, _) = start(&policy(&backend, "state stopped"));
    assert_eq!(told(&gateway, &authority), None);
    gateway.reload(&policy(&backend, ""));
    assert_eq!(told(&gateway, &authority), Some(gateway.fill(OFFER)));
}

#[test]
fn another_port_and_time_are_told_where_the_policy_says_so() {
    let backend = Backend::start(Behaviour::Echo);
    let quic = "listener quic fast {\n    address 127.0.0.1:@port\n    certificate main\n    rules main\n}";
    let with = |upgrade: &str| Policy::to(&backend).https_from("site.pem", "site.key").top(quic).listener(upgrade);
    let (gateway, authority, _) = start(&with("quic-upgrade fast port 443 max-age 1h"));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("h3=\":443\"; ma=3600"));
    gateway.reload(&with("quic-upgrade fast max-age 90s"));
    assert_eq!(told(&gateway, &authority), Some(gateway.fill("h3=\":@port\"; ma=90")));
}

#[test]
fn what_the_policy_says_itself_wins_where_it_is_taken() {
    let backend = Backend::start(Behaviour::Echo);
    let own = |block: &str| policy(&backend, "").listener(&format!("on-response {{ {block} }}"));
    let (gateway, authority, _) = start(&own("set-header \"alt-svc\" \"h3=\\\":1\\\"\""));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("h3=\":1\""));
    gateway.reload(&own("remove-header \"alt-svc\""));
    assert_eq!(told(&gateway, &authority), None);
    // A block that is passed over says nothing.
    gateway.reload(&own("when status is 404; remove-header \"alt-svc\""));
    assert_eq!(told(&gateway, &authority), Some(gateway.fill(OFFER)));
    let rule = "when path is \"/\"\nforward web\non-response { add-header \"alt-svc\" \"clear\" }";
    gateway.reload(&policy(&backend, "").rule("own", rule));
    assert_eq!(told(&gateway, &authority).as_deref(), Some("clear"));
}

#[test]
fn clients_of_http2_are_told_and_those_of_http3_are_not() {
    let backend = Backend::start(Behaviour::Echo);
    let (gateway, authority, _) = start(&policy(&backend, ""));
    run(async {
        let response = Http3::connect(gateway.port(), &authority).await.get("/").await;
        assert_eq!(response.header("alt-svc"), None);
    });
    gateway.write_file("ca.pem", authority.pem().as_bytes());
    let url = format!("https://localhost:{}/", gateway.port());
    let ca = gateway.folder().join("ca.pem");
    let Some(mut curl) = program("curl") else { return };
    let output = curl
        .args(["-sS", "--http2", "-4", "--noproxy", "*", "-D-", "-o/dev/null", "--cacert"])
        .arg(ca)
        .arg(url)
        .output()
        .unwrap();
    let head = String::from_utf8_lossy(&output.stdout);
    assert!(head.starts_with("HTTP/2 200"), "{head}{}", String::from_utf8_lossy(&output.stderr));
    assert!(head.contains(&format!("alt-svc: {}\r\n", gateway.fill(OFFER))), "{head}");
}

#[test]
fn chromium_comes_by_http3_when_it_was_told() {
    let Some(_) = program("chromium") else { return };
    let Some(mut script) = python("chromium.py") else { return };
    let backend = Backend::start(Behaviour::Echo);
    let page = "respond 200 \"<!doctype html><p>by ${header.user-agent}</p>\" type \"text/html\"";
    let (gateway, _, site) = start(&policy(&backend, "").otherwise(page));
    gateway.write_file("public-key.der", &site.public_key);
    let output = script.arg(gateway.port().to_string()).arg(gateway.folder().join("public-key.der")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let loads: Vec<(String, String)> = serde_json::from_slice(&output.stdout).unwrap();
    // It came by TCP first, was told, and came back by QUIC.
    assert_eq!(loads.first().unwrap().0, "h2", "{loads:?}");
    let (last, text) = loads.last().unwrap();
    assert_eq!(last, "h3", "{loads:?}");
    assert!(text.contains("Chrome/"), "{text}");
    let line = gateway.access(&format!("/page/{}", loads.len() - 1));
    assert_eq!((line["listener"].as_str(), line["protocol"].as_str()), (Some("fast"), Some("h3")), "{line}");
}
