//! Which server a request is in flight to, from the choice of the server to the end of the response.

use std::collections::BTreeSet;
use std::rc::Rc;

use http::Method;
use tidegate_engine::servers::PickRequest;

use super::world::{Act, OK, Reply, SWITCHES, Script, Sent, World, get, request, run, upgrade};
use crate::Group;

const LEAST: &str = "server 10.0.0.1:1; server 10.0.0.1:2; balance least-requests";
const ONCE: &[Act] = &[Act::Head, Act::Say(OK), Act::Hold];

/// The servers that would get the next requests: those with the fewest in flight.
fn next(group: &Rc<Group<Sent>>) -> BTreeSet<usize> {
    (0..4).filter_map(|_| group.pick(PickRequest::default(), 0, &[]).map(|(at, ..)| at)).collect()
}

fn both() -> BTreeSet<usize> {
    [0, 1].into()
}

#[test]
fn until_the_response_has_ended() {
    run(async {
        let world = World::default().http1(1, ONCE).http1(2, ONCE);
        let group = world.group(LEAST);
        let Ok(first) = world.send(&group, get()).await else { panic!("it answers") };
        let other = BTreeSet::from([1 - first.server]);
        assert_eq!(next(&group), other);
        let Ok(second) = world.send(&group, get()).await else { panic!("it answers") };
        assert_ne!(first.server, second.server);
        assert_eq!(next(&group), both(), "one each");
        assert_eq!(world.read(second).await.unwrap(), "ok");
        assert_eq!(next(&group), other, "one has ended");
        drop(first);
        assert_eq!(next(&group), both(), "the other was given up");
    });
}

#[test]
fn while_a_server_is_dialled_and_asked() {
    run(async {
        let world = World::default()
            .http1(1, &[Act::Head, Act::Pause, Act::Pause])
            .http1(2, &[Act::Head, Act::Pause, Act::Pause]);
        let group = world.group(LEAST);
        let mut asking = std::pin::pin!(world.send(&group, request(Method::POST)));
        assert!(waits(asking.as_mut()).await, "it is dialled");
        assert_eq!(next(&group).len(), 1);
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        assert!(waits(asking.as_mut()).await, "it is asked");
        assert_eq!(next(&group).len(), 1);
        assert!(asking.await.is_err());
        assert_eq!(next(&group), both(), "it has failed");
    });
}

/// Polls once; whether it waits.
async fn waits(future: std::pin::Pin<&mut impl Future>) -> bool {
    let mut future = Some(future);
    std::future::poll_fn(move |cx| {
        std::task::Poll::Ready(future.take().is_some_and(|future| future.poll(cx).is_pending()))
    })
    .await
}

#[test]
fn a_retry_moves_it() {
    run(async {
        let world = World::default().http1(1, &[Act::Head]).http1(2, ONCE);
        let group = world.group(&format!("{LEAST}; retries 1 on [reset]"));
        let Ok(answer) = world.send(&group, get()).await else { panic!("one answers") };
        assert_eq!((answer.server, next(&group)), (1, [0].into()));
        drop(answer);
        assert_eq!(next(&group), both());
    });
}

#[test]
fn a_tunnel_keeps_it() {
    run(async {
        let script = &[Act::Head, Act::Say(SWITCHES), Act::Hold];
        let world = World::default().http1(1, script).http1(2, script);
        let group = world.group(LEAST);
        let Ok(answer) = world.send(&group, upgrade()).await else { panic!("it answers") };
        let other = BTreeSet::from([1 - answer.server]);
        let mut switched = answer.response.into_body().into_switched().unwrap();
        let bare = switched.bare().await.unwrap();
        assert_eq!(next(&group), other);
        drop(bare);
        assert_eq!(next(&group), other, "whoever carries the bytes holds it to the end");
        drop(switched);
        assert_eq!(next(&group), both());
    });
}

#[test]
fn over_http2_too() {
    run(async {
        let replies: &'static [Reply] = &[Reply::Body("ok"), Reply::Body("ok")];
        let world = World::default().with(1, [Script::Http2(replies)]).with(2, [Script::Http2(replies)]);
        let group = world.group(&format!("{LEAST}; protocol grpc"));
        let Ok(answer) = world.send(&group, get()).await else { panic!("it answers") };
        assert_eq!(next(&group), [1 - answer.server].into());
        assert_eq!(world.read(answer).await.unwrap(), "ok");
        assert_eq!(next(&group), both());
    });
}

#[test]
fn another_request_of_the_same_caller_leaves_it() {
    run(async {
        let world = World::default().http1(1, ONCE).http1(2, ONCE).http1(3, ONCE);
        let (group, other) = (world.group(LEAST), world.group("server 10.0.0.1:3"));
        let Ok(answer) = world.send(&group, get()).await else { panic!("it answers") };
        let free = BTreeSet::from([1 - answer.server]);
        assert_eq!(world.ask(&other, get()).await.unwrap(), "ok", "an extension asks meanwhile");
        assert_eq!(next(&group), free);
    });
}
