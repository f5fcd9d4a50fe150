//! What guests cannot do: each fault costs its own call, comes with its class and a sentence, and nothing else breaks.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{exchange, hostile, resident, rig, spec};
use tidegate_engine::exchange::Exchange;
use tidegate_engine::hook::{Hook, HookFaultKind, Verdict};
use tidegate_wasm_host::limits::{
    BREAKER_FAULTS, BREAKER_PAUSE, CALLS_PER_INSTANCE, LOG_LINE_BYTES, LOG_LINES_PER_CALL,
};
use tidegate_wasm_host::{ExtensionSpec, Host, HostOptions, LoadError, LogLevel, Pool};

/// Calls with `x-do: act`, expects a fault, and then that the exchange is whole and that the next call is served by a
/// fresh instance.
fn fault(pool: &mut Pool, act: &'static str) -> (HookFaultKind, String) {
    let (exchange1, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act)]));
    assert_eq!(exchange1.request.headers["x-do"], act);
    assert_eq!(exchange1.request.target.as_str(), "/a?b");
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
    use HookFaultKind::{BadValue, Deadline, Memory, NotAllowed, TooMuch, Trap};
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
        ("many", TooMuch, "the guest wrote too many header fields"),
        ("large", TooMuch, "the guest wrote too many header fields"),
        ("huge", TooMuch, "the guest gave the host more than 2097152 bytes at once"),
        ("var-bomb", TooMuch, "variable `v64` was not set"),
        ("early", NotAllowed, "`read-response.get` outside a response hook"),
        ("path-query", BadValue, "`/a?b` is no path"),
        ("bad-authority", BadValue, "`user@host` is no authority"),
        ("big-reply", TooMuch, "the reply's body has 1100000 bytes"),
        ("store-calls", TooMuch, "the guest used the store too often"),
        ("store-key", TooMuch, "the store's key has 2000 bytes"),
        ("metric-less", BadValue, "the metric `hits` cannot take -1"),
        ("metric-flood", TooMuch, "is one too many: an extension may define 64"),
        ("metric-name", BadValue, "`no name` is no name of a metric"),
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

/// The count of a metric.
fn count(host: &Host, name: &str) -> f64 {
    host.samples().iter().find(|sample| sample.name == name).map_or(0.0, |sample| sample.value)
}

#[test]
fn every_fault_is_counted() {
    let host = rig().host;
    let mut pool = Pool::new(host.load(&hostile()).unwrap());
    for act in ["loop", "panic", "memory", "length", "crlf"] {
        fault(&mut pool, act);
    }
    fault(&mut pool, "panic");
    let counts = ["deadline", "trap", "memory", "not_allowed", "bad_value"]
        .map(|kind| count(&host, &format!("host_fault_{kind}")));
    assert_eq!(counts, [1.0, 2.0, 1.0, 1.0, 1.0]);
    let (_, verdict) = pool.call(Hook::Request, exchange(&[("x-do", "flood")]));
    assert!(verdict.is_ok());
    assert_eq!(count(&host, "host_log_lines_dropped"), 968.0);
}

#[test]
fn a_store_is_full_for_the_guest_that_floods_it_and_nobody_else() {
    let host = rig().host;
    let mut flooding = Pool::new(host.load(&hostile()).unwrap());
    let neighbour = ExtensionSpec { name: "neighbour".to_owned(), ..hostile() };
    let mut neighbour = Pool::new(host.load(&neighbour).unwrap());
    while count(&host, "host_store_full") == 0.0 {
        let (_, verdict) = flooding.call(Hook::Request, exchange(&[("x-do", "store-flood")]));
        assert!(verdict.is_ok(), "to be refused is no fault: {verdict:?}");
    }
    let set = |pool: &mut Pool| {
        let (exchange, verdict) = pool.call(Hook::Request, exchange(&[("x-do", "store-large")]));
        assert!(verdict.is_ok(), "{verdict:?}");
        exchange.request.headers["x-set"].to_str().unwrap().to_owned()
    };
    assert_eq!((set(&mut flooding), set(&mut neighbour)), ("false".to_owned(), "true".to_owned()));
}

#[test]
fn an_extension_that_fails_for_every_client_is_paused() {
    let rig = rig();
    let extension = rig.host.load(&hostile()).unwrap();
    let (mut pool, mut other_worker) = (Pool::new(Arc::clone(&extension)), Pool::new(extension));
    let mut clients = 0_u8;
    let mut call = |act| {
        let mut exchange = exchange(&[("x-do", act)]);
        clients = clients.wrapping_add(1);
        exchange.client_ip = std::net::IpAddr::from([203, 0, clients, 9]);
        pool.call(Hook::Request, exchange).1.map(drop).map_err(|fault| fault.kind)
    };
    for _ in 0..BREAKER_FAULTS {
        assert_eq!(call("panic"), Err(HookFaultKind::Trap));
    }
    assert_eq!(call(""), Err(HookFaultKind::Paused), "it is not called");
    assert_eq!(calls(&mut other_worker), "1");
    assert_eq!((count(&rig.host, "host_pauses"), count(&rig.host, "host_fault_paused")), (1.0, 1.0));
    let start = Instant::now();
    while call("") == Err(HookFaultKind::Paused) {
        assert!(start.elapsed() < BREAKER_PAUSE * 20);
        std::thread::sleep(BREAKER_PAUSE / 20);
    }
    assert_eq!(call(""), Ok(()));
    let log = rig.log.lock().unwrap();
    assert!(
        log[0].1.starts_with("it failed for nearly every client, and this worker does not call it for 1s; last: "),
        "{log:?}"
    );
    assert_eq!(log[1], (LogLevel::Info, "it works again".to_owned()));
}

#[test]
fn one_client_that_makes_it_fail_costs_the_others_nothing() {
    let host = rig().host;
    let mut pool = Pool::new(host.load(&hostile()).unwrap());
    for round in 0..40 {
        for _ in 0..21 {
            let (_, verdict) = pool.call(Hook::Request, exchange(&[("x-do", "panic")]));
            assert_eq!(verdict.unwrap_err().kind, HookFaultKind::Trap);
        }
        if round % 10 == 0 {
            let mut other = exchange(&[]);
            other.client_ip = std::net::IpAddr::from([198, 51, 100, 7]);
            assert!(matches!(pool.call(Hook::Request, other).1, Ok(Verdict::Next)));
        }
    }
    assert_eq!((count(&host, "host_fault_trap"), count(&host, "host_pauses")), (840.0, 0.0));
}

#[test]
fn whatever_numbers_a_guest_passes_it_harms_nobody_else() {
    let host = rig().host;
    let core = hostile();
    let component = wit_component::ComponentEncoder::default().module(&core.module).unwrap().encode().unwrap();
    for module in [Arc::clone(&core.module), component.into()] {
        let mut pool = Pool::new(host.load(&ExtensionSpec { module, ..core.clone() }).unwrap());
        let mut faults = 0;
        for seed in 0..400_u32 {
            let mut exchange = exchange(&[("x-do", "raw"), ("x-rounds", "3")]);
            exchange.request.headers.insert("x-seed", (seed * 7919).into());
            let (back, verdict) = pool.call(Hook::Request, exchange);
            assert_eq!(back.request.target.as_str(), "/a?b");
            assert!(!back.request.headers.contains_key("content-length"));
            faults += u32::from(verdict.is_err_and(|fault| fault.kind != HookFaultKind::Instance));
            // A call that works ends what counts as failing again and again.
            calls(&mut pool);
        }
        assert!(faults > 200, "{faults} of 400 calls were stopped");
    }
}

#[test]
fn bodies_are_as_bounded_as_heads() {
    use HookFaultKind::{Deadline, NotAllowed, Trap};
    let spec = spec("tidegate_hostile_guest", r#"{"body": ["buffer", 1024]}"#);
    let mut pool = Pool::new(rig().host.load(&spec).unwrap());
    let mut fault = |data: &[u8], streams: bool| {
        let (_, verdict) = pool.call_body(Hook::ResponseBody, exchange(&[]), (data, true), streams);
        let fault = verdict.map(drop).unwrap_err();
        calls(&mut pool);
        (fault.kind, fault.message)
    };
    assert_eq!(fault(b"panic", false).0, Trap);
    assert_eq!(fault(b"loop", true).0, Deadline);
    let (kind, message) = fault(b"respond", true);
    assert_eq!((kind, &*message), (NotAllowed, "the guest said `respond` to a piece of a body: the head has left"));
    let (kind, message) = fault(b"write", true);
    let left = "`write-response-headers.set` in a response-body hook: the response has left, and is read-only";
    assert_eq!((kind, &*message), (NotAllowed, left));
    let allow = vec![tidegate_engine::hook::Capability::ReadRequest];
    let bare = ExtensionSpec { allow, ..spec };
    let refused = rig().host.load(&bare).unwrap_err().to_string();
    assert!(refused.contains("on-request-body@0.1.0` (allow it with `body`)"), "{refused}");
    let large = common::spec("tidegate_hostile_guest", r#"{"body": ["stream", 2000000]}"#);
    let refused = rig().host.load(&large).unwrap_err().to_string();
    assert!(refused.contains("1024 to 1048576 can be had"), "{refused}");
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
    assert_eq!((fault.kind, &*fault.message), (HookFaultKind::Room, "there is no room for another instance"));
    drop(first);
    assert_eq!(calls(&mut second), "1");
}

#[test]
fn a_module_that_is_late_is_refused_and_found_when_it_is_done() {
    let options = HostOptions { compile_time: Duration::ZERO, ..HostOptions::new(Arc::new(|_| {})) };
    let host = Host::new(options).unwrap();
    assert_eq!(host.load(&hostile()).err(), Some(LoadError::Late(Duration::ZERO)));
    let begun = Instant::now();
    let extension = loop {
        match host.load(&hostile()) {
            Ok(extension) => break extension,
            Err(error) => assert_eq!(error, LoadError::Late(Duration::ZERO)),
        }
        assert!(begun.elapsed() < Duration::from_secs(60));
        std::thread::yield_now();
    };
    assert_eq!(calls(&mut Pool::new(extension)), "1");
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
