//! The changes that a reload would make: pairs of policies in `tests/diffs`, and every small change of the shipped
//! ones.
//!
//! `NAME.old.gate` and `NAME.new.gate` are compared; `NAME.changes` is what comes of it, written by
//! `UPDATE=1 cargo test -p tidegate-dsl --test diff`.

#![allow(clippy::disallowed_methods, reason = "cases and policies are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::TestLoader;
use tidegate_dsl::diff::{How, diff};
use tidegate_dsl::plan::Plan;
use tidegate_dsl::{compile, print, render};

fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.to_string_lossy().ends_with(end));
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Paths in it are as they stand there.
fn compiled(text: &str) -> Option<Plan> {
    let name = Path::new("policy.gate");
    compile(name, &TestLoader::new(name, text)).plan
}

fn read(path: &Path) -> Plan {
    let text = fs::read_to_string(path).unwrap();
    let name = Path::new(path.file_name().unwrap());
    let compilation = compile(name, &TestLoader::new(name, &text));
    let said = render::human(&compilation.diagnostics, &compilation.sources, false);
    compilation.plan.unwrap_or_else(|| panic!("{}:\n{said}", path.display()))
}

#[test]
fn changes_are_as_written() {
    for old in files("tests/diffs", ".old.gate") {
        let case = |end: &str| PathBuf::from(old.to_string_lossy().replace(".old.gate", end));
        let changes = diff(&read(&old), &read(&case(".new.gate"))).to_string();
        if std::env::var_os("UPDATE").is_some() {
            fs::write(case(".changes"), &changes).unwrap();
        }
        let wanted = fs::read_to_string(case(".changes")).unwrap_or_default();
        assert_eq!(changes, wanted, "{}", old.display());
    }
}

#[test]
fn programs_read_the_same() {
    let [old, new] = ["8080", "8081"].map(|port| {
        compiled(&format!(
            "tidegate 1\nlistener http a {{\nport {port}\nforward b\n}}\nserver-group b {{ server 1.1.1.1:1 }}\n"
        ))
        .unwrap()
    });
    let expected = serde_json::json!({ "changes": [{
        "how": "replace",
        "kind": "listener",
        "name": "a",
        "of": null,
        "lines": [{ "side": "old", "text": "port 8080" }, { "side": "new", "text": "port 8081" }],
        "effects": ["a listener cannot change its protocol or its port in place", "opens port 8081"],
        "ends": ["the connections of port 8080, each when its requests are done, at the latest after 30s"],
    }] });
    assert_eq!(serde_json::to_value(diff(&old, &new)).unwrap(), expected);
}

/// The order of declarations means nothing, and neither do their places in the plan.
#[test]
fn declarations_may_change_their_places() {
    let parts = [
        "list l [10.0.0.0/8]",
        "list m [11.0.0.0/8]",
        "server-group a { server 1.1.1.1:1 }",
        "server-group b { server 1.1.1.2:1 }",
        "listener http x { port 1; rules r; }",
        "listener http y { port 2; forward b; }",
        "rules r { rule s { when client-ip in [l, m]; forward a; }; otherwise { forward b; }; }",
    ];
    let text = |parts: &mut dyn Iterator<Item = &&str>| {
        compiled(&format!("tidegate 1\n{}\n", parts.copied().collect::<Vec<_>>().join("\n"))).unwrap()
    };
    let (there, back) = (text(&mut parts.iter()), text(&mut parts.iter().rev()));
    assert_ne!(there, back);
    assert!(diff(&there, &back).is_empty(), "{}", diff(&there, &back));
}

/// Texts that differ from `text` in one line: a number, a word, a text or the whole line is another one.
fn neighbours(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let mut with = |changed: Option<&str>| {
            let before = lines.iter().take(at).copied();
            let after = lines.iter().skip(at + 1).copied();
            let all: Vec<_> = before.chain(changed).chain(after).collect();
            found.push(all.join("\n"));
        };
        if !line.ends_with('{') && line.trim() != "}" {
            with(None);
        }
        for (from, to) in [
            (" on", " off"),
            (" off", " on"),
            ("running", "stopped"),
            ("reused", "fresh"),
            ("json", "text"),
            ("when ", "unless "),
            ("append", "replace"),
            ("set-header", "add-header"),
            ("round-robin", "least-requests"),
            (" under ", " is "),
        ] {
            if line.contains(from) {
                with(Some(&line.replacen(from, to, 1)));
            }
        }
        // Another number in place of each, and another letter at the end of each text.
        for (place, c) in line.char_indices() {
            if c.is_ascii_digit() {
                let other = if c == '9' { '8' } else { char::from(c as u8 + 1) };
                with(Some(&format!("{}{other}{}", &line[..place], &line[place + 1..])));
            }
            if c == '"' && place > 0 && line.as_bytes()[place - 1].is_ascii_alphanumeric() {
                with(Some(&format!("{}x{}", &line[..place], &line[place..])));
            }
        }
        if let Some(next) = lines.get(at + 1)
            && !line.contains(['{', '}'])
            && !next.contains(['{', '}'])
        {
            let swapped = format!("{next}\n{line}");
            let mut all: Vec<&str> = lines.clone();
            all.splice(at..at + 2, [&*swapped]);
            found.push(all.join("\n"));
        }
    }
    found
}

#[test]
fn every_change_of_a_shipped_policy_is_seen() {
    for path in files("../policies", ".gate") {
        let old = read(&path);
        assert!(diff(&old, &old).is_empty());
        let (mut different, mut hows) = (0, HashMap::new());
        for text in neighbours(&print::policy(&old)) {
            let Some(new) = compiled(&text) else { continue };
            let (there, back) = (diff(&old, &new), diff(&new, &old));
            assert_eq!(there.is_empty(), new == old, "{}\n{text}", path.display());
            assert_eq!(back.is_empty(), new == old, "{}\n{text}", path.display());
            assert!(!there.to_string().is_empty());
            different += usize::from(new != old);
            there.changes.iter().for_each(|change| *hows.entry(change.how.word()).or_insert(0) += 1);
        }
        assert!(different > 50, "{}: {different}", path.display());
        assert!(hows.contains_key(How::Change.word()) && hows.contains_key(How::Replace.word()), "{hows:?}");
    }
}

/// A reload of a large policy is compared as well, and soon: what differs is what costs.
#[test]
fn thousands_of_rules_are_compared() {
    let policy = |rules: &mut dyn Iterator<Item = usize>| {
        let rules: String =
            rules.map(|at| format!("rule r{at} {{ when host is \"h{at}.example\"; forward a; }}\n")).collect();
        let text = format!(
            "tidegate 1\nserver-group a {{ server 1.1.1.1:1 }}\nlistener http l {{ port 1; rules r; }}\n\
             rules r {{\n{rules}otherwise {{ close; }}\n}}\n"
        );
        compiled(&text).unwrap()
    };
    let old = policy(&mut (0..3000));
    assert_eq!(diff(&old, &policy(&mut (0..3001))).changes.len(), 1);
    let moved = diff(&old, &policy(&mut (1..3000).chain([0])));
    assert_eq!(moved.changes.iter().map(|change| (change.how, &*change.name)).collect::<Vec<_>>(), [(How::Move, "r0")]);
    assert_eq!(diff(&old, &policy(&mut (0..3000).rev())).changes.len(), 2999);
    assert_eq!(diff(&old, &policy(&mut (3000..6000))).changes.len(), 6000);
}
