//! The way there.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tidegate_dsl::plan::{
    Condition, ExtensionId, Forward, GroupId, HeaderStep, Insert, Limit, LimitKey, ListenerAction, NetworkSet, OnError,
    Outcome, Piece, Predicate, Respond, RuleSetId, Step, Subject, Target, Template, Test, UriPart,
};

use super::{MAIN, engine, reply, shown, trap, values, walk, walk_with};
use crate::decision::{Decision, Moment, Progress};
use crate::engine::Engine;
use crate::hook::{HookFault, HookFaultKind, Verdict};
use crate::observer::Silent;
use crate::testing::{exchange, insert, plan, rule, text, to, when};

const FIRST: ExtensionId = ExtensionId(0);
const SECOND: ExtensionId = ExtensionId(1);
const THIRD: ExtensionId = ExtensionId(2);

fn path_under(prefix: &str) -> Condition {
    when(Subject::Path, Predicate::Under(vec![prefix.into()]))
}

fn set(name: &str, value: Template) -> Step {
    Step::Header(HeaderStep::Set(name.into(), value))
}

#[test]
fn the_first_rule_whose_conditions_hold_wins() {
    let office = Condition {
        unless: true,
        test: Test::Is(
            Subject::ClientIp,
            Predicate::In(NetworkSet { lists: vec![tidegate_dsl::plan::ListId(0)], networks: Vec::new() }),
        ),
    };
    let engine = engine(plan(vec![
        rule("admin", vec![path_under("/admin"), office], vec![], Outcome::Close),
        rule("api", vec![path_under("/admin")], vec![], to(1)),
        rule("late", vec![path_under("/admin")], vec![], Outcome::Close),
        rule("otherwise", vec![], vec![], to(0)),
    ]));
    for (client, target, rule, outcome) in [
        ([203, 0, 113, 9], "/admin/x", "admin", "close"),
        ([10, 0, 0, 1], "/admin/x", "api", "api"),
        ([10, 0, 0, 1], "/administrator", "otherwise", "web"),
    ] {
        let mut exchange = exchange("GET", "a.example", target);
        exchange.client_ip = client.into();
        let (walk, decision) = walk(&engine, &mut exchange);
        assert_eq!(walk.rule_name(&engine), Some(rule));
        assert_eq!(shown(&engine, &decision), outcome);
        assert_eq!(exchange.group.as_deref().unwrap_or("close"), outcome);
    }
}

#[test]
fn steps_run_in_order_and_see_what_came_before() {
    let engine = engine(plan(vec![rule(
        "otherwise",
        vec![],
        vec![
            set("x-path", insert(Insert::Path)),
            Step::Rewrite(UriPart::Path, text("/new")),
            Step::Rewrite(UriPart::Query, text("")),
            Step::Rewrite(UriPart::Host, text("Internal.example:81")),
            set("x-uri", insert(Insert::Uri)),
            set("x-host", insert(Insert::Header("host".into()))),
            set("x-original", insert(Insert::OriginalUri)),
            Step::SetVar("v".into(), text("value")),
            set("x-var", insert(Insert::Var("v".into()))),
            Step::Header(HeaderStep::Add("x-many".into(), text("2"))),
            Step::Header(HeaderStep::Remove("x-gone".into())),
            set("x-rule", insert(Insert::Rule)),
            Step::Timeout(Duration::from_secs(7)),
            Step::Log(text("a line")),
        ],
        to(0),
    )]));
    let mut exchange = exchange("GET", "shop.example", "/old?q=1");
    exchange.request.headers.insert("x-many", HeaderValue::from_static("1"));
    exchange.request.headers.insert("x-gone", HeaderValue::from_static("1"));
    let (walk, decision) = walk(&engine, &mut exchange);
    assert_eq!(shown(&engine, &decision), "web");
    let headers = &exchange.request.headers;
    for (name, expected) in [
        ("x-path", &["/old"][..]),
        ("x-uri", &["/new"]),
        ("x-host", &["internal.example:81"]),
        ("x-original", &["/old?q=1"]),
        ("x-var", &["value"]),
        ("x-many", &["1", "2"]),
        ("x-gone", &[]),
        ("x-rule", &["otherwise"]),
    ] {
        assert_eq!(values(headers, name), expected, "{name}");
    }
    assert_eq!(exchange.request.target.as_str(), "/new");
    assert_eq!(walk.timeout(), Some(Duration::from_secs(7)));
    assert_eq!(exchange.log_lines, ["a line"]);
    assert!(!walk.limited());
}

#[test]
fn groups_of_the_expression_are_kept_from_the_match() {
    let matches = |pattern: &str| Test::Is(Subject::Path, Predicate::Matches(vec![pattern.into()]));
    let engine = engine(plan(vec![
        rule(
            "numbered",
            vec![
                Condition { unless: false, test: Test::Any(vec![matches("^/(?<any>v)")]) },
                Condition { unless: false, test: matches("^/v([0-9]+)/(.*)$") },
            ],
            vec![
                Step::Rewrite(
                    UriPart::Path,
                    Template(vec![
                        Piece::Text("/".into()),
                        Piece::Insert(Insert::MatchIndex(2)),
                        Piece::Text("/".into()),
                        Piece::Insert(Insert::MatchIndex(1)),
                    ]),
                ),
                set("x-whole", insert(Insert::MatchIndex(0))),
                set("x-any", insert(Insert::MatchName("any".into()))),
            ],
            to(0),
        ),
        rule("otherwise", vec![], vec![], Outcome::Close),
    ]));
    let mut exchange = exchange("GET", "a", "/v12/items");
    let (_, decision) = walk(&engine, &mut exchange);
    assert_eq!(shown(&engine, &decision), "web");
    assert_eq!(exchange.request.target.as_str(), "/items/12");
    assert_eq!(values(&exchange.request.headers, "x-whole"), ["/v12/items"]);
    assert_eq!(values(&exchange.request.headers, "x-any"), ["v"]);
}

#[test]
fn a_forward_is_split_by_weight() {
    let targets = [(0, 90), (1, 10)].map(|(group, weight)| Target { group: GroupId(group), weight });
    let engine = engine(plan(vec![rule(
        "otherwise",
        vec![],
        vec![],
        Outcome::Forward(Forward { targets: targets.into(), sticky: None }),
    )]));
    let web = (0..1000_u64)
        .filter(|sample| {
            let moment = Moment { nanos: 0, random: sample * (u64::MAX / 1000) };
            let mut exchange = exchange("GET", "a", "/");
            let (_, decision) = walk_with(&engine, &mut exchange, moment, |_, _| Ok(Verdict::Next));
            shown(&engine, &decision) == "web"
        })
        .count();
    assert!((899..=901).contains(&web), "{web}");
}

#[test]
fn answers_of_the_policy() {
    let respond = |status, body, content_type: &str| {
        Outcome::Respond(Respond { status, body, content_type: content_type.into() })
    };
    let url = Template(vec![Piece::Text("https://".into()), Piece::Insert(Insert::Host), Piece::Insert(Insert::Uri)]);
    let engine = engine(plan(vec![
        rule("go", vec![path_under("/go")], vec![], Outcome::Redirect(308, url)),
        rule("open", vec![path_under("/evil.example")], vec![], Outcome::Close),
        rule("loop", vec![path_under("/loop")], vec![], Outcome::Redirect(302, insert(Insert::Query))),
        rule("no", vec![path_under("/no")], vec![], respond(403, text("forbidden\n"), "text/plain")),
        rule("who", vec![path_under("/who")], vec![], respond(200, insert(Insert::ClientIp), "text/x")),
        rule("otherwise", vec![], vec![], respond(204, text(""), "text/plain")),
    ]));
    for (target, status, location, content_type, body) in [
        ("/go?x=1", 308, Some("https://shop.example/go?x=1"), None, ""),
        ("/loop?//evil.example", 302, Some("/evil.example"), None, ""),
        ("/no", 403, None, Some("text/plain"), "forbidden\n"),
        ("/who", 200, None, Some("text/x"), "203.0.113.9"),
        ("/", 204, None, None, ""),
    ] {
        let mut exchange = exchange("GET", "shop.example", target);
        let (_, Decision::Reply(reply)) = walk(&engine, &mut exchange) else { panic!("{target} is answered here") };
        let header = |name| reply.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(reply.status.as_u16(), status);
        assert_eq!(header("location"), location);
        assert_eq!(header("content-type"), content_type);
        assert_eq!(reply.body, body.as_bytes());
    }
}

fn limited(requests: u32, per: LimitKey) -> Step {
    Step::Limit(Limit { requests, interval: Duration::from_secs(1), per, burst: 1, status: 503 })
}

#[test]
fn a_limit_refuses_and_says_when_to_come_again() {
    let engine = engine(plan(vec![rule(
        "api",
        vec![],
        vec![limited(2, LimitKey::ClientIp(64)), set("x-after", text("1"))],
        to(0),
    )]));
    let at = |millis: u64| Moment { nanos: millis * 1_000_000, random: 0 };
    for (millis, expected) in [(0, "web"), (400, "reply 503"), (500, "web")] {
        let mut exchange = exchange("GET", "a", "/");
        let (walk, decision) = walk_with(&engine, &mut exchange, at(millis), |_, _| Ok(Verdict::Next));
        assert_eq!(shown(&engine, &decision), expected, "{millis}");
        assert_eq!(walk.limited(), expected != "web");
        assert_eq!(exchange.request.headers.contains_key("x-after"), expected == "web");
        if let Decision::Reply(reply) = decision {
            assert_eq!(values(&reply.headers, "retry-after"), ["1"]);
            assert_eq!(values(&reply.headers, "tidegate-limited"), ["api"]);
            assert_eq!(walk.rule_name(&engine), Some("api"));
        }
    }
    let mut other = exchange("GET", "a", "/");
    other.client_ip = [203, 0, 113, 10].into();
    let (_, decision) = walk_with(&engine, &mut other, at(500), |_, _| Ok(Verdict::Next));
    assert_eq!(shown(&engine, &decision), "web");
}

#[test]
fn limits_count_by_header_cookie_and_host() {
    for (per, name) in [(LimitKey::Header("x-key".into()), "x-key"), (LimitKey::Cookie("k".into()), "cookie")] {
        let engine = engine(plan(vec![rule("otherwise", vec![], vec![limited(1, per)], to(0))]));
        let ask = |value: Option<&'static str>| {
            let mut exchange = exchange("GET", "a", "/");
            if let Some(value) = value {
                exchange.request.headers.insert(name, HeaderValue::from_static(value));
            }
            shown(&engine, &walk(&engine, &mut exchange).1)
        };
        assert_eq!(ask(Some("k=1")), "web");
        assert_eq!(ask(Some("k=1")), "reply 503");
        assert_eq!(ask(Some("k=2")), "web");
        assert_eq!(ask(None), "web");
        assert_eq!(ask(None), "reply 503");
    }
    let engine = engine(plan(vec![rule("otherwise", vec![], vec![limited(1, LimitKey::Host)], to(0))]));
    let ask = |host| shown(&engine, &walk(&engine, &mut exchange("GET", host, "/")).1);
    assert_eq!(ask("a"), "web");
    assert_eq!(ask("a:81"), "reply 503");
    assert_eq!(ask("b"), "web");
}

#[test]
fn buckets_survive_a_rebuild_that_keeps_the_limit() {
    let with = |name: &str, step: Step, status: u16| {
        let mut plan = plan(vec![rule(name, vec![], vec![step], to(0))]);
        if let Step::Limit(limit) = &mut plan.rule_sets[0].rules[0].steps[0] {
            limit.status = status;
        }
        Arc::new(plan)
    };
    let before = Engine::build(with("api", limited(1, LimitKey::All), 503), None).unwrap();
    assert_eq!(shown(&before, &walk(&before, &mut exchange("GET", "a", "/")).1), "web");
    for (plan, expected) in [
        (with("api", limited(1, LimitKey::All), 429), "reply 429"),
        (with("renamed", limited(1, LimitKey::All), 503), "web"),
        (with("api", limited(2, LimitKey::All), 503), "web"),
        (with("api", limited(1, LimitKey::Host), 503), "web"),
    ] {
        let after = Engine::build(plan, Some(&before)).unwrap();
        assert_eq!(shown(&after, &walk(&after, &mut exchange("GET", "a", "/")).1), expected);
    }
    // What the rebuilt one takes, the old one lacks: they share the bucket while requests of both are under way.
    let second = Moment { nanos: 1_000_000_000, random: 0 };
    let after = Engine::build(with("api", limited(1, LimitKey::All), 503), Some(&before)).unwrap();
    let ask =
        |engine| shown(engine, &walk_with(engine, &mut exchange("GET", "a", "/"), second, |_, _| Ok(Verdict::Next)).1);
    assert_eq!(ask(&after), "web");
    assert_eq!(ask(&before), "reply 503");
}

/// A listener that runs the first extension, and a rule that runs the second between two header steps.
fn with_hooks() -> Engine {
    let mut plan = plan(vec![rule(
        "otherwise",
        vec![],
        vec![set("x-before", text("1")), Step::Run(SECOND), set("x-after", text("1"))],
        to(0),
    )]);
    plan.listeners[0].run = vec![FIRST];
    engine(plan)
}

#[test]
fn hooks_are_called_in_order_and_what_they_change_is_seen() {
    let mut plan = plan(vec![
        rule(
            "by-hook",
            vec![when(Subject::Header("x-hook".into()), Predicate::Present)],
            vec![Step::Run(THIRD), Step::Run(SECOND)],
            to(1),
        ),
        rule("otherwise", vec![], vec![], to(0)),
    ]);
    plan.listeners[0].run = vec![SECOND, FIRST];
    let engine = engine(plan);
    let mut called = Vec::new();
    let mut exchange = exchange("GET", "a", "/");
    let (_, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, exchange| {
        called.push(extension);
        exchange.request.headers.insert("x-hook", HeaderValue::from_static("1"));
        Ok(Verdict::Next)
    });
    assert_eq!(called, [SECOND, FIRST, THIRD, SECOND]);
    assert_eq!(shown(&engine, &decision), "api");
}

#[test]
fn a_verdict_of_a_listeners_extension_ends_the_walk() {
    let engine = with_hooks();
    for (verdict, expected) in [
        (Verdict::Forward("api".into()), "api"),
        (Verdict::Respond(reply(418, "")), "reply 418"),
        (Verdict::Close, "close"),
    ] {
        let mut exchange = exchange("GET", "a", "/");
        let mut verdict = Some(verdict);
        let (walk, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, _| {
            assert_eq!(extension, FIRST);
            Ok(verdict.take().unwrap())
        });
        assert_eq!(shown(&engine, &decision), expected);
        assert_eq!(walk.rule_name(&engine), None);
        assert_eq!(exchange.group.as_deref(), (expected == "api").then_some("api"));
    }
}

#[test]
fn a_verdict_of_a_rules_extension_replaces_its_outcome() {
    let engine = with_hooks();
    for (verdict, expected) in [
        (Verdict::Forward("api".into()), "api"),
        (Verdict::Respond(reply(418, "")), "reply 418"),
        (Verdict::Close, "close"),
        (Verdict::Next, "web"),
    ] {
        let mut exchange = exchange("GET", "a", "/");
        let mut verdict = Some(verdict);
        let (walk, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, _| {
            Ok(if extension == FIRST { Verdict::Next } else { verdict.take().unwrap() })
        });
        assert_eq!(shown(&engine, &decision), expected);
        assert_eq!(walk.rule_name(&engine), Some("otherwise"));
        assert!(exchange.request.headers.contains_key("x-before"));
        assert_eq!(exchange.request.headers.contains_key("x-after"), expected == "web");
    }
}

#[test]
fn a_failing_extension_denies_or_is_skipped() {
    let engine = with_hooks();
    // The first one denies with 500, the second one is skipped.
    for (failing, expected) in [(FIRST, "reply 500"), (SECOND, "web")] {
        let mut exchange = exchange("GET", "a", "/");
        let (mut walk, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, _| {
            if extension == failing { Err(trap()) } else { Ok(Verdict::Next) }
        });
        assert_eq!(shown(&engine, &decision), expected);
        assert_eq!(walk.last_fault(), Some((failing, trap())));
        assert_eq!(walk.last_fault(), None);
    }
}

#[test]
fn an_extension_that_is_not_called_is_skipped_only_if_the_policy_says_so() {
    let mut skipping = with_hooks().plan().clone();
    skipping.extensions[1].on_pause = OnError::Skip;
    for (engine, expected) in [(with_hooks(), "reply 503"), (engine(skipping), "web")] {
        for kind in [HookFaultKind::Paused, HookFaultKind::Room] {
            let mut exchange = exchange("GET", "a", "/");
            let (_, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, _| {
                let fault = HookFault { kind, message: "it was not asked".to_owned() };
                if extension == SECOND { Err(fault) } else { Ok(Verdict::Next) }
            });
            // Its `on-error` skips, and does not count.
            assert_eq!(shown(&engine, &decision), expected, "{kind:?}");
            assert_eq!(engine.denies(SECOND, kind), expected != "web");
        }
        assert!(!engine.denies(SECOND, HookFaultKind::Trap));
    }
}

#[test]
fn a_forward_to_an_unknown_group_is_a_fault() {
    let engine = with_hooks();
    let mut exchange = exchange("GET", "a", "/");
    let (mut walk, decision) =
        walk_with(&engine, &mut exchange, Moment::default(), |_, _| Ok(Verdict::Forward("nowhere".into())));
    assert_eq!(shown(&engine, &decision), "reply 500");
    let (extension, fault) = walk.last_fault().unwrap();
    assert_eq!((extension, fault.kind), (FIRST, HookFaultKind::UnknownGroup));
    assert!(fault.message.contains("`nowhere`"));
}

#[test]
fn a_listener_may_forward_without_rules() {
    let mut plan = plan(vec![rule("otherwise", vec![], vec![], Outcome::Close)]);
    plan.listeners[0].action = ListenerAction::Forward(vec![Target { group: GroupId(1), weight: 1 }]);
    let engine = engine(plan);
    let (walk, decision) = walk(&engine, &mut exchange("GET", "a", "/"));
    assert_eq!(shown(&engine, &decision), "api");
    assert_eq!(walk.rule_name(&engine), None);
}

#[test]
fn the_driver_cannot_confuse_a_walk() {
    let engine = with_hooks();
    let mut exchange = exchange("GET", "a", "/");
    let mut walk = engine.start(MAIN);
    // A verdict that nobody asked for does nothing.
    engine.resume(&mut walk, &mut exchange, Ok(Verdict::Close));
    let mut runs = 0;
    // Advancing without resuming goes on as with `next`.
    let decision = loop {
        match engine.advance(&mut walk, &mut exchange, Moment::default(), &mut Silent) {
            Progress::Run(_) => runs += 1,
            Progress::Done(decision) => break decision,
        }
    };
    assert_eq!((runs, shown(&engine, &decision).as_str()), (2, "web"));
    let again = engine.advance(&mut walk, &mut exchange, Moment::default(), &mut Silent);
    assert!(matches!(again, Progress::Done(Decision::Close)));
    let mut nowhere = engine.start(tidegate_dsl::plan::ListenerId(9));
    let progress = engine.advance(&mut nowhere, &mut exchange, Moment::default(), &mut Silent);
    assert!(matches!(progress, Progress::Done(Decision::Close)));
}

#[test]
fn the_listener_tells_the_client_and_the_backend_apart() {
    let engine = with_hooks();
    let mut exchange = exchange("GET", "a", "/");
    engine.add_forwarded(MAIN, &mut exchange);
    assert_eq!(values(&exchange.request.headers, "x-forwarded-for"), ["192.0.2.1"]);
    assert_eq!(values(&exchange.request.headers, "x-forwarded-proto"), ["http"]);
    let peer = "::ffff:192.0.2.1".parse().unwrap();
    let client = engine.client_ip(MAIN, peer, &exchange.request.headers);
    assert_eq!(client.to_string(), "192.0.2.1");
}

#[test]
fn a_plan_that_cannot_run_is_refused_with_place_and_mend() {
    let header = |name: &str| vec![rule("otherwise", vec![], vec![set(name, text("1"))], to(0))];
    let mut unknown_rules = plan(header("x"));
    unknown_rules.listeners[0].action = ListenerAction::Rules(RuleSetId(7));
    let mut unknown_hook = plan(header("x"));
    unknown_hook.listeners[0].run = vec![ExtensionId(9)];
    let zero = Outcome::Forward(Forward { targets: vec![Target { group: GroupId(0), weight: 0 }], sticky: None });
    for (plan, place, message) in [
        (plan(header("content-length")), "rule `otherwise` of rules `shop`", "`content-length`"),
        (plan(header("host")), "rule `otherwise` of rules `shop`", "rewrite host"),
        (plan(header("a b")), "rule `otherwise` of rules `shop`", "no header name"),
        (plan(vec![]), "rules `shop`", "otherwise"),
        (plan(vec![rule("a", vec![path_under("/")], vec![], to(0))]), "rules `shop`", "otherwise"),
        (plan(vec![rule("otherwise", vec![], vec![], zero)]), "rule `otherwise`", "weight"),
        (plan(vec![rule("otherwise", vec![], vec![], to(9))]), "rule `otherwise`", "server group"),
        (plan(vec![rule("otherwise", vec![], vec![], Outcome::Redirect(99, text("/")))]), "rule `otherwise`", "99"),
        (unknown_rules, "listener `main`", "rules that do not exist"),
        (unknown_hook, "listener `main`", "extension"),
    ] {
        let error = Engine::build(Arc::new(plan), None).unwrap_err();
        assert!(error.place.starts_with(place), "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    let good = plan(header("x"));
    assert_eq!(Engine::build(Arc::new(good.clone()), None).unwrap().plan(), &good);
}
