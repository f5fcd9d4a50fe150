//! Every file of `tests/cases`, and every shipped policy.
//!
//! Beside `NAME.gate` stands `NAME.diag`, what is said about it, and `NAME.plan`, what it means if it compiles. Both are
//! written by `UPDATE=1 cargo test -p tidegate-dsl --test cases`; a missing one is a failure.

#![allow(clippy::disallowed_methods, reason = "cases and policies are files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use support::TestLoader;
use tidegate_dsl::vocabulary::Place;
use tidegate_dsl::{compile, format, print, render};

fn gates(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "gate"))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no policies in {}", folder.display());
    found
}

/// Compares with the expectation beside a case, or writes it.
fn expect(path: &Path, got: Option<&str>, failures: &mut Vec<String>) {
    let update = std::env::var_os("UPDATE").is_some();
    let wanted = fs::read_to_string(path).ok();
    if update {
        match got {
            Some(got) => fs::write(path, got).unwrap(),
            None => _ = fs::remove_file(path),
        }
    } else if wanted.as_deref() != got {
        let wanted = wanted.unwrap_or_else(|| "(no file)".to_owned());
        let got = got.unwrap_or("(no file)");
        failures.push(format!("--- {}\nwanted:\n{wanted}\ngot:\n{got}", path.display()));
    }
}

#[test]
fn cases_are_as_written() {
    let mut failures = Vec::new();
    for path in gates("tests/cases").into_iter().chain(gates("tests/cases/planted")) {
        let name = PathBuf::from(path.file_name().unwrap());
        let text = fs::read_to_string(&path).unwrap();
        let compilation = compile(&name, &TestLoader::new(&name, &text));
        let said = render::human(&compilation.diagnostics, &compilation.sources, false);
        assert_eq!(compilation.plan.is_none(), compilation.has_errors(), "{}", path.display());
        expect(&path.with_extension("diag"), Some(&said), &mut failures);
        let plan = compilation.plan.as_ref().map(print::plan);
        expect(&path.with_extension("plan"), plan.as_deref(), &mut failures);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Mistakes that people report to other gateways, with the report named in each: all are seen, and the mend is told.
#[test]
fn planted_mistakes_are_told_with_their_mend() {
    let planted = gates("tests/cases/planted");
    assert!(planted.len() >= 20, "{} planted mistakes", planted.len());
    for path in planted {
        let text = fs::read_to_string(&path).unwrap();
        let named = text.lines().any(|line| line.starts_with("# ") && line.contains('#') && line.contains('/'));
        assert!(named, "{} names no report", path.display());
        let compilation = compile(&path, &TestLoader::new(&path, &text));
        let said = &compilation.diagnostics;
        assert!(!said.is_empty() && said.iter().all(|one| one.help.is_some()), "{}: {said:?}", path.display());
    }
}

/// Every good case and every shipped policy.
fn good() -> Vec<(PathBuf, String)> {
    let mut good = Vec::new();
    let cases = ["tests/cases", "tests/cases/planted", "../policies"];
    for path in cases.into_iter().flat_map(gates) {
        let text = fs::read_to_string(&path).unwrap();
        let shipped = path.parent().is_some_and(|folder| folder.ends_with("policies"));
        let compilation = compile(&path, &TestLoader::new(&path, &text));
        let said = render::human(&compilation.diagnostics, &compilation.sources, false);
        assert!(!shipped || said.is_empty(), "a shipped policy:\n{said}");
        if compilation.plan.is_some() {
            good.push((path, text));
        }
    }
    good
}

#[test]
fn shipped_policies_are_formatted() {
    for path in gates("../policies") {
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(format(&text).unwrap(), text, "{}", path.display());
    }
}

/// Words that `policies/everything-on.gate` has no use for: what stands in place of another word of it, what is a warning, what
/// only an authority can make.
const NOT_EVERYTHING: [&str; 13] = [
    "json",
    "unix",
    "h1",
    "leftmost",
    "proxy-wasm",
    "http-wasm",
    "staple",
    "system",
    "tls_cipher_policy_1_0",
    "tls_cipher_policy_1_1",
    "tls_cipher_policy_1_2",
    "tls_cipher_policy_1_2_strict",
    "tls_cipher_policy_1_0_to_1_3",
];

#[test]
fn everything_on_says_every_word() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/everything-on.gate");
    let text: String = fs::read_to_string(path)
        .unwrap()
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let said: HashSet<&str> = text.split(|c| !in_word(c)).collect();
    // Of `header.x-tenant` and its like, the word before the dot.
    let inserted: HashSet<&str> = said.iter().filter_map(|word| word.split_once('.')).map(|(word, _)| word).collect();
    let words = Place::ALL.into_iter().flat_map(|place| place.words().iter().map(move |word| (place, word.name)));
    let there = |name: &str| said.contains(name) || inserted.contains(name);
    let wrong: Vec<_> = words.filter(|(_, name)| there(name) == NOT_EVERYTHING.contains(name)).collect();
    assert!(wrong.is_empty(), "missing, or named as missing: {wrong:?}");
}

/// A printed policy compiles, from the same folder, to an equal plan; and it is formatted.
#[test]
fn printed_policies_mean_the_same() {
    for (path, text) in good() {
        let name = Path::new("printed.gate");
        let plan = compile(name, &TestLoader::new(name, &text)).plan.unwrap();
        let printed = print::policy(&plan);
        assert_eq!(format(&printed).as_ref(), Ok(&printed), "{}", path.display());
        let again = compile(name, &TestLoader::new(name, &printed));
        let said = render::human(&again.diagnostics, &again.sources, false);
        assert_eq!(again.plan.as_ref(), Some(&plan), "{}\n{printed}\n{said}", path.display());
        assert_eq!(print::policy(&plan), print::policy(&again.plan.unwrap()));
    }
}

/// Formatting changes no meaning, and formatting again changes nothing.
#[test]
fn formatting_keeps_the_meaning() {
    for (path, text) in good() {
        let once = format(&text).unwrap();
        assert_eq!(format(&once).unwrap(), once, "{}", path.display());
        let plan = |text: &str| compile(&path, &TestLoader::new(&path, text)).plan;
        assert_eq!(plan(&once), plan(&text), "{}", path.display());
        let comments = |text: &str| text.lines().filter_map(|line| line.split_once('#')).count();
        assert_eq!(comments(&once), comments(&text), "{}", path.display());
    }
}

#[test]
fn every_code_has_a_case() {
    let cases = ["tests/cases", "tests/cases/planted"].into_iter().flat_map(gates);
    let said: String = cases.filter_map(|path| fs::read_to_string(path.with_extension("diag")).ok()).collect();
    for row in tidegate_dsl::codes::TABLE {
        let code = row.code.name();
        assert!(said.contains(&format!("[{code}]")), "{code}: {}", row.title);
    }
}

#[test]
fn an_unreadable_file_is_an_error_at_its_path() {
    let compilation = compile(Path::new("gone.gate"), &TestLoader::new(Path::new("other.gate"), ""));
    let said = render::human(&compilation.diagnostics, &compilation.sources, false);
    assert!(said.starts_with("error[E0109]: the file cannot be read: no such file\n --> gone.gate:1:1\n\n"), "{said}");
    assert_eq!(compilation.inputs, [Path::new("gone.gate")]);
}

#[test]
fn renderers_agree() {
    let path = Path::new("a%b.gate");
    let text = "tidegate 1\nlistener http main {\n    port 80:80, \u{1b}[31m\n    rules shop\n}\n";
    let compilation = compile(path, &TestLoader::new(path, text));
    let (said, sources) = (&compilation.diagnostics, &compilation.sources);
    let github = render::github(said, sources);
    assert!(github.starts_with("::error file=a%25b.gate,line=3,endLine=3,col="), "{github}");
    assert!(!render::human(said, sources, false).contains('\u{1b}'));
    for (line, diagnostic) in render::json(said, sources).lines().zip(said) {
        let object: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["code"], diagnostic.code);
        assert_eq!(object["path"], "a%b.gate");
        assert!(object["line"].is_u64() && object["column"].is_u64(), "{line}");
        for (edit, shown) in diagnostic.edits.iter().zip(object["edits"].as_array().unwrap()) {
            assert_eq!(shown["replacement"], edit.replacement);
            assert!(shown["end_line"].is_u64() && shown["path"] == "a%b.gate", "{line}");
        }
        assert_eq!(object["edits"].as_array().unwrap().len(), diagnostic.edits.len(), "{line}");
    }
}
