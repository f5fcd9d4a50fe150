//! Large policies: what is found in small ones is found in them, and nothing is found that is not there.

#![allow(clippy::disallowed_methods, reason = "the loader of tests reads files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::path::Path;

use support::TestLoader;
use tidegate_dsl::{Compilation, compile, format, print};

const RULES: usize = 10_000;

fn compiled(rules: &str) -> Compilation {
    let text = format!(
        "tidegate 1\nlistener http main {{ port 8080; rules main; }}\nserver-group web {{ server 127.0.0.1:8081 }}\n\
         rules main {{\n{rules}    otherwise {{ forward web }}\n}}\n"
    );
    let name = Path::new("large.gate");
    compile(name, &TestLoader::new(name, &text))
}

fn rules(conditions: impl Fn(usize) -> String) -> String {
    (0..RULES).map(|at| format!("    rule r{at} {{ {}; close; }}\n", conditions(at))).collect()
}

#[test]
fn ten_thousand_rules_are_all_reachable() {
    for conditions in [
        (|at| format!("when host is \"h{at}.example\"")) as fn(usize) -> String,
        |at| format!("when path under \"/p{at}\""),
        |at| format!("when host is \"h{}.example\"; when path under \"/p{}\"; when method is GET", at / 100, at % 100),
        |at| format!("unless client-ip in 10.{}.{}.0/24", at / 250, at % 250),
        |at| format!("when header \"x-{at}\" present"),
    ] {
        let compilation = compiled(&rules(conditions));
        assert_eq!(compilation.diagnostics, []);
        let plan = compilation.plan.unwrap();
        assert_eq!(plan.rule_sets[0].rules.len(), RULES + 1);
    }
}

/// Each of the last few rules lies in the shadow of one that is thousands of lines above.
#[test]
fn shadows_are_found_among_ten_thousand_rules() {
    let many =
        rules(|at| format!("when host is [\"h{at}.example\", \"i{at}.example\"]; when path under \"/p{}\"", at % 7));
    let shadowed = [
        ("when host is \"i4321.example\"; when path is \"/p2/x\"", "r4321"),
        ("when path under \"/p3/y\"; when host is \"h10.example\"; when method is GET", "r10"),
        ("when host is \"h9999.example\"; when path under \"/p3\"", "r9999"),
    ];
    let not_shadowed = [
        "when host is [\"h1.example\", \"h2.example\"]; when path under \"/p1\"",
        "when host is \"h1.example\"; when path under \"/p2\"",
        "when host is \"h1.example\"; when path is \"/p1/../x\"",
        "when any { host is \"h1.example\"; path is \"/p1\"; }",
    ];
    let last = |at: usize, conditions: &str| format!("    rule last{at} {{ {conditions}; close; }}\n");
    let lasts: String = shadowed
        .iter()
        .map(|(conditions, _)| *conditions)
        .chain(not_shadowed)
        .enumerate()
        .map(|(at, conditions)| last(at, conditions))
        .collect();
    let compilation = compiled(&format!("{many}{lasts}"));
    let said: Vec<_> = compilation
        .diagnostics
        .iter()
        .map(|said| {
            // The label stands at the rule's word; its name follows.
            let shadow = said.labels[1].span;
            let text = &compilation.sources.get(shadow.source).unwrap().text[shadow.start as usize..];
            let name = text.split_whitespace().nth(1).unwrap().to_owned();
            (said.code, said.message.clone(), name)
        })
        .collect();
    let expected: Vec<_> = shadowed
        .iter()
        .enumerate()
        .map(|(at, (_, by))| ("E0405", format!("no request can reach the rule `last{at}`"), (*by).to_owned()))
        .collect();
    assert_eq!(said, expected);
}

#[test]
fn a_large_policy_is_formatted_and_printed() {
    let compilation = compiled(&rules(|at| format!("when host is \"h{at}.example\"; when path matches \"x{at}$\"")));
    let plan = compilation.plan.unwrap();
    let printed = print::policy(&plan);
    assert_eq!(format(&printed).unwrap(), printed);
    let name = Path::new("printed.gate");
    assert_eq!(compile(name, &TestLoader::new(name, &printed)).plan.unwrap(), plan);
}
