//! What guests cannot do: each fault costs its own call, comes with its class and a sentence, and nothing else breaks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{exchange, hostile, resident, rig, spec};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFaultKind, Verdict};
use tidegate_wasm_host::limits::{CALLS_PER_INSTANCE, LOG_LINE_BYTES, LOG_LINES_PER_CALL};
use tidegate_wasm_host::{ExtensionSpec, Host, HostOptions, LogLevel, Pool};

/// Calls with `x-do: act`, expects a fault, and then that the exchange is whole and that the next call is served by a
/// fresh instance.
fn fault(pool: &mut Pool, act: &'static str) -> (HookFaultKind, String) {
    let (exchange1, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act)]));
    assert_eq!(exchange1.request.headers["x-do"], act);
    assert_eq!(exchange1.request.target, "/a?b");
    assert_eq!(exchange1.connection.listener.as_ref(), "plain");
    assert!(!exchange1.request.headers.contains_key("x-smuggled"));
    let fault = verdict.unwrap_err();
    assert_eq!(calls(pool), "1", "after `{act}` the next call gets a new instance");
    (fault.kind, fault.message)
}

/// A harmless call, which must work; how many calls its instance has served.
fn calls(pool: &mut Pool) -> String {
    let (exchange, verdict) = pool.call(Hook::Request, exchange(&[]));
    assert!(matches!(verdict, Ok(Verdict::Next)), "{verdict:?}");
    exchange.request.headers["x-calls"].to_str().unwrap().to_owned()
}

#[test]
fn every_fault_has_its_class_and_costs_one_call() {
    use HookFaultKind::{BadValue, Deadline, Memory, NotAllowed, Trap};
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    for (act, kind, message) in [
        ("loop", Deadline, "the guest used more than 50ms of CPU time"),
        ("panic", Trap, "the tide  is out"),
        ("abort", Trap, "the guest gave up without a message"),
        ("memory", Memory, "the guest asked for more than its 16777216 bytes of memory"),
        ("stack", Trap, "the guest"),
        ("crlf", BadValue, "the value of header `x-evil` holds a line break"),
        ("bad-name", BadValue, "`x evil` is no header name"),
        ("length", NotAllowed, "header `content-length` belongs to the gateway"),
        ("drop-host", NotAllowed, "header `host` belongs to the gateway"),
        ("many", BadValue, "the guest wrote too many header fields"),
        ("large", BadValue, "the guest wrote too many header fields"),
        ("huge", BadValue, "the guest gave the host what it cannot take"),
        ("var-bomb", BadValue, "variable `v64` was not set"),
        ("early", NotAllowed, "`read-response.get` outside a response hook"),
        ("path-query", BadValue, "`/a?b` is no path"),
        ("bad-authority", BadValue, "`user@host` is no authority"),
        ("big-reply", BadValue, "the reply's body has 1100000 bytes"),
        ("bad-reply", BadValue, "the value of header `x-a` holds a line break"),
    ] {
        let (got, text) = fault(&mut pool, act);
        assert_eq!(got, kind, "{act}: {text}");
        assert!(text.contains(message), "{act}: {text}");
        assert!(!text.contains('\n'), "{act}: {text}");
    }
}

#[test]
fn the_wrong_phase_is_a_named_fault() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let mut back = |act| {
        let (exchange, verdict) = pool.call(Hook::Response, exchange(&[("x-do-back", act)]));
        assert!(!exchange.request.headers.contains_key("x-late"));
        assert_eq!(exchange.response.as_ref().unwrap().status, 200);
        let fault = verdict.unwrap_err();
        (fault.kind, fault.message)
    };
    let left = "in a response hook: the request has left, and is read-only";
    assert_eq!(
        back("write-request"),
        (HookFaultKind::NotAllowed, format!("`write-request-headers.set` of `x-late` {left}"))
    );
    assert_eq!(back("rewrite"), (HookFaultKind::NotAllowed, format!("`rewrite.set-path` of `path` {left}")));
    assert_eq!(back("forward").0, HookFaultKind::NotAllowed);
    assert_eq!(back("no-content").0, HookFaultKind::BadValue);
    assert_eq!(back("informational").0, HookFaultKind::BadValue);
    assert_eq!(back("crlf").0, HookFaultKind::BadValue);
    let (kind, message) = back("panic");
    assert_eq!(kind, HookFaultKind::Trap);
    assert!(message.ends_with("on the way back"), "{message}");
}

#[test]
fn the_log_is_bounded() {
    let rig = rig();
    let mut pool = Pool::new(rig.host.load(&hostile()).unwrap());
    let mut lines = |act| {
        let (_, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act)]));
        assert!(verdict.is_ok());
        std::mem::take(&mut *rig.log.lock().unwrap())
    };
    let flood = lines("flood");
    assert_eq!(flood.len(), LOG_LINES_PER_CALL as usize + 1);
    assert_eq!(flood[0], (LogLevel::Info, "line 0 feed".to_owned()));
    assert_eq!(
        flood[LOG_LINES_PER_CALL as usize],
        (LogLevel::Warn, "968 more lines of this call were dropped: a call may write 32".to_owned())
    );
    let long = lines("long-line");
    assert_eq!((long[0].0, long[0].1.len()), (LogLevel::Error, LOG_LINE_BYTES + '…'.len_utf8()));
    assert_eq!(lines("quiet"), []);
}

#[test]
fn instances_are_reused_or_fresh_as_asked() {
    let host = rig().host;
    let mut reused = Pool::new(host.load(&hostile()).unwrap());
    assert_eq!([calls(&mut reused), calls(&mut reused), calls(&mut reused)], ["1", "2", "3"]);
    let mut fresh = Pool::new(host.load(&ExtensionSpec { fresh: true, ..hostile() }).unwrap());
    assert_eq!([calls(&mut fresh), calls(&mut fresh)], ["1", "1"]);
}

#[test]
fn without_room_for_an_instance_a_call_fails_and_the_next_may_work() {
    let host = Host::new(HostOptions { instances: 1, ..HostOptions::new(Arc::new(|_| {})) }).unwrap();
    let extension = host.load(&hostile()).unwrap();
    let mut first = Pool::new(Arc::clone(&extension));
    assert_eq!(calls(&mut first), "1");
    let mut second = Pool::new(extension);
    let (exchange, verdict) = second.call(Hook::Request, exchange(&[("x-do", "panic")]));
    assert_eq!(exchange.request.headers["x-do"], "panic");
    let fault = verdict.unwrap_err();
    assert_eq!((fault.kind, &*fault.message), (HookFaultKind::Instance, "there is no room for another instance"));
    drop(first);
    assert_eq!(calls(&mut second), "1");
}

#[test]
fn an_instance_serves_only_so_many_calls() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    for _ in 1..CALLS_PER_INSTANCE {
        let (_, verdict) = pool.call(Hook::Request, exchange(&[]));
        assert!(verdict.is_ok());
    }
    assert_eq!(calls(&mut pool), CALLS_PER_INSTANCE.to_string());
    assert_eq!(calls(&mut pool), "1");
}

#[test]
fn an_instance_that_leaks_is_replaced_before_it_fails() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let mut most = 0;
    for _ in 0..1000 {
        let (exchange, verdict) = pool.call(Hook::Request, exchange(&[("x-do", "leak")]));
        assert!(verdict.is_ok(), "{verdict:?}");
        most = most.max(exchange.request.headers["x-calls"].to_str().unwrap().parse::<u32>().unwrap());
    }
    assert!((50..400).contains(&most), "16 MiB hold some 200 leaks of 64 KiB, an instance served {most} calls");
}

#[test]
fn a_module_larger_than_its_memory_is_refused() {
    let tiny = ExtensionSpec { memory: 64 << 10, ..hostile() };
    let error = rig().host.load(&tiny).unwrap_err();
    assert!(error.to_string().contains("65536 bytes of memory"), "{error}");
}

#[test]
fn a_guest_that_loops_holds_up_nobody_else() {
    let host = rig().host;
    let slow = host.load(&ExtensionSpec { time: Duration::from_millis(300), ..hostile() }).unwrap();
    let quick = host.load(&spec("tidegate_hostile_guest", "{\"methods\": []}")).unwrap();
    std::thread::scope(|scope| {
        let looping = scope.spawn(move || {
            let start = Instant::now();
            let (_, verdict) = Pool::new(slow).call(Hook::Request, exchange(&[("x-do", "loop")]));
            (verdict.unwrap_err().kind, start.elapsed())
        });
        let mut pool = Pool::new(quick);
        let mut served = 0;
        while !looping.is_finished() {
            calls(&mut pool);
            served += 1;
        }
        let (kind, took) = looping.join().unwrap();
        assert_eq!(kind, HookFaultKind::Deadline);
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(served > 100, "{served} calls beside the loop");
    });
}

#[test]
fn memory_is_flat() {
    let rig = rig();
    for fresh in [false, true] {
        let mut pool = Pool::new(rig.host.load(&ExtensionSpec { fresh, ..hostile() }).unwrap());
        let mut exchange: Box<Exchange> = exchange(&[]);
        let mut run = |calls: u32| {
            for call in 0..calls {
                let hook = if call % 2 == 0 { Hook::Request } else { Hook::Response };
                let (back, verdict) = pool.call(hook, std::mem::replace(&mut exchange, common::exchange(&[])));
                assert!(verdict.is_ok());
                exchange = back;
            }
            resident()
        };
        let before = run(2_000);
        let after = run(10_000);
        assert!(after.saturating_sub(before) < 4 << 20, "fresh {fresh}: {before} to {after} bytes");
    }
}

#[test]
fn loading_and_dropping_leaves_nothing_behind() {
    let rig = rig();
    let mut round = |n: u32| {
        // A configuration of its own for each round, so that nothing is found loaded.
        let config = format!("{{\"paths\": [\"/{n}\"]}}");
        let mut pool = Pool::new(rig.host.load(&spec("tidegate_hostile_guest", &config)).unwrap());
        calls(&mut pool);
    };
    (0..3).for_each(&mut round);
    let before = resident();
    (3..15).for_each(&mut round);
    let after = resident();
    assert_eq!(rig.host.modules(), 0);
    assert!(after.saturating_sub(before) < 4 << 20, "{before} to {after} bytes");
}
