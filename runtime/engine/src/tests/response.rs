//! The way back.

use http::HeaderValue;
use tidegate_dsl::plan::{
    ExtensionId, HeaderStep, Insert, Predicate, ResponseBlock, ResponseStep, StatusRange, Step, Subject, Template,
};

use super::{back_with, engine, reply, shown, trap, values, walk_with};
use crate::decision::ResponseDecision;
use crate::decision::{Decision, Moment};
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::hook::{HookFaultKind, Verdict};
use crate::testing::{exchange, insert, plan, rule, text, to, when};
use crate::walk::Walk;

const FIRST: ExtensionId = ExtensionId(0);
const SECOND: ExtensionId = ExtensionId(1);
const THIRD: ExtensionId = ExtensionId(2);

fn add(name: &str, value: Template) -> ResponseStep {
    ResponseStep::Header(HeaderStep::Add(name.into(), value))
}

fn block(steps: Vec<ResponseStep>) -> ResponseBlock {
    ResponseBlock { conditions: Vec::new(), steps }
}

/// The listener runs FIRST, the rule runs SECOND and THIRD; rule and listener write what they did into `x-way`.
fn onion() -> Engine {
    let mut rule = rule("otherwise", vec![], vec![Step::Run(SECOND), Step::Run(THIRD)], to(0));
    let failed = when(Subject::Status, Predicate::Status(vec![StatusRange { first: 500, last: 599 }]));
    rule.on_response = vec![
        block(vec![add("x-way", text("rule 1"))]),
        ResponseBlock { conditions: vec![failed], steps: vec![add("x-way", text("sorry"))] },
        block(vec![
            add("x-way", text("rule 3")),
            ResponseStep::SetVar("status".into(), insert(Insert::Status)),
            ResponseStep::Log(insert(Insert::ResponseHeader("x-way".into()))),
        ]),
    ];
    let mut plan = plan(vec![rule]);
    plan.listeners[0].run = vec![FIRST];
    plan.listeners[0].on_response = vec![block(vec![add("x-way", insert(Insert::Rule))])];
    engine(plan)
}

fn note(exchange: &mut Exchange, extension: ExtensionId) {
    let value = HeaderValue::from_str(&format!("hook {}", extension.0)).unwrap();
    exchange.response.as_mut().unwrap().headers.append("x-way", value);
}

fn way(exchange: &Exchange) -> Vec<&str> {
    values(&exchange.response.as_ref().unwrap().headers, "x-way")
}

fn there(engine: &Engine, exchange: &mut Exchange) -> Walk {
    walk_with(engine, exchange, Moment::default(), |_, _| Ok(Verdict::Next)).0
}

#[test]
fn the_rule_first_then_the_listener() {
    let engine = onion();
    for (status, sorry) in [(200, false), (502, true)] {
        let mut exchange = exchange("GET", "a", "/");
        let mut walk = there(&engine, &mut exchange);
        assert!(engine.response_work(&walk));
        let decision = back_with(&engine, &mut walk, &mut exchange, status, |extension, exchange| {
            note(exchange, extension);
            Ok(Verdict::Next)
        });
        assert!(matches!(decision, ResponseDecision::Pass));
        let mut expected = vec!["hook 2", "hook 1", "rule 1", "sorry", "rule 3", "hook 0", "otherwise"];
        expected.retain(|word| sorry || *word != "sorry");
        assert_eq!(way(&exchange), expected);
        assert_eq!(exchange.vars.get("status"), Some(status.to_string().as_str()));
        assert_eq!(exchange.log_lines, [expected[..expected.len() - 2].join(", ")]);
    }
}

#[test]
fn only_extensions_that_were_started_take_part() {
    let engine = onion();
    // SECOND ends the walk: THIRD was not started, SECOND was.
    let mut exchange = exchange("GET", "a", "/");
    let (mut walk, decision) = walk_with(&engine, &mut exchange, Moment::default(), |extension, _| {
        Ok(if extension == SECOND { Verdict::Forward("api".into()) } else { Verdict::Next })
    });
    assert_eq!(shown(&engine, &decision), "api");
    back_with(&engine, &mut walk, &mut exchange, 200, |extension, exchange| {
        note(exchange, extension);
        Ok(Verdict::Next)
    });
    assert_eq!(way(&exchange), ["hook 1", "rule 1", "rule 3", "hook 0", "otherwise"]);
}

#[test]
fn a_listeners_extension_that_ends_the_walk_leaves_the_rule_out() {
    let engine = onion();
    let mut exchange = exchange("GET", "a", "/");
    let (mut walk, _) =
        walk_with(&engine, &mut exchange, Moment::default(), |_, _| Ok(Verdict::Respond(reply(401, ""))));
    back_with(&engine, &mut walk, &mut exchange, 401, |extension, exchange| {
        note(exchange, extension);
        Ok(Verdict::Next)
    });
    assert_eq!(way(&exchange), ["hook 0", ""]);
}

#[test]
fn an_answer_of_a_hook_replaces_the_response_for_the_rest_of_the_way() {
    let engine = onion();
    let mut exchange = exchange("GET", "a", "/");
    let mut walk = there(&engine, &mut exchange);
    let decision = back_with(&engine, &mut walk, &mut exchange, 200, |extension, exchange| {
        note(exchange, extension);
        Ok(match extension {
            SECOND => Verdict::Respond(reply(503, "sorry")),
            _ => Verdict::Next,
        })
    });
    let ResponseDecision::Replace(reply) = decision else { panic!("it is replaced") };
    assert_eq!((reply.status.as_u16(), &reply.body[..]), (503, &b"sorry"[..]));
    assert_eq!(values(&reply.headers, "x-way"), ["rule 1", "sorry", "rule 3", "hook 0", "otherwise"]);
    assert_eq!(exchange.response.as_ref().unwrap().status, 503);
}

#[test]
fn a_hook_may_close_and_may_not_forward() {
    let engine = onion();
    let mut exchange = exchange("GET", "a", "/");
    let mut walk = there(&engine, &mut exchange);
    let decision = back_with(&engine, &mut walk, &mut exchange, 200, |_, _| Ok(Verdict::Close));
    assert!(matches!(decision, ResponseDecision::Close));

    // THIRD denies with 418.
    let mut walk = there(&engine, &mut exchange);
    let decision = back_with(&engine, &mut walk, &mut exchange, 200, |extension, _| {
        Ok(if extension == THIRD { Verdict::Forward("web".into()) } else { Verdict::Next })
    });
    assert!(matches!(decision, ResponseDecision::Replace(reply) if reply.status == 418));
    let (extension, fault) = walk.last_fault().unwrap();
    assert_eq!((extension, fault.kind), (THIRD, HookFaultKind::NotAllowed));
}

#[test]
fn a_failing_response_hook_denies_or_is_skipped() {
    let engine = onion();
    for (failing, denied) in [(SECOND, None), (FIRST, Some(500))] {
        let mut exchange = exchange("GET", "a", "/");
        let mut walk = there(&engine, &mut exchange);
        let decision = back_with(&engine, &mut walk, &mut exchange, 200, |extension, _| {
            if extension == failing { Err(trap()) } else { Ok(Verdict::Next) }
        });
        let status = match &decision {
            ResponseDecision::Replace(reply) => Some(reply.status.as_u16()),
            _ => None,
        };
        assert_eq!(status, denied);
        assert_eq!(walk.last_fault(), Some((failing, trap())));
    }
}

#[test]
fn nothing_to_do_is_known_in_advance() {
    let engine = engine(plan(vec![rule("otherwise", vec![], vec![], to(0))]));
    let mut exchange = exchange("GET", "a", "/");
    let (mut walk, decision) = walk_with(&engine, &mut exchange, Moment::default(), |_, _| Ok(Verdict::Next));
    assert!(matches!(decision, Decision::Forward(_)));
    assert!(!engine.response_work(&walk));
    let decision = back_with(&engine, &mut walk, &mut exchange, 200, |_, _| panic!("nothing is run"));
    assert!(matches!(decision, ResponseDecision::Pass));
}
