//! `retries`: what is tried again at another server, and what is not.

use tidegate_tests::{Backend, Behaviour, Gateway, Policy};

fn status(status: &str) -> Behaviour {
    Behaviour::Raw(format!("HTTP/1.1 {status}\r\ncontent-length: 3\r\n\r\nbad"))
}

/// A gateway that asks `bad` first: the other server is a backup.
fn gateway(retries: &str, bad: &Backend, good: &Backend) -> Gateway {
    let body = format!("{retries}; server {}; server {} backup", bad.address(), good.address());
    Gateway::start(&Policy::new().group("web", &body).listener("request-timeout 1s"))
}

#[test]
fn what_fails_is_tried_again_as_the_policy_says() {
    let good = Backend::text("good");
    for (on, bad) in [
        ("reset", Behaviour::CloseWithoutAnswer),
        ("502..504", status("503 Service Unavailable")),
        ("timeout", Behaviour::StallBeforeHead),
    ] {
        let bad = Backend::start(bad);
        let retrying = gateway(&format!("retries 1 on [{on}]"), &bad, &good);
        let answer = retrying.get("/");
        assert_eq!((answer.status, answer.text().as_str()), (200, "good"), "{on}");
        let line = retrying.access("/");
        assert_eq!(line["server"], good.address(), "{line}");

        let mut client = retrying.client();
        let posted = client.post("/post", "once is enough");
        assert_ne!(posted.status, 200, "{on}: what has a body, or may not be repeated, is not sent twice");

        // RFC 10008: asked twice, it does what it does once.
        let mut client = retrying.client();
        client.send("QUERY /asked HTTP/1.1\r\nhost: test\r\n\r\n");
        assert_eq!(client.receive().text(), "good", "{on}");

        let plain = gateway("retries 1 on [connect-failure]", &bad, &good);
        assert_ne!(plain.get("/").status, 200, "{on}: nobody asked for it");
    }
}

#[test]
fn the_last_answer_is_the_answer() {
    let (one, other) = (Backend::start(status("503 No")), Backend::start(status("502 Neither")));
    let gateway = gateway("retries 5 on [5xx]", &one, &other);
    assert_eq!(gateway.get("/").status, 502, "there are two servers, and each is asked once");
    assert_eq!((one.requests().len(), other.requests().len()), (1, 1));
}
