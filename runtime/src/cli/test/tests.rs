//! What is said of the tests of a policy.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use tidegate_dsl::{OneText, compile};

use super::*;
use crate::tls::Certificates;

const POLICY: &str = r#"tidegate 1
server-group a { server 127.0.0.1:1 }
server-group b { server 127.0.0.1:2 }
server-group c { server 127.0.0.1:3 }
listener http main { port 80; rules site }
rules site {
    rule api { when path under "/api"; set-header "x-edge" "1"; forward a }
    rule split { when path is "/split"; forward a weight 9, b weight 1, c weight 0 }
    rule old { when path is "/old"; redirect 308 "https://new.test/" }
    rule shut { when path is "/shut"; close }
    rule few { when path is "/few"; limit 1/m per client-ip; respond 204 }
    otherwise { respond 404 }
}
"#;

/// What is said of a test with this request and these expectations.
fn said(request: &str, expectations: &str) -> String {
    let mut all = said_of(&format!("{POLICY}test \"it\" {{ request {request}; {expectations} }}\n"));
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn said_of(policy: &str) -> Vec<String> {
    let compiled = compile(Path::new("test.gate"), &OneText(policy.to_owned()));
    let plan = compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    let engine = Arc::new(Engine::build(Arc::new(plan), None).unwrap());
    let snapshot = Snapshot::build(engine, Vec::new(), Certificates::default(), None).unwrap();
    compiled.tests.iter().map(|test| run(test, &snapshot, &compiled.sources).ok().unwrap()).collect()
}

/// What was expected and what came, of each expectation that is not met.
fn unmet(request: &str, expectations: &str) -> Vec<(String, String)> {
    let said = said(request, expectations);
    assert_eq!(said.starts_with("ok      test.gate: it"), !said.starts_with("FAILED"), "{said}");
    let wanted = said.lines().filter_map(|line| Some(line.split_once(": expected ")?.1.to_owned()));
    let got = said.lines().filter_map(|line| Some(line.trim_start().strip_prefix("got ")?.to_owned()));
    wanted.zip(got).collect()
}

#[test]
fn what_came_is_told_beside_what_was_expected() {
    for (request, expectation, unmet_by) in [
        (r#"GET "http://a.test/api/x""#, "expect rule api", None),
        (r#"GET "http://a.test/api/x""#, "expect rule old", Some(("rule old", "rule api"))),
        (r#"GET "http://a.test/""#, "expect rule otherwise", None),
        (r#"GET "http://a.test/api""#, "expect forward [a, c]", None),
        (r#"GET "http://a.test/api""#, "expect forward b", Some(("forward to b", "forward to a"))),
        (r#"GET "http://a.test/""#, "expect forward a", Some(("forward to a", "status 404"))),
        (r#"GET "http://a.test/old""#, r#"expect redirect 308 "https://new.test/""#, None),
        (
            r#"GET "http://a.test/old""#,
            r#"expect redirect 301 "https://new.test/""#,
            Some(("redirect 301 to `https://new.test/`", "redirect 308 to `https://new.test/`")),
        ),
        (
            r#"GET "http://a.test/old""#,
            r#"expect redirect 308 "https://new.test""#,
            Some(("redirect 308 to `https://new.test`", "redirect 308 to `https://new.test/`")),
        ),
        (r#"GET "http://a.test/shut""#, "expect close", None),
        (r#"GET "http://a.test/old""#, "expect close", Some(("close", "redirect 308 to `https://new.test/`"))),
        (r#"GET "http://a.test/""#, "expect status [200, 4xx]", None),
        (r#"GET "http://a.test/api""#, r#"expect header "x-edge" is "1""#, None),
    ] {
        let unmet_by = unmet_by.map(|(wanted, got): (&str, &str)| (wanted.to_owned(), got.to_owned()));
        assert_eq!(unmet(request, expectation), Vec::from_iter(unmet_by), "{request} {expectation}");
    }
}

#[test]
fn every_group_that_chance_may_choose_has_to_be_expected() {
    let split = r#"GET "http://a.test/split""#;
    assert_eq!(unmet(split, "expect forward [b, a]"), []);
    let got = "forward to a or b".to_owned();
    assert_eq!(unmet(split, "expect forward a"), [("forward to a".to_owned(), got.clone())]);
    // A share of nothing is no chance.
    assert_eq!(unmet(split, "expect forward c"), [("forward to c".to_owned(), got)]);
}

#[test]
fn what_a_test_cannot_know_is_no_guess() {
    for (request, expectation, got) in [
        (r#"GET "http://a.test/api""#, "expect status 200", "forward to a: what a backend answers is not known"),
        (r#"GET "http://a.test/""#, r#"expect path is "/""#, "status 404: no backend gets the request"),
        (r#"GET "http://a.test/shut""#, r#"expect header "x-edge" absent"#, "close: no backend gets the request"),
    ] {
        let unmet = unmet(request, expectation);
        assert_eq!(unmet.iter().map(|(_, got)| got.as_str()).collect::<Vec<_>>(), [got]);
    }
}

#[test]
fn a_request_that_no_rule_sees_has_a_status_and_nothing_else() {
    let refused = r#"TRACE "http://a.test/""#;
    assert_eq!(unmet(refused, "expect status [4xx, 5xx]"), []);
    for expectation in ["expect rule otherwise", "expect status 200", "expect close"] {
        let unmet = unmet(refused, expectation);
        let [(_, got)] = &unmet[..] else { panic!("{unmet:?}") };
        assert!(got.contains(" before any rule: "), "{got}");
    }
}

#[test]
fn each_expectation_that_is_not_met_is_told_with_its_line_and_then_the_walk() {
    let text = format!(
        "{POLICY}test \"two\" {{\n  request GET \"http://a.test/api\"\n  expect rule api\n  expect close\n  expect forward b\n}}\n"
    );
    let line = POLICY.lines().count() + 1;
    let said = said_of(&text).remove(0);
    let (head, walk) = said.split_once("\n\n").unwrap();
    let expected = format!(
        "FAILED  test.gate:{line}: two\n    line {}: expected close\n                  got forward to a\n    \
         line {}: expected forward to b\n                  got forward to a",
        line + 3,
        line + 4
    );
    assert_eq!(head, expected);
    assert!(walk.starts_with("        ") && walk.contains("api"), "{walk}");
}

#[test]
fn no_test_depends_on_those_before_it() {
    let few = |name: &str| format!("test \"{name}\" {{ request GET \"http://a.test/few\"; expect status 204 }}\n");
    let all = said_of(&format!("{POLICY}{}{}", few("one"), few("other")));
    assert_eq!(all, ["ok      test.gate: one", "ok      test.gate: other"]);
}

#[test]
fn a_folder_means_its_policies_in_the_order_of_their_names() {
    let folder = tempfile::tempdir().unwrap();
    let Err(Failed::Because(said)) = policies(folder.path()) else { panic!("it is empty") };
    assert_eq!(said, format!("there is no `*.gate` in `{}`", folder.path().display()));
    for name in ["b.gate", "a.gate", "a.txt", "gate"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("c.gate")).unwrap();
    let found = policies(folder.path()).ok().unwrap();
    assert_eq!(found, ["a.gate", "b.gate"].map(|name| folder.path().join(name)));
    // What is no folder is tried as it is, so that reading it says what is wrong.
    assert_eq!(policies(Path::new("/none.gate")).ok(), Some(vec![PathBuf::from("/none.gate")]));
}
