//! What guests can do: the hooks of the examples, and every function of the ABI.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{exchange, hostile, module, rig, spec};
use http::Method;
use tidegate_engine::hook::{Abi, BodyVerdict, Capability, Hook, Verdict};
use tidegate_wasm_host::limits::{INIT_TIME_MAX, INIT_WALL};
use tidegate_wasm_host::{
    BodyMode, ExtensionSpec, GroupState, Groups, LoadError, ModuleError, Pool, Reach, Reached, inspect,
};

#[test]
fn client_headers_changes_both_heads() {
    let config = r#"{"request": {"x-client": "{client-ip}"}, "response": {"x-ext": "1"}}"#;
    let extension = rig().host.load(&spec("client_headers", config)).unwrap();
    let mut pool = Pool::new(extension);
    let (exchange, verdict) = pool.call(Hook::Request, exchange(&[]));
    assert!(matches!(verdict, Ok(Verdict::Next)));
    assert_eq!(exchange.request.headers["x-client"], "203.0.113.9");
    let (exchange, verdict) = pool.call(Hook::Response, exchange);
    assert!(matches!(verdict, Ok(Verdict::Next)));
    assert_eq!(exchange.response.unwrap().headers["x-ext"], "1");
}

#[test]
fn canary_router_forwards() {
    let config = r#"{"group": "canary", "header": "x-canary"}"#;
    let extension = rig().host.load(&spec("canary_router", config)).unwrap();
    let mut pool = Pool::new(extension);
    let (exchange1, verdict) = pool.call(Hook::Request, exchange(&[("x-canary", "1")]));
    assert!(matches!(verdict, Ok(Verdict::Forward(group)) if group == "canary"));
    assert!(exchange1.request.headers.contains_key("x-canary"));
    let (_, verdict) = pool.call(Hook::Request, exchange(&[]));
    assert!(matches!(verdict, Ok(Verdict::Next)));
}

#[test]
fn modules_need_what_they_use_and_no_more() {
    let needs = |name: &str| {
        let report = inspect(&module(name), Abi::Tidegate).unwrap();
        assert_eq!((report.unknown_imports.len(), report.unknown_exports.len()), (0, 0));
        let mut words: Vec<&str> = report.needs.iter().map(|need| need.capability.word()).collect();
        words.dedup();
        (report.hooks, words.join(" "))
    };
    assert_eq!(
        needs("client_headers"),
        (vec![Hook::Request, Hook::Response], "read-request write-request-headers write-response-headers".to_owned())
    );
    assert_eq!(
        needs("canary_router"),
        (vec![Hook::Request, Hook::Response], "read-request write-response-headers route vars".to_owned())
    );
}

#[test]
fn an_import_that_is_not_allowed_is_refused_with_its_word() {
    let spec = ExtensionSpec {
        allow: vec![Capability::ReadRequest, Capability::WriteRequestHeaders],
        ..spec("client_headers", "{}")
    };
    let error = rig().host.load(&spec).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the module imports what it is not allowed: `tidegate:extension/write-response-headers@0.1.0` (allow it with \
         `write-response-headers`)"
    );
}

#[test]
fn a_finished_component_is_taken_as_it_is() {
    let core = module("canary_router");
    let component = wit_component::ComponentEncoder::default().module(&core).unwrap().encode().unwrap();
    let host = rig().host;
    assert_eq!(inspect(&component, Abi::Tidegate), inspect(&core, Abi::Tidegate));
    let config = r#"{"group": "canary", "percent": 100}"#;
    let spec = ExtensionSpec { module: component.into(), ..spec("canary_router", config) };
    let (_, verdict) = Pool::new(host.load(&spec).unwrap()).call(Hook::Request, exchange(&[]));
    assert!(matches!(verdict, Ok(Verdict::Forward(group)) if group == "canary"));
}

#[test]
fn a_file_that_is_no_extension_is_refused() {
    let refused = |bytes: &[u8]| inspect(bytes, Abi::Tidegate).unwrap_err();
    assert!(matches!(refused(b"GIF89a.."), ModuleError::NotWasm(_)));
    assert!(matches!(refused(b""), ModuleError::NotWasm(_)));
    assert!(matches!(refused(b"\0asm\x01\0\0\0"), ModuleError::NoExport("lifecycle")));
    assert!(matches!(refused(b"\0asm\x0d\0\x01\0"), ModuleError::NoExport("lifecycle")));
}

#[test]
fn a_file_that_is_cut_or_damaged_does_no_harm() {
    let whole = module("canary_router");
    for cut in (0..whole.len()).step_by(997) {
        assert!(inspect(&whole[..cut], Abi::Tidegate).is_err(), "cut at {cut}");
    }
    let mut random = 1_u64;
    let mut refused = 0;
    for _ in 0..300 {
        let mut damaged = whole.to_vec();
        for _ in 0..3 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (random >> 33) as usize % damaged.len();
            damaged[at] ^= 1 << (random & 7);
        }
        refused += u32::from(inspect(&damaged, Abi::Tidegate).is_err());
    }
    assert!(refused > 50, "{refused} of 300 damaged modules were refused");
    // The component type is the part that other readers than the validator see.
    let start = whole.windows(14).position(|name| name == b"component-type").unwrap();
    let mut damaged = whole.to_vec();
    for at in (start..(start + 2000).min(whole.len())).step_by(7) {
        damaged[at] ^= 0x15;
        let _ = inspect(&damaged, Abi::Tidegate);
        damaged[at] ^= 0x15;
    }
}

#[test]
fn init_refuses_and_its_words_come_through() {
    let host = rig().host;
    let load = |config: &str| host.load(&spec("tidegate_hostile_guest", config)).unwrap_err();
    let refused = LoadError::Init("the colour is missing: write colour \"red\"".to_owned());
    assert_eq!(load(r#"{"init": "refuse"}"#), refused);
    assert!(load(r#"{"inot": 1}"#).to_string().contains("unknown field `inot`"));
    assert!(load(r#"{"init": "panic"}"#).to_string().ends_with("no way"), "{}", load(r#"{"init": "panic"}"#));
    let early = "the extension failed in `init`: `read-request.path` in `init` or a tick: there is no request";
    assert_eq!(load(r#"{"init": "read"}"#).to_string(), early);
    // However long a hook may take.
    let patient =
        ExtensionSpec { time: Duration::from_secs(60), ..spec("tidegate_hostile_guest", r#"{"init": "loop"}"#) };
    let failed = "the extension failed in `init`: the guest";
    let late = [
        format!("{failed} used more than {INIT_TIME_MAX:?} of CPU time"),
        format!("{failed} did not get done in {INIT_WALL:?}: the machine is overloaded"),
    ];
    let said = host.load(&patient).unwrap_err().to_string();
    assert!(late.contains(&said), "{said}");
}

#[test]
fn init_accepts_the_configuration_for_every_worker_before_any_request() {
    let host = rig().host;
    let extension = host.load(&spec("tidegate_hostile_guest", r#"{"init": "once"}"#)).unwrap();
    extension.prewarm(1).unwrap();
    assert_eq!(
        extension.prewarm(2).unwrap_err().to_string(),
        "the extension refuses its configuration: one instance of me is enough"
    );
    let extension = host.load(&spec("tidegate_hostile_guest", "{}")).unwrap();
    extension.prewarm(3).unwrap();
    // Each worker's first call finds an instance that nobody has called yet.
    for _ in 0..3 {
        let (exchange, verdict) = Pool::new(Arc::clone(&extension)).call(Hook::Request, exchange(&[]));
        assert!(verdict.is_ok() && exchange.request.headers["x-calls"] == "1");
    }
}

#[test]
fn interest_is_tested_without_a_call() {
    let config = r#"{"methods": ["POST"], "paths": ["/a"]}"#;
    let extension = rig().host.load(&spec("tidegate_hostile_guest", config)).unwrap();
    let mut exchange = exchange(&[]);
    assert!(!extension.wants(Hook::Request, &exchange));
    exchange.request.method = Method::POST;
    assert!(extension.wants(Hook::Request, &exchange) && extension.wants(Hook::Response, &exchange));
    exchange.request.target = "/ab".parse().unwrap();
    assert!(!extension.wants(Hook::Request, &exchange));
}

#[test]
fn a_guest_sees_the_whole_request() {
    let extension = rig().host.load(&hostile()).unwrap();
    let headers = [("x-do", "describe"), ("x-m", "1"), ("x-m", "2")];
    let (exchange, verdict) = Pool::new(extension).call(Hook::Request, exchange(&headers));
    assert!(verdict.is_ok(), "{verdict:?}");
    let is = |name: &str, value: &str| assert_eq!(exchange.request.headers[name], value);
    is("x-head", "GET http shop.example 1.1");
    is("x-target", "/a Some(\"b\")");
    is("x-peer", "192.0.2.1:50123 203.0.113.9");
    is("x-conn", "plain h1 none");
    is("x-all", "x-do=describe;x-m=1;x-m=2;x-calls=1;");
    is("x-multi", "1;2;");
    is("x-random", "true");
    is("x-clock", "true");
}

#[test]
fn a_guest_rewrites_the_target() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let mut target = |act| {
        let (exchange, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act)]));
        assert!(verdict.is_ok(), "{verdict:?}");
        format!("{}{}", exchange.request.authority, *exchange.request.target)
    };
    assert_eq!(target("path"), "shop.example/c?b", "normalised, as a client's would be");
    assert_eq!(target("query"), "shop.example/a?k=v");
    assert_eq!(target("authority"), "other.example:8443/a?b");
}

#[test]
fn a_guest_changes_the_response() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let (exchange1, _) = pool.call(Hook::Response, exchange(&[]));
    let response = exchange1.response.unwrap();
    assert_eq!(response.headers["x-was"], "200");
    assert!(!response.headers.contains_key("server"));
    let (exchange2, _) = pool.call(Hook::Response, exchange(&[("x-do-back", "status")]));
    assert_eq!(exchange2.response.unwrap().status, 418);
}

#[test]
fn verdicts_come_through() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let mut verdict = |act| pool.call(Hook::Request, exchange(&[("x-do", act)])).1.unwrap();
    assert!(matches!(verdict("forward"), Verdict::Forward(group) if group == "blue"));
    assert!(matches!(verdict("close"), Verdict::Close));
    let Verdict::Respond(reply) = verdict("respond") else { unreachable!("the guest responds") };
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (403, &b"no"[..]));
    assert_eq!(reply.headers["x-why"], "hostile");
}

#[test]
fn variables_are_shared_with_the_gateway() {
    let mut pool = Pool::new(rig().host.load(&hostile()).unwrap());
    let mut exchange = exchange(&[("x-do", "vars")]);
    exchange.vars.set("colour", "red").unwrap();
    let (exchange, _) = pool.call(Hook::Request, exchange);
    assert_eq!(exchange.vars.get("colour"), Some("red!"));
}

#[test]
fn what_is_loaded_is_not_loaded_again_and_goes_with_its_last_user() {
    let host = rig().host;
    let first = host.load(&hostile()).unwrap();
    assert!(Arc::ptr_eq(&first, &host.load(&hostile()).unwrap()));
    let other_limits = ExtensionSpec { memory: 32 << 20, ..hostile() };
    let second = host.load(&other_limits).unwrap();
    assert!(!Arc::ptr_eq(&first, &second));
    assert_eq!(host.modules(), 1, "one module, compiled once");
    drop((first, second));
    assert_eq!(host.modules(), 0);
}

#[test]
fn a_core_module_and_its_component_answer_alike() {
    let host = rig().host;
    let core = hostile();
    let component = wit_component::ComponentEncoder::default().module(&core.module).unwrap().encode().unwrap();
    // Names of their own, so that they share no store.
    let (one, two) = ("core".to_owned(), "component".to_owned());
    let component = ExtensionSpec { name: two, module: component.into(), ..core.clone() };
    let mut core = Pool::new(host.load(&ExtensionSpec { name: one, ..core }).unwrap());
    let mut component = Pool::new(host.load(&component).unwrap());
    // `random` and `clock` are not the same twice; `describe` calls both and tells the outcome of a comparison alone.
    for act in [
        "",
        "panic",
        "abort",
        "crlf",
        "bad-name",
        "length",
        "drop-host",
        "many",
        "large",
        "huge",
        "flood",
        "long-line",
        "var-bomb",
        "vars",
        "early",
        "path",
        "path-query",
        "query",
        "authority",
        "bad-authority",
        "forward",
        "close",
        "respond",
        "big-reply",
        "bad-reply",
        "describe",
        "store",
        "store-calls",
        "store-key",
        "store-large",
        "metrics",
        "metric-flood",
        "metric-name",
        "metric-less",
        "groups",
    ] {
        let call = |pool: &mut Pool| {
            let (exchange, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act), ("x-m", "1"), ("x-m", "2")]));
            // The reason of a value that cannot be taken is worded by whoever reads it.
            let verdict = format!("{verdict:?}").split(" take").next().unwrap().to_owned();
            format!("{verdict} {:?} {:?}", exchange.request, exchange.vars)
        };
        assert_eq!(call(&mut core), call(&mut component), "{act}");
        for pool in [&mut core, &mut component] {
            assert!(pool.call(Hook::Request, exchange(&[])).1.is_ok());
        }
    }
    for act in ["", "write-request", "no-content", "status", "informational", "forward", "crlf", "panic"] {
        let call = |pool: &mut Pool| {
            let (exchange, verdict) = pool.call(Hook::Response, exchange(&[("x-do-back", act)]));
            format!("{verdict:?} {:?}", exchange.response)
        };
        assert_eq!(call(&mut core), call(&mut component), "{act}");
        for pool in [&mut core, &mut component] {
            assert!(pool.call(Hook::Request, exchange(&[])).1.is_ok());
        }
    }
}

#[test]
fn bodies_are_passed_replaced_and_refused() {
    let spec = spec("tidegate_hostile_guest", r#"{"body": ["buffer", 1024], "tick_ms": 200}"#);
    let component = wit_component::ComponentEncoder::default().module(&spec.module).unwrap().encode().unwrap();
    let host = rig().host;
    for module in [Arc::clone(&spec.module), component.into()] {
        let extension = host.load(&ExtensionSpec { module, ..spec.clone() }).unwrap();
        assert_eq!(extension.body(Hook::RequestBody, &exchange(&[])), Some(BodyMode::Buffer(1024)));
        let mut pool = Pool::new(extension);
        let mut say = |data: &[u8], last| {
            let (back, verdict) = pool.call_body(Hook::RequestBody, exchange(&[]), (data, last), false);
            (back.request.headers.get("x-body").cloned(), verdict.unwrap())
        };
        assert!(matches!(say(b"plain", true), (None, BodyVerdict::Next)));
        assert!(matches!(say(b"", true), (None, BodyVerdict::Next)));
        assert!(matches!(say(b"write", true), (Some(length), BodyVerdict::Next) if length == "5"));
        assert!(matches!(say(b"upper", false).1, BodyVerdict::Replace(data) if data == "UPPER"));
        assert!(matches!(say(b"drop", true).1, BodyVerdict::Replace(data) if data.is_empty()));
        assert!(matches!(say(b"last", false).1, BodyVerdict::Next));
        assert!(matches!(say(b"last", true).1, BodyVerdict::Replace(data) if data == "the last"));
        assert!(matches!(say(b"respond", true).1, BodyVerdict::Respond(reply) if reply.status == 403));
        assert!(matches!(say(b"close", true).1, BodyVerdict::Close));
        let (back, told) = pool.log(exchange(&[]));
        assert_eq!((told, back.vars.get("logged")), (Ok(()), Some("GET 200")));
        assert!(pool.log(exchange(&[("x-do-log", "write")])).1.unwrap_err().message.contains("has left"));
    }
}

#[test]
fn ticks_come_when_they_are_due() {
    let host = rig().host;
    let extension = host.load(&spec("tidegate_hostile_guest", r#"{"tick_ms": 200}"#)).unwrap();
    let mut pool = Pool::new(extension);
    let start = std::time::Instant::now();
    for ms in [0, 100, 199, 200, 250, 399, 400] {
        assert_eq!(pool.tick(start + Duration::from_millis(ms)), Ok(()));
    }
    let samples = host.samples();
    assert_eq!(samples.iter().find(|sample| sample.name == "ticks").unwrap().value, 3.0);
}

#[test]
fn what_is_shared_is_shared_by_workers_and_outlives_a_reload() {
    struct Blue;
    impl Groups for Blue {
        fn list(&self) -> Vec<GroupState> {
            vec![GroupState { name: "blue".to_owned(), healthy: 1, total: 2 }]
        }
    }
    let host = rig().host;
    let first = host.load(&hostile()).unwrap();
    let head = |pool: &mut Pool, act, name: &str| {
        let (exchange, verdict) = pool.call(Hook::Request, exchange(&[("x-do", act)]));
        assert!(verdict.is_ok(), "{verdict:?}");
        exchange.request.headers[name].to_str().unwrap().to_owned()
    };
    let mut pool = Pool::new(Arc::clone(&first));
    let fresh = "None true Some([49]) true false Some(-7) Some(3) [Yes, Yes, No]";
    assert_eq!(head(&mut pool, "store", "x-store"), fresh);
    let second = host.load(&ExtensionSpec { memory: 32 << 20, ..hostile() }).unwrap();
    drop((pool, first));
    let mut pool = Pool::new(second);
    let again = "None true Some([49]) true false Some(-4) Some(6) [No, No, No]";
    assert_eq!(head(&mut pool, "store", "x-store"), again);
    assert_eq!(head(&mut pool, "groups", "x-groups"), "");
    pool.set_groups(Arc::new(Blue));
    assert_eq!(head(&mut pool, "groups", "x-groups"), "blue 1/2;");
    let listed = |groups: &[&str]| {
        let route = Reached::These(groups.iter().map(|group| (*group).to_owned()).collect());
        let spec = ExtensionSpec { reach: Reach { route, ..Reach::default() }, ..hostile() };
        let mut pool = Pool::new(host.load(&spec).unwrap());
        pool.set_groups(Arc::new(Blue));
        head(&mut pool, "groups", "x-groups")
    };
    assert_eq!((listed(&["blue"]), listed(&["red"])), ("blue 1/2;".to_owned(), String::new()));
    let (_, verdict) = pool.call(Hook::Request, exchange(&[("x-do", "metrics")]));
    assert!(verdict.is_ok());
    let samples = host.samples();
    let value = |name: &str| samples.iter().find(|sample| sample.name == name).map(|sample| sample.value);
    assert_eq!((value("hits"), value("level"), value("sizes")), (Some(2.0), Some(-1.5), Some(3.0)));
}
