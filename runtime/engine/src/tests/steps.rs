//! `mirror`, `cors` and `sticky` on a whole walk.

use std::time::Duration;

use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, COOKIE, ORIGIN, SET_COOKIE, VARY};
use tidegate_dsl::plan::{Cors, CorsHeaders, CorsOrigins, Forward, GroupId, Mirror, Outcome, Step, Target};

use super::*;
use crate::affinity::Kept;
use crate::decision::{Decision, Moment};
use crate::testing::{exchange, plan, rule, to};

fn to_groups(weights: &[u32]) -> Outcome {
    let targets = weights.iter().enumerate().map(|(group, weight)| Target { group: GroupId(group), weight: *weight });
    Outcome::Forward(Forward { targets: targets.collect(), sticky: Some(Duration::from_secs(3600)) })
}

fn next(_: ExtensionId, _: &mut Exchange) -> Result<Verdict, HookFault> {
    Ok(Verdict::Next)
}

#[test]
fn mirrors_are_recorded_by_percent() {
    let mirror = |group, percent| Step::Mirror(Mirror { group: GroupId(group), percent });
    let engine = engine(plan(vec![rule("otherwise", vec![], vec![mirror(1, 100), mirror(0, 10)], to(0))]));
    let (mut copies, mut state) = (0_u32, 7_u64);
    for _ in 0..2000 {
        state = crate::hash::both(state, 1);
        let mut exchange = exchange("GET", "a", "/");
        let (walk, _) = walk_with(&engine, &mut exchange, Moment { nanos: 1, random: state }, next);
        assert_eq!(walk.mirrors().first(), Some(&GroupId(1)));
        copies += u32::from(walk.mirrors().get(1) == Some(&GroupId(0)));
    }
    assert!((150..250).contains(&copies), "{copies} of 2000 copied");
    // The choice of the group and the choice to copy are apart.
    let plain = engine_of(vec![rule("otherwise", vec![], vec![], to(0))]);
    let (walk, _) = walk_with(&plain, &mut exchange("GET", "a", "/"), Moment::default(), next);
    assert!(walk.mirrors().is_empty() && walk.kept().is_none());
}

fn engine_of(rules: Vec<tidegate_dsl::plan::Rule>) -> Engine {
    engine(plan(rules))
}

/// The group that the request goes to, and the cookie that the client gets.
fn forward(engine: &Engine, cookie: Option<&str>, random: u64) -> (String, Option<String>) {
    let mut exchange = exchange("GET", "a", "/");
    if let Some(cookie) = cookie {
        exchange.request.headers.insert(COOKIE, cookie.parse().unwrap());
    }
    let (mut walk, decision) = walk_with(engine, &mut exchange, Moment { nanos: 1, random }, next);
    let group = shown(engine, &decision);
    assert_eq!(engine.response_work(&walk), matches!(walk.kept(), Some(Kept::Chosen(_))));
    back_with(engine, &mut walk, &mut exchange, 200, next);
    let set = exchange.response.as_ref().unwrap().headers.get(SET_COOKIE).map(|set| set.to_str().unwrap().to_owned());
    (group, set)
}

#[test]
fn a_client_stays_on_its_group() {
    let engine = engine_of(vec![rule("otherwise", vec![], vec![], to_groups(&[1, 1]))]);
    let (group, set) = forward(&engine, None, u64::MAX);
    assert_eq!(group, "api");
    let set = set.unwrap();
    assert!(
        set.starts_with("tidegate-forward-") && set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    let cookie = set.split(';').next().unwrap();
    // Chance would choose `web`.
    assert_eq!(forward(&engine, None, 0).0, "web");
    assert_eq!(forward(&engine, Some(&format!("x=1; {cookie}")), 0), ("api".to_owned(), None));
    // The order of the groups does not matter, their names do.
    let mut turned = plan(vec![rule("otherwise", vec![], vec![], to_groups(&[1, 1]))]);
    turned.groups.swap(0, 1);
    let turned = super::engine(turned);
    assert_eq!(forward(&turned, Some(cookie), u64::MAX), ("api".to_owned(), None));
    // A group that takes nothing any more, a cookie of another rule, and nonsense.
    let drained = engine_of(vec![rule("otherwise", vec![], vec![], to_groups(&[1, 0]))]);
    assert_eq!(forward(&drained, Some(cookie), 0).0, "web");
    let name = cookie.split('=').next().unwrap();
    assert!(forward(&engine, Some(&format!("{name}=0123")), 0).1.is_some());
    let mut renamed = plan(vec![rule("otherwise", vec![], vec![], to_groups(&[1, 1]))]);
    renamed.rule_sets[0].name = "other".into();
    assert!(forward(&super::engine(renamed), Some(cookie), 0).1.is_some());
}

fn cors() -> Step {
    Step::Cors(Cors {
        origins: CorsOrigins::Only(vec!["https://shop.example".into()]),
        methods: vec!["GET".into()],
        headers: CorsHeaders::Any,
        expose: Vec::new(),
        credentials: false,
        max_age: Duration::from_secs(600),
    })
}

#[test]
fn cors_answers_what_is_asked_first_and_marks_what_comes_back() {
    let engine = engine_of(vec![rule("otherwise", vec![], vec![cors()], to(0))]);
    let mut asking = exchange("OPTIONS", "a", "/");
    asking.request.headers.insert(ORIGIN, HeaderValue::from_static("https://shop.example"));
    asking.request.headers.insert("access-control-request-method", HeaderValue::from_static("GET"));
    let (walk, decision) = walk_with(&engine, &mut asking, Moment::default(), next);
    assert!(matches!(decision, Decision::Reply(reply) if reply.status == 204));
    assert!(engine.response_work(&walk));

    let mut simple = exchange("GET", "a", "/");
    simple.request.headers.insert(ORIGIN, HeaderValue::from_static("https://shop.example"));
    let (mut walk, decision) = walk_with(&engine, &mut simple, Moment::default(), next);
    assert_eq!(shown(&engine, &decision), "web");
    // The request's own fields are gone by then.
    simple.request.headers.clear();
    assert!(engine.response_work(&walk));
    back_with(&engine, &mut walk, &mut simple, 502, next);
    let headers = &simple.response.as_ref().unwrap().headers;
    assert_eq!(values(headers, ACCESS_CONTROL_ALLOW_ORIGIN.as_str()), ["https://shop.example"]);
    assert_eq!(values(headers, VARY.as_str()), ["Origin"]);
}
