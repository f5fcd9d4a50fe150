//! Mends that need no thought: each one, made in the text, takes its mistake away and brings no other.

#![allow(clippy::disallowed_methods, reason = "cases are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use support::TestLoader;
use tidegate_dsl::{Compilation, Diagnostic, Edit, Severity, SourceId, compile};

fn cases() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in ["tests/cases", "tests/cases/planted"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        found.extend(fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "gate"));
    found.sort();
    found
}

fn compile_as(path: &Path, text: &str) -> Compilation {
    let name = PathBuf::from(path.file_name().unwrap());
    compile(&name, &TestLoader::new(&name, text))
}

/// The text with the changes made.
fn mended(text: &str, edits: &[Edit]) -> String {
    let mut out = String::new();
    let mut at = 0;
    for edit in edits {
        let (start, end) = (edit.span.start as usize, edit.span.end as usize);
        assert!(at <= start && start <= end, "changes are in the order of the text: {edits:?}");
        out.push_str(&text[at..start]);
        out.push_str(&edit.replacement);
        at = end;
    }
    out + &text[at..]
}

/// The number of times that each thing is said.
fn said(diagnostics: &[Diagnostic]) -> HashMap<(&str, &str), usize> {
    let mut counts = HashMap::new();
    for one in diagnostics {
        *counts.entry((one.code, one.message.as_str())).or_insert(0) += 1;
    }
    counts
}

/// Whether a help names one text to write, and no place holder: then it can be done without thought.
fn names_one_mend(help: &str) -> bool {
    let written = help.strip_prefix("write `").or_else(|| help.strip_prefix("did you mean `"));
    let Some(written) = written.map(|written| written.trim_end_matches('?')) else {
        return matches!(help, "remove the comma");
    };
    let Some(written) = written.strip_suffix('`') else { return false };
    let holder = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase());
    let open = written.contains(['…', '`']) || written.split(|c: char| !c.is_ascii_alphanumeric()).any(holder);
    !open
}

/// Mends that name one text as an example, or not the place where it goes.
const THOUGHT_IS_NEEDED: [&str; 2] = ["write `server 127.0.0.1:8080`", "write `respond 503`"];

/// Mistakes of cases that stand behind another one, and are seen once that is mended.
const BEHIND_ANOTHER: [(&str, &str); 6] = [
    ("include-mistakes.gate", "E0109"),
    ("names.gate", "E0301"),
    ("names.gate", "E0405"),
    ("syntax-commas.gate", "E0411"),
    ("tls-protocols.gate", "E0203"),
    ("tls-protocols.gate", "E0201"),
];

#[test]
fn mends_take_their_mistake_away_and_bring_no_other() {
    let (mut tried, mut failures) = (0, Vec::new());
    for path in cases() {
        let text = fs::read_to_string(&path).unwrap();
        let before = compile_as(&path, &text);
        let counts = said(&before.diagnostics);
        for one in before.diagnostics.iter().filter(|one| !one.edits.is_empty()) {
            if one.edits.iter().any(|edit| edit.span.source != SourceId(0)) {
                continue;
            }
            tried += 1;
            let changed = mended(&text, &one.edits);
            let after = compile_as(&path, &changed);
            let now = said(&after.diagnostics);
            let key = (one.code, one.message.as_str());
            let place = before.sources.position(one.labels[0].span);
            let at = format!("{}:{}: [{}] {}\n  {:?}", path.display(), place.line, one.code, one.message, one.edits);
            if now.get(&key).copied().unwrap_or_default() >= counts[&key] {
                failures.push(format!("{at}\n  is still there"));
            }
            let errors = after.diagnostics.iter().filter(|one| one.severity == Severity::Error);
            for new in errors.filter(|new| {
                let key = (new.code, new.message.as_str());
                now[&key] > counts.get(&key).copied().unwrap_or_default()
            }) {
                if !BEHIND_ANOTHER.iter().any(|(case, code)| path.ends_with(case) && *code == new.code) {
                    failures.push(format!("{at}\n  brings [{}] {}", new.code, new.message));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} of {tried}:\n{}", failures.len(), failures.join("\n"));
    assert!(tried > 100, "{tried} mends");
}

#[test]
fn mends_that_name_one_text_can_be_made() {
    let mut failures = Vec::new();
    for path in cases() {
        let text = fs::read_to_string(&path).unwrap();
        for one in compile_as(&path, &text).diagnostics {
            let help = one.help.as_deref().unwrap_or_default();
            if names_one_mend(help) && one.edits.is_empty() && !THOUGHT_IS_NEEDED.contains(&help) {
                failures.push(format!("{}: [{}] {}: {help}", path.display(), one.code, one.message));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
