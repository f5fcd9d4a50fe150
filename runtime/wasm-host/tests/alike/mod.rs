//! One table of cases for the mock of the SDK and for the host: what a guest does, and what comes of it.
//!
//! A file of `cases` has cases that begin with `== NAME`. Then come lines about the request and the gateway (`given> …`), lines that
//! the guest gets as its configuration, and, after `--`, what is to come of it. `\r`, `\n`, `\0`, `\e` (escape) and `\d` (delete) stand
//! for control characters, and `\\` for a backslash.

pub(crate) mod given;
pub(crate) mod in_host;
pub(crate) mod in_mock;
pub(crate) mod outcome;

use std::path::{Path, PathBuf};

use given::Given;

/// One case of the table.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) given: Given,
    /// The lines of the outcome.
    pub(crate) expected: Vec<String>,
}

/// A file of cases.
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) cases: Vec<Case>,
    /// The text of each case, without its outcome.
    pub(crate) texts: Vec<String>,
}

/// Every case, by file.
pub(crate) fn table() -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/alike/cases");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> File {
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file = File { path, cases: Vec::new(), texts: Vec::new() };
    for block in text.split("== ").skip(1) {
        let (head, expected) = block.split_once("\n--\n").unwrap_or((block.trim_end(), ""));
        let (name, lines) = head.split_once('\n').unwrap_or((head, ""));
        let given = Given::read(lines.lines().map(unescaped));
        let expected = expected.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect();
        file.cases.push(Case { name: name.to_owned(), given, expected });
        file.texts.push(format!("== {head}\n--\n"));
    }
    file
}

fn unescaped(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        let escape = if c == '\\' { rest.next() } else { None };
        out.push(match escape {
            Some('r') => '\r',
            Some('n') => '\n',
            Some('0') => '\0',
            Some('e') => '\u{1b}',
            Some('d') => '\u{7f}',
            Some(other) => other,
            None => c,
        });
    }
    out
}
