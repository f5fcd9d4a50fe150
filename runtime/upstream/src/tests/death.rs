//! A server that dies, or talks nonsense, at each point of an exchange.

use http::Method;
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;

use super::world::{Act, OK, Piece, Sent, World, get, run, with};

const GROUP: &str = "server 10.0.0.1:1; retries off";

fn outcome(script: &'static [Act]) -> Result<String, Failure> {
    run(async {
        let world = World::default().http1(1, script);
        let group = world.group(GROUP);
        world.ask(&group, get()).await
    })
}

#[test]
fn at_each_point_of_an_exchange() {
    use Act::{Head, Say, Take};
    let cases: [(&str, &'static [Act], Result<&str, Failure>); 12] = [
        ("before it reads", &[], Err(Failure::UpstreamClosed)),
        ("in the head of the request", &[Take(5)], Err(Failure::UpstreamClosed)),
        ("after the head", &[Head], Err(Failure::UpstreamClosed)),
        ("in the status line", &[Head, Say(b"HTTP/1.1 20")], Err(Failure::UpstreamClosed)),
        ("in a field", &[Head, Say(b"HTTP/1.1 200 OK\r\ncontent-le")], Err(Failure::UpstreamClosed)),
        ("after an interim response", &[Head, Say(b"HTTP/1.1 100 Continue\r\n\r\n")], Err(Failure::UpstreamClosed)),
        (
            "in a body with a length",
            &[Head, Say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok")],
            Err(Failure::UpstreamBody),
        ),
        (
            "in a chunk",
            &[Head, Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nok")],
            Err(Failure::UpstreamBody),
        ),
        (
            "before the last chunk",
            &[Head, Say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n")],
            Err(Failure::UpstreamBody),
        ),
        ("where a body ends that has no length", &[Head, Say(b"HTTP/1.1 200 OK\r\n\r\nok")], Ok("ok")),
        ("after the body", &[Head, Say(OK)], Ok("ok")),
        ("with a final answer to HTTP/1.0", &[Head, Say(b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")], Ok("ok")),
    ];
    for (point, script, expected) in cases {
        assert_eq!(outcome(script), expected.map(str::to_owned), "{point}");
    }
}

#[test]
fn what_is_no_http_is_told_apart() {
    for script in [
        &[Act::Head, Act::Say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")] as &'static [Act],
        &[Act::Head, Act::Say(b"HTTP/1.1 2x0 OK\r\n\r\n")],
        &[Act::Head, Act::Say(b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n")],
    ] {
        assert_eq!(outcome(script), Err(Failure::UpstreamInvalid));
    }
}

#[test]
fn interim_responses_without_end_are_bounded() {
    let met = Bound::Unanswered.count();
    let flood = &[Act::Head, Act::Flood(b"HTTP/1.1 102 Processing\r\n\r\n")];
    assert_eq!(outcome(flood), Err(Failure::UpstreamInvalid));
    assert!(Bound::Unanswered.count() > met);
}

#[test]
fn a_few_interim_responses_do_no_harm() {
    let script = &[
        Act::Head,
        Act::Say(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
        Act::Say(OK),
    ];
    assert_eq!(outcome(script).unwrap(), "ok");
}

#[test]
fn a_client_that_breaks_off_is_no_fault_of_the_server() {
    run(async {
        let world = World::default().http1(1, &[Act::Head, Act::Hold]).http1(1, &[Act::Head, Act::Hold]);
        let group = world.group(GROUP);
        let upload = || with(Method::POST, Sent([Piece::Data("da"), Piece::Broken].into()));
        assert_eq!(world.ask(&group, upload()).await, Err(Failure::ClientBody));
        // The client's side may know better.
        world.ending.set(Some(Failure::BodyTooLarge));
        assert_eq!(world.ask(&group, upload()).await, Err(Failure::BodyTooLarge));
    });
}

#[test]
fn a_response_to_half_a_request_is_read() {
    run(async {
        let world = World::default()
            .http1(1, &[Act::Head, Act::Say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")]);
        let group = world.group("server 10.0.0.1:1");
        let upload = with(Method::POST, Sent([Piece::Data("da"), Piece::Silent].into()));
        assert_eq!(world.ask(&group, upload).await.unwrap(), "big");
        assert_eq!(world.pools.of("10.0.0.1", 1, None).idle(), 0, "nothing is known of the rest of the request");
    });
}
