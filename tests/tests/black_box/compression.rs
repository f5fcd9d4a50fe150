//! Responses that are compressed for clients that take it, checked by curl, which undoes it.

use tidegate_tests::{Backend, Behaviour, Gateway, Policy, program};

const WORDS: &str = "the tide comes in and the tide goes out, ";

/// A gateway that compresses, before a backend that answers with these fields and this body.
fn gateway(fields: &str, body: &str) -> (Backend, Gateway) {
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n{body}", body.len());
    let backend = Backend::start(Behaviour::Raw(answer));
    let policy = Policy::to(&backend).listener("compression [br, gzip]");
    let gateway = Gateway::start(&policy);
    (backend, gateway)
}

/// The fields of an answer, in lower case, its body as a client sees it, and how many bytes came for it; `None` without curl.
fn curl(gateway: &Gateway, accept: &str) -> Option<(String, String, usize)> {
    let url = format!("http://127.0.0.1:{}/", gateway.port());
    let folder = gateway.folder();
    let mut command = program("curl")?;
    command.args(["-sS", "--compressed", "-D", "head", "-o", "body", "-w", "%{size_download}", "-H", accept, &url]);
    let output = command.current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let size = String::from_utf8_lossy(&output.stdout).parse().unwrap();
    Some((read("head").to_lowercase(), read("body"), size))
}

#[test]
fn each_client_gets_what_it_takes() {
    let body = WORDS.repeat(200);
    let (_backend, gateway) = gateway("content-type: text/plain\r\netag: \"1\"\r\n", &body);
    for (accept, coding) in
        [("br", Some("br")), ("gzip", Some("gzip")), ("gzip, br", Some("br")), ("identity", None), ("br;q=0", None)]
    {
        let Some((head, got, size)) = curl(&gateway, &format!("accept-encoding: {accept}")) else { return };
        assert!(got == body, "{accept}: the same to the client");
        assert!(head.contains("vary: accept-encoding"), "{accept}: {head}");
        match coding {
            Some(coding) => {
                assert!(head.contains(&format!("content-encoding: {coding}\r\n")), "{accept}: {head}");
                assert!(head.contains("etag: w/\"1\"") && !head.contains("content-length"), "{accept}: {head}");
                assert!(size < body.len() / 10, "{accept}: {size}");
            }
            None => assert!(!head.contains("content-encoding") && size == body.len(), "{accept}: {head}"),
        }
    }
}

#[test]
fn what_is_short_or_coded_already_stays_as_it_is() {
    let short = WORDS.repeat(10);
    let long = WORDS.repeat(100);
    for (fields, body) in [
        ("content-type: text/plain\r\n", &short),
        ("content-type: text/plain\r\ncache-control: no-transform\r\n", &long),
        ("content-type: text/plain\r\ncontent-encoding: identity\r\n", &long),
    ] {
        let (_backend, gateway) = gateway(fields, body);
        let answer = gateway.client().get_with("/", "accept-encoding: br, gzip\r\n");
        assert_eq!(answer.text(), *body, "{fields}");
    }
}

#[test]
fn a_stream_is_compressed_as_it_comes() {
    let backend = Backend::start(Behaviour::GatedChunks(vec!["first", "second"]));
    let gateway = Gateway::start(&Policy::to(&backend).listener("compression [br, gzip]"));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: br\r\n\r\n");
    backend.release();
    let head = client.receive_head().unwrap();
    assert_eq!(head.header("content-encoding"), Some("br"));
    let mut pieces = 0;
    client
        .receive_body(&head, |_| {
            pieces += 1;
            // The first is there before the backend goes on.
            if pieces == 1 {
                backend.release();
            }
        })
        .unwrap();
    assert!(pieces >= 2, "{pieces}");
}

#[test]
fn answers_of_the_policy_are_compressed_too() {
    let body = WORDS.repeat(50);
    let policy = Policy::to(&Backend::echo())
        .listener("compression [gzip]")
        .rule("long", &format!("when path is \"/\"\nrespond 200 \"{body}\" type \"text/html\""));
    let gateway = Gateway::start(&policy);
    let Some((head, got, size)) = curl(&gateway, "accept-encoding: gzip") else { return };
    assert!(got == body && head.contains("content-encoding: gzip") && size < 500, "{size} {head}");
}

#[test]
fn what_is_short_stays_as_it_is_however_its_end_is_told() {
    let backend = Backend::start(Behaviour::Chunks(vec!["he", "llo"]));
    let gateway = Gateway::start(&Policy::to(&backend).listener("compression [br, gzip]"));
    let mut client = gateway.client();
    for _ in 0..3 {
        let answer = client.get_with("/", "accept-encoding: br\r\n");
        assert_eq!((answer.text().as_str(), answer.header("content-encoding")), ("hello", None));
        assert_eq!(answer.header("content-length"), Some("5"), "its end has come before its head has left");
    }
    assert_eq!(backend.connections(), 1, "the connection to the server is used again");
    let trailers =
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n";
    backend.behave(Behaviour::Raw(trailers.to_owned()));
    let answer = client.get_with("/", "te: trailers\r\naccept-encoding: br\r\n");
    assert_eq!((answer.text().as_str(), answer.header("content-encoding")), ("hi", None));
    assert_eq!(answer.trailers, [("x-sum".to_owned(), "7".to_owned())]);
    backend.behave(Behaviour::CloseInChunk);
    assert_eq!(client.get_with("/", "accept-encoding: br\r\n").status, 502, "nothing has left yet");
}

#[test]
fn an_event_stream_begins_at_once() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let backend = Backend::start(Behaviour::Raw(head.to_owned()));
    let gateway = Gateway::start(&Policy::to(&backend).listener("compression [br, gzip]"));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: gzip\r\n\r\n");
    let head = client.receive_head().unwrap();
    assert_eq!((head.status, head.header("content-encoding")), (200, Some("gzip")));
}

#[test]
fn caches_can_tell_answers_apart() {
    let fields = "content-type: text/css\r\netag: \"1\"\r\n";
    let (backend, gateway) = gateway(fields, &WORDS.repeat(100));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nhost: test\r\naccept-encoding: gzip, br\r\n\r\n");
    let get = client.receive_head().unwrap();
    let tag = get.header("etag").unwrap();
    assert_eq!(tag, "W/\"1\"");
    let whole = format!("HTTP/1.1 200 OK\r\n{fields}content-length: 4100\r\n\r\n");
    backend.behave(Behaviour::Raw(whole));
    let mut client = gateway.client();
    client.send("HEAD / HTTP/1.1\r\nhost: test\r\naccept-encoding: gzip, br\r\n\r\n");
    let head = client.receive_head().unwrap();
    for name in ["content-encoding", "vary", "etag", "content-length"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!(gateway.access("/")["failure"], serde_json::Value::Null);
    backend.behave(Behaviour::Raw("HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\n\r\n".to_owned()));
    let lines = format!("accept-encoding: gzip, br\r\nif-none-match: {tag}\r\n");
    let unchanged = gateway.client().get_with("/", &lines);
    assert_eq!((unchanged.status, unchanged.header("etag")), (304, Some(tag)));
    assert_eq!(unchanged.header("vary"), get.header("vary"));
}
