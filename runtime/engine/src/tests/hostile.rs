//! Tests that a request makes expensive.

use http::HeaderValue;
use tidegate_dsl::effort;
use tidegate_dsl::plan::{HeaderStep, ListenerId, OTHERWISE, Predicate, ResponseBlock, ResponseStep, Subject};

use crate::bounds::MAX_VALUES;
use crate::exchange::{Exchange, Response};
use crate::testing;
use crate::{Decision, Engine, Moment, Progress, Silent, explain};

fn engine(subject: Subject, predicate: Predicate) -> Engine {
    let first = testing::rule("first", vec![testing::when(subject, predicate)], Vec::new(), testing::to(0));
    let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
    Engine::build(std::sync::Arc::new(testing::plan(vec![first, otherwise])), None).unwrap()
}

/// The rule that takes a request; its refusal, if a test gave up. `explain` says the same.
fn taken(engine: &Engine, make: impl Fn() -> Box<Exchange>) -> Result<String, u16> {
    let mut walk = engine.start(ListenerId(0));
    let explained = explain(engine, ListenerId(0), make(), Moment::default(), &mut |_, _, _| unreachable!());
    match engine.advance(&mut walk, &mut make(), Moment::default(), &mut Silent) {
        Progress::Done(Decision::Reply(reply)) if walk.gave_up() => {
            let told = explained.to_string();
            assert!(told.contains("rule first") && told.contains("gave up: ") && told.contains("answered with 400"));
            Err(reply.status.as_u16())
        }
        _ => {
            assert_eq!(explained.rule.as_deref(), walk.rule_name(engine));
            Ok(explained.rule.unwrap_or_default())
        }
    }
}

#[test]
fn a_value_cannot_hide_behind_others() {
    let is = |word: &str| Predicate::Is(vec![word.to_owned()]);
    let query = engine(Subject::Query("a".to_owned()), is("bad"));
    let with = |count: usize, last: &str| {
        let target = format!("/?{}a={last}", "a=x&".repeat(count - 1));
        taken(&query, || testing::exchange("GET", "test", &target))
    };
    for count in [1, 2, MAX_VALUES - 1, MAX_VALUES] {
        assert_eq!(with(count, "bad").as_deref(), Ok("first"), "{count}");
        assert_eq!(with(count, "good").as_deref(), Ok(OTHERWISE), "{count}");
    }
    assert_eq!(with(MAX_VALUES + 1, "bad"), Err(400));
    assert_eq!(with(MAX_VALUES + 1, "good"), Err(400));
    let others = format!("/?{}a=bad", "+&".repeat(8000));
    assert_eq!(
        taken(&query, || testing::exchange("GET", "test", &others)).as_deref(),
        Ok("first"),
        "others do not count"
    );

    let cookie = engine(Subject::Cookie("a".to_owned()), is("bad"));
    let with = |count: usize| {
        taken(&cookie, || {
            let mut exchange = testing::exchange("GET", "test", "/");
            let line = format!("{}a=bad", "a=x; ".repeat(count - 1));
            exchange.request.headers.insert("cookie", HeaderValue::from_str(&line).unwrap());
            exchange
        })
    };
    assert_eq!(with(MAX_VALUES).as_deref(), Ok("first"));
    assert_eq!(with(MAX_VALUES + 1), Err(400));
}

#[test]
fn a_text_can_be_too_long_for_a_costly_expression() {
    let pattern = "(?:a[ab]{0,200}b){2,20}[cd]";
    let longest = usize::try_from(effort::longest_text(effort::of(pattern))).unwrap();
    let engine = engine(Subject::Header("x-a".to_owned()), Predicate::Matches(vec![pattern.to_owned()]));
    let with = |values: &[usize]| {
        taken(&engine, || {
            let mut exchange = testing::exchange("GET", "test", "/");
            for length in values {
                let value = format!("{}c", "ab".repeat(*length)).split_off(length + 1);
                exchange.request.headers.append("x-a", HeaderValue::from_str(&value).unwrap());
            }
            exchange
        })
    };
    assert_eq!(with(&[]).as_deref(), Ok(OTHERWISE));
    assert_eq!(with(&[longest - 1]).as_deref(), Ok("first"));
    assert_eq!(with(&[longest]).as_deref(), Ok("first"));
    assert_eq!(with(&[longest + 1]), Err(400));
    assert_eq!(with(&[2; 1]).as_deref(), Ok(OTHERWISE));
    assert_eq!(with(&vec![2; longest / 2 + 1]), Err(400), "all values of a test count together");
}

#[test]
fn what_the_index_leaves_out_gives_up_nothing() {
    let conditions = vec![
        testing::when(Subject::Query("a".to_owned()), Predicate::Present),
        testing::when(Subject::Host, Predicate::Like(vec!["*.other".to_owned()])),
        testing::when(Subject::Query("a".to_owned()), Predicate::Is(vec!["bad".to_owned()])),
    ];
    let first = testing::rule("first", conditions, Vec::new(), testing::to(0));
    let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
    let engine = Engine::build(std::sync::Arc::new(testing::plan(vec![first, otherwise])), None).unwrap();
    let target = format!("/?{}", "a&".repeat(2 * MAX_VALUES));
    assert_eq!(taken(&engine, || testing::exchange("GET", "test", &target)).as_deref(), Ok(OTHERWISE));
}

#[test]
fn what_explain_looks_at_once_more_gives_up_nothing() {
    let conditions = vec![
        testing::when(Subject::Query("a".to_owned()), Predicate::Is(vec!["bad".to_owned()])),
        testing::when(Subject::Host, Predicate::Like(vec!["*.other".to_owned()])),
    ];
    let first = testing::rule("first", conditions, Vec::new(), testing::to(0));
    let otherwise = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
    let engine = Engine::build(std::sync::Arc::new(testing::plan(vec![first, otherwise])), None).unwrap();
    for count in [MAX_VALUES, MAX_VALUES + 1, 2 * MAX_VALUES] {
        let target = format!("/?{}", "a=x&".repeat(count));
        assert_eq!(taken(&engine, || testing::exchange("GET", "test", &target)).as_deref(), Ok(OTHERWISE), "{count}");
    }
}

#[test]
fn a_block_that_gives_up_costs_the_next_one_nothing() {
    let block = |conditions, name: &str| ResponseBlock {
        conditions,
        steps: vec![ResponseStep::Header(HeaderStep::Set(name.to_owned(), testing::text("yes")))],
    };
    let many = testing::when(Subject::Query("a".to_owned()), Predicate::Is(vec!["bad".to_owned()]));
    let get = testing::when(Subject::Method, Predicate::Is(vec!["GET".to_owned()]));
    let mut rule = testing::rule(OTHERWISE, Vec::new(), Vec::new(), testing::to(0));
    rule.on_response = vec![block(vec![many], "x-first"), block(vec![get], "x-second")];
    let engine = Engine::build(std::sync::Arc::new(testing::plan(vec![rule])), None).unwrap();
    let mut exchange = testing::exchange("GET", "test", &format!("/?{}", "a=x&".repeat(MAX_VALUES + 1)));
    let mut walk = engine.start(ListenerId(0));
    let decided = engine.advance(&mut walk, &mut exchange, Moment::default(), &mut Silent);
    assert!(matches!(decided, Progress::Done(Decision::Forward(_))));
    exchange.response = Some(Response::new(http::StatusCode::OK, http::HeaderMap::new()));
    engine.start_response(&mut walk);
    engine.advance_response(&mut walk, &mut exchange, &mut Silent);
    let headers = &exchange.response.as_ref().unwrap().headers;
    assert_eq!((headers.contains_key("x-first"), headers.contains_key("x-second")), (false, true));
}
