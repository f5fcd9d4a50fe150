//! Every file of `tests/cases`, and every shipped policy.
//!
//! Beside `NAME.gate` stands `NAME.diag`, what is said about it, and `NAME.plan`, what it means if it compiles. Both are
//! written by `UPDATE=1 cargo test -p tidegate-dsl --test cases`; a missing one is a failure.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::TestLoader;
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
    for path in gates("tests/cases") {
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

/// Every good case and every shipped policy.
fn good() -> Vec<(PathBuf, String)> {
    let mut good = Vec::new();
    for path in gates("tests/cases").into_iter().chain(gates("../policies")) {
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

/// What is printed compiles, from the same folder, to an equal plan; and it is formatted.
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
