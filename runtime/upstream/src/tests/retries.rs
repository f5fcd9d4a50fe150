//! What another server is tried after, and what is not tried again.

use http::Method;
use tidegate_base::failure::Failure;
use tidegate_base::metrics::{Counter, HistogramRead};

use super::world::{Act, OK, Piece, Reply, Script, Sent, World, get, plan, request, run, with};
const TWO: &str = "server 10.0.0.1:1; server 10.0.0.1:2";

/// A server that reads a request, and closes.
const RESETS: &[Act] = &[Act::Head];
const SILENT: &[Act] = &[Act::Head, Act::Hold];
const BUSY: &[Act] = &[Act::Head, Act::Say(b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy")];
const GOOD: &[Act] = &[Act::Head, Act::Say(OK), Act::Hold];

/// What becomes of a request when the first server does this, and the second is well: the answer, and how often each was dialled.
fn after(
    bad: Option<&'static [Act]>,
    retries: &str,
    outgoing: crate::Outgoing<Sent>,
) -> (Result<String, Failure>, [usize; 2]) {
    run(async {
        let world = World::default().with(1, bad.map(Script::Http1)).http1(2, GOOD);
        let group = world.group(&format!("{TWO}; retries {retries}"));
        let answer = world.ask(&group, outgoing).await;
        let dials = world.dials([1, 2]);
        assert_eq!(world.retries.get(), u32::try_from(dials.iter().sum::<usize>()).unwrap() - 1, "each is counted");
        assert_eq!(group.meter.group.retries.value(), u64::from(world.retries.get()));
        let tries = group.meter.servers.iter().map(|server| {
            assert_eq!(server.in_flight.value(), 0);
            server.errors.value() + server.answers.iter().map(Counter::value).sum::<u64>()
        });
        assert_eq!(tries.collect::<Vec<_>>(), dials.map(|dials| dials as u64), "each try once");
        let answered: u64 = group.meter.servers.iter().flat_map(|server| &server.answers).map(Counter::value).sum();
        let opened: u64 = group.meter.servers.iter().map(|server| server.opened.value()).sum();
        let refused = if bad.is_none() { dials[0] as u64 } else { 0 };
        assert_eq!(opened, dials.iter().sum::<usize>() as u64 - refused);
        let mut timed = HistogramRead::default();
        group.meter.group.duration.read(&mut timed);
        assert_eq!(timed.count(), answered, "the time of those that were answered");
        (answer, dials)
    })
}

#[test]
fn each_word_is_for_its_own_failure() {
    let ok = || Ok("ok".to_owned());
    let words = ["connect-failure", "reset", "timeout", "503"];
    for (bad, word, otherwise) in [
        (None, "connect-failure", Err(Failure::ConnectFailed)),
        (Some(RESETS), "reset", Err(Failure::UpstreamClosed)),
        (Some(SILENT), "timeout", Err(Failure::UpstreamTimeout)),
        (Some(BUSY), "503", Ok("busy".to_owned())),
    ] {
        for other in words {
            let (answer, dials) = after(bad, &format!("1 on [{other}]"), get());
            let expected = if other == word { (ok(), [1, 1]) } else { (otherwise.clone(), [1, 0]) };
            assert_eq!((answer, dials), expected, "{word} under {other}");
        }
    }
}

#[test]
fn what_a_server_may_have_acted_on_is_not_sent_again() {
    let all = "1 on [connect-failure, reset, timeout, 503]";
    let upload = || with(Method::PUT, Sent([Piece::Data("data")].into()));
    for (bad, failure) in [(RESETS, Failure::UpstreamClosed), (SILENT, Failure::UpstreamTimeout)] {
        assert_eq!(after(Some(bad), all, request(Method::POST)), (Err(failure), [1, 0]), "it is not idempotent");
        assert_eq!(after(Some(bad), all, upload()), (Err(failure), [1, 0]), "it has content");
    }
    assert_eq!(after(Some(BUSY), all, request(Method::POST)), (Ok("busy".to_owned()), [1, 0]));
    assert_eq!(after(Some(RESETS), all, request(Method::DELETE)), (Ok("ok".to_owned()), [1, 1]));
    // Nothing was sent to a server that could not be connected to.
    assert_eq!(after(None, all, request(Method::POST)), (Ok("ok".to_owned()), [1, 1]));
}

#[test]
fn content_goes_to_the_server_that_takes_it() {
    run(async {
        let world = World::default()
            .http1(2, &[Act::Head, Act::Take(9), Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nread")]);
        let group = world.group(TWO);
        let upload = with(Method::POST, Sent([Piece::Data("data")].into()));
        assert_eq!(world.ask(&group, upload).await.unwrap(), "read");
        assert_eq!(world.dials([1, 2]), [1, 1]);
    });
}

#[test]
fn tries_are_counted_out() {
    run(async {
        let world = World::default();
        let group =
            world.group("server 10.0.0.1:1; server 10.0.0.1:2; server 10.0.0.1:3; retries 1 on [connect-failure]");
        assert_eq!(world.ask(&group, get()).await, Err(Failure::ConnectFailed));
        assert_eq!(world.dialled.borrow().len(), 2);
        let off = world.group(&format!("{TWO}; retries off"));
        assert_eq!(world.ask(&off, get()).await, Err(Failure::ConnectFailed));
        assert_eq!(world.dialled.borrow().len(), 3);
    });
}

#[test]
fn the_last_response_passes_whatever_it_says() {
    run(async {
        let world = World::default().http1(1, BUSY).http1(2, BUSY);
        let group = world.group(&format!("{TWO}; retries 5 on [5xx]"));
        assert_eq!(world.ask(&group, get()).await.unwrap(), "busy");
        assert_eq!(world.dials([1, 2]), [1, 1], "there is no third");
    });
}

#[test]
fn each_try_has_its_own_time() {
    run(async {
        let world = World::default().http1(1, SILENT).http1(2, SILENT);
        let group = world.group(&format!("{TWO}; retries 3 on [timeout]"));
        let began = tokio::time::Instant::now();
        assert_eq!(world.ask(&group, get()).await, Err(Failure::UpstreamTimeout));
        assert_eq!((began.elapsed(), world.progress.get()), (2 * super::world::PATIENCE, 2));
    });
}

#[test]
fn a_deadline_ends_the_wait_for_a_connection_too() {
    run(async {
        let world = World::default().http1(1, GOOD);
        world.expired.set(Some(Failure::ClientTimeout));
        let group = world.group("server 10.0.0.1:1");
        assert_eq!(world.ask(&group, get()).await, Err(Failure::ClientTimeout));
        assert_eq!(group.meter.servers[0].errors.value(), 0, "that is none of the server's");
    });
}

#[test]
fn without_servers_there_is_a_failure_of_its_own() {
    run(async {
        let world = World::default();
        let mut plan = plan(TWO);
        plan.servers.iter_mut().for_each(|server| server.stopped = true);
        let group = world.group_of(plan);
        assert_eq!(world.ask(&group, get()).await, Err(Failure::NoServer));
        assert!(world.dialled.borrow().is_empty());
    });
}

#[test]
fn backups_are_asked_when_no_other_is_left() {
    run(async {
        let world = World::default().http1(2, GOOD);
        let group = world.group("server 10.0.0.1:2 backup; server 10.0.0.1:1");
        assert_eq!(world.ask(&group, get()).await.unwrap(), "ok");
        assert_eq!(*world.dialled.borrow(), [1, 2]);
    });
}

#[test]
fn over_http2_the_same_words_hold() {
    for (reply, word, failure) in [
        (Reply::Reset(h2::Reason::INTERNAL_ERROR), "reset", Failure::UpstreamClosed),
        (Reply::Hold, "timeout", Failure::UpstreamTimeout),
    ] {
        for other in ["reset", "timeout"] {
            let replies: &'static [Reply] =
                if word == "reset" { &[Reply::Reset(h2::Reason::INTERNAL_ERROR)] } else { &[Reply::Hold] };
            let (answer, dials) = run(async {
                let good: &[Reply] = &[Reply::Body("ok")];
                let world = World::default().with(1, [Script::Http2(replies)]).with(2, [Script::Http2(good)]);
                let group = world.group(&format!("{TWO}; protocol grpc; retries 1 on [{other}]"));
                (world.ask(&group, get()).await, world.dials([1, 2]))
            });
            let expected = if other == word { (Ok("ok".to_owned()), [1, 1]) } else { (Err(failure), [1, 0]) };
            assert_eq!((answer, dials), expected, "{word} under {other}: {}", matches!(reply, Reply::Hold));
        }
    }
}
