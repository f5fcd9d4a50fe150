//! HTTP/3 with a client that has nothing in common with the gateway: aioquic, which says whatever it is told.

use serde_json::{Value, json};
use tidegate_tests::pki::Authority;
use tidegate_tests::{Backend, Behaviour, Gateway, Policy, free_port, python};

fn start(policy: Policy) -> (Gateway, Authority) {
    start_with(policy, "")
}

/// A gateway with a QUIC listener of these lines.
fn start_with(policy: Policy, lines: &str) -> (Gateway, Authority) {
    Gateway::start_quic(&policy.top("gateway { workers 2 }").quic(lines))
}

/// The report of a script of `tests/clients`; nothing where it may be left out.
fn report(gateway: &Gateway, script: &str, arguments: &[&str]) -> Option<Value> {
    let mut command = python(script)?;
    command.arg(gateway.port().to_string()).arg(gateway.folder().join("root.pem")).args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn aioquic_is_served() {
    let backend = Backend::start(Behaviour::Stream(3_000_000));
    let (gateway, _authority) = start(Policy::to(&backend));
    let Some(answer) = report(&gateway, "http3.py", &["GET", "/"]) else { return };
    assert_eq!(answer, json!({"status": "200", "length": 3_000_000}));
    backend.behave(Behaviour::Swallow);
    let answer = report(&gateway, "http3.py", &["POST", "/", "2000000"]).unwrap();
    assert_eq!(answer, json!({"status": "200", "length": "2000000".len()}));
}

#[test]
fn what_is_malformed_reaches_no_backend() {
    const MESSAGE_ERROR: &str = "reset 0x10e";
    let backend = Backend::start(Behaviour::Swallow);
    let (gateway, _authority) = start(Policy::to(&backend));
    let Some(report) = report(&gateway, "http3_malformed.py", &[]) else { return };
    let report = report.as_object().unwrap();
    let expected = |name: &str| match name {
        "good"
        | "host instead of authority"
        | "empty and unknown frames"
        | "after all of them"
        | "after what is ignored" => vec!["200"],
        // An empty frame in the middle of a body ends nothing.
        "their length" => vec!["2"],
        // The stream is not reset, because the mistake has a status of its own.
        "user in the authority" => vec!["400"],
        "more than announced"
        | "less than announced"
        | "nothing of what was announced"
        | "pseudo-header in trailers" => {
            vec!["400", MESSAGE_ERROR]
        }
        "two lengths" | "no number as length" | "two hosts" => vec!["400", MESSAGE_ERROR],
        "data before the head" | "settings on a request" | "second settings" | "data on the control stream" => {
            vec!["closed 0x105"]
        }
        "end of the control stream" => vec!["closed 0x104"],
        "second control stream" | "push stream" => vec!["closed 0x103"],
        "entry of a table that nobody keeps" | "number without an end" => vec!["closed 0x200"],
        _ => vec![MESSAGE_ERROR],
    };
    let wrong: Vec<_> =
        report.iter().filter(|(name, saw)| !expected(name).contains(&saw.as_str().unwrap_or_default())).collect();
    assert!(wrong.is_empty() && report.len() > 45, "{} cases, of which {wrong:#?}", report.len());
    let heads = backend.requests();
    assert!(heads.iter().all(|head| head.target == "/"), "{heads:?}");
}

#[test]
fn websocket_is_carried_over_http3() {
    let port = free_port();
    let policy = Policy::new()
        .group("chat", &format!("server 127.0.0.1:{port}"))
        .rule("beside", "when path is \"/beside\"\nrespond 299")
        .otherwise("forward chat");
    let (gateway, _authority) = start(policy);
    let Some(report) = report(&gateway, "http3_websocket.py", &[&port.to_string()]) else { return };
    assert_eq!((&report["setting"], &report["status"]), (&json!(1), &json!("200")), "{report}");
    let fields = report["fields"].as_array().unwrap();
    assert!(fields.contains(&json!("sec-websocket-protocol")), "{report}");
    for field in ["sec-websocket-accept", "connection", "upgrade", "transfer-encoding", "content-length"] {
        assert!(!fields.contains(&json!(field)), "{field}: {report}");
    }
    let head = &report["head"];
    assert_eq!(head["line"], "GET /chat HTTP/1.1");
    assert_eq!((&head["upgrade"], &head["sec-websocket-version"]), (&json!("websocket"), &json!("13")));
    assert!(head.get("xprotocol").is_none(), "{report}");
    assert_eq!((&report["backend"], &report["ended"]), (&json!("end"), &json!("200")), "{report}");
    assert_eq!((&report["beside"], &report["after"]), (&json!("299"), &json!("299")), "{report}");
    assert_eq!((&report["left"], &report["other protocol"]), (&json!(true), &json!("501")), "{report}");
    // RFC 9220, 3, and RFC 8441, 5: 200 would say that the tunnel is open.
    assert_eq!((&report["page"], &report["gone"]), (&json!("502"), &json!("410")), "{report}");
    assert_eq!(gateway.access("/page")["failure"], "bad-upgrade");
    let line = gateway.access("/chat");
    assert_eq!((line["protocol"].as_str(), line["bytes"].as_u64()), (Some("h3"), Some(1_000_005)), "{line}");
    assert_eq!(gateway.access("/left")["failure"], "client-closed");
}

#[test]
fn a_silent_websocket_ends_like_a_connection_that_is_reset() {
    let port = free_port();
    let policy = Policy::new().group("web", &format!("server 127.0.0.1:{port}"));
    let (gateway, _authority) = start_with(policy, "tunnel-timeout 1s");
    let Some(report) = report(&gateway, "http3_websocket.py", &[&port.to_string(), "silent"]) else { return };
    assert_eq!(report["ended"], "reset 0x10c", "{report}");
    assert_eq!(gateway.access("/silent")["failure"], "tunnel-timeout");
}
