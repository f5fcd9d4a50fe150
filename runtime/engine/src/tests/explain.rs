//! Tests of what `explain` says.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use tidegate_dsl::plan::{
    Condition, ExtensionId, HeaderStep, Insert, Limit, LimitKey, ListId, NetworkSet, Outcome, Peers, Piece, Predicate,
    Respond, ResponseBlock, ResponseStep, Step, Subject, Template, Test, UriPart,
};

use super::{MAIN, engine, trap};
use crate::decision::Moment;
use crate::engine::Engine;
use crate::exchange::Exchange;
use crate::explain::explain;
use crate::explanation::{Ending, Explanation};
use crate::hook::{Reply, Verdict};
use crate::testing::{exchange, insert, plan, rule, text, to, when};

fn shop() -> Engine {
    let host = |host: &str| Test::Is(Subject::Host, Predicate::Is(vec![host.into()]));
    let limit =
        Limit { requests: 1, interval: Duration::from_secs(1), per: LimitKey::ClientIp(64), burst: 1, status: 503 };
    let admin = rule(
        "admin",
        vec![
            when(Subject::Path, Predicate::Under(vec!["/admin".into()])),
            Condition { unless: true, test: Test::Is(Subject::Method, Predicate::Is(vec!["GET".into()])) },
        ],
        vec![],
        Outcome::Close,
    );
    let beta = rule(
        "beta",
        vec![Condition {
            unless: false,
            test: Test::Any(vec![
                host("beta.example"),
                Test::Is(Subject::Cookie("plan".into()), Predicate::Is(vec!["pro".into()])),
            ]),
        }],
        vec![],
        Outcome::Close,
    );
    let api = rule(
        "api",
        vec![Condition { unless: false, test: host("shop.example") }],
        vec![
            Step::Limit(limit),
            Step::Header(HeaderStep::Set("x-edge".into(), insert(Insert::Listener))),
            Step::Rewrite(UriPart::Path, text("/new")),
            Step::Run(ExtensionId(1)),
        ],
        to(1),
    );
    let mut otherwise = rule(
        "otherwise",
        vec![],
        vec![],
        Outcome::Respond(Respond { status: 404, body: text("not here\n"), content_type: "text/plain".into() }),
    );
    otherwise.on_response = vec![
        ResponseBlock { conditions: vec![when(Subject::Status, Predicate::Is(vec!["500".into()]))], steps: vec![] },
        ResponseBlock {
            conditions: vec![],
            steps: vec![ResponseStep::Header(HeaderStep::Set("x-by".into(), text("us")))],
        },
    ];
    let mut plan = plan(vec![admin, beta, api, otherwise]);
    plan.listeners[0].run = vec![ExtensionId(0)];
    engine(plan)
}

fn explained(engine: &Engine, exchange: Box<Exchange>) -> Explanation {
    explain(engine, MAIN, exchange, Moment::default(), &mut |extension, _, exchange| {
        let verdict = if extension == ExtensionId(1) { Err(trap()) } else { Ok(Verdict::Next) };
        (exchange, Some(verdict))
    })
}

#[test]
fn a_forwarded_request() {
    let mut exchange = exchange("GET", "shop.example", "/admin/x?q=1");
    exchange.request.headers.insert("cookie", HeaderValue::from_static("plan=free"));
    let explanation = explained(&shop(), exchange);
    assert_eq!(
        explanation.to_string(),
        "\
GET http://shop.example/admin/x?q=1
from 203.0.113.9 on listener main, rules shop

  run first (request)                  next
  rule admin                           no: unless method is \"GET\" — the method was `GET`
  rule beta                            no: when any { host is \"beta.example\"; cookie \"plan\" is \"pro\" } — the host was `shop.example`; the cookie `plan` was `free`
  rule api                             yes: forward api
    limit 1/s per client-ip burst 1    within the rate
    set-header \"x-edge\" \"${listener}\"  `x-edge: main`
    rewrite path \"/new\"                the target is now `/new?q=1`
    run second (request)               failed (trap): it trapped; on-error skip

forwarded to group api: GET http://shop.example/new?q=1
"
    );
    assert_eq!(explanation.rule.as_deref(), Some("api"));
    assert_eq!(explanation.exchange.request.headers["x-edge"], "main");
}

#[test]
fn a_refused_request() {
    let engine = shop();
    explained(&engine, exchange("GET", "shop.example", "/"));
    let explanation = explained(&engine, exchange("GET", "shop.example", "/"));
    let text = explanation.to_string();
    assert!(text.contains("over the rate; the next comes in 1s"), "{text}");
    assert!(text.contains("answered with 503\n"), "{text}");
    assert!(text.contains("tidegate-limited: api\n"), "{text}");
}

#[test]
fn an_answered_request_takes_the_way_back() {
    let explanation = explained(&shop(), exchange("GET", "other.example", "/"));
    let text = explanation.to_string();
    for line in [
        "no: when path under \"/admin\" — the path was `/`",
        "the host was `other.example`; there was no cookie `plan`",
        "yes: respond 404 \"not here\\n\"",
        "  on the way back           of the answer 404, made here",
        "on-response             no: when status is \"500\" — the status was `404`",
        "set-header \"x-by\" \"us\"  `x-by: us`",
        "run first (response)    next",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let Ending::Reply { status, headers, body } = &explanation.outcome else { panic!("it is answered") };
    assert_eq!((*status, body.as_str()), (404, "not here\n"));
    assert!(headers.contains(&("x-by".into(), "us".into())));
}

#[test]
fn a_forwarded_request_takes_the_way_back_of_an_answer_that_is_assumed() {
    let mut rule = rule("web", vec![], vec![], to(0));
    rule.on_response = vec![
        ResponseBlock { conditions: vec![when(Subject::Status, Predicate::Is(vec!["500".into()]))], steps: vec![] },
        ResponseBlock { conditions: vec![], steps: vec![ResponseStep::Header(HeaderStep::Remove("server".into()))] },
    ];
    let engine = engine(plan(vec![rule]));
    let answer = Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() };
    let exchange = exchange("GET", "shop.example", "/");
    let explanation = engine.explain_answered(MAIN, exchange, Moment::default(), answer, &mut |_, _, exchange| {
        (exchange, Some(Ok(Verdict::Next)))
    });
    let text = explanation.to_string();
    let (before, after) = text.split_once("on the way back").unwrap();
    assert!(before.contains("rule web") && after.contains("if a server answers with 200"), "{text}");
    assert!(after.contains("on-response") && after.contains("remove-header \"server\""), "{text}");
    assert!(matches!(explanation.outcome, Ending::Forward { .. }), "{text}");
}

#[test]
fn a_hook_that_an_extension_lacks_is_not_shown() {
    let (engine, exchange) = (shop(), exchange("GET", "other.example", "/"));
    let explanation = explain(&engine, MAIN, exchange, Moment::default(), &mut |_, hook, exchange| {
        (exchange, (hook == crate::hook::Hook::Response).then_some(Ok(Verdict::Next)))
    });
    let text = explanation.to_string();
    assert!(!text.contains("run first (request)") && text.contains("run first (response)"), "{text}");
}

#[test]
fn it_is_what_serving_does() {
    let engine = shop();
    for target in ["/", "/admin"] {
        for host in ["shop.example", "beta.example", "other.example"] {
            for method in ["GET", "POST"] {
                // Each on buckets of its own: both take a token.
                let (one, other) = (shop(), shop());
                let explained = explained(&one, exchange(method, host, target));
                let mut served = exchange(method, host, target);
                let (walk, decision) = super::walk_with(&other, &mut served, Moment::default(), |extension, _| {
                    if extension == ExtensionId(1) { Err(trap()) } else { Ok(Verdict::Next) }
                });
                assert_eq!(explained.rule.as_deref(), walk.rule_name(&other));
                let ending = match &explained.outcome {
                    Ending::Forward { group, .. } => group.clone(),
                    Ending::Reply { status, .. } => format!("reply {status}"),
                    Ending::Close => "close".to_owned(),
                };
                assert_eq!(ending, super::shown(&engine, &decision));
                assert_eq!(explained.exchange.request.headers, served.request.headers);
            }
        }
    }
}

#[test]
fn a_connection_that_is_kept_out() {
    let office = NetworkSet { lists: vec![ListId(0)], networks: Vec::new() };
    let peers = "192.0.2.0/24".parse().map(|network| NetworkSet { lists: Vec::new(), networks: vec![network] });
    for (allow, deny, said) in [
        (None, peers.ok(), "deny-from 192.0.2.0/24  keeps it out: the connection came from 192.0.2.1"),
        (Some(office), None, "allow-from office  does not let it in: the connection came from 192.0.2.1"),
    ] {
        let mut plan = plan(vec![rule("otherwise", vec![], vec![], to(0))]);
        plan.listeners[0].peers = Peers { allow, deny };
        let explanation = explained(&engine(plan), exchange("GET", "shop.example", "/"));
        assert!(explanation.to_string().contains(said), "{explanation}");
        assert_eq!((explanation.rule, explanation.outcome), (None, Ending::Close));
    }
}

#[test]
fn a_redirection_that_is_refused() {
    let to = Template(vec![Piece::Insert(Insert::QueryParam("to".into()))]);
    let engine = engine(plan(vec![rule("otherwise", vec![], vec![], Outcome::Redirect(302, to))]));
    let explanation = explained(&engine, exchange("GET", "shop.example", "/?to=https://evil.example/"));
    let said = "refused: what is inserted would name another scheme, and the location names no host";
    assert!(explanation.to_string().contains(said), "{explanation}");
    assert!(matches!(explanation.outcome, Ending::Reply { status: 400, .. }));
    let explanation = explained(&engine, exchange("GET", "shop.example", "/?to=//evil.example/"));
    let Ending::Reply { status: 302, headers, .. } = explanation.outcome else { panic!("{:?}", explanation.outcome) };
    assert_eq!(headers, [("location".to_owned(), "/evil.example/".to_owned())]);
}
