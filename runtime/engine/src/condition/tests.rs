//! Tests of conditions: each subject, each predicate, and how they are joined.

use http::{HeaderMap, HeaderValue, StatusCode, header};
use plan::{ListId, NetworkSet, Predicate as P, StatusRange, Subject as S};

use super::*;
use crate::exchange::Response;
use crate::predicate::under;
use crate::testing;

fn sample() -> Box<Exchange> {
    let mut exchange = testing::exchange("GET", "api.shop.example:8443", "/v1/items?beta&n=1&n=2");
    let headers = &mut exchange.request.headers;
    headers.append("x-a", HeaderValue::from_static("one"));
    headers.append("x-a", HeaderValue::from_static("two"));
    headers.append("x-ip", HeaderValue::from_static("10.9.8.7"));
    headers.append("cookie", HeaderValue::from_static("plan=pro"));
    exchange.vars.set("v", "").unwrap();
    exchange.response = Some(Response::new(
        StatusCode::BAD_GATEWAY,
        HeaderMap::from_iter([(header::SERVER, HeaderValue::from_static("b"))]),
    ));
    exchange
}

fn holds(subject: S, predicate: P) -> bool {
    let condition = testing::when(subject, predicate);
    let plan = testing::plan(Vec::new());
    Condition::new(&condition, &plan).unwrap().holds(&sample())
}

#[test]
fn no_test_of_the_host_holds_where_nobody_named_one() {
    let plan = testing::plan(Vec::new());
    let mut unnamed = testing::exchange("GET", "192.0.2.2:8080", "/");
    unnamed.request.unnamed = true;
    for subject in [S::Host, S::Header("host".to_owned())] {
        let holds = |exchange: &Exchange, predicate| {
            Condition::new(&testing::when(subject.clone(), predicate), &plan).unwrap().holds(exchange)
        };
        let address = || P::Is(words(&["192.0.2.2", "192.0.2.2:8080"]));
        assert!(!holds(&unnamed, address()));
        assert!(!holds(&unnamed, P::Like(words(&["*"]))));
        assert!(!holds(&unnamed, P::Present));
        assert!(holds(&unnamed, P::Absent));
        let mut renamed = testing::exchange("GET", "192.0.2.2:8080", "/");
        renamed.request.unnamed = true;
        renamed.request.set_authority("192.0.2.2:8080".parse().unwrap());
        assert!(holds(&renamed, address()), "an extension named one");
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn exact_words() {
    for (subject, word, expected) in [
        (S::Host, "api.shop.example", true),
        (S::Host, "API.shop.example", true),
        (S::Host, "api.shop.example:8443", false),
        (S::Path, "/v1/items", true),
        (S::Path, "/%761/./items", true),
        (S::Path, "/v1", false),
        (S::Method, "GET", true),
        (S::Method, "get", false),
        (S::Scheme, "http", true),
        (S::Header("x-a".into()), "two", true),
        (S::Header("x-a".into()), "one, two", false),
        (S::Header("host".into()), "api.shop.example:8443", true),
        (S::Query("n".into()), "2", true),
        (S::Query("beta".into()), "", true),
        (S::Cookie("plan".into()), "pro", true),
        (S::ClientIp, "203.0.113.9", true),
        (S::ClientIp, "::ffff:203.0.113.9", true),
        (S::PeerIp, "192.0.2.1", true),
        (S::Protocol, "h1", true),
        (S::Upgrade, "websocket", false),
        (S::Var("v".into()), "", true),
        (S::Var("w".into()), "", false),
        (S::Status, "502", true),
        (S::ResponseHeader("server".into()), "b", true),
    ] {
        let shown = format!("{subject:?} {word}");
        assert_eq!(holds(subject, P::Is(words(&[word]))), expected, "{shown}");
    }
    assert!(holds(S::Method, P::Is(words(&["PUT", "GET"]))));
    let many: Vec<_> = (0..20).map(|index| format!("h{index}.example")).chain(words(&["api.shop.example"])).collect();
    assert!(holds(S::Host, P::Is(many)));
}

#[test]
fn prefixes_by_segments() {
    for (path, prefix, expected) in [
        ("/admin", "/admin", true),
        ("/admin/", "/admin", true),
        ("/admin/x", "/admin", true),
        ("/administrator", "/admin", false),
        ("/admin", "/admin/", false),
        ("/admin/x", "/admin/", true),
        ("/", "/", true),
        ("/x", "/", true),
    ] {
        assert_eq!(under(path, prefix), expected, "{path} {prefix}");
    }
    assert!(holds(S::Path, P::Under(words(&["/v2", "/%76%31"]))));
}

#[test]
fn the_other_predicates() {
    assert!(holds(S::Host, P::Like(words(&["*.shop.example"]))));
    assert!(holds(S::Path, P::Matches(words(&["^/x", "^/v[12]/"]))));
    assert!(!holds(S::Path, P::Matches(words(&["^/v[2]/"]))));
    let office = || NetworkSet { lists: vec![ListId(0)], networks: Vec::new() };
    let documentation = || NetworkSet { lists: Vec::new(), networks: vec!["203.0.113.0/24".parse().unwrap()] };
    assert!(!holds(S::ClientIp, P::In(office())));
    assert!(holds(S::ClientIp, P::In(documentation())));
    assert!(!holds(S::PeerIp, P::In(documentation())));
    assert!(holds(S::Header("x-ip".into()), P::In(office())));
    assert!(!holds(S::Header("x-a".into()), P::In(office())));
    assert!(holds(S::Status, P::Status(vec![StatusRange { first: 500, last: 599 }])));
    assert!(!holds(S::Status, P::Status(vec![StatusRange { first: 500, last: 501 }])));
    assert!(holds(S::Query("beta".into()), P::Present));
    assert!(holds(S::Query("gamma".into()), P::Absent));
    assert!(!holds(S::Header("x-a".into()), P::Absent));
    assert!(holds(S::Var("v".into()), P::Present));
}

#[test]
fn unless_any_and_all() {
    let yes = || plan::Test::Is(S::Scheme, P::Is(words(&["http"])));
    let no = || plan::Test::Is(S::Scheme, P::Is(words(&["https"])));
    let plan = testing::plan(Vec::new());
    for (unless, test, expected) in [
        (false, plan::Test::All(vec![yes(), no()]), false),
        (true, plan::Test::All(vec![yes(), no()]), true),
        (false, plan::Test::Any(vec![no(), yes()]), true),
        (true, plan::Test::Any(vec![no(), yes()]), false),
        (false, plan::Test::Any(vec![]), false),
        (false, plan::Test::All(vec![]), true),
    ] {
        let condition = plan::Condition { unless, test };
        let compiled = Condition::new(&condition, &plan).unwrap();
        assert_eq!(compiled.holds(&sample()), expected, "{condition:?}");
    }
    // `unless` means that no value of the name meets it.
    let unless =
        plan::Condition { unless: true, test: plan::Test::Is(S::Header("x-a".into()), P::Is(words(&["two"]))) };
    assert!(!Condition::new(&unless, &plan).unwrap().holds(&sample()));
}

#[test]
fn what_cannot_be_built_is_told() {
    let plan = testing::plan(Vec::new());
    for (pattern, word) in [("(", "no regular expression"), ("(\\w{500}){500}", "too large")] {
        let condition = testing::when(S::Path, P::Matches(words(&[pattern])));
        let error = Condition::new(&condition, &plan).unwrap_err();
        assert!(error.0.contains(word), "{error:?}");
    }
}
