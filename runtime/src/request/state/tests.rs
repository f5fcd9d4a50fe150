//! The phases of a stream, and what its requests leave behind.

use std::pin::pin;

use super::*;
use crate::request::worker::OpenConnection;
use crate::tests::{House, policy, run};

const SECOND: Duration = Duration::from_secs(1);

/// A listener with an idle timeout of two seconds, and one second for a request.
fn house() -> House {
    House::answering("idle-timeout 2s; request-timeout 1s")
}

#[test]
fn the_first_byte_of_a_head_ends_idleness_and_more_of_them_win_no_time() {
    run(async {
        let house = house();
        let stream = house.stream();
        assert_eq!((stream.phase(), stream.patience()), (Phase::Idle, 2 * SECOND));
        stream.note_read();
        assert_eq!((stream.phase(), stream.patience()), (Phase::Head, SECOND));
        house.pass(SECOND / 2).await;
        stream.note_read();
        house.pass(SECOND / 2).await;
        assert!(!stream.take_expired(), "the clock may be a tick behind");
        house.pass(SECOND / 10).await;
        assert!(stream.take_expired() && !stream.take_expired(), "says so once");
    });
}

#[test]
fn progress_puts_the_end_of_an_answer_off() {
    run(async {
        let house = house();
        let stream = house.stream();
        stream.begin_request(SECOND);
        stream.begin_response();
        for _ in 0..3 {
            house.pass(SECOND * 9 / 10).await;
            stream.note_write(false);
        }
        assert!(!stream.take_expired());
        house.pass(SECOND * 9 / 10).await;
        stream.note_write(true);
        house.pass(SECOND / 5).await;
        assert!(stream.take_expired(), "bytes that wait are no progress");
    });
}

#[test]
fn nothing_puts_off_the_end_that_the_client_set() {
    run(async {
        let house = house();
        let stream = house.stream();
        stream.begin_request(SECOND);
        stream.set_end(2 * SECOND);
        for _ in 0..4 {
            house.pass(SECOND / 2).await;
            stream.note_upstream();
        }
        house.pass(SECOND / 10).await;
        assert!(stream.take_expired());
        stream.end_request();
        house.pass(SECOND * 2).await;
        assert!(!stream.take_expired(), "it goes for one request");
    });
}

#[test]
fn whoever_is_silent_is_whoever_owes_something() {
    let stream = house().stream();
    assert_eq!(stream.silence(), Failure::ClientTimeout, "idle");
    stream.begin_request(SECOND);
    assert_eq!(stream.silence(), Failure::UpstreamTimeout);
    stream.set_body_due(true);
    assert_eq!(stream.silence(), Failure::ClientTimeout);
    stream.begin_response();
    assert_eq!(stream.silence(), Failure::UpstreamTimeout);
    stream.note_write(true);
    assert_eq!(stream.silence(), Failure::ClientTimeout);
    stream.begin_tunnel(SECOND);
    assert_eq!(stream.silence(), Failure::TunnelTimeout);
}

#[test]
fn a_request_begins_with_nothing_of_the_one_before() {
    let stream = house().stream();
    assert_eq!(stream.begin_request(SECOND), 1);
    stream.set_body_due(true);
    stream.set_ending(Failure::ClientBody);
    stream.count_body(7);
    stream.count_retry();
    assert_eq!((stream.bytes_in(), stream.retries(), stream.ending()), (7, 1, Some(Failure::ClientBody)));
    stream.end_request();
    assert_eq!(stream.begin_request(SECOND), 2);
    assert!(stream.silence() != Failure::ClientTimeout && stream.ending().is_none());
    assert_eq!((stream.bytes_in(), stream.retries()), (0, 0));
}

#[test]
fn a_timeout_of_the_rule_is_that_of_one_request() {
    let stream = house().stream();
    stream.begin_request(SECOND);
    stream.set_request_timeout(5 * SECOND);
    assert_eq!((stream.phase(), stream.patience()), (Phase::Waiting, 5 * SECOND));
    stream.end_request();
    stream.note_read();
    assert_eq!(stream.patience(), SECOND);
}

#[test]
fn the_timeouts_between_requests_are_those_of_the_policy_in_service() {
    let house = house();
    let stream = house.stream();
    stream.begin_request(SECOND);
    house.reload(&policy("idle-timeout 9s", crate::tests::ANSWERS));
    stream.end_request();
    assert_eq!((stream.phase(), stream.patience()), (Phase::Idle, 9 * SECOND));
}

#[test]
fn a_guarded_future_ends_with_the_time_and_with_the_gateway() {
    run(async {
        let house = house();
        let stream = house.stream();
        stream.begin_request(SECOND);
        assert_eq!(stream.guard(pin!(async { 7 })).await, Ok(7));
        let mut never = pin!(std::future::pending::<()>());
        let (ended, ()) = tokio::join!(stream.guard(never.as_mut()), house.pass(2 * SECOND));
        assert_eq!(ended, Err(Failure::UpstreamTimeout));
        let waits = stream.guard_connection(never);
        let (ended, ()) = tokio::join!(waits, async { OpenConnection::abort(&*stream.connection) });
        assert_eq!(ended, Err(Failure::Drained));
    });
}

#[test]
fn a_stream_that_has_left_is_watched_no_more() {
    run(async {
        let house = house();
        let stream = house.stream();
        stream.leave();
        house.pass(5 * SECOND).await;
        assert!(!stream.take_expired());
    });
}

#[test]
fn a_client_that_waits_is_told_to_go_on_once() {
    let stream = house().stream();
    assert!(!stream.take_continue());
    stream.want_continue();
    assert!(stream.take_continue() && !stream.take_continue());
}
