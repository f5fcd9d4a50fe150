//! Requests that share connections over HTTP/2, and what a server may do to them.

use std::rc::Rc;
use std::time::Duration;

use h2::Reason;
use http::Method;
use tidegate_base::bounds::Bound;
use tidegate_base::failure::Failure;
use tidegate_base::limits;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::world::{Act, Piece, Reply, Script, Sent, World, get, request, run, with};

const GROUP: &str = "server 10.0.0.1:1; protocol grpc; retries off";
const REFUSE: Reply = Reply::Reset(Reason::REFUSED_STREAM);

fn http2(connections: &[&'static [Reply]]) -> World {
    World::default().with(1, connections.iter().map(|replies| Script::Http2(replies)))
}

#[test]
fn requests_share_a_connection() {
    run(async {
        let world = http2(&[&[Reply::Body("one"), Reply::Body("two"), Reply::Body("three")]]);
        let group = world.group(GROUP);
        let (one, two) = tokio::join!(world.ask(&group, get()), world.ask(&group, get()));
        assert_eq!((one.unwrap(), two.unwrap()), ("one".to_owned(), "two".to_owned()));
        let upload = with(Method::POST, Sent([Piece::Data("data")].into()));
        assert_eq!(world.ask(&group, upload).await.unwrap(), "three");
        assert_eq!(world.dials([1]), [1]);
    });
}

#[test]
fn those_who_wait_for_a_connection_share_how_it_failed() {
    run(async {
        let world = World::default();
        let group = world.group(GROUP);
        let (one, two) = tokio::join!(world.ask(&group, get()), world.ask(&group, get()));
        assert_eq!((one, two), (Err(Failure::ConnectFailed), Err(Failure::ConnectFailed)));
        assert_eq!(world.dials([1]), [1]);
        assert_eq!(world.ask(&group, get()).await, Err(Failure::ConnectFailed));
        assert_eq!(world.dials([1]), [2], "who comes later tries again");
    });
}

#[test]
fn a_refused_stream_is_asked_for_again_so_many_times() {
    run(async {
        let world = http2(&[&[REFUSE, REFUSE, Reply::Body("ok")]]);
        let group = world.group(GROUP);
        assert_eq!(world.ask(&group, request(Method::POST)).await.unwrap(), "ok", "nobody has looked at it");
        assert_eq!(world.retries.get(), limits::REFUSED_TRIES);
        let world = http2(&[&[REFUSE, REFUSE, REFUSE, Reply::Body("ok")]]);
        let group = world.group(GROUP);
        assert_eq!(world.ask(&group, get()).await, Err(Failure::UpstreamClosed));
        assert_eq!(world.retries.get(), limits::REFUSED_TRIES);
    });
}

#[test]
fn other_resets_are_not_asked_for_again() {
    run(async {
        for reason in [Reason::CANCEL, Reason::INTERNAL_ERROR, Reason::PROTOCOL_ERROR] {
            let replies: &'static [Reply] = match reason {
                Reason::CANCEL => &[Reply::Reset(Reason::CANCEL)],
                Reason::INTERNAL_ERROR => &[Reply::Reset(Reason::INTERNAL_ERROR)],
                _ => &[Reply::Reset(Reason::PROTOCOL_ERROR)],
            };
            let world = http2(&[replies]);
            assert_eq!(world.ask(&world.group(GROUP), get()).await, Err(Failure::UpstreamClosed), "{reason:?}");
            assert_eq!(world.retries.get(), 0);
        }
    });
}

#[test]
fn content_that_is_refused_is_gone() {
    run(async {
        let world = http2(&[&[REFUSE, Reply::Body("ok")]]);
        let upload = with(Method::POST, Sent([Piece::Data("data")].into()));
        assert_eq!(world.ask(&world.group(GROUP), upload).await, Err(Failure::UpstreamClosed));
    });
}

#[test]
fn a_connection_that_goes_away_is_replaced() {
    run(async {
        let world = http2(&[&[Reply::Leave], &[Reply::Body("new")]]);
        let group = world.group(GROUP);
        assert_eq!(world.ask(&group, get()).await.unwrap(), "bye");
        sleep(Duration::from_secs(1)).await;
        assert_eq!(world.ask(&group, get()).await.unwrap(), "new");
        assert_eq!((world.dials([1]), world.retries.get()), ([2], 0));
    });
}

/// The server's SETTINGS, and that it goes away without having looked at any stream.
const GONE: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn what_a_server_that_goes_away_has_not_looked_at_goes_to_a_new_connection() {
    run(async {
        let world = World::default()
            .http1(1, &[Act::Pause, Act::Say(GONE), Act::Hold])
            .with(1, [Script::Http2(&[Reply::Body("ok")])]);
        let group = world.group(GROUP);
        assert_eq!(world.ask(&group, request(Method::POST)).await.unwrap(), "ok");
        assert_eq!((world.dials([1]), world.retries.get()), ([2], 1));
    });
}

#[test]
fn a_server_that_dies_takes_its_streams_along_and_no_others() {
    run(async {
        let world = http2(&[&[Reply::Hold], &[Reply::Body("ok")]]);
        let group = world.group(GROUP);
        // The second stream ends the script of the first connection, and with it the connection.
        let (one, two) = tokio::join!(world.ask(&group, get()), world.ask(&group, get()));
        assert_eq!((one, two), (Err(Failure::UpstreamClosed), Err(Failure::UpstreamClosed)));
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
    });
}

#[test]
fn what_is_no_http2_is_told_apart() {
    run(async {
        for (script, failure) in [
            (&[Act::Pause, Act::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n")] as &'static [Act], Failure::UpstreamInvalid),
            (&[Act::Pause], Failure::UpstreamClosed),
        ] {
            let world = World::default().http1(1, script);
            assert_eq!(world.ask(&world.group(GROUP), get()).await, Err(failure));
        }
    });
}

#[test]
fn frames_without_end_that_move_nothing_end_the_connection() {
    run(async {
        const PING: &[u8] = &[0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let met = Bound::UpstreamTalk.count();
        let world = World::default().http1(1, &[Act::Say(&[0, 0, 0, 4, 0, 0, 0, 0, 0]), Act::Flood(PING)]);
        assert_eq!(world.ask(&world.group(GROUP), get()).await, Err(Failure::UpstreamInvalid));
        assert!(Bound::UpstreamTalk.count() > met);
    });
}

#[test]
fn so_many_connections_are_opened_and_then_requests_wait() {
    run(async {
        // One stream at a time: SETTINGS_MAX_CONCURRENT_STREAMS is 1.
        const NARROW: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1];
        let narrow: &'static [Act] = &[Act::Say(NARROW), Act::Hold];
        let world = World::default().with(1, (0..20).map(|_| Script::Http1(narrow)));
        let (group, world) = (world.group(GROUP), Rc::new(world));
        for asked in 1..limits::UPSTREAM_H2_CONNECTIONS + 3 {
            let (world, group) = (Rc::clone(&world), Rc::clone(&group));
            let dialled = Rc::clone(&world);
            spawn_local(async move { world.send(&group, get()).await.is_ok() });
            // How many streams a server takes is known when its SETTINGS have come.
            sleep(Duration::from_millis(1)).await;
            assert_eq!(dialled.dials([1]), [asked.min(limits::UPSTREAM_H2_CONNECTIONS)]);
        }
    });
}

#[test]
fn an_idle_connection_is_closed_in_time() {
    run(async {
        let world = http2(&[&[Reply::Body("one")], &[Reply::Body("two")]]);
        let group = world.group(GROUP);
        assert_eq!(world.ask(&group, get()).await.unwrap(), "one");
        assert_eq!(world.pools.prune(0), 1);
        assert_eq!(world.pools.prune(u64::try_from(limits::UPSTREAM_IDLE.as_millis()).unwrap()), 0);
        assert_eq!(world.ask(&group, get()).await.unwrap(), "two");
        assert_eq!(group.meter.servers[0].opened.value(), 2);
        assert_eq!(world.dials([1]), [2]);
    });
}
