//! The counts that a policy may hold: what is as many as may be is taken, and one more is not.

#![allow(clippy::disallowed_methods, reason = "the loader of tests reads files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fmt::Write;
use std::path::Path;

use support::TestLoader;
use tidegate_dsl::compile;

/// Lines, one for each number.
fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).fold(String::new(), |mut text, at| {
        writeln!(text, "{}", line(at)).unwrap();
        text
    })
}

/// A policy with these lines in its group, its listener, its first rule and beside all of them.
fn policy(group: &str, listener: &str, rule: &str, more: &str) -> String {
    format!(
        "tidegate 1\nserver-group web {{ server 127.0.0.1:9000\n{group} }}\nlistener http main {{ port 8080\n{listener} rules main }}\n\
         rules main {{ rule first {{ when path is \"/\"\n{rule} }}\notherwise {{ forward web }} }}\n{more}"
    )
}

type Of = fn(usize) -> String;

/// A thing that is counted, the most of it, and a policy with so many.
const COUNTED: [(&str, usize, Of); 8] = [
    ("headers of a health check", 32, |count| {
        let headers = lines(count, |at| format!("header \"x-{at}\" \"1\""));
        policy(&format!("health-check http {{ path \"/\"\n{headers} }}"), "", "forward web", "")
    }),
    ("retries", 10, |count| policy(&format!("retries {count} on [reset]"), "", "forward web", "")),
    ("labels of a listener", 32, |count| {
        policy("", &lines(count, |at| format!("label l{at} \"1\"")), "forward web", "")
    }),
    ("servers of a group", 1000, |count| {
        policy(&lines(count - 1, |at| format!("server 10.0.{}.{}:80", at / 250, at % 250)), "", "forward web", "")
    }),
    ("mirrors of a rule", 8, |count| {
        policy("", "", &format!("{}forward web", lines(count, |_| "mirror web".to_owned())), "")
    }),
    ("targets of a forward", 100, |count| {
        let groups = lines(count, |at| format!("server-group g{at} {{ server 127.0.0.1:9000 }}"));
        let targets: Vec<_> = (0..count).map(|at| format!("g{at} weight 1")).collect();
        policy("", "", &format!("forward {}", targets.join(", ")), &groups)
    }),
    ("listeners", 100, |count| {
        let more = lines(count - 1, |at| format!("listener http l{at} {{ port {}; rules main }}", 10_000 + at));
        policy("", "", "forward web", &more)
    }),
    ("tries until a server is healthy", 100, |count| {
        policy(&format!("health-check http {{ path \"/\"; healthy {count} }}"), "", "forward web", "")
    }),
];

#[test]
fn as_many_as_may_be_are_taken_and_one_more_is_not() {
    for (what, most, of) in COUNTED {
        for (count, right) in [(most - 1, true), (most, true), (most + 1, false)] {
            let name = Path::new("counts.gate");
            let compilation = compile(name, &TestLoader::new(name, &of(count)));
            let said: Vec<_> = compilation.diagnostics.iter().map(|said| (said.code, said.message.clone())).collect();
            assert_eq!(compilation.plan.is_some(), right, "{count} {what}: {said:?}");
            let is_told = said.iter().any(|(code, _)| ["E0208", "E0504"].contains(code));
            assert_eq!(is_told, !right, "{count} {what}: {said:?}");
        }
    }
}
