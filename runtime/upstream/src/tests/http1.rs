//! What a request and its response become on the way over HTTP/1.

use http::header::SET_COOKIE;
use http::{HeaderMap, Method};
use tidegate_base::failure::Failure;
use tidegate_base::limits::RESPONSE_HEADERS;

use super::world::{Act, OK, Piece, SWITCHES, Sent, World, get, plan, run, upgrade, with};
use crate::send;

#[test]
fn a_request_arrives_as_it_was_given() {
    run(async {
        let world = World::default().http1(1, &[Act::Head, Act::Take(9), Act::Say(OK)]);
        let group = world.group("server 10.0.0.1:1");
        let upload = with(Method::PUT, Sent([Piece::Data("data")].into()));
        assert_eq!(world.ask(&group, upload).await.unwrap(), "ok");
        assert_eq!(*world.heads.borrow(), ["PUT / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"]);
    });
}

#[test]
fn fields_that_the_caller_keeps_go_along_on_a_second_try() {
    run(async {
        let world = World::default().http1(1, &[Act::Head]).http1(2, &[Act::Head, Act::Say(OK)]);
        let group = world.group("server 10.0.0.1:1; server 10.0.0.1:2; retries 1 on [reset]");
        let kept: HeaderMap = [(http::header::HOST, "kept".parse().unwrap())].into_iter().collect();
        assert!(send(&group, &mut get(), Some(&kept), &world).await.is_ok());
        let heads = world.heads.borrow();
        assert_eq!(*heads, ["GET / HTTP/1.1\r\nhost: test\r\n\r\n", "GET / HTTP/1.1\r\nhost: kept\r\n\r\n"]);
    });
}

#[test]
fn what_the_server_says_of_its_connection_stays_on_it() {
    run(async {
        let script = &[
            Act::Head,
            Act::Say(b"HTTP/1.1 200 OK\r\nconnection: x-mine\r\nx-mine: 1\r\nx-other: 2\r\ncontent-length: 0\r\n\r\n"),
            Act::Hold,
        ];
        let world = World::default().http1(1, script);
        let group = world.group("server 10.0.0.1:1");
        let Ok(answer) = world.send(&group, get()).await else { panic!("it answers") };
        let headers = answer.response.headers();
        assert!(answer.kinds.connection && !headers.contains_key("x-mine") && headers.contains_key("x-other"));
        assert_eq!(answer.server, 0);
    });
}

#[test]
fn fields_of_a_response_are_bounded() {
    // The length of the body is a field, too.
    let head = |fields: usize| {
        let more: String = (1..fields).map(|at| format!("x-{at}: 1\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{more}content-length: 2\r\n\r\nok").leak().as_bytes()
    };
    for (fields, expected) in [
        (RESPONSE_HEADERS - 1, Ok("ok".to_owned())),
        (RESPONSE_HEADERS, Ok("ok".to_owned())),
        (RESPONSE_HEADERS + 1, Err(Failure::UpstreamInvalid)),
    ] {
        run(async {
            let script: &'static [Act] = vec![Act::Head, Act::Say(head(fields))].leak();
            let world = World::default().http1(1, script);
            let group = world.group("server 10.0.0.1:1");
            assert_eq!(world.ask(&group, get()).await, expected, "{fields}");
        });
    }
}

#[test]
fn a_cookie_tells_the_client_its_server() {
    run(async {
        for secure in [false, true] {
            let world = World::default().http1(1, &[Act::Head, Act::Say(OK)]);
            world.secure.set(secure);
            let group = world.group("server 10.0.0.1:1; sticky cookie \"SRV\" ttl 30m");
            let Ok(answer) = world.send(&group, get()).await else { panic!("it answers") };
            let cookie = answer.response.headers().get(SET_COOKIE).unwrap().to_str().unwrap();
            assert!(cookie.starts_with("SRV=") && cookie.contains("Secure") == secure, "{cookie}");
        }
    });
}

#[test]
fn a_group_is_the_same_as_long_as_its_words_are() {
    run(async {
        let world = World::default();
        let group = world.group("server 10.0.0.1:1");
        let same = |words: &str| group.is_same(&plan(words), None, &[], &Default::default());
        assert!(same("server 10.0.0.1:1") && !same("server 10.0.0.1:1; keepalive 3"));
    });
}

#[test]
fn a_connection_that_switches_protocols_is_handed_out_with_what_came_behind_the_head() {
    run(async {
        let script = &[Act::Head, Act::Say(SWITCHES), Act::Say(b"first"), Act::Take(2), Act::Say(b"second")];
        let world = World::default().http1(1, script);
        let group = world.group("server 10.0.0.1:1");
        let Ok(answer) = world.send(&group, upgrade()).await else { panic!("it answers") };
        assert_eq!(answer.response.status(), 101);
        let mut switched = answer.response.into_body().into_switched().unwrap();
        let (mut stream, first) = switched.bare().await.unwrap();
        assert_eq!(first, "first");
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"hi").await.unwrap();
        let mut second = [0; 6];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut second).await.unwrap();
        assert_eq!(&second, b"second");
    });
}

#[test]
fn a_refused_upgrade_keeps_nothing() {
    run(async {
        let world = World::default().http1(1, &[Act::Head, Act::Say(OK), Act::Hold]);
        let group = world.group("server 10.0.0.1:1");
        assert_eq!(world.ask(&group, upgrade()).await.unwrap(), "ok");
        assert_eq!(world.pools.of("10.0.0.1", 1, None).idle(), 0);
    });
}

#[test]
fn an_upgrade_is_never_tried_twice() {
    run(async {
        let world = World::default().http1(1, &[Act::Head]).http1(2, &[Act::Head, Act::Say(OK)]);
        let group = world.group("server 10.0.0.1:1; server 10.0.0.1:2; retries 1 on [reset]");
        assert_eq!(world.ask(&group, upgrade()).await, Err(Failure::UpstreamClosed));
    });
}
