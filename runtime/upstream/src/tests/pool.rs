//! Connections that wait for the next request.

use http::Method;
use tidegate_base::failure::Failure;
use tidegate_base::limits;

use super::world::{Act, OK, Piece, Script, Sent, World, get, request, run, with};

const ONE: &str = "server 10.0.0.1:1";
/// A server that answers twice.
const TWICE: &[Act] = &[Act::Head, Act::Say(OK), Act::Head, Act::Say(OK), Act::Hold];
const ONCE: &[Act] = &[Act::Head, Act::Say(OK), Act::Hold];
/// A server that answers, and closes when the next request comes.
const LOSES: &[Act] = &[Act::Head, Act::Say(OK), Act::Head];

fn idle(world: &World) -> usize {
    world.pools.of("10.0.0.1", 1, None).idle()
}

#[test]
fn a_connection_carries_the_next_request() {
    run(async {
        let world = World::default().http1(1, TWICE);
        let group = world.group(ONE);
        for _ in 0..2 {
            assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
            assert_eq!(idle(&world), 1);
        }
        assert_eq!((world.dials([1]), world.retries.get()), ([1], 0));
    });
}

#[test]
fn so_many_are_kept() {
    for (keepalive, kept) in [("off", 0), ("1", 1), ("2", 2), ("3", 2)] {
        run(async {
            let world = World::default().with(1, [Script::Http1(ONCE), Script::Http1(ONCE)]);
            let group = world.group(&format!("{ONE}; keepalive {keepalive}"));
            let one = world.send(&group, get()).await.unwrap_or_else(|failure| panic!("{failure:?}"));
            assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
            assert_eq!(world.read(one).await.unwrap(), "ok");
            assert_eq!(idle(&world), kept, "keepalive {keepalive}");
        });
    }
}

#[test]
fn a_response_that_is_given_up_ends_its_connection() {
    run(async {
        let world = World::default().with(1, [Script::Http1(ONCE), Script::Http1(ONCE)]);
        let group = world.group(ONE);
        drop(world.send(&group, get()).await);
        assert_eq!(idle(&world), 0);
        let Ok(response) = world.send(&group, get()).await else { panic!("it answers") };
        response.response.into_body().finish(false, 0);
        assert_eq!((idle(&world), world.dials([1])), (0, [2]));
    });
}

#[test]
fn what_is_idle_for_too_long_is_closed() {
    run(async {
        let world = World::default().http1(1, ONCE);
        let group = world.group(ONE);
        world.now_ms.set(1000);
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        let limit = u64::try_from(limits::UPSTREAM_IDLE.as_millis()).unwrap();
        assert_eq!((world.pools.prune(1000 + limit - 1), idle(&world)), (1, 1));
        assert_eq!((world.pools.prune(1000 + limit), idle(&world)), (0, 0));
    });
}

#[test]
fn what_the_server_closes_meanwhile_is_not_taken() {
    run(async {
        let world = World::default().http1(1, &[Act::Head, Act::Say(OK), Act::Pause]).http1(1, ONCE);
        let group = world.group(ONE);
        assert_eq!(world.ask(&group, request(Method::POST)).await.unwrap(), "ok");
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(world.ask(&group, request(Method::POST)).await.unwrap(), "ok");
        assert_eq!((world.dials([1]), world.retries.get()), ([2], 0), "it was known");
    });
}

#[test]
fn what_is_lost_on_a_reused_connection_is_sent_once_more() {
    run(async {
        let world = World::default().http1(1, LOSES).http1(1, ONCE);
        let group = world.group(&format!("{ONE}; retries off"));
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        assert_eq!((world.dials([1]), world.retries.get(), world.heads.borrow().len()), ([2], 1, 3));
    });
}

#[test]
fn what_is_lost_on_a_new_connection_is_not() {
    run(async {
        let world = World::default().http1(1, LOSES).http1(1, &[Act::Head]).http1(1, ONCE);
        let group = world.group(&format!("{ONE}; retries off"));
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        assert_eq!(world.ask(&group, get()).await, Err(Failure::UpstreamClosed));
        assert_eq!(world.dials([1]), [2]);
    });
}

#[test]
fn what_is_not_idempotent_or_has_content_is_lost_with_its_connection() {
    for outgoing in [request(Method::POST), with(Method::PUT, Sent([Piece::Data("x")].into()))] {
        run(async {
            let world = World::default().http1(1, LOSES).http1(1, ONCE);
            let group = world.group(ONE);
            assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
            assert_eq!(world.ask(&group, outgoing).await, Err(Failure::UpstreamClosed));
            assert_eq!((world.dials([1]), world.retries.get()), ([1], 0));
        });
    }
}

#[test]
fn pools_go_with_the_last_group_that_uses_them() {
    run(async {
        let world = World::default().http1(1, ONCE);
        let (group, other) = (world.group(ONE), world.group(&format!("{ONE}; server 10.0.0.1:2")));
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        drop(group);
        world.pools.retain_used();
        assert_eq!(idle(&world), 1, "the other uses it");
        drop(other);
        world.pools.retain_used();
        assert_eq!(idle(&world), 0);
    });
}
