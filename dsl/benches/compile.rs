//! A benchmark of the compiler: how long large policies take.
//!
//! Run it with `cargo bench -p tidegate-dsl --bench compile`. It prints the median of five runs for ten thousand rules of several
//! kinds, and for policies of one mebibyte; and what `fmt`, `print` and `plan` take for the first of them. Files do not count: the
//! text is in memory.

#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run may panic")]

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use tidegate_dsl::{Compilation, OneText, compile, diff, format, print};

const RULES: usize = 10_000;
const MEBIBYTE: usize = 1 << 20;
const RUNS: usize = 5;

fn main() {
    let hosts = policy(RULES, |at| format!("when host is \"shop{at}.example\""));
    let kinds: [(&str, String); 7] = [
        ("hosts", hosts.clone()),
        ("host suffixes", policy(RULES, |at| format!("when host like \"*.shop{at}.example\""))),
        ("path prefixes", policy(RULES, |at| format!("when path under \"/shop/{at}\""))),
        ("regexes", policy(RULES, |at| format!("when path matches \"^/shop/{at}/[a-z]+$\""))),
        (
            "hosts, paths, methods",
            policy(RULES, |at| {
                let (host, path) = (at / 100, at % 100);
                format!("when host is \"shop{host}.example\"; when path under \"/part{path}\"; when method is GET")
            }),
        ),
        ("1 MiB of rules", filled(|at| rule(at, &format!("when path under \"/shop/{at}\"")))),
        ("1 MiB of mistakes", filled(|at| format!("    rule r{at} {{ when paht under \"/{at}\"; foward web; }}\n"))),
    ];
    println!("{:24} {:>8} {:>10}", "", "KiB", "ms");
    for (name, text) in &kinds {
        show(name, text.len(), || compiled(text));
    }
    let plan = compiled(&hosts).plan.expect("it has no errors");
    show("fmt", hosts.len(), || format(&hosts));
    show("print", hosts.len(), || print::policy(&plan));
    show("plan, two equal", hosts.len(), || diff::diff(&plan, &plan));
}

fn compiled(text: &str) -> Compilation {
    compile(Path::new("policy.gate"), &OneText(text.to_owned()))
}

fn show<T>(name: &str, bytes: usize, work: impl Fn() -> T) {
    let time = |_| {
        let begun = Instant::now();
        std::hint::black_box(work());
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..RUNS).map(time).collect();
    times.sort_unstable();
    let median = times.get(RUNS / 2).expect("there are runs");
    println!("{name:24} {:8} {:10.1}", bytes / 1024, median.as_secs_f64() * 1e3);
}

fn policy(rules: usize, conditions: impl Fn(usize) -> String) -> String {
    whole(&(0..rules).map(|at| rule(at, &conditions(at))).collect::<String>())
}

/// A policy of a mebibyte.
fn filled(rule: impl Fn(usize) -> String) -> String {
    let mut rules = String::new();
    for at in 0.. {
        if rules.len() >= MEBIBYTE {
            break;
        }
        write!(rules, "{}", rule(at)).expect("a text takes everything");
    }
    whole(&rules)
}

fn rule(at: usize, conditions: &str) -> String {
    let outcome =
        if at.is_multiple_of(10) { "respond 403 \"no\\n\"" } else { "set-header \"x-rule\" \"${rule}\"; forward web" };
    format!("    rule r{at} {{ {conditions}; {outcome}; }}\n")
}

fn whole(rules: &str) -> String {
    format!(
        "tidegate 1\nlistener http main {{ port 8080; rules main; }}\nserver-group web {{ server 127.0.0.1:8081 }}\n\
         rules main {{\n{rules}    otherwise {{ forward web }}\n}}\n"
    )
}
