//! Guests that see bodies whole, between a client and a server.

use tidegate_base::limits::GATHERED_BYTES_WORKER;

use crate::request::tests::Callbacks;
use crate::request::tests::guarded;
use crate::request::tests::guest::Act::{Ask, Close, MarkRequest, MarkResponse, Pause, Reply, Say, Trap};
use crate::tests::{House, run, settle};

const POST: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &str = "proxy_on_request_headers";
const REQUEST_BODY: &str = "proxy_on_request_body";
const RESPONSE: &str = "proxy_on_response_headers";
const RESPONSE_BODY: &str = "proxy_on_response_body";

fn house(words: &str, guests: &[Callbacks<'_>]) -> House {
    guarded(words, guests, "forward web")
}

/// What the server gets of a request: its head, and so many bytes.
async fn forwarded(house: &House, request: &str, length: usize) -> (String, String) {
    let (mut client, mut server) = (house.client(), house.server(1));
    client.send(request).await;
    (server.request().await, server.take(length).await)
}

/// What a client gets that sends this and no more, where no server is asked, and the failure of its line.
async fn answered(house: &House, request: &str) -> (String, String) {
    let mut client = house.client();
    client.send(request).await;
    client.end().await;
    let text = client.rest().await;
    (text, house.line()["failure"].as_str().unwrap_or("none").to_owned())
}

/// What a client gets for a response of the server, and the failure of its line.
async fn passed(house: &House, response: &str) -> (String, String) {
    let (mut client, mut server) = (house.client(), house.server(1));
    client.send(GET).await;
    server.answer(response).await;
    drop(server);
    settle().await;
    client.end().await;
    let text = client.rest().await;
    (text, house.line()["failure"].as_str().unwrap_or("none").to_owned())
}

#[test]
fn whoever_sees_a_body_whole_may_change_the_head_that_waits_for_it() {
    run(async {
        let house = house("", &[&[(REQUEST_BODY, &[Ask("seen", "1"), MarkRequest("<")])]]);
        let (head, body) = forwarded(&house, POST, 6).await;
        assert!(head.contains("\ncontent-length: 6\n") && head.contains("\nseen: 1\n"), "{head}");
        assert_eq!(body, "<hello");
    });
}

#[test]
fn they_see_requests_in_their_order_and_responses_the_other_way_round() {
    run(async {
        let a: Callbacks<'_> = &[(REQUEST_BODY, &[MarkRequest("a")]), (RESPONSE_BODY, &[MarkResponse("a")])];
        let b: Callbacks<'_> = &[(REQUEST_BODY, &[MarkRequest("b")]), (RESPONSE_BODY, &[MarkResponse("b")])];
        let house = house("", &[a, b]);
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send(POST).await;
        server.answer(OK).await;
        assert_eq!(server.take(7).await, "bahello");
        assert_eq!(client.response(4).await.1, "abok");
    });
}

#[test]
fn a_head_that_is_held_for_a_body_that_does_not_come_leaves_with_an_empty_one() {
    run(async {
        let house = house("", &[&[(REQUEST, &[Pause]), (REQUEST_BODY, &[Ask("seen", "1")])]]);
        let (head, _) = forwarded(&house, GET, 0).await;
        assert!(head.contains("\nseen: 1\n") && !head.contains("content-length"), "{head}");
    });
    run(async {
        let house = house("", &[&[(REQUEST, &[Pause]), (REQUEST_BODY, &[MarkRequest("<")])]]);
        let (head, body) = forwarded(&house, GET, 1).await;
        assert!(head.contains("\ncontent-length: 1\n") && body == "<", "{head}");
    });
}

#[test]
fn nobody_sees_the_body_of_a_request_that_has_none() {
    run(async {
        let (head, _) = forwarded(&house("", &[&[(REQUEST_BODY, &[Ask("seen", "1")])]]), GET, 0).await;
        assert!(!head.contains("seen") && !head.contains("transfer-encoding"), "{head}");
    });
}

#[test]
fn how_a_guest_ends_a_request_at_its_body_no_server_hears() {
    for (act, words, status, failure) in [
        (Reply(418, "tea"), "", "HTTP/1.1 418", "none"),
        (Close, "", "", "closed"),
        (Trap, "on-error deny 503", "HTTP/1.1 503", "extension"),
        (Trap, "on-error skip", "HTTP/1.1 502", "connect-failed"),
    ] {
        let house = house(words, &[&[(REQUEST_BODY, &[act])]]);
        let (text, failed) = run(answered(&house, POST));
        assert!(text.starts_with(status) && text.is_empty() == status.is_empty(), "{status}: {text}");
        assert_eq!(failed, failure);
    }
}

#[test]
fn a_body_that_breaks_off_while_it_is_read_is_shown_to_nobody() {
    let house = house("", &[&[(REQUEST_BODY, &[Reply(200, "")])]]);
    let (text, failure) = run(answered(&house, &POST[..POST.len() - 1]));
    assert!(text.starts_with("HTTP/1.1 400 ") && failure == "client-body", "{text}");
}

#[test]
fn a_body_for_which_there_is_no_room_is_refused() {
    let house = house("", &[&[(REQUEST_BODY, &[])]]);
    let mut taken = house.worker.gathered.share();
    assert!(taken.grow_to(GATHERED_BYTES_WORKER));
    let (text, failure) = run(answered(&house, POST));
    assert!(text.starts_with("HTTP/1.1 503 ") && failure == "no-room", "{text}");
    drop(taken);
    assert_eq!(run(answered(&house, POST)).1, "connect-failed", "there is room again");
}

#[test]
fn a_body_that_is_longer_than_a_guest_takes_goes_on_whole_if_that_is_skipped() {
    const LENGTH: usize = (1 << 20) + 1;
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {LENGTH}\r\n\r\n");
    let long = request + &"x".repeat(LENGTH);
    for (words, status) in [("on-error deny 507", "HTTP/1.1 507"), ("on-error skip", "HTTP/1.1 200")] {
        let long = long.clone();
        run(async {
            let house = house(words, &[&[(REQUEST, &[Pause]), (REQUEST_BODY, &[MarkRequest("<")])]]);
            let (mut client, mut server) = (house.client(), house.server(1));
            let serving = tokio::task::spawn_local(async move {
                let head = server.request().await;
                assert!(head.contains(&format!("\ncontent-length: {LENGTH}\n")), "{head}");
                assert!(server.take(LENGTH).await.bytes().all(|byte| byte == b'x'));
                server.say(OK).await;
                settle().await;
            });
            client.send(&long).await;
            assert!(client.response(0).await.0.starts_with(status), "{words}");
            serving.abort();
        });
    }
}

#[test]
fn a_response_that_is_seen_whole_has_the_length_that_it_is_given() {
    run(async {
        let house = house("", &[&[(RESPONSE_BODY, &[Say("seen", "1"), MarkResponse("<")])]]);
        let (text, failure) = passed(&house, OK).await;
        assert!(text.contains("\r\ncontent-length: 3\r\n") && text.contains("\r\nseen: 1\r\n"), "{text}");
        assert!(text.ends_with("\r\n\r\n<ok") && failure == "none", "{text}");
    });
}

#[test]
fn a_response_of_unknown_length_is_held_for_whoever_waits_for_it() {
    let response = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\n";
    run(async {
        let house = house("", &[&[(RESPONSE, &[Pause]), (RESPONSE_BODY, &[MarkResponse("<")])]]);
        let (text, _) = passed(&house, response).await;
        assert!(text.contains("\r\ncontent-length: 4\r\n") && text.ends_with("\r\n\r\n<ok!"), "{text}");
    });
}

#[test]
fn a_guest_that_fails_at_the_body_of_a_response_takes_its_place() {
    for (act, words, status, failure) in [
        (Reply(418, "tea"), "", "HTTP/1.1 418", "none"),
        (Close, "", "", "closed"),
        (Trap, "on-error deny 503", "HTTP/1.1 503", "extension"),
        (Trap, "on-error skip", "HTTP/1.1 200", "none"),
    ] {
        run(async {
            let (text, failed) = passed(&house(words, &[&[(RESPONSE_BODY, &[act])]]), OK).await;
            assert!(text.starts_with(status) && text.is_empty() == status.is_empty(), "{status}: {text}");
            assert_eq!(failed, failure);
        });
    }
}

#[test]
fn a_response_that_breaks_off_while_it_is_read_is_none() {
    run(async {
        let house = house("", &[&[(RESPONSE_BODY, &[])]]);
        let (text, failure) = passed(&house, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok").await;
        assert!(text.starts_with("HTTP/1.1 502 ") && failure == "upstream-body", "{text}");
    });
}

#[test]
fn the_connection_of_a_response_that_was_read_whole_serves_the_next_request() {
    run(async {
        let house = house("", &[&[(RESPONSE_BODY, &[])]]);
        let (mut client, mut server) = (house.client(), house.server(1));
        for _ in 0..2 {
            client.send(GET).await;
            server.answer(OK).await;
            assert_eq!(client.response(2).await.1, "ok");
        }
    });
}

#[test]
fn an_error_in_place_of_a_response_is_not_shown_to_those_who_look_at_its_pieces() {
    run(async {
        let house = house("", &[&[(RESPONSE_BODY, &[MarkResponse("<")])]]);
        let (mut client, mut server) = (house.client(), house.server(1));
        client.send("GET / HTTP/1.1\r\nhost: a\r\naccept-encoding: gzip\r\n\r\n").await;
        server.answer("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n5\r\nok").await;
        drop(server);
        assert!(client.response(3).await.1.starts_with("502"));
    });
}
