//! Guests that ask other servers: what is checked, what is counted, and that waiting costs a guest nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn, ready};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{exchange, rig, spec};
use http::{HeaderMap, StatusCode};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFault, HookFaultKind, Verdict};
use tidegate_wasm_host::limits::{BREAKER_FAULTS, OUTBOUND_CALLS_PER_CALL, WAITING_PER_POOL};
use tidegate_wasm_host::{
    Callout, CalloutFailure, CalloutOutcome, CalloutResponse, ExtensionSpec, Host, HostOptions, Pool, Reach, Reached,
};

/// The client whose request it is.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9));

fn asking() -> ExtensionSpec {
    spec("tidegate_asking_guest", "{}")
}

fn pool() -> (Host, Pool) {
    let host = rig().host;
    let pool = Pool::new(host.load(&asking()).unwrap());
    (host, pool)
}

fn answer(body: &'static str) -> CalloutOutcome {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", http::HeaderValue::from_static("text/plain"));
    Ok(Ok(CalloutResponse { status: StatusCode::OK, headers, body: body.into() }))
}

/// Drives a call whose answers come after one turn of the loop.
fn drive<C: Future<Output = CalloutOutcome>>(
    pool: &mut Pool,
    exchange: Box<Exchange>,
    fetch: impl Fn(Callout) -> C,
) -> (Box<Exchange>, Result<Verdict, HookFault>) {
    let mut suspended = pool.begin(CLIENT).unwrap();
    let mut future = Box::pin(suspended.call(Hook::Request, exchange, fetch));
    let verdict = loop {
        if let Poll::Ready(verdict) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break verdict;
        }
    };
    drop(future);
    let exchange = suspended.exchange().unwrap();
    pool.end(suspended, &verdict);
    (exchange, verdict)
}

async fn later(result: CalloutOutcome) -> CalloutOutcome {
    let mut turns = 0;
    poll_fn(|_| {
        turns += 1;
        if turns > 1 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    result
}

fn asks(group: &'static str) -> Box<Exchange> {
    exchange(&[("x-do", "ask"), ("x-group", group), ("x-target", "/check?a=b"), ("x-body", "hello")])
}

fn count(host: &Host, name: &str) -> f64 {
    host.samples().iter().find(|sample| sample.name == name).map_or(0.0, |sample| sample.value)
}

#[test]
fn a_guest_asks_and_hears() {
    let (host, mut pool) = pool();
    let asked = RefCell::new(Vec::new());
    let (exchange, verdict) = drive(&mut pool, asks("authz"), |call| {
        asked.borrow_mut().push(call);
        later(answer("well"))
    });
    assert!(matches!(verdict, Ok(Verdict::Next)), "{verdict:?}");
    assert_eq!(
        (&exchange.request.headers["x-said"], &exchange.request.headers["x-said-type"]),
        (&"well".parse().unwrap(), &"text/plain".parse().unwrap())
    );
    let asked = asked.into_inner();
    let [call] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!((&*call.group, call.method.as_str(), call.authority.as_str()), ("authz", "POST", "authz"));
    assert_eq!(
        (call.target.as_str(), &*call.body, &call.headers["x-asked-by"]),
        ("/check?a=b", &b"hello"[..], &"guest".parse().unwrap())
    );
    assert_eq!(call.timeout, Duration::from_secs(5));
    assert_eq!((count(&host, "host_outbound_calls"), count(&host, "host_outbound_failures")), (1.0, 0.0));
}

#[test]
fn what_goes_wrong_on_the_way_is_for_the_guest_to_act_on() {
    let (host, mut pool) = pool();
    for failure in [
        CalloutFailure::Unreachable,
        CalloutFailure::Timeout,
        CalloutFailure::Broken,
        CalloutFailure::TooLarge,
        CalloutFailure::Busy,
    ] {
        let (_, verdict) = drive(&mut pool, asks("web"), |_| later(Ok(Err(failure))));
        let Ok(Verdict::Respond(reply)) = verdict else { panic!("{verdict:?}") };
        assert_eq!((reply.status.as_u16(), reply.body), (503, format!("{failure:?}").into()));
    }
    assert_eq!(count(&host, "host_outbound_failures"), 5.0);
}

#[test]
fn without_somebody_to_make_calls_the_answer_is_always_offline() {
    let (host, mut pool) = pool();
    let (_, verdict) = pool.call(Hook::Request, asks("web"));
    let Ok(Verdict::Respond(reply)) = verdict else { panic!("{verdict:?}") };
    assert_eq!((reply.status.as_u16(), &*reply.body), (503, &b"Offline"[..]));
    assert_eq!(count(&host, "host_outbound_calls"), 0.0);
}

#[test]
fn calls_are_checked_and_bounded() {
    use HookFaultKind::{BadValue, NotAllowed, TooMuch};
    let (host, mut pool) = pool();
    let made = Cell::new(0);
    for (act, kind, message) in [
        ("flood", TooMuch, "the guest called other servers too often: a call may do so 8 times"),
        ("trace", BadValue, "`outbound.fetch`: the method `TRACE` cannot be sent"),
        ("line", BadValue, "the value of header `x-a` holds a line break"),
        ("length", NotAllowed, "header `content-length` belongs to the gateway"),
        ("target", BadValue, "`outbound.fetch`: `http://other/` is no target"),
        ("authority", BadValue, "`outbound.fetch`: `user@host` is no authority"),
        ("large", TooMuch, "`outbound.fetch`: the body has 1100000 bytes, and 1048576 is the most"),
        ("huge", TooMuch, "the guest gave the host more than 2097152 bytes at once"),
        ("many", TooMuch, "the guest wrote too many header fields"),
    ] {
        let (back, verdict) = drive(&mut pool, exchange(&[("x-do", act)]), |_| {
            made.set(made.get() + 1);
            ready(answer(""))
        });
        assert_eq!(back.request.headers["x-do"], act);
        let fault = verdict.unwrap_err();
        assert_eq!(fault.kind, kind, "{act}: {}", fault.message);
        assert!(fault.message.contains(message), "{act}: {}", fault.message);
        assert!(drive(&mut pool, exchange(&[]), |_| ready(answer(""))).1.is_ok());
    }
    assert_eq!(made.get(), OUTBOUND_CALLS_PER_CALL, "only the flood came through at all");
    assert_eq!(count(&host, "host_fault_too_much"), 4.0);
}

#[test]
fn a_group_that_may_not_be_named_is_not_asked() {
    let host = rig().host;
    let reach = Reach { outbound: Reached::These(vec!["authz".to_owned()]), ..Reach::default() };
    let mut pool = Pool::new(host.load(&ExtensionSpec { reach, ..asking() }).unwrap());
    let (_, verdict) = drive(&mut pool, asks("web"), |_| ready(answer("")));
    let fault = verdict.unwrap_err();
    let message = "`outbound.fetch` of group `web`, which `allow` does not list: add it to `outbound` to allow it";
    assert_eq!((fault.kind, &*fault.message), (HookFaultKind::NotAllowed, message));
    assert!(drive(&mut pool, asks("authz"), |_| ready(answer(""))).1.is_ok());
}

#[test]
fn only_request_and_response_hooks_may_ask() {
    let (_host, mut pool) = pool();
    let (_, told) = pool.log(exchange(&[("x-do-log", "ask")]));
    let fault = told.unwrap_err();
    let message = "`outbound.fetch` in a log hook: only request and response hooks may call";
    assert_eq!((fault.kind, &*fault.message), (HookFaultKind::NotAllowed, message));
}

#[test]
fn the_worker_goes_on_while_a_guest_waits() {
    let (_host, mut pool) = pool();
    let mut suspended = pool.begin(CLIENT).unwrap();
    {
        let mut waiting = pin!(suspended.call(Hook::Request, asks("web"), |_| pending()));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        for _ in 0..10 {
            assert!(drive(&mut pool, asks("web"), |_| later(answer("other"))).1.is_ok());
        }
        assert!(waiting.as_mut().poll(cx).is_pending());
    }
    let exchange = suspended.exchange().unwrap();
    assert_eq!(
        (exchange.request.target.as_str(), &exchange.request.headers["x-group"]),
        ("/a?b", &"web".parse().unwrap()),
        "a call that is given up gives its exchange back"
    );
}

#[test]
fn waiting_is_not_the_guests_time_and_what_follows_is() {
    let (_host, mut pool) = pool();
    let (_, verdict) = drive(&mut pool, asks("web"), |_| {
        // More than its 50 ms, on the thread that it waits on.
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {}
        later(answer("late"))
    });
    assert!(verdict.is_ok(), "{verdict:?}");
    let (_, verdict) = drive(&mut pool, exchange(&[("x-do", "ask-then-loop")]), |_| later(answer("")));
    assert_eq!(verdict.unwrap_err().kind, HookFaultKind::Deadline);
}

#[test]
fn only_so_many_wait_at_once_and_the_extension_is_not_paused_for_it() {
    let (host, mut pool) = pool();
    let turns: Vec<_> = (0..WAITING_PER_POOL).map(|_| pool.begin(CLIENT).unwrap()).collect();
    for _ in 0..20 {
        let fault = pool.begin(CLIENT).map(drop).unwrap_err();
        let message = "128 of its calls on this worker are under way, and there is no room for another";
        assert_eq!((fault.kind, &*fault.message), (HookFaultKind::Room, message));
    }
    drop(turns);
    assert!(drive(&mut pool, asks("web"), |_| ready(answer(""))).1.is_ok());
    assert_eq!((count(&host, "host_fault_room"), count(&host, "host_pauses")), (20.0, 0.0));
}

/// Eight workers, an extension whose calls all hang, and another one beside it.
#[test]
fn an_extension_whose_calls_hang_leaves_room_for_another() {
    const WORKERS: usize = 8;
    let options = HostOptions { instances: 64, ..HostOptions::new(Arc::new(|_| {})) };
    let host = Host::new(options).unwrap();
    let pools = |name: &str| {
        let extension = host.load(&ExtensionSpec { name: name.to_owned(), ..asking() }).unwrap();
        (0..WORKERS).map(|_| Pool::new(Arc::clone(&extension))).collect::<Vec<_>>()
    };
    let mut hanging = pools("hanging");
    // All that one extension alone may have, and more is refused.
    let mut turns = Vec::new();
    for pool in &mut hanging {
        turns.extend((0..4).map(|_| pool.begin(CLIENT).unwrap()));
        assert_eq!(pool.begin(CLIENT).map(drop).unwrap_err().kind, HookFaultKind::Room);
    }
    assert_eq!(turns.len(), 32);
    // One that comes with a reload has room on every worker, and as much as it needs for what is asked one after the other.
    let mut others = pools("other");
    for _ in 0..20 {
        for pool in &mut others {
            assert!(drive(pool, asks("web"), |_| ready(answer(""))).1.is_ok());
        }
    }
    let held: Vec<_> =
        others.iter_mut().flat_map(|pool| [pool.begin(CLIENT).unwrap(), pool.begin(CLIENT).unwrap()]).collect();
    assert_eq!((held.len(), others[0].begin(CLIENT).map(drop).unwrap_err().kind), (16, HookFaultKind::Room));
    drop(turns);
    assert!(hanging[0].begin(CLIENT).is_ok(), "what was held comes back");
}

#[test]
fn a_waiting_extension_that_gets_no_instances_is_paused() {
    let host = rig().host;
    let extension = host.load(&spec("tidegate_asking_guest", r#"{"once": true}"#)).unwrap();
    assert!(extension.waits());
    let mut pool = Pool::new(extension);
    // The one instance that there is waits.
    let suspended = pool.begin(CLIENT).unwrap();
    let mut begin = |client: u32| {
        let client = IpAddr::from([203, 0, client as u8, 9]);
        pool.begin(client).map(drop).map_err(|fault| (fault.kind, fault.message))
    };
    for client in 0..BREAKER_FAULTS {
        let (kind, message) = begin(client).unwrap_err();
        assert_eq!(kind, HookFaultKind::Instance, "{message}");
        assert!(message.ends_with("one instance of me is enough"), "{message}");
    }
    assert_eq!(begin(BREAKER_FAULTS).unwrap_err().0, HookFaultKind::Paused, "it is not asked to start again");
    assert_eq!((count(&host, "host_pauses"), count(&host, "host_fault_paused")), (1.0, 1.0));
    assert_eq!(count(&host, "host_fault_instance"), f64::from(BREAKER_FAULTS));
    drop(suspended);
}
