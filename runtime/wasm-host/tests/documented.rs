//! The table of hostile guests in `docs/extensions.md`, line by line.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::time::Duration;

use common::{exchange, hostile, rig, spec};
use tidegate_engine::hook::{Capability, Hook, HookFault, HookFaultKind, Verdict};
use tidegate_wasm_host::limits::{
    BODY_BYTES, COMPILE_WALL, FAULT_MESSAGE_BYTES, HEADER_BYTES_PER_CALL, HEADERS_PER_CALL, INTEREST_ENTRIES,
    LATE_COMPILATIONS, LOG_LINE_BYTES, LOG_LINES_PER_CALL, METRICS_PER_EXTENSION, OUTBOUND_BODY_BYTES,
    OUTBOUND_CALLS_PER_CALL, REPLY_BODY_BYTES, STORE_BYTES, STORE_CALLS_PER_CALL, STORE_ENTRIES, STORE_KEY_BYTES,
    TRANSFER_BYTES, VAR_BYTES_PER_REQUEST, VARS_PER_REQUEST,
};
use tidegate_wasm_host::{ExtensionSpec, Host, LoadError, Pool, Reach, Reached};

/// A harmless call, which must work; how many calls its instance has served.
fn calls(pool: &mut Pool) -> String {
    let (exchange, verdict) = pool.call(Hook::Request, exchange(&[]));
    assert!(matches!(verdict, Ok(Verdict::Next)), "{verdict:?}");
    exchange.request.headers["x-calls"].to_str().unwrap().to_owned()
}

/// The count of a metric.
fn count(host: &Host, name: &str) -> f64 {
    host.samples().iter().find(|sample| sample.name == name).map_or(0.0, |sample| sample.value)
}

/// The table of the documentation: what a guest tries, the fault, and the count.
fn documented() -> Vec<[String; 3]> {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/extensions.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, table) = page.split_once("| it tries | fault | counted as |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let mut cells = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        let [what, fault, count] = [(); 3].map(|()| cells.next().unwrap());
        [what, fault.trim_matches('`').to_owned(), count.trim_matches('`').to_owned()]
    })
    .collect()
}

/// The bounds of guests, as the documentation has them: what is bounded, and the value.
fn bounds() -> Vec<(&'static str, String)> {
    let bytes = |bytes: usize| match bytes {
        MIB.. if bytes.is_multiple_of(MIB) => format!("{} MiB", bytes / MIB),
        KIB.. if bytes.is_multiple_of(KIB) && bytes > 4 * KIB => format!("{} KiB", bytes / KIB),
        _ => format!("{bytes} bytes"),
    };
    let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
    vec![
        (
            "header fields that one call may write",
            format!("{HEADERS_PER_CALL}, together {}", bytes(HEADER_BYTES_PER_CALL)),
        ),
        ("body of a reply", bytes(REPLY_BODY_BYTES)),
        ("bytes out of the guest in one host call", bytes(TRANSFER_BYTES)),
        ("log lines of a call", format!("{LOG_LINES_PER_CALL}, each {}", bytes(LOG_LINE_BYTES))),
        ("last words before a trap", bytes(FAULT_MESSAGE_BYTES)),
        ("methods and path prefixes of an interest", format!("{INTEREST_ENTRIES} each")),
        ("variables of a request", format!("{VARS_PER_REQUEST}, together {}", bytes(VAR_BYTES_PER_REQUEST))),
        ("calls of the store in one call", STORE_CALLS_PER_CALL.to_string()),
        (
            "store of an extension",
            format!(
                "{} entries, together {}; keys of {}",
                thousands(STORE_ENTRIES),
                bytes(STORE_BYTES),
                bytes(STORE_KEY_BYTES)
            ),
        ),
        ("metrics of an extension", METRICS_PER_EXTENSION.to_string()),
        ("calls to other servers in one call", OUTBOUND_CALLS_PER_CALL.to_string()),
        ("body of such a call, and of its answer", bytes(OUTBOUND_BODY_BYTES)),
        ("a body taken whole, or a piece", bytes(BODY_BYTES as usize)),
        ("time of compiling", format!("{} seconds on the wall clock", COMPILE_WALL.as_secs())),
        ("modules that are still compiled after that", LATE_COMPILATIONS.to_string()),
    ]
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

#[test]
fn the_documentation_has_the_bounds_of_guests() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/extensions.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (what, value) in bounds() {
        let row = format!("\n| {what} | {value} |");
        assert!(page.contains(&row), "no row `{}`", row.trim());
    }
}

/// Does what a row of the documentation says; the fault.
fn tried(host: &Host, what: &str) -> Result<(), HookFault> {
    let request = |spec: ExtensionSpec, act: &'static str| {
        let mut pool = Pool::new(host.load(&spec).unwrap());
        let result = pool.call(Hook::Request, exchange(&[("x-do", act)])).1.map(drop);
        assert_eq!(calls(&mut Pool::new(host.load(&hostile()).unwrap())), "1", "others, after `{what}`");
        result
    };
    let acts = [
        ("an endless loop", "loop"),
        ("a panic", "panic"),
        ("endless recursion", "stack"),
        ("more memory than `limits { memory }`", "memory"),
        ("a flood of log lines", "flood"),
        ("a line break in a header value", "crlf"),
        ("a name that is no header name", "bad-name"),
        ("a forged `content-length`", "length"),
        ("to take `host` out", "drop-host"),
        ("too many header fields", "many"),
        ("a header of megabytes", "huge"),
        ("to read the response before there is one", "early"),
        ("more variables than there may be", "var-bomb"),
        ("a flood of calls of the store", "store-calls"),
        ("a flood of keys in the store", "store-flood"),
        ("more metrics than there may be", "metric-flood"),
        ("a reply of more than 1 MiB", "big-reply"),
    ];
    if let Some((_, act)) = acts.iter().find(|(known, _)| *known == what) {
        if *act == "store-flood" {
            let mut pool = Pool::new(host.load(&ExtensionSpec { time: Duration::from_secs(10), ..hostile() }).unwrap());
            for _ in 0..400 {
                pool.call(Hook::Request, exchange(&[("x-do", act)])).1.map(drop)?;
            }
        }
        // Where it is not the time that ends the call, a machine with much to do is not to end it either.
        let time = if *act == "loop" { hostile().time } else { Duration::from_secs(10) };
        return request(ExtensionSpec { time, ..hostile() }, act);
    }
    let without = |word| hostile().allow.into_iter().filter(|allowed| *allowed != word).collect();
    let failed = |error: LoadError| match error {
        LoadError::InitFault(fault) => fault,
        other => panic!("{other}"),
    };
    match what {
        "`forward` without `route`" => match host
            .load(&ExtensionSpec { allow: without(Capability::Route), ..hostile() })
        {
            Err(LoadError::NotAllowed(_)) => Err(HookFault { kind: HookFaultKind::NotAllowed, message: String::new() }),
            other => panic!("{other:?}"),
        },
        "to write to a request that has left" => {
            let mut pool = Pool::new(host.load(&hostile()).unwrap());
            pool.call(Hook::Response, exchange(&[("x-do-back", "write-request")])).1.map(drop)
        }
        "to replace a body by more than 2 MiB" => {
            let spec = spec("tidegate_hostile_guest", r#"{"body": ["buffer", 1024]}"#);
            let mut pool = Pool::new(host.load(&spec).unwrap());
            pool.call_body(Hook::RequestBody, exchange(&[]), (b"huge", true), false).1.map(drop)
        }
        "an `init` that never ends" => {
            let spec = spec("tidegate_hostile_guest", r#"{"init": "loop"}"#);
            Err(failed(host.load(&ExtensionSpec { time: Duration::from_millis(5), ..spec }).unwrap_err()))
        }
        "a table without an end" => {
            let world = common::made::World::new(
                "world guest { export tidegate:extension/lifecycle@0.1.0; export tidegate:extension/on-request@0.1.0; }",
            );
            let module = world.module(&[], &common::made::forever(&common::made::grow_the_table()));
            request(ExtensionSpec { module: module.into(), config: String::new(), ..hostile() }, "")
        }
        "a flood of calls to other servers" => {
            let mut pool = Pool::new(host.load(&spec("tidegate_asking_guest", "{}")).unwrap());
            pool.call(Hook::Request, exchange(&[("x-do", "flood")])).1.map(drop)
        }
        other => panic!("no test does this: {other}"),
    }
}

#[test]
fn the_documentation_says_what_becomes_of_hostile_guests() {
    let rows = documented();
    assert!(rows.len() > 20, "{rows:?}");
    let host = rig().host;
    // What is counted is kept as long as an extension of the name is loaded.
    let _loaded = host.load(&hostile()).unwrap();
    for [what, fault, counter] in rows {
        let before = count(&host, &counter);
        let result = tried(&host, &what).map_err(|fault| fault.kind.name());
        let expected = if fault == "none" { Ok(()) } else { Err(fault.as_str()) };
        assert_eq!(result, expected, "{what}");
        if counter != "the policy is refused" {
            assert!(count(&host, &counter) > before, "{what}: {counter}");
        }
    }
}

#[test]
fn a_group_that_may_not_be_named_is_a_named_fault() {
    let host = rig().host;
    let route = |group: &str| Reach { route: Reached::These(vec![group.to_owned()]), ..Reach::default() };
    let call = |reach: Reach| {
        let mut pool = Pool::new(host.load(&ExtensionSpec { reach, ..hostile() }).unwrap());
        pool.call(Hook::Request, exchange(&[("x-do", "forward")])).1
    };
    assert!(matches!(call(route("blue")), Ok(Verdict::Forward(group)) if group == "blue"));
    let fault = call(route("green")).map(drop).unwrap_err();
    assert_eq!(fault.kind, HookFaultKind::NotAllowed);
    assert!(fault.message.starts_with("the guest said `forward` to group `blue`, which `allow` does not list"));
}
