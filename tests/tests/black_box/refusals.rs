//! Requests that no rule may see: malformed, ambiguous, too large.

use tidegate_tests::{Backend, Gateway, Policy};

struct Site {
    backend: Backend,
    gateway: Gateway,
}

fn site(listener: &str) -> Site {
    let backend = Backend::echo();
    let gateway = Gateway::start(&Policy::to(&backend).listener(listener));
    Site { backend, gateway }
}

impl Site {
    /// The status of the first answer to these bytes.
    fn status(&self, bytes: &str) -> u16 {
        self.gateway.client().send(bytes).receive_head().map_or(0, |head| head.status)
    }

    /// The bytes are refused with this status, the connection is closed after it, and the backend hears nothing.
    #[track_caller]
    fn refuses(&self, bytes: &str, status: u16) {
        let mut client = self.gateway.client();
        // The gateway may close before all of it is sent.
        let _ = client.try_send(bytes);
        let answer = client.receive_head().unwrap_or_else(|error| panic!("no answer to {bytes:?}: {error}"));
        assert_eq!(answer.status, status, "{bytes:?}");
        let rest = client.rest();
        assert!(!rest.contains("HTTP/1.1"), "{bytes:?} has two answers: {rest}");
        let heads = self.backend.requests();
        assert!(heads.is_empty(), "{bytes:?} reached the backend: {heads:?}");
    }
}

#[test]
fn a_request_needs_one_host() {
    let site = site("");
    assert_eq!(site.status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(site.status("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"), 400);
    assert_eq!(site.status("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n"), 400);
    for host in ["", "a b", "a/b", "user@a", "a:port", "a:99999", "a?b", "[::1", "a#b", "a\\b"] {
        assert_eq!(site.status(&format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n")), 400, "{host:?}");
    }
    assert!(site.backend.requests().is_empty());
}

#[test]
fn a_path_that_cannot_be_normalised_is_refused() {
    let site = site("");
    for target in ["/..", "/a/../../b", "/%2e%2e", "/a/%2E%2e/..", "/a%00b", "/a%0", "/a%zz", "/a%", "/a\\b"] {
        assert_eq!(site.status(&format!("GET {target} HTTP/1.1\r\nhost: a\r\n\r\n")), 400, "{target}");
    }
    assert!(site.backend.requests().is_empty());
}

#[test]
fn the_backend_gets_the_normalised_path() {
    let site = site("");
    let mut client = site.gateway.client();
    for (sent, got) in [
        ("/%61/%7Eb", "/a/~b"),
        ("/a/./b/../c", "/a/c"),
        ("/a//b", "/a/b"),
        ("/a%2Fb%5Cc", "/a%2Fb%5Cc"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/..", "/"),
        ("/a%20b?c=%2e%2e/..", "/a%20b?c=%2e%2e/.."),
    ] {
        assert_eq!(client.get(sent).echo().target, got, "{sent}");
    }
}

#[test]
fn an_encoded_path_does_not_slip_past_a_rule() {
    let backend = Backend::echo();
    let policy = Policy::to(&backend).rule("admin", "when path under \"/admin\"\nrespond 403");
    let gateway = Gateway::start(&policy);
    let mut client = gateway.client();
    for target in ["/admin", "/admin/x", "/%61dmin", "/x/../admin", "/./admin/", "/x/%2e%2E/%61dmin"] {
        assert_eq!(client.get(target).status, 403, "{target}");
    }
    assert_eq!(client.get("/administrator").status, 200, "a prefix by whole segments");
}

#[test]
fn methods_that_a_gateway_does_not_carry() {
    let site = site("");
    assert_eq!(site.status("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n"), 405);
    assert_eq!(site.status("CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n"), 405);
    assert_eq!(site.status("GET * HTTP/1.1\r\nhost: a\r\n\r\n"), 400);
    assert!(site.backend.requests().is_empty());
}

#[test]
fn what_is_not_http_is_refused() {
    for bytes in [
        "hello\r\n\r\n",
        "GET /\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx y: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
        "G@T / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        site("").refuses(bytes, 400);
    }
}

#[test]
fn a_request_whose_end_is_in_doubt_is_refused() {
    let site = site("");
    for framing in [
        "content-length: 6\r\ncontent-length: 5",
        "content-length: 6, 5",
        "content-length: +6",
        "content-length: -6",
        "content-length: 0x6",
        "content-length: ",
        "content-length: 99999999999999999999999",
        "transfer-encoding: identity, chunked, gzip",
        "transfer-encoding: gzip",
        "transfer-encoding: xchunked",
        "transfer-encoding : chunked",
        "content-length : 6",
        "x: y\r\n transfer-encoding: chunked",
    ] {
        let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        site.refuses(&format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{smuggled}"), 400);
    }
}

#[test]
fn of_two_framings_the_chunks_count_and_the_connection_ends() {
    // RFC 9112, 6.1: refuse, or go by the chunks alone; close in both cases.
    let site = site("");
    for framing in [
        "content-length: 6\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 6",
        "content-length: 40\r\nx: y\r\nTransfer-Encoding: Chunked",
    ] {
        let mut client = site.gateway.client();
        let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n";
        client.send(format!("POST /both HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{smuggled}"));
        let all = client.rest();
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{framing:?}: {all}");
    }
    for request in site.backend.requests() {
        assert_eq!((request.target.as_str(), request.length), ("/both", 0));
        assert_eq!(request.header("content-length").unwrap_or("0"), "0");
    }
}

#[test]
fn a_coding_of_the_transfer_that_is_not_understood_is_refused() {
    let site = site("");
    for coding in ["gzip, chunked", "chunked, chunked", "gzip\r\ntransfer-encoding: chunked", "identity, chunked"] {
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: {coding}\r\n\r\n2\r\nhi\r\n0\r\n\r\n");
        let status = site.status(&request);
        assert!([400, 501].contains(&status), "{coding:?}: {status}");
    }
    assert!(site.backend.requests().is_empty());
}

#[test]
fn transfer_encoding_has_no_place_in_http_1_0() {
    site("").refuses("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400);
}

#[test]
fn folded_lines_are_refused() {
    site("").refuses("GET / HTTP/1.1\r\nhost: a\r\nx: one\r\n two\r\n\r\n", 400);
    site("").refuses("GET / HTTP/1.1\r\n host: a\r\n\r\n", 400);
}

#[test]
fn bare_line_ends_smuggle_nothing() {
    // A bare LF may be taken for a line end (RFC 9112, 2.2) or refused, in one way only: what the backend gets is whole.
    let site = site("");
    let mut client = site.gateway.client();
    let status = client.send("GET /one HTTP/1.1\nhost: a\nx: 1\n\n").receive_head().unwrap().status;
    assert!([200, 400].contains(&status), "{status}");
    assert_eq!(site.status("GET /two HTTP/1.1\r\nhost: a\r\nx: 1\rtransfer-encoding: chunked\r\n\r\n"), 400);
    for request in site.backend.requests() {
        assert!(
            request.headers.iter().all(|(name, value)| !name.contains(['\r', '\n']) && !value.contains(['\r', '\n']))
        );
        assert_eq!(request.header("transfer-encoding"), None);
    }
}

#[test]
fn malformed_chunks_are_refused_and_end_the_connection() {
    for chunks in
        ["zz\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "ffffffffffffffffff\r\n"]
    {
        let site = site("");
        let mut client = site.gateway.client();
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"));
        let all = client.rest();
        assert!(all.starts_with("HTTP/1.1 400"), "{chunks:?}: {all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{chunks:?}: {all}");
        assert!(site.backend.requests().is_empty(), "{chunks:?} never was a whole request");
    }
}

#[test]
fn a_target_that_is_too_long() {
    let site = site("limits { uri-bytes 256B }");
    assert_eq!(site.status(&format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(255))), 200);
    assert_eq!(site.status(&format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(256))), 414);
    assert_eq!(site.backend.requests().len(), 1);
}

#[test]
fn a_head_that_is_too_large() {
    let mut site = site("limits { header-bytes 2KiB; headers 8 }");
    assert_eq!(site.status(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(1000))), 200);
    site.backend = Backend::echo();
    site.refuses(&format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "a".repeat(3000)), 431);
    let lines: String = (0..9).map(|number| format!("x-{number}: 1\r\n")).collect();
    site.refuses(&format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n"), 431);
}

#[test]
fn a_body_that_is_too_large() {
    let site = site("limits { body-bytes 10B }");
    assert_eq!(site.gateway.client().post("/", "0123456789").echo().text(), "0123456789");
    let mut client = site.gateway.client();
    let answer = client.post("/announced", "0123456789a");
    assert_eq!(answer.status, 413);
    assert!(answer.closes());
    assert!(client.is_closed());
    let mut client = site.gateway.client();
    client.send("POST /chunked HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    client.send("8\r\n01234567\r\n").send("8\r\n01234567\r\n0\r\n\r\n");
    assert_eq!(client.receive().status, 413);
    assert!(client.is_closed());
    let whole: Vec<_> = site.backend.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(whole, ["/"], "neither of the two came to the backend whole");
}

#[test]
fn a_refusal_says_why_and_is_logged() {
    let site = site("");
    let answer = site.gateway.client().send("GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n").receive();
    assert!(answer.text().contains("the request target is not a safe path"), "{}", answer.text());
    let line = site.gateway.access("/%00");
    assert_eq!((line["status"].as_u64(), line["side"].as_str()), (Some(400), Some("client")));
    assert_eq!(line["failure"], "bad-target");
}
