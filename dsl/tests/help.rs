//! The long texts of the codes: every one says something, and their examples do what they are said to do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "sites are files")]

mod support;

use std::path::Path;

use support::TestLoader;
use tidegate_dsl::codes::{Code, TABLE, nearest};
use tidegate_dsl::{Compilation, compile, render};

/// Codes that only a large policy shows: their examples are cut short, so they are not compiled.
const CUT_SHORT: [&str; 5] = ["E0107", "E0108", "E0504", "W0904", "W0908"];

/// The example behind a heading, without its indentation.
fn example(long: &str, heading: &str) -> Option<String> {
    let (_, rest) = long.split_once(&format!("\n{heading}:\n\n"))?;
    let lines = rest.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    Some(lines.map(|line| line.strip_prefix("    ").unwrap_or_default()).collect::<Vec<_>>().join("\n"))
}

/// Compiles an example together with what it takes as given.
fn try_out(example: &str) -> Compilation {
    let version = if example.starts_with("tidegate") { "" } else { "tidegate 1\n\n" };
    let uses_web = example.contains(" web") && !example.contains("server-group web");
    let group = if uses_web { "\nserver-group web { server 127.0.0.1:8081 }\n" } else { "" };
    let path = Path::new("example.gate");
    compile(path, &TestLoader::new(path, &format!("{version}{example}\n{group}")))
}

#[test]
fn examples_do_what_they_are_said_to_do() {
    let mut failures = Vec::new();
    for row in TABLE {
        let code = row.code.name();
        let (wrong, right) = (example(row.long, "Wrong"), example(row.long, "Right"));
        let wrong = wrong.unwrap_or_else(|| panic!("{code} has no wrong example"));
        let right = right.unwrap_or_else(|| panic!("{code} has no right example"));
        if CUT_SHORT.contains(&code) {
            continue;
        }
        let (wrong, right) = (try_out(&wrong), try_out(&right));
        let said = |compilation: &Compilation| render::human(&compilation.diagnostics, &compilation.sources, false);
        // The mistake, and no other error.
        let errors = wrong.diagnostics.iter().filter(|one| one.code.starts_with('E')).count();
        let shown = wrong.diagnostics.iter().any(|one| one.code == code);
        if !shown || errors != usize::from(code.starts_with('E')) {
            failures.push(format!("the wrong example of {code}:\n{}", said(&wrong)));
        }
        if right.plan.is_none() || right.diagnostics.iter().any(|one| one.code == code) {
            failures.push(format!("the right example of {code}:\n{}", said(&right)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn texts_are_whole_sentences_of_readable_width() {
    for row in TABLE {
        let code = row.code.name();
        assert!(row.long.len() > 80 && row.long.ends_with('\n'), "{code} says too little");
        assert!(row.long.lines().all(|line| line.chars().count() <= 96), "{code} has a long line");
        assert!(row.page().starts_with(&format!("{code}: {}\n\n", row.title)));
    }
}

#[test]
fn codes_are_found_by_what_people_type() {
    assert_eq!(Code::find("e0401").map(|row| row.code.name()), Some("E0401"));
    assert!(Code::find("E9999").is_none());
    assert_eq!(nearest("E04O1"), Some("E0401"));
    assert_eq!(nearest("help"), None);
}
